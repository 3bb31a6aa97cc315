"""How the account of a shop on Taobao or Tmall is set up."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from integrations.contract import Description, Need

DESCRIPTION = Description(
    title=_("Taobao and Tmall (TOP)"),
    address=_("The address of the gateway, with its path: …/router/rest"),
    credentials=(
        Need("app_key", _("App key"), is_required=True),
        Need("secret", _("App secret"), is_required=True),
        Need(
            "session",
            _("Session of the shop"),
            _("From the shop owner's authorisation; it expires."),
            is_required=True,
        ),
    ),
    credential_sets=(("app_key", "secret", "session"),),
    settings=(
        Need("sign_method", _("Signature"), kind="choice", choices=("md5", "hmac", "hmac-sha256")),
        Need(
            "carrier_codes", _("Carrier codes"), _("Ours = theirs, one a line: SF = SHUNFENG"), kind="pairs"
        ),
        Need("detail_threads", _("Details read at once"), kind="number"),
        Need("read_tries", _("Tries of a read"), kind="number"),
        Need("ban_wait_seconds_max", _("Longest wait for a ban (s)"), kind="number"),
    ),
)
