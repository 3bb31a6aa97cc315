"""Which adapters there are, one line each, and how to build one for a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from django.conf import settings
from django.utils.translation import gettext as _

from integrations.channels.medusa.adapter import MedusaAdapter
from integrations.channels.top.adapter import TopAdapter
from integrations.contract import Capabilities, ChannelAdapter, WarehouseAdapter
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


class UnknownAdapter(BadInput):
    """The connection names an adapter that this version does not have."""

    code = "unknown_adapter"


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
