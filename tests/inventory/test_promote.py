"""A promotion's units are its shops' from its start to its end, by the clock, and then everybody's again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.book import BundleHasNoStock
from inventory.models import PromotionLock, PromotionLockLine, StockPool
from inventory.pools import PoolMove, PoolsDiffer, move_between_pools
from inventory.quota.promote import (
    BadLock,
    LockIsOver,
    LockWish,
    cancel_lock,
    change_lock,
    open_and_close_locks,
    plan_lock,
)
from omni.kernel.models import AuditEntry
from tests.factories.bundles import make_bundle
from tests.factories.inventory import put_stock
from tests.factories.quota import Market

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V8")]

HOUR, MOMENT = timedelta(hours=1), timedelta(minutes=1)
NOON = timezone.now().replace(microsecond=0)


def wish(market: Market, quantity: int = 55, **how: Any) -> LockWish:
    now = timezone.now()
    return LockWish(
        **{
            "code": "nine",
            "name": "Nine nine",
            "group_id": market.group_id,
            "shop_ids": [market.shops["A"].pk],
            # The database's clock, by which the doctor asks, stands at the beginning of the test.
            "starts_at": now - MOMENT,
            "ends_at": now + 2 * HOUR,
            "units": {market.sku.pk: quantity},
            **how,
        }
    )


def begin(market: Market, quantity: int = 55, *, at: datetime | None = None, **how: Any) -> PromotionLock:
    asked = wish(market, quantity, **how)
    return plan_lock(wish=asked, reason="a test", at=at or timezone.now(), by="user:7")


def clock(at: datetime) -> int:
    return open_and_close_locks(at=at, by="system")


def shared(units: int = 100) -> Market:
    """A and B share the stock."""
    return Market(units, ratios={"A": None, "B": None}, mode="shared")


def counts() -> tuple[int, int, int]:
    """Wanted, granted and returned of the one line."""
    return PromotionLockLine.objects.values_list("quantity", "granted", "returned").get()


def test_55_of_100_locked_for_a_alone_leave_45_to_b() -> None:
    market = shared()

    begin(market, mode="exclusive")

    assert (market.sellable("A"), market.sellable("B")) == (55, 45)
    assert market.order("A", 56).reserved == 0


def test_55_of_100_locked_first_for_a_leave_100_to_a_and_45_to_b() -> None:
    market = shared()

    begin(market)

    assert (market.sellable("A"), market.sellable("B")) == (100, 45)
    assert market.order("B", 46).reserved == 0
    assert market.order("A", 60).reserved == 60
    assert (market.pool("lock", "nine"), market.pool("shared")) == ((55, 55), (45, 5))


def test_a_promotion_begins_and_ends_by_the_clock_and_what_is_unsold_goes_back() -> None:
    market = shared()
    now = timezone.now()
    lock = begin(market, starts_at=now + HOUR, ends_at=now + 2 * HOUR, mode="exclusive")
    assert clock(now) == 0
    assert (market.sellable("A"), market.pool("lock", "nine")) == (100, (0, 0))

    assert clock(now + HOUR) == 1
    assert market.sellable("A", at=now + HOUR) == 55

    assert clock(now + 2 * HOUR) == 1
    lock.refresh_from_db()
    assert lock.state == "ended"
    market.settle()
    assert counts() == (55, 55, 55)
    assert (market.sellable("A"), market.sellable("B"), market.pool("shared")) == (100, 100, (100, 0))


def test_promises_obey_the_clock_also_while_the_sweep_is_late() -> None:
    market = shared()
    now = timezone.now()
    begin(market, ends_at=now + HOUR)

    assert market.sellable("A", at=now + HOUR) == 45
    assert market.sellable("A", at=now + HOUR / 2) == 100


def test_what_is_unsold_goes_back_only_when_the_channels_know() -> None:
    market = shared()
    lock = begin(market, mode="exclusive", shop_ids=[shop.pk for shop in market.shops.values()])
    market.list_everywhere()
    assert (market.sellable("A"), market.sellable("B")) == (55, 55)

    cancel_lock(lock_id=lock.pk, reason="over", at=timezone.now(), by="user:7")

    assert (market.pool("revoking", "A"), market.pool("revoking", "B")) == ((28, 0), (27, 0))
    market.tell()
    market.sweep()
    market.read_orders("A")
    assert market.sweep() == 0  # B may have sold what A shows no more
    market.read_orders("B")
    assert market.sweep() == 2
    assert market.pool("shared") == (100, 0)


def test_what_was_sold_stays_sold_and_what_is_given_back_later_follows() -> None:
    market = shared()
    lock = begin(market)
    sold = market.order("A", 40)

    cancel_lock(lock_id=lock.pk, reason="over", at=timezone.now(), by="user:7")
    market.settle()
    assert (counts(), market.pool("lock", "nine")) == ((55, 55, 15), (40, 40))

    market.cancel(sold.line_key)
    clock(timezone.now())
    market.settle()

    assert (counts(), market.pool("lock", "nine"), market.pool("shared")) == ((55, 55, 55), (0, 0), (100, 0))


def test_what_is_short_at_the_start_is_set_aside_as_it_comes_in() -> None:
    market = shared(20)
    begin(market)
    assert counts() == (55, 20, 0)
    market.order("A", 20)

    put_stock(market.location, market.sku, 50)
    clock(timezone.now())

    assert counts() == (55, 55, 0)
    assert (market.pool("lock", "nine"), market.pool("shared")) == ((55, 20), (15, 0))
    clock(timezone.now())
    assert counts() == (55, 55, 0)


def test_two_promotions_of_one_sku_may_overlap() -> None:
    market = shared()
    begin(market, 60)
    begin(market, 60, code="ten", shop_ids=[market.shops["B"].pk])

    rows = PromotionLockLine.objects.order_by("lock__code").values_list("lock__code", "granted")
    assert list(rows) == [("nine", 60), ("ten", 40)]
    assert (market.sellable("A"), market.sellable("B")) == (60, 40)


def test_one_that_was_over_before_the_sweep_came_never_begins() -> None:
    market = shared()
    now = timezone.now()
    lock = begin(market, starts_at=now + HOUR, ends_at=now + 2 * HOUR)

    assert clock(now + 3 * HOUR) == 1

    lock.refresh_from_db()
    assert (lock.state, counts()) == ("ended", (55, 0, 0))
    assert market.pool("shared") == (100, 0)


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"ends_at": timezone.now() - HOUR}, "ends_at"),
        ({"starts_at": NOON + 9 * HOUR, "ends_at": NOON + 9 * HOUR}, "ends_at"),
        ({"starts_at": timezone.now() - HOUR}, "starts_at"),
        ({"starts_at": timezone.now() - 2 * HOUR, "ends_at": timezone.now() - HOUR}, "ends_at"),
        ({"shop_ids": []}, "shops"),
        ({"shop_ids": [0]}, "shops"),
        ({"units": {}}, "lines"),
        ({"units": {0: 5}}, "lines"),
        ({"code": " "}, "code"),
        ({"mode": "magic"}, "mode"),
    ],
)
def test_a_promotion_that_makes_no_sense_is_refused(how: dict[str, Any], field: str) -> None:
    market = shared()

    with pytest.raises(BadLock) as refused:
        begin(market, **how)

    assert field in refused.value.fields
    assert not PromotionLock.objects.exists()


def test_a_code_is_used_once_units_are_wanted_and_a_bundle_has_none() -> None:
    market = shared()
    begin(market)

    with pytest.raises(BadLock):
        begin(market)
    with pytest.raises(BadLock):
        begin(market, 0, code="ten")
    with pytest.raises(BundleHasNoStock):
        begin(market, code="ten", units={make_bundle({market.sku: 2}).pk: 5})

    assert PromotionLock.objects.count() == 1


def test_a_promotion_is_changed_before_it_begins_and_prolonged_while_it_runs() -> None:
    market = shared()
    now = timezone.now() - 5 * HOUR
    lock = begin(market, at=now, starts_at=now + HOUR)
    change_lock(
        lock_id=lock.pk,
        wish=wish(market, 70, starts_at=now + HOUR, ends_at=now + 3 * HOUR),
        reason="more",
        at=now,
        by="user:7",
    )
    clock(now + HOUR)
    assert counts() == (70, 70, 0)

    longer = wish(market, 80, starts_at=now + HOUR, ends_at=now + 9 * HOUR)
    change_lock(lock_id=lock.pk, wish=longer, reason="longer", at=now + HOUR, by="user:7")

    assert counts() == (80, 80, 0)
    assert market.sellable("A", at=now + 8 * HOUR) == 100
    assert AuditEntry.objects.filter(action="promotion_lock.changed").count() == 2


def test_while_it_runs_nobody_leaves_it_and_no_unit_either() -> None:
    market = shared()
    lock = begin(market)
    now = timezone.now()
    same = {"starts_at": lock.starts_at, "ends_at": lock.ends_at}

    def change(quantity: int = 55, **how: Any) -> None:
        asked = wish(market, quantity, **{**same, **how})
        change_lock(lock_id=lock.pk, wish=asked, reason="", at=now, by="user:7")

    changes: list[dict[str, Any]] = [
        {"quantity": 54},
        {"shop_ids": [market.shops["B"].pk]},
        {"starts_at": lock.starts_at - HOUR},
        {"mode": "exclusive"},
        {"code": "ten"},
    ]
    for each in changes:
        with pytest.raises(BadLock):
            change(**each)

    assert counts() == (55, 55, 0)
    cancel_lock(lock_id=lock.pk, reason="over", at=now, by="user:7")
    with pytest.raises(LockIsOver):
        change()
    with pytest.raises(LockIsOver):
        cancel_lock(lock_id=lock.pk, reason="again", at=now, by="user:7")


def test_one_that_has_not_begun_is_cancelled_without_a_trace_in_stock() -> None:
    market = shared()
    lock = begin(market, starts_at=timezone.now() + HOUR)

    cancel_lock(lock_id=lock.pk, reason="no", at=timezone.now(), by="user:7")

    assert clock(timezone.now() + HOUR) == 0
    assert (market.pool("shared"), market.pool("lock", "nine")) == ((100, 0), (0, 0))


def test_nobody_moves_units_of_a_promotion_by_hand() -> None:
    market = shared()
    begin(market)
    pools = {pool.kind: pool.pk for pool in StockPool.objects.filter(sku=market.sku)}

    with pytest.raises(PoolsDiffer):
        move_between_pools(
            key="out",
            moves=[PoolMove(pools["lock"], pools["shared"], 5)],
            at=timezone.now(),
            by="user:7",
            reason="",
        )

    assert market.pool("lock", "nine") == (55, 0)


def test_the_end_of_a_promotion_locks_all_its_pools_in_order_before_it_changes_any() -> None:
    """An update alone locks them in any order, and meets whoever promises several SKUs at that moment."""
    market = shared()
    lock = begin(market)

    with CaptureQueriesContext(connection) as asked:
        cancel_lock(lock_id=lock.pk, reason="a test", at=timezone.now(), by="user:7")

    of_pools = [query["sql"] for query in asked if "inventory_stockpool" in query["sql"]]
    changes = [place for place, sql in enumerate(of_pools) if "UPDATE inventory_stockpool" in sql]
    locks = [place for place, sql in enumerate(of_pools) if "ORDER BY id FOR NO KEY UPDATE" in sql]
    assert locks[0] < changes[0]
