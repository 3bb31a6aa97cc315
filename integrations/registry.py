"""Which adapters there are, one line each, and how to build one for a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.channels.medusa.adapter import MedusaAdapter
from integrations.channels.top.adapter import TopAdapter
from integrations.contract import Capabilities, ChannelAdapter, Description, Need, WarehouseAdapter
from integrations.models import Connection
from integrations.pace import PacedHttpClient
from integrations.warehouses.qimen.adapter import QimenAdapter
from omni.kernel.errors import BadInput
from omni.kernel.http import HttpClient

CHANNELS: Mapping[str, Callable[..., ChannelAdapter]] = {
    "medusa": MedusaAdapter,
    "top": TopAdapter,
}
WAREHOUSES: Mapping[str, Callable[..., WarehouseAdapter]] = {
    "qimen": QimenAdapter,
}

# What the house itself reads from the settings of every connection of a kind, whatever its adapter.
_HTTP_NEEDS = (
    Need("timeout_seconds", gettext_lazy("Longest wait for an answer (s)"), kind="number"),
    Need("calls_per_second", gettext_lazy("Calls a second, at most"), kind="number"),
)
HOUSE_NEEDS: Mapping[str, Sequence[Need]] = {
    Connection.Kind.CHANNEL: (
        Need("pull_every_seconds", gettext_lazy("Pull every (s)"), kind="number"),
        Need(
            "pull_lag_seconds",
            gettext_lazy("Never ask for what is newer than (s)"),
            gettext_lazy("How long the platform takes to show what has happened."),
            kind="number",
        ),
        Need(
            "pull_overlap_seconds",
            gettext_lazy("Read again what is older by (s)"),
            gettext_lazy("For what the platform shows late."),
            kind="number",
        ),
        *_HTTP_NEEDS,
    ),
    Connection.Kind.WAREHOUSE: (
        Need(
            "warehouse_code",
            gettext_lazy("Warehouse code"),
            gettext_lazy("What the other side calls this warehouse; our code of the location, if empty."),
        ),
        Need("owner_code", gettext_lazy("Owner code"), gettext_lazy("Whose goods they are; OMNI, if empty.")),
        Need(
            "stock_basis",
            gettext_lazy("What its stock figures mean"),
            gettext_lazy(
                "gross: all that lies there; net: less what is taken for our orders. Gross, if empty."
            ),
            kind="choice",
            choices=("gross", "net"),
        ),
        Need(
            "stock_age_minutes",
            gettext_lazy("Its stock figures are older than its answer by (min)"),
            gettext_lazy("The cut-off of a compare; 0, if empty: they are of the moment."),
            kind="number",
        ),
        Need("no_stock_compare", gettext_lazy("Do not compare stock every night"), kind="yes_no"),
        Need("carrier_code", gettext_lazy("Carrier"), gettext_lazy("By whom orders are sent; SF, if empty.")),
        *_HTTP_NEEDS,
    ),
}


class UnknownAdapter(BadInput):
    """The connection names an adapter that this version does not have."""

    code = "unknown_adapter"


def known_adapters() -> list[tuple[str, str, Description]]:
    """(kind, name, description) of everything that can be connected, channels first."""
    adapters = ((Connection.Kind.CHANNEL, CHANNELS), (Connection.Kind.WAREHOUSE, WAREHOUSES))
    return [
        (str(kind), name, cast("Any", adapter).description)
        for kind, found in adapters
        for name, adapter in cast("Mapping[str, Any]", found).items()
    ]


def describe(connection: Connection) -> Description:
    """How a connection's adapter is set up. Raises UnknownAdapter."""
    adapters: Mapping[str, Any] = CHANNELS if connection.kind == Connection.Kind.CHANNEL else WAREHOUSES
    return cast("Description", cast("Any", _find(adapters, connection)).description)


def known_settings(connection: Connection) -> list[Need]:
    """What may stand in a connection's settings: its adapter's own, then those of the house. Raises UnknownAdapter."""
    own = describe(connection).settings
    names = {need.name for need in own}
    return [*own, *(need for need in HOUSE_NEEDS[connection.kind] if need.name not in names)]


def capabilities(connection: Connection) -> Capabilities:
    """What the channel behind a connection can do. Raises UnknownAdapter."""
    return cast("Capabilities", cast("Any", _find(CHANNELS, connection)).capabilities)


@contextmanager
def open_channel(connection: Connection) -> Iterator[ChannelAdapter]:
    """The adapter of a channel's connection, with an HTTP client of its own. Raises UnknownAdapter."""
    build = _find(CHANNELS, connection)
    with _http(connection) as http:
        yield build(**_arguments(connection), http=http)


@contextmanager
def open_warehouse(connection: Connection) -> Iterator[WarehouseAdapter]:
    """The adapter of a warehouse's connection, with an HTTP client of its own. Raises UnknownAdapter."""
    build = _find(WAREHOUSES, connection)
    with _http(connection) as http:
        yield build(**_arguments(connection), http=http)


def _find(adapters: Mapping[str, Callable[..., Any]], connection: Connection) -> Callable[..., Any]:
    found = adapters.get(connection.adapter)
    if found is None:
        raise UnknownAdapter(
            _("There is no %(kind)s adapter “%(adapter)s”; there are: %(known)s.")
            % {
                "kind": connection.get_kind_display(),
                "adapter": connection.adapter,
                "known": ", ".join(sorted(adapters)),
            },
            fields={"adapter": [_("unknown adapter")]},
        )
    return found


def _arguments(connection: Connection) -> dict[str, Any]:
    return {
        "base_url": connection.base_url,
        "credentials": connection.credentials,
        "settings": connection.settings,
    }


def _http(connection: Connection) -> HttpClient:
    """`timeout_seconds` and `calls_per_second` may stand in the connection's settings."""
    limits: dict[str, Any] = {
        "allow_loopback": settings.OMNI_ALLOW_LOOPBACK,
        "timeout_seconds": float(connection.settings.get("timeout_seconds", 15)),
    }
    if rate := connection.settings.get("calls_per_second"):
        return PacedHttpClient(bucket=str(connection.pk), calls_per_second=float(rate), **limits)
    return HttpClient(**limits)
