"""Allocations that start by themselves: below a minimum, on new stock, by the clock; and not all the time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from inventory.events import StockRaised
from inventory.models import AllocationRun, QuotaRule, RebalancePolicy, SupplyMark
from inventory.quota.derive import derive_draws
from inventory.quota.rebalance import rebalance_stock
from inventory.reactions import grant_supply_soon
from omni.kernel.sentences import read_sentence
from tests.factories.inventory import put_stock
from tests.factories.products import SkuFactory
from tests.factories.quota import Market, work

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V7")]


@pytest.fixture
def market() -> Market:
    """A has 10 of its own and should have 10 free; 90 are shared."""
    market = Market(100, ratios={"A": None, "B": None}, rules={"A": {"minimum": 10}})
    market.grant({"A": 10})
    return market


def policy(market: Market, **values: Any) -> RebalancePolicy:
    return RebalancePolicy.objects.create(group_id=market.group_id, **values)


def sweep(at: datetime | None = None) -> list[AllocationRun]:
    """Start what is due, and do it."""
    runs = rebalance_stock(at=at or timezone.now(), by="system")
    work()
    return list(AllocationRun.objects.filter(pk__in=runs))


def test_a_quota_that_falls_below_its_minimum_is_filled_up_without_a_person(market: Market) -> None:
    policy(market)
    assert sweep() == []
    market.order("A", 3)

    [run] = sweep()

    assert (run.trigger, run.method, run.state, run.scope) == (
        "threshold",
        "refill",
        "applied",
        {"skus": [market.sku.pk]},
    )
    assert market.pool("quota", "A") == (13, 3)
    assert read_sentence(run.reason) == "A quota fell below its minimum."


def test_a_sku_is_left_alone_for_some_minutes_after_a_run(market: Market) -> None:
    policy(market, quiet_minutes=15)
    market.order("A", 3)
    now = timezone.now()
    assert len(sweep(now)) == 1
    market.order("A", 3)

    assert sweep(now + timedelta(minutes=14)) == []
    assert len(sweep(now + timedelta(minutes=16))) == 1
    assert market.pool("quota", "A") == (16, 6)


def test_a_policy_that_does_not_act_by_itself_waits_for_a_person_and_does_not_ask_twice(
    market: Market,
) -> None:
    policy(market, is_automatic=False)
    market.order("A", 3)

    [run] = sweep()
    assert run.state == "planned"
    assert market.pool("quota", "A") == (10, 3)
    assert sweep(timezone.now() + timedelta(days=1)) == []

    market.apply(run)
    assert market.pool("quota", "A") == (13, 3)


def test_a_run_that_would_change_nothing_is_dropped(market: Market) -> None:
    """B has units, but not one more than its own minimum."""
    QuotaRule.objects.filter(shop=market.shops["B"]).update(minimum=90)
    market.grant({"B": 90})
    policy(market)
    market.order("A", 5)

    [run] = sweep()

    assert (run.state, run.lines_planned) == ("dropped", 0)


def test_where_nobody_has_anything_to_give_no_run_starts() -> None:
    market = Market(10, ratios={"A": None}, rules={"A": {"minimum": 10}})
    market.grant({"A": 10})
    policy(market)
    market.order("A", 10)

    assert sweep() == []


def test_new_stock_is_granted_where_the_policy_says_so() -> None:
    market = Market(100, ratios={"A": "0.3", "B": "0.2"})
    policy(market, method="ratio", on_supply=True, on_threshold=False, quiet_minutes=0)
    put_stock(market.location, market.sku, 50)

    grant_supply_soon(StockRaised(sku_ids=(market.sku.pk,)))
    [run] = sweep()

    assert (run.trigger, run.state) == ("supply", "applied")
    assert market.quotas() == {"A": 45, "B": 30}
    assert not SupplyMark.objects.exists()
    grant_supply_soon(StockRaised(sku_ids=(market.sku.pk,)))  # that of the run itself
    [again] = sweep(timezone.now() + timedelta(seconds=1))
    assert again.state == "dropped"
    assert sweep(timezone.now() + timedelta(seconds=2)) == []


def test_new_stock_is_not_even_marked_where_no_policy_asks(market: Market) -> None:
    policy(market)

    grant_supply_soon(StockRaised(sku_ids=(market.sku.pk,)))

    assert not SupplyMark.objects.exists()


def test_a_mark_waits_while_a_run_of_the_group_is_under_way() -> None:
    market = Market(100, ratios={"A": "0.3"})
    policy(market, method="ratio", on_supply=True)
    AllocationRun.objects.create(
        group_id=market.group_id, method="hand", trigger="person", state="applying", created_by="user:7"
    )
    grant_supply_soon(StockRaised(sku_ids=(market.sku.pk,)))

    assert sweep() == []
    AllocationRun.objects.update(state="applied")
    assert len(sweep()) == 1


def test_the_clock_looks_at_everything_every_so_many_minutes() -> None:
    market = Market(100, ratios={"A": "0.3"})
    other = SkuFactory.create()
    put_stock(market.location, other, 10)
    policy(market, method="ratio", every_minutes=60, on_threshold=False)
    now = timezone.now()

    [run] = sweep(now)

    assert (run.trigger, run.skus, run.state) == ("timer", 2, "applied")
    assert (market.quotas(), market.quotas(sku=other)) == ({"A": 30}, {"A": 3})
    assert sweep(now + timedelta(minutes=59)) == []
    assert len(sweep(now + timedelta(minutes=60))) == 1


def test_an_inactive_policy_and_one_by_hand_start_nothing(market: Market) -> None:
    RebalancePolicy.objects.create(group_id=market.group_id, is_active=False)
    market.order("A", 3)

    assert sweep() == []
    RebalancePolicy.objects.update(is_active=True, method="hand")
    assert sweep() == []
    assert market.pool("quota", "A") == (10, 3)


def test_only_the_rule_that_holds_counts_not_a_higher_one_of_other_skus() -> None:
    market = Market(100, ratios={"A": None}, rules={"A": {"minimum": 5}})
    other = SkuFactory.create()
    QuotaRule.objects.create(
        group_id=market.group_id, shop=market.shops["A"], sku=other, mode="exclusive", minimum=50
    )
    derive_draws(at=timezone.now())
    market.grant({"A": 10})
    policy(market)

    assert sweep() == []
