"""What was asked for on which day, however it went on with it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from inventory.fill import fill_shortages
from inventory.models import Reservation
from inventory.models.allocation import DailyDemand
from inventory.quota.demand import DEMAND_CHECK, demand_rates, expected_demand, local_day
from inventory.quota.forecast import Method
from inventory.quota.roll_up import roll_up_changed_demand, roll_up_demand
from inventory.reserve import Release, release_stock, reserve_stock
from inventory.tasks import roll_up_recent_demand, roll_up_todays_demand
from products.models import Shop, Sku
from tests.factories.inventory import Scene, put_stock
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V6")]

# The organisation's time zone is Asia/Shanghai, eight hours before UTC.
NOON = datetime(2026, 3, 10, 4, tzinfo=UTC)


def ask(scene: Scene, quantity: int, *, at: datetime = NOON) -> UUID:
    demand = scene.demand(quantity)
    reserve_stock(wanted=[demand], at=at, by="test")
    return demand.line_key


def give_back(key: UUID, quantity: int | None = None, *, at: datetime = NOON) -> None:
    release_stock(releases=[Release(key, quantity)], at=at, by="test")


def rows() -> list[tuple[date, int, int]]:
    return list(DailyDemand.objects.order_by("day").values_list("day", "units", "lost"))


def note(shop: Shop, sku: Sku, day: date, units: int) -> None:
    DailyDemand.objects.create(shop=shop, sku=sku, day=day, units=units)


def test_a_day_holds_what_was_promised_and_what_was_short() -> None:
    scene = Scene(units=10)
    ask(scene, 4)
    ask(scene, 3)
    ask(scene, 5)

    changed = roll_up_demand(at=NOON)

    assert changed == 1
    assert rows() == [(date(2026, 3, 10), 12, 5)]


def test_doing_it_again_changes_nothing_and_an_empty_table_is_built_anew() -> None:
    scene = Scene(units=10)
    ask(scene, 4)
    ask(scene, 2, at=NOON - timedelta(days=9))
    roll_up_demand(days=10, at=NOON)
    before = rows()

    assert roll_up_demand(days=10, at=NOON) == 0
    DailyDemand.objects.all().delete()
    assert roll_up_demand(is_everything=True, at=NOON) == 2
    assert rows() == before


def test_a_shortage_that_is_filled_counts_once_and_on_the_day_when_it_was_asked() -> None:
    scene = Scene()
    ask(scene, 4)
    roll_up_demand(at=NOON)
    put_stock(scene.location, scene.sku, 10)
    later = NOON + timedelta(days=2)
    fill_shortages(sku_ids=[scene.sku.pk], at=later, by="test")

    roll_up_demand(days=3, at=later)

    assert rows() == [(date(2026, 3, 10), 4, 4)]


def test_what_was_cancelled_was_not_wanted() -> None:
    scene = Scene(units=10)
    kept, given_up = ask(scene, 4), ask(scene, 3)
    short = ask(scene, 9)
    roll_up_demand(at=NOON)
    give_back(given_up)
    give_back(kept, 1)
    give_back(short, 2)

    roll_up_demand(at=NOON)

    assert rows() == [(date(2026, 3, 10), 3 + 7, 7)]


def test_a_day_of_which_all_was_cancelled_is_empty_again() -> None:
    scene = Scene(units=10)
    key = ask(scene, 4)
    roll_up_demand(at=NOON)
    give_back(key)

    assert roll_up_demand(at=NOON) == 1
    assert rows() == []


def test_a_line_belongs_to_the_day_of_the_organisation() -> None:
    scene = Scene(units=10)
    ask(scene, 1, at=datetime(2026, 3, 9, 15, 59, tzinfo=UTC))
    ask(scene, 2, at=datetime(2026, 3, 9, 16, 0, tzinfo=UTC))

    roll_up_demand(days=2, at=NOON)

    assert rows() == [(date(2026, 3, 9), 1, 0), (date(2026, 3, 10), 2, 0)]


def test_what_is_promised_in_two_parts_counts_once() -> None:
    scene = Scene(units=10)
    key = ask(scene, 6)
    scene.commit(key, 4)
    assert Reservation.objects.filter(line_key=key).count() == 2

    roll_up_demand(at=NOON)

    assert rows() == [(date(2026, 3, 10), 6, 0)]


def test_the_night_adds_up_older_days_of_which_something_was_cancelled_late() -> None:
    scene = Scene(units=10)
    key = ask(scene, 4)
    ask(scene, 1)
    roll_up_demand(at=NOON)
    late = NOON + timedelta(days=20)
    give_back(key, at=late)

    roll_up_changed_demand(at=late)

    assert rows() == [(date(2026, 3, 10), 1, 0)]


def test_the_tasks_roll_up_today_and_the_last_nights() -> None:
    scene = Scene(units=10)
    now = timezone.now()
    ask(scene, 1, at=now)
    ask(scene, 2, at=now - timedelta(days=2))

    roll_up_todays_demand()
    assert [units for _day, units, _lost in rows()] == [1]

    roll_up_recent_demand()
    assert [units for _day, units, _lost in rows()] == [2, 1]


@pytest.mark.usefixtures("broken_on_purpose")
def test_the_doctor_sees_a_day_that_says_something_else_than_its_lines() -> None:
    scene = Scene(units=10)
    ask(scene, 4)
    ask(scene, 2, at=NOON + timedelta(days=1))
    roll_up_demand(days=2, at=NOON + timedelta(days=1))
    assert DEMAND_CHECK.find(20) == []

    DailyDemand.objects.filter(units=4).update(units=5)

    [found] = DEMAND_CHECK.find(20)
    assert (found["day"], found["rolled_up"], found["asked"]) == (date(2026, 3, 10), 5, 4)


@pytest.mark.usefixtures("broken_on_purpose")
def test_the_doctor_sees_a_line_that_its_day_has_left_out() -> None:
    scene, other = Scene(units=10), Scene(units=10)
    ask(scene, 4)
    ask(other, 3)
    roll_up_demand(at=NOON)

    DailyDemand.objects.filter(units=3).delete()

    [found] = DEMAND_CHECK.find(20)
    assert (found["sku_id"], found["rolled_up"], found["asked"]) == (other.sku.pk, 0, 3)


def test_what_changed_a_moment_ago_is_not_yet_a_difference() -> None:
    scene = Scene(units=10)
    key = ask(scene, 4)
    roll_up_demand(at=NOON)

    give_back(key, 1, at=timezone.now())

    assert DEMAND_CHECK.find(20) == []
    roll_up_changed_demand(at=timezone.now())
    assert rows() == [(date(2026, 3, 10), 3, 0)]


def test_rates_are_units_per_hour_over_the_last_days() -> None:
    scene = Scene()
    note(scene.shop, scene.sku, date(2026, 3, 9), 30)
    note(scene.shop, scene.sku, date(2026, 3, 10), 18)
    note(scene.shop, scene.sku, date(2026, 2, 1), 500)

    # from midnight two days ago until noon: 60 hours
    assert demand_rates(days=2, at=NOON) == {(scene.shop.pk, scene.sku.pk): pytest.approx(48 / 60)}
    assert demand_rates(sku_ids=[scene.sku.pk + 1], days=2, at=NOON) == {}


def test_a_shop_is_expected_to_be_asked_as_it_was_and_a_new_sku_as_its_category() -> None:
    scene = Scene()
    new = SkuFactory.create(spu=scene.sku.spu, attributes={"colour": "red"})
    elsewhere = Scene()
    today = local_day(NOON)
    for n in range(1, 57):
        note(scene.shop, scene.sku, today - timedelta(days=n), 4)
    Sku.objects.update(created_at=NOON - timedelta(days=400))

    found = expected_demand(
        sku_ids=[scene.sku.pk, new.pk, elsewhere.sku.pk], shop_ids=[scene.shop.pk, elsewhere.shop.pk], at=NOON
    )

    assert len(found) == 6
    assert found[scene.shop.pk, scene.sku.pk].mean == pytest.approx(4, abs=0.01)
    assert found[elsewhere.shop.pk, scene.sku.pk].mean == 0
    assert found[scene.shop.pk, new.pk].method == Method.POOLED
    assert found[scene.shop.pk, new.pk].mean == pytest.approx(4)
    assert found[scene.shop.pk, elsewhere.sku.pk].mean == 0


def test_today_is_not_a_whole_day_and_tells_nothing_yet() -> None:
    scene = Scene()
    note(scene.shop, scene.sku, local_day(NOON), 50)

    found = expected_demand(sku_ids=[scene.sku.pk], shop_ids=[scene.shop.pk], at=NOON)

    assert found[scene.shop.pk, scene.sku.pk].mean == 0


def test_asking_twice_for_one_line_is_one_demand() -> None:
    scene = Scene(units=10)
    key = uuid4()
    for _time in range(2):
        reserve_stock(wanted=[scene.demand(3, key=key)], at=NOON, by="test")

    roll_up_demand(at=NOON)

    assert rows() == [(date(2026, 3, 10), 3, 0)]
