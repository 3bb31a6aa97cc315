"""What an order was sold at is checked against its own shop's price at that moment; the same SKU differs by shop."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.availability import sellable_stock
from inventory.models import PublishedStock, ShopPool, StockPool
from inventory.pools import PoolMove, move_between_pools
from inventory.publish import plan_published_stock
from omni.kernel.errors import BadInput
from orders.models import ReviewRule, SalesOrder
from orders.review import check_conditions, review_captured
from orders.states import Stage
from products.models import PublishedPrice
from products.observe import SeenItem, observe_items
from products.prices.publish import plan_published_prices
from products.request import claim_due_requests
from products.update import retitle_listings
from tests.factories.bundles import make_bundle, skus_of_one_brand
from tests.factories.inventory import shop_drawing_on
from tests.factories.orders import NOON, House, line_draft, make_house
from tests.factories.prices import approved
from tests.factories.products import ListingFactory, ShopFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P14")]
DAY = timedelta(days=1)


@pytest.fixture
def house() -> House:
    return make_house(stock=100)


@pytest.fixture
def rule() -> ReviewRule:
    """A person sees what was sold by more than a tenth below its price."""
    conditions = [{"field": "percent_below_price", "operator": "gt", "value": "10"}]
    return ReviewRule.objects.create(name="far below the price", conditions=conditions, action="hold")


def price(house: House, amount: int | str, **given: Any) -> None:
    """In force in the shop of the house since yesterday, or as `given` says."""
    given = {"shop": house.shop, "starts_at": NOON - DAY} | given
    approved(house.sku, amount, at=NOON - 3 * DAY, **given)


def sold_at(house: House, unit_price: str, **changes: Any) -> SalesOrder:
    amount = Decimal(unit_price)
    order = house.order(line_draft(house.sku, unit_price=amount, amount=amount), **changes)
    review_captured(limit=10, at=NOON)
    order.refresh_from_db()
    return order


@pytest.mark.parametrize(
    ("unit_price", "stage"),
    [("100", Stage.APPROVED), ("90", Stage.APPROVED), ("89.99", Stage.IN_REVIEW), ("250", Stage.APPROVED)],
)
def test_what_was_sold_far_below_its_shops_price_asks_for_a_person(
    house: House, rule: ReviewRule, unit_price: str, stage: str
) -> None:
    price(house, 100)

    order = sold_at(house, unit_price)

    assert order.stage == stage
    assert order.review_decisions.get().fired == (["far below the price"] if stage == Stage.IN_REVIEW else [])


def test_each_shop_is_checked_against_its_own_price(house: House, rule: ReviewRule) -> None:
    outlet = House(shop_drawing_on(house.location.group), house.location, house.sku)
    price(house, 100)
    price(outlet, 60)

    assert sold_at(outlet, "60").stage == Stage.APPROVED
    assert sold_at(house, "60").stage == Stage.IN_REVIEW


def test_the_price_is_that_of_the_moment_at_which_it_was_ordered(house: House, rule: ReviewRule) -> None:
    price(house, 60, starts_at=NOON - 2 * DAY)
    price(house, 100, starts_at=NOON)

    assert sold_at(house, "60", placed_at=NOON - timedelta(minutes=2)).stage == Stage.APPROVED
    assert sold_at(house, "60", placed_at=NOON + timedelta(minutes=2)).stage == Stage.IN_REVIEW


def test_the_worst_line_of_an_order_counts(house: House, rule: ReviewRule) -> None:
    price(house, 100)
    lines = [
        line_draft(house.sku, unit_price=Decimal(amount), amount=Decimal(amount)) for amount in (100, 50, 99)
    ]
    order = house.order(*lines)

    review_captured(limit=10, at=NOON)

    order.refresh_from_db()
    assert order.stage == Stage.IN_REVIEW


def test_a_bundle_is_checked_by_its_own_price_and_not_by_those_of_its_components(
    house: House, rule: ReviewRule
) -> None:
    cup, pot = skus_of_one_brand(2, list_price=Decimal(30))
    both = make_bundle({cup: 1, pot: 1})
    both.list_price = Decimal(50)
    both.save()

    fair = house.order(line_draft(both, unit_price=Decimal(48), amount=Decimal(48)))
    cheap = house.order(line_draft(both, unit_price=Decimal(40), amount=Decimal(40)))
    review_captured(limit=10, at=NOON)

    stages = dict(SalesOrder.objects.values_list("pk", "stage"))
    assert stages == {fair.pk: Stage.APPROVED, cheap.pk: Stage.IN_REVIEW}


def test_what_has_no_price_or_is_paid_in_other_money_is_not_checked(house: House, rule: ReviewRule) -> None:
    assert sold_at(house, "1").stage == Stage.APPROVED
    price(house, 100)
    order = house.order(line_draft(house.sku, unit_price=Decimal(1), amount=Decimal(1)))
    SalesOrder.objects.filter(pk=order.pk).update(currency="USD")

    review_captured(limit=10, at=NOON)

    order.refresh_from_db()
    assert order.stage == Stage.APPROVED


def test_prices_cost_nothing_where_no_rule_asks_and_one_statement_for_a_batch_where_one_does(
    house: House, rule: ReviewRule
) -> None:
    def statements() -> int:
        for _ in range(4):
            house.order(line_draft(house.sku))
        with CaptureQueriesContext(connection) as queries:
            assert len(review_captured(limit=10, at=NOON)) == 4
        return sum("products_price " in query["sql"] for query in queries)

    assert statements() == 1
    ReviewRule.objects.update(is_active=False)
    assert statements() == 0


def test_a_rule_compares_with_a_number() -> None:
    check_conditions([{"field": "percent_below_price", "operator": "gte", "value": 20}])

    with pytest.raises(BadInput):
        check_conditions([{"field": "percent_below_price", "operator": "gt", "value": "a lot"}])


def test_the_same_sku_has_its_own_title_price_and_sub_warehouse_in_each_shop(
    house: House, rule: ReviewRule
) -> None:
    """All of it: said by each shop for itself, told to each channel for itself, and checked by its own version."""
    group, at = house.location.group, timezone.now()
    outlet = House(ShopFactory.create(code="outlet"), house.location, house.sku)
    quota = StockPool.objects.create(group=group, sku=house.sku, kind="quota", label="outlet")
    shared = StockPool.objects.get(group=group, sku=house.sku, kind="shared")
    move = PoolMove(shared.pk, quota.pk, 15)
    move_between_pools(key="m1", moves=[move], at=at, by="user:7", reason="the outlet's own")
    ShopPool.objects.create(shop=outlet.shop, group=group, kind="quota", label="outlet")
    titles = {}
    for each, title, amount in ((house, "Serum, new season", 100), (outlet, "Serum, last season", 60)):
        listing = ListingFactory.create(shop=each.shop, sku=house.sku, outer_item_id=f"I-{each.shop.pk}")
        seen = SeenItem(str(listing.outer_item_id), listing.outer_sku_id, "Serum", is_listed=True)
        observe_items(shop_id=each.shop.pk, items=[seen], source="channel", at=at)
        titles[listing.pk] = title
        price(each, amount)
    retitle_listings(titles=titles, at=at, by="user:7")
    plan_published_stock(limit=100, at=at)
    plan_published_prices(limit=100, at=at)

    for each, title, amount, units in (
        (house, "Serum, new season", 100, 85),
        (outlet, "Serum, last season", 60, 15),
    ):
        told = claim_due_requests(shop_id=each.shop.pk, limit=9, at=at)
        assert [row.title for row in told] == [title]
        assert PublishedPrice.objects.get(shop=each.shop).desired_amount == amount
        assert PublishedStock.objects.get(shop=each.shop).desired_quantity == units
        assert sellable_stock(sku_ids=[house.sku.pk])[each.shop.pk, house.sku.pk] == units
    assert sold_at(outlet, "60").stage == Stage.APPROVED
    assert sold_at(house, "60").stage == Stage.IN_REVIEW
