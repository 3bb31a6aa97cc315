"""A parked order is mended by hand, taken, and what was learned of it serves the next one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from orders.capture import Captured, capture_orders
from orders.mend import LineMend, NotParked, mend_parked
from orders.models import ParkedOrder, SalesOrder
from orders.park import dismiss_parked
from products.map import MappedOtherwise, UnknownSkuCode, map_listing
from products.models import Listing
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN = {"sku_code": "", "outer_item_id": "item-9", "outer_sku_id": "red"}


@pytest.fixture
def house() -> House:
    return make_house()


def park(house: House) -> ParkedOrder:
    draft = order_draft(line_draft(house.sku, 2, **UNKNOWN))
    capture_orders(shop=house.shop, drafts=[draft], at=NOON, by="system", source="pull")
    return ParkedOrder.objects.get()


def mend(parked: ParkedOrder, *lines: LineMend, total_amount: Decimal | None = None) -> Captured:
    return mend_parked(parked_id=parked.pk, lines=lines, total_amount=total_amount, at=NOON, by="user:1")


def test_naming_the_sku_takes_the_order_and_keeps_a_listing_for_the_next(house: House) -> None:
    parked = park(house)

    taken = mend(parked, LineMend(sku_code=house.sku.code))

    parked.refresh_from_db()
    assert (taken.result, parked.state) == ("new", ParkedOrder.State.TAKEN)
    assert SalesOrder.objects.get().lines.get().sku == house.sku
    again = order_draft(line_draft(house.sku, 1, **UNKNOWN))
    captured = capture_orders(shop=house.shop, drafts=[again], at=NOON, by="system", source="pull")
    assert captured[0].result == "new"


def test_an_unknown_code_changes_nothing(house: House) -> None:
    parked = park(house)

    with pytest.raises(UnknownSkuCode):
        mend(parked, LineMend(sku_code="no-such-sku"))

    parked.refresh_from_db()
    assert parked.state == ParkedOrder.State.OPEN
    assert not Listing.objects.filter(outer_item_id="item-9").exists()
    assert not SalesOrder.objects.exists()


def test_an_item_that_is_another_sku_is_not_taken_away_from_it(house: House) -> None:
    other = make_house().sku
    parked = park(house)
    map_listing(
        shop_id=house.shop.pk,
        outer_item_id="item-9",
        outer_sku_id="red",
        sku_code=other.code,
        title="",
        at=NOON,
        by="user:1",
    )

    with pytest.raises(MappedOtherwise):
        mend(parked, LineMend(sku_code=house.sku.code))

    assert Listing.objects.get(outer_item_id="item-9").sku == other
    assert not SalesOrder.objects.exists()


def test_numbers_are_corrected_with_the_line(house: House) -> None:
    parked = park(house)

    mend(
        parked,
        LineMend(sku_code=house.sku.code, quantity=3, amount=Decimal("27.00")),
        total_amount=Decimal("27.00"),
    )

    line = SalesOrder.objects.get().lines.get()
    assert (line.quantity, line.amount) == (3, Decimal("27.00"))
    assert line.order.open_holds == 0


def test_what_was_dismissed_is_not_mended(house: House) -> None:
    parked = park(house)
    dismiss_parked(parked_ids=[parked.pk], note="a test order", at=NOON, by="user:1")

    with pytest.raises(NotParked):
        mend(parked, LineMend(sku_code=house.sku.code))

    assert not SalesOrder.objects.exists()
