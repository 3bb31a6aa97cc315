"""The quick way of reading input and DRF's own give the same values and refuse the same things."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from inventory.api.serializers import AdjustmentIn, AvailabilityIn, CountIn
from omni.kernel.api.fields import StrictSerializer
from omni.kernel.api.quick import Doubtful
from orders.api.serializers import OrderBatchIn, ShopOrderIn

ORDER = {
    "shop": "tmall",
    "outer_id": "A-1",
    "placed_at": "2026-05-04T12:00:00+08:00",
    "paid_at": None,
    "currency": "CNY",
    "total_amount": "19.90",
    "buyer": "张伟",
    "receiver": {"name": "张伟", "mobile": "13800138000", "is_masked": False},
    "lines": [
        {"outer_line_id": "1", "sku": "S-1", "quantity": 1, "unit_price": "19.90", "amount": Decimal("19.9")},
        {
            "outer_line_id": "2",
            "outer_item_id": "6",
            "quantity": 2,
            "unit_price": 0,
            "amount": "0",
            "refund": "open",
        },
    ],
}
READERS: dict[str, tuple[type[StrictSerializer], Any]] = {
    "order": (ShopOrderIn, ORDER),
    "batch": (OrderBatchIn, {"shop": "tmall", "orders": [ORDER, 5]}),
    "availability": (AvailabilityIn, {"items": [{"sku": "S-1", "shop": "tmall"}]}),
    "count": (CountIn, {"number": "C-1", "lines": [{"location": "SH", "sku": "S-1", "counted": 0}]}),
    "adjustment": (
        AdjustmentIn,
        {"number": "A-1", "reason": "", "lines": [{"location": "SH", "sku": "S-1", "quantity": -3}]},
    ),
}
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 10**30, 1.5, Decimal("1.23456"), Decimal("1E+999999999"), Decimal("NaN")),
    *(
        "",
        " ",
        " x",
        "x\n",
        "x" * 5000,
        "\0",
        "\ud800",
        "a\u200bb",
        "1",
        "1.00001",
        "-1",
        "１",
        "19.90",
        "none",
    ),
    *(
        "2026-05-04",
        "2026-05-04T12:00:00",
        "2026-02-30T12:00:00Z",
        "1999-01-01T00:00:00Z",
        "cny",
        "CNY",
        "to_ship",
    ),
    *([], {}, [[]], [None], {"name": 1}, {"what": "?"}, [{"sku": "S-1", "shop": "x", "more": 1}]),
]
READ = {name: kind() for name, (kind, _right) in READERS.items()}


def both_ways(name: str, data: Any) -> tuple[Any, Any]:
    reader = READ[name]
    with pytest.MonkeyPatch.context() as patch:
        quick = outcome(reader, data)
        patch.setattr(StrictSerializer, "_read_quickly", never)
        for each in serializers_in(reader):
            each.__dict__.pop("_slots", None)
        slow = outcome(reader, data)
        for each in serializers_in(reader):
            each.__dict__.pop("_slots", None)
    return quick, slow


def never(_self: Any, _data: Any) -> Any:
    raise Doubtful


def outcome(reader: StrictSerializer, data: Any) -> Any:
    try:
        return "taken", reader.run_validation(copy.deepcopy(data))
    except ValidationError as error:
        return "refused", error.detail


def serializers_in(reader: Any) -> Iterator[StrictSerializer]:
    yield reader
    for field in reader.fields.values():
        inner = getattr(field, "child", field)
        if isinstance(inner, StrictSerializer):
            yield from serializers_in(inner)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in this JSON with every key that it has."""
    items = list(data.items()) if isinstance(data, dict) else list(enumerate(data))
    for key, value in items:
        yield data, key
        if isinstance(value, dict | list):
            yield from places(value)


@pytest.mark.parametrize("name", READERS)
def test_what_is_right_is_read_quickly(name: str) -> None:
    reader, (_kind, right) = READ[name], READERS[name]

    assert reader._read_quickly(right) == reader.run_validation(right)
    assert both_ways(name, right)[0][0] == "taken"


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_both_ways_agree_on_whatever_is_sent(name: str, data: st.DataObject) -> None:
    body = copy.deepcopy(READERS[name][1])
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(places(body)) or [({"x": 0}, "x")]))
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                container[key] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
            case "remove":
                del container[key]
            case "add" if isinstance(container, dict):
                container["another"] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
            case _:
                container.append(copy.deepcopy(data.draw(st.sampled_from(ODD))))

    quick, slow = both_ways(name, body)

    assert quick == slow
    assert repr(quick) == repr(slow)
