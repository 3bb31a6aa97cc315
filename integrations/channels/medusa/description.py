"""How the account of a Medusa shop is set up."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from integrations.contract import Description, Need

DESCRIPTION = Description(
    title=_("Medusa 2: a web shop"),
    address=_("The address of the Medusa server, without a path."),
    credentials=(
        Need("api_key", _("Secret API key"), _("Or the mail address and password of an admin user.")),
        Need("email", _("Mail address")),
        Need("password", _("Password")),
    ),
    credential_sets=(("api_key",), ("email", "password")),
    settings=(
        Need(
            "location_id",
            _("Stock location"),
            _("The id of the stock location that Omni fills and ships from: sloc_…"),
            is_required=True,
        ),
        Need("sales_channel_id", _("Sales channel"), _("Take orders of this sales channel only: sc_…")),
        Need("note_key", _("Key of the buyer's words"), _("In the order's metadata; note, if empty.")),
    ),
)
