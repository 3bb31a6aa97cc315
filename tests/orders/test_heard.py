"""What was heard of an order need not be read again, unless it may have changed since."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orders.capture import capture_orders
from orders.heard import find_stored
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft

MODIFIED = NOON - timedelta(minutes=10)


pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> House:
    return make_house(stock=100)


def take(house: House, *, heard_after: timedelta = timedelta(minutes=1)) -> str:
    draft = order_draft(
        line_draft(house.sku), outer_modified_at=MODIFIED, placed_at=MODIFIED, paid_at=MODIFIED
    )
    capture_orders(
        shop=house.shop, drafts=[draft], at=MODIFIED + heard_after, by="connection:1", source="pull"
    )
    return draft.outer_id


def test_an_order_is_stored_as_of_the_moment_that_its_platform_named(house: House) -> None:
    outer_id = take(house)

    assert find_stored({outer_id: MODIFIED}, shop_id=house.shop.pk) == {outer_id}
    assert find_stored({outer_id: MODIFIED - timedelta(hours=1)}, shop_id=house.shop.pk) == {outer_id}


def test_what_changed_since_is_not_stored_nor_is_what_was_never_heard_of(house: House) -> None:
    outer_id = take(house)

    later = {outer_id: MODIFIED + timedelta(seconds=1), "never-heard": MODIFIED}

    assert find_stored(later, shop_id=house.shop.pk) == set()
    assert find_stored({outer_id: MODIFIED}, shop_id=house.shop.pk + 1) == set()


def test_what_was_heard_in_the_very_second_of_its_change_is_read_again(house: House) -> None:
    outer_id = take(house, heard_after=timedelta(seconds=1))

    assert find_stored({outer_id: MODIFIED}, shop_id=house.shop.pk) == set()


def test_many_are_asked_about_in_one_statement(house: House, django_assert_num_queries: object) -> None:
    outer_ids = [take(house) for _ in range(3)]

    with django_assert_num_queries(1):  # type: ignore[operator]
        assert find_stored(dict.fromkeys(outer_ids, MODIFIED), shop_id=house.shop.pk) == set(outer_ids)
