"""Each invariant is broken on purpose, by hand in the database, and its check must name the row."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from inventory.drift import CHECKS
from inventory.models import PublishedStock, Reservation, StockChange
from inventory.publish import plan_all_published_stock, plan_published_stock
from inventory.quota.promote import LockWish, plan_lock
from inventory.quota.roll_up import roll_up_demand
from inventory.reserve import reserve_stock
from tests.factories.bundles import make_bundle
from tests.factories.inventory import LocationFactory, Scene, put_stock
from tests.factories.products import ListingFactory
from tests.factories.quota import Market

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("broken_on_purpose"),
    pytest.mark.capability("V1"),
]


def broken() -> set[str]:
    """The codes of the checks that find something."""
    return {check.code.removeprefix("stock.") for check in CHECKS if check.find(5)}


def by_hand(*statements: str, **values: int | str) -> None:
    """Change the database behind the back of every operation, its constraints and its triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement, values or None)
        cursor.execute("SET LOCAL session_replication_role = origin")


def drop_constraint(table: str, name: str) -> str:
    return f"ALTER TABLE inventory_{table} DROP CONSTRAINT {name}"


@pytest.fixture
def scene() -> Scene:
    """Stock with a line held, one committed, one part shipped, and one that is short."""
    scene = Scene(20)
    scene.promise(2)
    scene.commit(scene.promise(3), 3)
    scene.commit(shipped := scene.promise(5), 5)
    scene.ship(shipped, 4)
    scene.reserve(scene.demand(100))
    assert broken() == set()
    return scene


@pytest.fixture
def market() -> Market:
    """A has been granted half of the stock, and a part of that is on its way to B."""
    market = Market(20, ratios={"A": "0.5", "B": None})
    market.grant({"A": 20})
    market.list_everywhere()
    market.grant({"A": 5, "B": 15})
    assert broken() == set()
    return market


def test_a_pool_that_was_granted_units_by_hand(scene: Scene) -> None:
    by_hand("UPDATE inventory_stockpool SET granted = granted + 1")

    assert broken() == {"granted_equals_on_hand", "pool_equals_movements"}


def test_a_reserved_counter_that_lost_a_unit(scene: Scene) -> None:
    by_hand("UPDATE inventory_stockpool SET reserved = reserved - 1")

    assert broken() == {"pool_equals_movements", "reserved_equals_reservations"}


def test_an_on_hand_that_was_set_by_hand(scene: Scene) -> None:
    by_hand("UPDATE inventory_stocklevel SET on_hand = on_hand + 1")

    assert broken() == {"granted_equals_on_hand", "level_equals_movements"}


def test_a_committed_counter_that_lost_a_unit(scene: Scene) -> None:
    by_hand("UPDATE inventory_stocklevel SET committed = committed - 1")

    assert broken() == {"level_equals_movements", "committed_equals_reservations"}


def test_counters_out_of_bounds(scene: Scene) -> None:
    by_hand(
        drop_constraint("stockpool", "no_more_reserved_than_granted"),
        drop_constraint("stocklevel", "no_more_committed_than_on_hand"),
        "UPDATE inventory_stockpool SET reserved = granted + 1",
        "UPDATE inventory_stocklevel SET committed = -1",
    )

    rows = next(check for check in CHECKS if check.code == "stock.counters_are_in_bounds").find(5)
    assert {row["table"] for row in rows} == {"pool", "level"}


def test_a_movement_that_was_deleted(scene: Scene) -> None:
    by_hand("DELETE FROM inventory_stockmovement WHERE kind = 'commit'")

    assert broken() == {"level_equals_movements"}


def test_a_movement_of_another_size(scene: Scene) -> None:
    by_hand(
        "UPDATE inventory_stockmovement SET quantity = quantity + 1 WHERE kind = 'ship' AND to_account = 2"
    )

    assert broken() == {"level_equals_movements", "shipped_equals_movements"}


def test_a_movement_from_one_book_to_the_other(scene: Scene) -> None:
    by_hand("UPDATE inventory_stockmovement SET from_account = 4 WHERE kind = 'receive' AND from_account = 1")

    assert broken() == {"books_do_not_cross"}


def test_a_promise_that_was_deleted(scene: Scene) -> None:
    by_hand("DELETE FROM inventory_reservation WHERE state = 'held'")

    assert broken() == {"reserved_equals_reservations", "promises_equal_movements"}


def test_a_shipment_that_was_deleted(scene: Scene) -> None:
    by_hand("DELETE FROM inventory_reservation WHERE state = 'shipped'")

    assert broken() == {"shipped_equals_movements"}


def test_a_line_that_was_promised_twice(scene: Scene) -> None:
    """Both promises are booked in full, so that only their double number is wrong."""
    key = Reservation.objects.get(state="held").line_key
    twin = scene.promise(2)
    by_hand(
        "UPDATE inventory_reservation SET line_key = %(key)s, part = 7 WHERE line_key = %(twin)s",
        "UPDATE inventory_stockmovement SET line_key = %(key)s WHERE line_key = %(twin)s",
        key=str(key),
        twin=str(twin),
    )

    assert broken() == {"no_line_is_promised_twice"}


def test_a_line_that_is_owed_what_it_holds(scene: Scene) -> None:
    key = Reservation.objects.get(state="held").line_key
    by_hand("UPDATE inventory_shortage SET line_key = %(key)s", key=str(key))

    assert broken() == {"nothing_is_owed_and_promised"}


def test_a_promise_at_a_level_of_another_group(scene: Scene) -> None:
    elsewhere = LocationFactory.create()
    put_stock(elsewhere, scene.sku, 5)
    by_hand(
        "UPDATE inventory_reservation SET location_id = %(location)s WHERE state = 'committed'",
        location=elsewhere.pk,
    )

    assert broken() == {"promises_lie_where_they_say"}


def publish(scene: Scene) -> PublishedStock:
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    plan_published_stock(limit=100, at=timezone.now())
    return PublishedStock.objects.get()


def test_an_acknowledgement_of_what_was_never_sent(scene: Scene) -> None:
    publish(scene)
    by_hand(
        drop_constraint("publishedstock", "nothing_is_acknowledged_before_it_is_sent"),
        "UPDATE inventory_publishedstock SET acked_version = desired_version, acked_quantity = desired_quantity",
    )

    assert broken() == {"nothing_is_acknowledged_before_it_is_sent"}


def test_a_channel_that_acknowledged_another_number(scene: Scene) -> None:
    publish(scene)
    by_hand(
        "UPDATE inventory_publishedstock SET sent_version = desired_version, acked_version = desired_version, "
        "acked_quantity = desired_quantity + 1"
    )

    assert broken() == {"acknowledged_is_desired"}


def test_a_number_that_waits_too_long_for_its_channel(scene: Scene) -> None:
    published = publish(scene)
    PublishedStock.objects.update(desired_at=timezone.now() - timedelta(minutes=11))

    assert broken() == set(), "nothing was ever sent to this shop: it takes no stock from us"
    PublishedStock.objects.filter(pk=published.pk).update(sent_version=1)
    assert broken() == {"published_in_time"}


def test_a_change_that_no_planner_took(scene: Scene) -> None:
    StockChange.objects.create(sku=scene.sku, at=timezone.now() - timedelta(minutes=11))

    assert broken() == {"changes_are_planned"}


def test_a_bundle_that_lies_somewhere(scene: Scene) -> None:
    bundle = make_bundle({scene.sku: 1})

    by_hand("UPDATE inventory_stocklevel SET sku_id = %(bundle)s", bundle=bundle.pk)

    assert "bundles_have_none" in broken()


def test_a_bundle_of_which_a_shop_shows_more_than_its_components_make(scene: Scene) -> None:
    listing = ListingFactory.create(shop=scene.shop, sku=make_bundle({scene.sku: 2}))
    plan_all_published_stock(at=timezone.now())
    StockChange.objects.all().delete()
    assert broken() == set()

    PublishedStock.objects.filter(listing=listing).update(desired_quantity=99)

    assert broken() == {"bundles_follow_components"}


def test_a_day_of_demand_that_says_something_else_than_its_lines() -> None:
    scene, at = Scene(units=9), timezone.now() - timedelta(days=5)
    reserve_stock(wanted=[scene.demand(4)], at=at, by="test")
    roll_up_demand(days=6, at=timezone.now())
    assert broken() == set()

    by_hand("UPDATE inventory_dailydemand SET units = units + 1")

    assert broken() == {"demand_is_what_was_asked"}


def test_units_being_taken_back_that_never_left(market: Market) -> None:
    by_hand("UPDATE inventory_revocation SET quantity = quantity + 1, arrived = 0")

    assert broken() == {"revocations_equal_movements"}


def test_units_that_have_arrived_and_never_left_the_revoking_pool(market: Market) -> None:
    by_hand("UPDATE inventory_revocation SET arrived = 3")

    assert "revocations_equal_movements" in broken()


def test_a_promotion_that_says_more_was_set_aside_than_was(market: Market) -> None:
    now = timezone.now()
    wish = LockWish(
        code="nine",
        name="Nine",
        group_id=market.group_id,
        shop_ids=[market.shops["A"].pk],
        starts_at=now - timedelta(minutes=1),
        ends_at=now + timedelta(hours=1),
        units={market.sku.pk: 5},
    )
    plan_lock(wish=wish, reason="", at=now, by="test")
    assert broken() == set()

    by_hand("UPDATE inventory_promotionlockline SET granted = granted + 1")

    assert broken() == {"locks_equal_movements"}


def test_a_run_that_is_over_with_a_line_left_to_do(market: Market) -> None:
    by_hand("UPDATE inventory_allocationline SET state = 'planned'")

    assert "runs_are_finished" in broken()


def test_a_line_that_waits_for_nothing(market: Market) -> None:
    by_hand("UPDATE inventory_revocation SET to_kind = 'shared', to_label = ''")

    assert broken() == {"runs_are_finished"}


def test_a_line_that_says_more_was_granted_than_was(market: Market) -> None:
    by_hand("UPDATE inventory_allocationline SET moved = moved + 1 WHERE kind = 'quota'")

    assert broken() == {"runs_equal_movements"}


def test_every_check_has_a_code_of_its_own_and_is_broken_by_a_test_of_this_room() -> None:
    codes = [check.code.removeprefix("stock.") for check in CHECKS]
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert len(set(codes)) == len(codes)
    assert [code for code in codes if f'"{code}"' not in source.replace("stock.", "")] == []
