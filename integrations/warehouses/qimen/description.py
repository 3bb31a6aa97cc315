"""How the account at a warehouse that speaks Qimen is set up."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from integrations.contract import Description, Need

DESCRIPTION = Description(
    title=_("Qimen: a warehouse (WMS)"),
    address=_("The address of the gateway, with its path: …/router/qimen/service"),
    credentials=(
        Need("app_key", _("App key"), is_required=True),
        Need("secret", _("App secret"), is_required=True),
        Need("customer_id", _("Customer id"), _("What the warehouse calls us."), is_required=True),
    ),
    credential_sets=(("app_key", "secret", "customer_id"),),
    settings=(
        Need("order_carrier_default", _("Usual carrier"), _("For orders that name none; OTHER, if empty.")),
        Need(
            "carrier_codes", _("Carrier codes"), _("Ours = theirs, one a line: SF = SHUNFENG"), kind="pairs"
        ),
        Need(
            "short_method_names",
            _("Short method names"),
            _("For warehouses that leave out taobao.qimen."),
            kind="yes_no",
        ),
        Need(
            "stock_by_sku",
            _("Ask for stock SKU by SKU"),
            _("For warehouses without stock.query: only what we know to lie there is compared."),
            kind="yes_no",
        ),
        Need("sender.name", _("Sender: name")),
        Need("sender.mobile", _("Sender: mobile")),
        Need("sender.province", _("Sender: province")),
        Need("sender.city", _("Sender: city")),
        Need("sender.address", _("Sender: address")),
    ),
)
