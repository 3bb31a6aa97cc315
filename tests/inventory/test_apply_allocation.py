"""A run is applied as far as it can be, once, and undone as far as nothing was sold meanwhile."""

from __future__ import annotations

import pytest
from django.utils import timezone

from inventory.models import AllocationLine, AllocationRun, ShopPool, StockMovement
from inventory.quota import apply
from inventory.quota.apply import NotToApply, NotToUndo, apply_run, start_apply, unapply_run, undo_run
from inventory.quota.define import QuotaWish, set_quota_rule
from inventory.quota.derive import derive_draws
from inventory.quota.revoke import TakeBack, take_back
from omni.kernel.sentences import read_sentence
from tests.factories.inventory import put_stock, shop_drawing_on
from tests.factories.products import SkuFactory
from tests.factories.quota import Market, job_of, work

pytestmark = pytest.mark.django_db


def undo(market: Market, run: AllocationRun) -> AllocationRun:
    undo_run(run_id=run.pk, reason="a mistake", at=timezone.now(), by="user:7")
    work()
    run.refresh_from_db()
    return run


@pytest.mark.capability("V5")
def test_a_run_that_is_applied_grants_what_it_said() -> None:
    market = Market(150)

    run = market.apply(market.plan("ratio"))

    assert market.quotas() == {"A": 45, "B": 30, "C": 30, "D": 45}
    assert market.pool("shared") == (0, 0)
    assert {line[3] for line in market.lines(run).values()} == {"done"}
    assert (run.state, run.units_moved, run.applied_by) == ("applied", 150, "user:7")
    assert {market.sellable(letter) for letter in "AD"} == {45}


@pytest.mark.capability("V5")
def test_100_units_with_a_quota_of_55_for_a_sell_55_in_a_and_45_elsewhere() -> None:
    market = Market(100, ratios={"A": "0.55", "B": None}, rules={"B": {"mode": "shared"}})

    market.apply(market.plan("ratio"))

    assert (market.sellable("A"), market.sellable("B")) == (55, 45)


@pytest.mark.capability("V8")
def test_100_units_with_55_locked_for_a_that_also_shares_sell_100_in_a_and_45_in_b() -> None:
    market = Market(
        100, ratios={"A": "0.55", "B": None}, rules={"A": {"mode": "lock_share"}, "B": {"mode": "shared"}}
    )

    market.apply(market.plan("ratio"))

    assert (market.sellable("A"), market.sellable("B")) == (100, 45)
    assert market.order("B", 46).reserved == 0
    assert market.order("A", 100).reserved == 100


def test_a_run_is_applied_once() -> None:
    market = Market(150)
    run = market.apply(market.plan("ratio"))
    moved = StockMovement.objects.count()

    with pytest.raises(NotToApply):
        start_apply(run_id=run.pk, at=timezone.now(), by="user:7")
    list(apply_run(job_of(run)))

    assert StockMovement.objects.count() == moved
    assert market.quotas() == {"A": 45, "B": 30, "C": 30, "D": 45}


def test_a_second_run_worked_out_from_the_same_numbers_grants_nothing_twice() -> None:
    market = Market(100, ratios={"A": "0.3", "B": "0.3"})
    first, second = market.plan("ratio"), market.plan("ratio")
    market.apply(first)

    market.apply(second)

    assert market.quotas() == {"A": 30, "B": 30}
    assert {line[3] for line in market.lines(second).values()} == {"skipped"}
    line = AllocationLine.objects.get(run=second, shop=market.shops["A"])
    assert read_sentence(line.outcome) == "It holds what was planned already."


def test_what_was_promised_meanwhile_stays_promised_and_the_line_says_so() -> None:
    market = Market(100, ratios={"A": "0.5", "B": "0.5"}, mode="lock_share")
    run = market.plan("ratio")
    assert market.order("A", 30).reserved == 30

    market.apply(run)

    assert market.lines(run) == {
        "A": (0, 50, 50, "done"),
        "B": (0, 50, 20, "partly"),
        "shared": (100, 0, -70, "partly"),
    }
    line = AllocationLine.objects.get(run=run, shop=market.shops["B"])
    assert read_sentence(line.outcome) == "Only 20 of 50 units were free."
    assert market.pool("shared") == (30, 30)


def test_nothing_is_taken_from_a_quota_that_is_promised() -> None:
    market = Market(100, ratios={"A": "0.5", "B": "0.5"})
    market.grant({"A": 100})
    run = market.plan("ratio")
    assert market.order("A", 90).reserved == 90

    market.apply(run)

    assert market.lines(run)["A"] == (100, 50, -10, "partly")
    assert market.pool("quota", "A") == (90, 90)
    assert market.pool("revoking", "A") == (10, 0)


@pytest.mark.capability("V12")
def test_what_another_shop_gives_up_is_granted_when_its_channel_knows() -> None:
    market = Market(100, ratios={"A": "0.5", "B": "0.5"})
    market.grant({"A": 100})
    market.list_everywhere()

    run = market.apply(market.plan("ratio"))

    assert market.lines(run) == {"A": (100, 50, -50, "done"), "B": (0, 50, 0, "waiting")}
    assert (market.sellable("A"), market.sellable("B")) == (50, 0)
    assert run.state == "applied"
    market.settle()
    assert market.lines(run)["B"] == (0, 50, 50, "done")
    assert (market.sellable("A"), market.sellable("B")) == (50, 50)
    run.refresh_from_db()
    assert run.units_moved == 50


@pytest.mark.capability("V12")
def test_a_line_that_waited_for_units_that_were_sold_is_done_in_part() -> None:
    market = Market(100, ratios={"A": "0.5", "B": "0.5"})
    market.grant({"A": 100})
    market.list_everywhere()
    run = market.apply(market.plan("ratio"))
    assert market.order("A", 70).reserved == 70

    market.settle()

    assert market.lines(run)["B"] == (0, 50, 30, "partly")
    line = AllocationLine.objects.get(run=run, shop=market.shops["B"])
    assert "some were promised or sold before" in read_sentence(line.outcome)
    assert market.quotas() == {"A": 50, "B": 30}


def test_what_is_free_in_base_and_shared_is_granted_at_once_and_only_the_rest_waits() -> None:
    market = Market(100, ratios={"A": "0.4", "B": "0.6"})
    market.grant({"A": 80})
    market.list_everywhere()

    run = market.apply(market.plan("ratio"))

    assert market.lines(run) == {
        "A": (80, 40, -40, "done"),
        "B": (0, 60, 20, "waiting"),
        "shared": (20, 0, -20, "done"),
    }


def test_a_shop_without_a_rule_can_sell_what_it_is_granted_by_hand() -> None:
    market = Market(100, ratios={})
    market.shops["Z"] = shop_drawing_on(market.location.group)

    market.grant({"Z": 30})

    assert ShopPool.objects.filter(shop=market.shops["Z"], kind="quota", origin="rule").exists()
    assert market.sellable("Z") == 100
    assert market.order("Z", 100).reserved == 100


def test_a_run_that_was_killed_half_way_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(100, ratios={"A": "0.5"})
    others = SkuFactory.create_batch(3)
    for sku in others:
        put_stock(market.location, sku, 10)
    monkeypatch.setattr(apply, "BATCH", 2)
    run = market.plan("ratio", scope={})
    start_apply(run_id=run.pk, at=timezone.now(), by="user:7")
    job = job_of(run)
    half = apply_run(job)
    next(half)
    half.close()
    assert AllocationLine.objects.filter(run=run, state="planned").count() == 4

    list(apply_run(job))

    run.refresh_from_db()
    assert run.state == "applied"
    assert not AllocationLine.objects.filter(run=run).exclude(state="done").exists()
    assert market.quotas() == {"A": 50}
    assert [market.quotas(sku=sku)["A"] for sku in others] == [5, 5, 5]
    assert run.units_moved == 65


def test_undoing_gives_everything_back_in_two_phases() -> None:
    market = Market(150)
    run = market.apply(market.plan("ratio"))
    market.list_everywhere()

    undo(market, run)

    assert (run.state, run.undone_by) == ("undone", "user:7")
    assert market.quotas() == {"A": 0, "B": 0, "C": 0, "D": 0}
    assert market.pool("shared") == (0, 0)
    market.settle()
    assert market.pool("shared") == (150, 0)
    assert {line[2:] for line in market.lines(run).values()} == {(0, "undone")}
    with pytest.raises(NotToUndo):
        undo_run(run_id=run.pk, reason="again", at=timezone.now(), by="user:7")


def test_what_was_sold_meanwhile_is_not_undone_and_the_line_says_so() -> None:
    market = Market(150)
    run = market.apply(market.plan("ratio"))
    assert market.order("A", 40).reserved == 40

    undo(market, run)
    market.settle()

    line = AllocationLine.objects.get(run=run, shop=market.shops["A"])
    assert (line.moved, line.state) == (40, "undone")
    assert read_sentence(line.outcome) == (
        "40 of 45 units could not be taken back: they are promised or sold."
    )
    assert market.pool("quota", "A") == (40, 40)
    assert market.pool("shared") == (110, 0)


def test_undoing_calls_off_what_is_on_its_way() -> None:
    market = Market(100, ratios={"A": "0.5", "B": "0.5"})
    market.grant({"A": 100})
    market.list_everywhere()
    run = market.apply(market.plan("ratio"))
    assert market.pool("revoking", "A") == (50, 0)

    undo(market, run)

    assert market.quotas() == {"A": 100, "B": 0}
    assert market.pool("revoking", "A") == (0, 0)
    assert {line[2:] for line in market.lines(run).values()} == {(0, "undone")}
    market.settle()
    assert market.quotas() == {"A": 100, "B": 0}


def test_undoing_that_was_killed_half_way_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(100, ratios={"A": "0.5"})
    others = SkuFactory.create_batch(3)
    for sku in others:
        put_stock(market.location, sku, 10)
    run = market.apply(market.plan("ratio", scope={}))
    monkeypatch.setattr(apply, "BATCH", 2)
    undo_run(run_id=run.pk, reason="a mistake", at=timezone.now(), by="user:7")
    job = job_of(run)
    half = unapply_run(job)
    next(half)
    half.close()

    list(unapply_run(job))

    run.refresh_from_db()
    assert run.state == "undone"
    market.settle()
    assert market.pool("shared") == (100, 0)
    assert all(market.pool("shared", sku=sku) == (10, 0) for sku in others)


def test_what_was_not_applied_is_not_undone() -> None:
    market = Market(150)
    run = market.plan("ratio")

    with pytest.raises(NotToUndo):
        undo_run(run_id=run.pk, reason="", at=timezone.now(), by="user:7")

    assert market.pool("shared") == (150, 0)


@pytest.mark.parametrize("modes", [("shared", "lock_share"), ("lock_share", "shared"), ("shared", "shared")])
def test_a_shop_draws_on_its_first_quota_of_a_sku_whatever_its_rules_for_others_say(
    modes: tuple[str, str],
) -> None:
    """Its rows for every SKU, and those for a SKU with a rule of its own, were derived before it had any quota."""
    of_all, of_this = modes
    market = Market(20, ratios={"A": None, "B": None}, mode=of_all)
    wish = QuotaWish(market.group_id, market.shops["A"].pk, of_this, sku_id=market.sku.pk)
    set_quota_rule(wish=wish, at=timezone.now(), by="user:7", reason="")

    market.grant({"A": 20})

    assert market.order("A", 20).reserved == 20
    assert derive_draws(at=timezone.now()) == 0


def test_a_shop_draws_on_units_that_arrive_from_another_shop_at_once() -> None:
    market = Market(20, ratios={"A": None, "B": None}, rules={"B": {"mode": "shared"}})
    market.grant({"A": 20})
    wanted = TakeBack(market.sku.pk, market.shops["A"].pk, 5, "quota", market.shops["B"].code)

    take_back(group_id=market.group_id, wanted=[wanted], reason="", at=timezone.now(), by="user:7")
    market.settle()

    assert market.order("B", 5).reserved == 5
    assert derive_draws(at=timezone.now()) == 0
