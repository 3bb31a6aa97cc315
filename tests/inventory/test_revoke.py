"""Units that are taken back from a shop are nobody's until its channel cannot sell them any more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from inventory.models import PromotionLock, PublishedStock, Revocation, StockChange, StockPool
from inventory.pools import PoolMove, PoolsDiffer, move_between_pools, set_safety_stock
from inventory.publish import claim_due_stock
from inventory.quota.revoke import (
    NothingTakenBack,
    ReasonMissing,
    RevocationIsOver,
    TakeBack,
    force_revocation,
    take_back,
)
from inventory.reserve import reserve_stock
from omni.kernel.errors import NotFound
from omni.kernel.models import AuditEntry
from tests.factories.bundles import make_bundle
from tests.factories.products import ListingFactory
from tests.factories.quota import Market

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V12")]


@pytest.fixture
def market() -> Market:
    """100 units: A has 60 of its own, B 40; both are listed, and their channels show that."""
    market = Market(100, ratios={"A": None, "B": None})
    market.grant({"A": 60, "B": 40})
    market.list_everywhere()
    return market


def take(market: Market, units: int, *, to: str = "B", letter: str = "A", **how: object) -> list[int]:
    label = market.shops[to].code if to in market.shops else ""
    kind = "quota" if label else to
    wanted = TakeBack(market.sku.pk, market.shops[letter].pk, units, kind, label)
    return take_back(
        group_id=market.group_id,
        wanted=[wanted],
        reason="a test",
        at=timezone.now(),
        by="user:7",
        **how,  # type: ignore[arg-type]
    )


def test_units_leave_the_shop_at_once_and_arrive_after_its_channel_knows_and_its_orders_were_read(
    market: Market,
) -> None:
    assert take(market, 20) == [20]
    assert (market.sellable("A"), market.sellable("B")) == (40, 40)
    assert market.pool("revoking", "A") == (20, 0)

    market.read_orders(at=timezone.now())
    assert market.sweep() == 0  # the planner has not looked yet
    market.compute()
    assert market.sweep() == 0  # the channel was not told yet
    market.tell("A")
    assert market.sweep() == 0  # its orders were read before it was told
    assert market.revocations() == [("pulling", 20, 0)]
    assert market.sellable("B") == 40
    market.read_orders("B")
    assert market.sweep() == 0  # those of another shop do not count

    market.read_orders("A")
    assert market.sweep() == 1

    assert market.revocations() == [("done", 20, 20)]
    assert market.quotas() == {"A": 40, "B": 60}
    assert market.sellable("B") == 60


def test_a_channel_that_never_answers_keeps_its_units_for_ever(market: Market) -> None:
    take(market, 20)
    market.compute()
    claimed = timezone.now() + timedelta(hours=2)
    assert claim_due_stock(shop_id=market.shops["A"].pk, limit=10, at=claimed)

    for day in range(30):
        market.read_orders(at=timezone.now() + timedelta(days=day + 1))
        assert market.sweep(at=timezone.now() + timedelta(days=day)) == 0

    assert market.quotas() == {"A": 40, "B": 40}
    assert market.revocations() == [("telling", 20, 0)]


def test_a_channel_whose_orders_cannot_be_read_keeps_them_too(market: Market) -> None:
    take(market, 20)
    market.tell()
    market.read_orders("B", at=timezone.now() + timedelta(days=1))

    for day in range(30):
        assert market.sweep(at=timezone.now() + timedelta(days=day)) == 0

    assert market.revocations() == [("pulling", 20, 0)]
    assert market.sellable("B") == 40


def test_a_person_may_let_them_go_on_and_has_to_say_why(market: Market) -> None:
    take(market, 20)
    [revocation] = Revocation.objects.all()

    with pytest.raises(ReasonMissing):
        force_revocation(revocation_id=revocation.pk, reason=" ", at=timezone.now(), by="user:7")
    with pytest.raises(NotFound):
        force_revocation(revocation_id=0, reason="closed", at=timezone.now(), by="user:7")
    force_revocation(revocation_id=revocation.pk, reason="shop closed", at=timezone.now(), by="user:7")
    with pytest.raises(RevocationIsOver):
        force_revocation(revocation_id=revocation.pk, reason="again", at=timezone.now(), by="user:7")

    assert market.revocations() == [("forced", 20, 20)]
    assert market.quotas() == {"A": 40, "B": 60}
    assert AuditEntry.objects.get(action="revocation.forced").reason == "shop closed"


def test_a_late_order_of_the_shop_draws_on_what_is_being_taken_back_and_the_rest_arrives(
    market: Market,
) -> None:
    take(market, 60)
    market.compute()

    late = market.order("A", 15)
    other = market.order("B", 50)

    assert (late.reserved, late.missing) == (15, 0)
    assert (other.reserved, other.missing) == (0, 50)
    assert market.pool("revoking", "A") == (60, 15)
    market.settle()
    assert market.revocations() == [("done", 60, 45)]
    assert market.quotas() == {"A": 0, "B": 85}


def test_what_a_late_order_gives_back_after_all_arrives_later(market: Market) -> None:
    take(market, 60)
    late = market.order("A", 15)
    market.settle()

    market.cancel(late.line_key)
    market.sweep()
    market.sweep()

    assert market.revocations() == [("done", 60, 60)]
    assert market.pool("revoking", "A") == (0, 0)
    assert market.quotas() == {"A": 0, "B": 100}


def test_free_units_of_a_second_taking_back_are_not_taken_for_those_of_an_older_one(market: Market) -> None:
    take(market, 30)
    late = market.order("A", 40)  # 30 of its quota, 10 of what is taken back
    market.settle()
    assert market.revocations() == [("done", 30, 20)]
    market.cancel(late.line_key)  # 10 are free in the revoking pool, 30 in the quota

    take(market, 30)
    market.sweep()

    assert market.revocations() == [("done", 30, 30), ("telling", 30, 0)]
    assert market.pool("revoking", "A") == (30, 0)


def test_where_nothing_was_ever_shown_nothing_is_waited_for() -> None:
    market = Market(100, ratios={"A": None, "B": None})
    market.grant({"A": 60})

    take(market, 20)

    assert market.sweep() == 1
    assert market.quotas() == {"A": 40, "B": 20}


def test_a_shop_whose_orders_are_requests_is_not_waited_for(market: Market) -> None:
    shop = market.shops["A"]
    shop.order_policy = "request"
    shop.save()

    take(market, 20)

    assert market.sweep() == 1
    assert market.sellable("B") == 60


def test_a_number_of_before_is_no_acknowledgement(market: Market) -> None:
    """All that the channel was told is acknowledged, but the planner has not seen yet that units were taken."""
    published = PublishedStock.objects.get(shop=market.shops["A"])
    assert published.acked_version == published.desired_version

    take(market, 20)
    market.read_orders(at=timezone.now() + timedelta(days=1))

    assert market.sweep() == 0
    assert StockChange.objects.filter(sku=market.sku).exists()
    assert market.revocations() == [("telling", 20, 0)]


def test_a_sku_that_sells_all_the_time_goes_on_though_a_newer_number_is_always_due(market: Market) -> None:
    take(market, 20)
    market.tell("A")
    PublishedStock.objects.filter(shop=market.shops["A"]).update(desired_version=99, desired_quantity=41)
    StockChange.objects.all().delete()

    market.sweep()

    assert market.revocations() == [("pulling", 20, 0)]


def test_a_listing_of_a_bundle_with_the_sku_has_to_know_too(market: Market) -> None:
    bundle = ListingFactory.create(shop=market.shops["A"], sku=make_bundle({market.sku: 2}))
    market.tell()
    take(market, 20)
    market.tell()
    PublishedStock.objects.filter(listing=bundle).update(acked_quantity=30)
    market.read_orders(at=timezone.now() + timedelta(days=1))

    market.sweep()
    assert market.revocations() == [("telling", 20, 0)]

    PublishedStock.objects.filter(listing=bundle).update(acked_quantity=20)
    market.sweep()
    market.sweep()
    assert market.revocations() == [("done", 20, 20)]


def test_what_arrives_in_the_shared_pool_fills_the_safety_stock_first(market: Market) -> None:
    targets = {market.sku.pk: 8}
    set_safety_stock(group_id=market.group_id, targets=targets, at=timezone.now(), by="user:7", reason="")

    take(market, 20, to="shared")
    market.settle()

    assert (market.pool("safety"), market.pool("shared")) == ((8, 0), (12, 0))


def test_units_bound_for_a_promotion_that_has_ended_go_where_new_stock_goes(market: Market) -> None:
    PromotionLock.objects.create(
        code="nine",
        name="Nine",
        group_id=market.group_id,
        starts_at=timezone.now() - timedelta(days=2),
        ends_at=timezone.now() - timedelta(days=1),
        state="ended",
        created_by="test",
    )
    wanted = TakeBack(market.sku.pk, market.shops["A"].pk, 5, "lock", "nine")
    take_back(group_id=market.group_id, wanted=[wanted], reason="", at=timezone.now(), by="user:7")

    market.settle()

    assert market.pool("shared") == (5, 0)
    assert market.pool("lock", "nine") == (0, 0)


def test_what_is_promised_is_not_taken_and_what_is_no_shops_own_neither(market: Market) -> None:
    market.order("A", 50)

    assert take(market, 20) == [10]
    assert market.pool("quota", "A") == (50, 50)
    with pytest.raises(NothingTakenBack):
        take(market, 0)
    wanted = TakeBack(market.sku.pk, market.shops["A"].pk, 1, "shared", "", "base")
    with pytest.raises(NothingTakenBack):
        take_back(group_id=market.group_id, wanted=[wanted], reason="", at=timezone.now(), by="user:7")


def test_nobody_moves_units_out_of_a_revoking_pool_by_hand(market: Market) -> None:
    take(market, 20)
    pools = {pool.kind: pool.pk for pool in StockPool.objects.filter(label=market.shops["A"].code)}

    move = PoolMove(pools["revoking"], pools["quota"], 5)

    with pytest.raises(PoolsDiffer):
        move_between_pools(key="back", moves=[move], at=timezone.now(), by="user:7", reason="")

    assert market.pool("revoking", "A") == (20, 0)


def test_the_owner_of_units_being_taken_back_is_the_only_one_who_may_draw_on_them(market: Market) -> None:
    take(market, 60)

    outcomes = reserve_stock(
        wanted=[market.demand("B", 41), market.demand("A", 60)], at=timezone.now(), by="test"
    )

    assert [outcome.reserved for outcome in outcomes] == [0, 60]
