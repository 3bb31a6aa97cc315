"""Connections as an operator would set them up."""

from __future__ import annotations

from itertools import count
from typing import Any

from integrations.models import Connection
from inventory.models import Location, LocationGroup
from products.models import Shop

_numbers = count(1)


def make_channel(*, adapter: str = "top", shop: Shop | None = None, **values: Any) -> Connection:
    """An active channel with a shop of its own."""
    number = next(_numbers)
    shop = shop or Shop.objects.create(code=f"shop-{number}", name=f"Shop {number}", channel=adapter)
    defaults = {
        "code": f"channel-{number}",
        "base_url": "http://127.0.0.1:9/router/rest",
        "credentials": {"app_key": "12345678", "secret": "helloworld", "session": "test"},
    }
    return Connection.objects.create(
        kind=Connection.Kind.CHANNEL, adapter=adapter, shop=shop, **(defaults | values)
    )


def make_warehouse(*, adapter: str = "qimen", location: Location | None = None, **values: Any) -> Connection:
    """An active warehouse with a location of its own."""
    number = next(_numbers)
    if location is None:
        group = LocationGroup.objects.create(code=f"group-{number}", name=f"Group {number}")
        location = Location.objects.create(code=f"wh-{number}", name=f"Warehouse {number}", group=group)
    defaults = {
        "code": f"warehouse-{number}",
        "base_url": "http://127.0.0.1:9/",
        "credentials": {"app_key": "qimen-app", "secret": "qimen-secret", "customer_id": "omni"},
        "settings": {"warehouse_code": location.code, "owner_code": "OMNI"},
    }
    return Connection.objects.create(
        kind=Connection.Kind.WAREHOUSE, adapter=adapter, location=location, **(defaults | values)
    )
