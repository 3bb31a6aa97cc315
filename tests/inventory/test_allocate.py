"""What an allocation works out: the figures, who gets what where there is not enough, and that nothing moves yet."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from inventory.book import BundleHasNoStock, UnknownPlace
from inventory.models import (
    AllocationLine,
    AllocationRun,
    DailyDemand,
    PromotionLock,
    QuotaRule,
    StockMovement,
)
from inventory.quota import plan
from inventory.quota.apply import NotToDrop, drop_run
from inventory.quota.derive import derive_draws
from inventory.quota.plan import BadAllocation, plan_allocation
from omni.kernel.sentences import read_sentence
from tests.factories.bundles import make_bundle
from tests.factories.inventory import put_stock
from tests.factories.products import SkuFactory
from tests.factories.quota import Market, job_of

pytestmark = pytest.mark.django_db


@pytest.mark.capability("V5")
def test_150_units_at_30_20_20_30_percent_are_45_30_30_45() -> None:
    market = Market(150)

    run = market.plan("ratio")

    assert run.state == "planned"
    assert market.lines(run) == {
        "A": (0, 45, 0, "planned"),
        "B": (0, 30, 0, "planned"),
        "C": (0, 30, 0, "planned"),
        "D": (0, 45, 0, "planned"),
        "shared": (150, 0, 0, "planned"),
    }
    assert (run.skus, run.lines_planned, run.units_planned, run.units_moved) == (1, 5, 150, 0)
    assert market.quotas() == {"A": 0, "B": 0, "C": 0, "D": 0}
    assert not StockMovement.objects.filter(kind="regrant").exists()


@pytest.mark.capability("V5")
def test_each_line_says_why_and_from_which_numbers() -> None:
    market = Market(150)

    line = AllocationLine.objects.get(run=market.plan("ratio"), shop=market.shops["A"])

    assert read_sentence(line.reason) == "30 % of 150 units."
    assert line.inputs == {
        "supply": 150,
        "ratio": "0.3000",
        "promised": 0,
        "coming": 0,
        "minimum": 0,
        "maximum": None,
        "priority": 100,
    }


@pytest.mark.capability("V5")
def test_only_what_changes_has_a_line_and_what_no_ratio_takes_stays_shared() -> None:
    market = Market(100, ratios={"A": "0.3", "B": "0.2"})
    market.grant({"A": 30})

    lines = market.lines(market.plan("ratio"))

    assert lines == {"B": (0, 20, 0, "planned"), "shared": (70, 50, 0, "planned")}


@pytest.mark.capability("V5")
def test_a_minimum_a_maximum_and_what_is_promised_bound_the_parts() -> None:
    market = Market(100, rules={"A": {"maximum": 20}, "B": {"minimum": 35}})
    market.grant({"C": 40})
    market.order("C", 28)

    lines = market.lines(market.plan("ratio"))

    assert {letter: line[1] for letter, line in lines.items() if letter in "ABCD"} == {
        "A": 17,
        "B": 35,
        "C": 28,
        "D": 20,
    } or sum(line[1] for letter, line in lines.items() if letter in "ABCD") == 100
    assert lines["B"][1] == 35
    assert lines["C"][1] == 28
    assert lines["A"][1] <= 20


@pytest.mark.capability("V5")
def test_ratios_of_more_than_the_whole_are_refused_and_the_skus_named() -> None:
    market = Market(100, ratios={"A": "0.7", "B": "0.4"})
    other = SkuFactory.create()
    put_stock(market.location, other, 10)

    run = market.plan("ratio", scope={"skus": [market.sku.pk, other.pk]})

    job = job_of(run)
    assert (run.state, job.state) == ("dropped", "failed")
    assert market.sku.code in job.message
    assert other.code in job.message
    assert not AllocationLine.objects.exists()


@pytest.mark.capability("V5")
def test_safety_stock_and_locks_are_no_supply() -> None:
    from inventory.pools import set_safety_stock

    market = Market(120)
    targets = {market.sku.pk: 20}
    set_safety_stock(group_id=market.group_id, targets=targets, at=timezone.now(), by="user:7", reason="")

    lines = market.lines(market.plan("ratio"))

    assert {letter: lines[letter][1] for letter in "ABCD"} == {"A": 30, "B": 20, "C": 20, "D": 30}


@pytest.mark.capability("V5")
def test_units_on_their_way_to_a_shop_count_as_its_own() -> None:
    market = Market(100, ratios={"A": "0.5", "B": "0.5"})
    market.grant({"A": 100})
    market.list_everywhere()
    first = market.apply(market.plan("ratio"))
    assert market.lines(first)["B"] == (0, 50, 0, "waiting")

    again = market.plan("ratio")

    assert market.lines(again) == {}
    assert again.state == "planned"


@pytest.mark.capability("V5")
def test_a_shop_that_shares_by_rule_gives_its_quota_back() -> None:
    market = Market(100, ratios={"A": "0.5", "B": "0.5"})
    market.grant({"A": 50, "B": 50})
    QuotaRule.objects.filter(shop=market.shops["B"]).update(mode="shared")
    derive_draws(at=timezone.now())

    lines = market.lines(market.plan("ratio"))

    assert lines["B"][:2] == (50, 0)


@pytest.mark.capability("V5")
def test_the_most_specific_rule_decides() -> None:
    market = Market(100, ratios={"A": "0.5"})
    QuotaRule.objects.create(
        group_id=market.group_id,
        shop=market.shops["A"],
        brand=market.sku.spu.brand,
        mode="exclusive",
        quota_ratio=Decimal("0.1"),
    )
    derive_draws(at=timezone.now())

    assert market.lines(market.plan("ratio"))["A"][1] == 10

    QuotaRule.objects.create(
        group_id=market.group_id,
        shop=market.shops["A"],
        sku=market.sku,
        mode="exclusive",
        quota_ratio=Decimal("0.2"),
    )
    derive_draws(at=timezone.now())
    assert market.lines(market.plan("ratio"))["A"][1] == 20


@pytest.mark.capability("V4")
def test_an_operator_gives_30_to_a_shop_and_the_shared_pool_drops_by_30() -> None:
    market = Market(100)

    run = market.by_hand({"A": 30})

    assert market.lines(run) == {"A": (0, 30, 0, "planned"), "shared": (100, 70, 0, "planned")}
    market.apply(run)
    assert (market.pool("quota", "A"), market.pool("shared")) == ((30, 0), (70, 0))


@pytest.mark.capability("V4")
def test_by_hand_nobody_gets_what_is_not_there_and_each_gets_its_part() -> None:
    market = Market(10)

    lines = market.lines(market.by_hand({"A": 15, "B": 5}))

    assert lines == {
        "A": (0, 8, 0, "planned"),
        "B": (0, 2, 0, "planned"),
        "shared": (10, 0, 0, "planned"),
    }


@pytest.mark.capability("V4")
def test_by_hand_what_one_shop_gives_up_pays_for_another() -> None:
    market = Market(60)
    market.grant({"A": 60})

    lines = market.lines(market.by_hand({"A": 40, "B": 15}))

    assert lines == {
        "A": (60, 40, 0, "planned"),
        "B": (0, 15, 0, "planned"),
        "shared": (0, 5, 0, "planned"),
    }


@pytest.mark.capability("V6")
def test_by_demand_the_shop_that_sells_more_gets_more_and_the_floors_hold() -> None:
    market = Market(100, ratios={"A": None, "B": None, "C": None}, rules={"C": {"minimum": 7}})
    today = timezone.localdate()
    for ago in range(1, 57):
        day = today - timedelta(days=ago)
        DailyDemand.objects.create(day=day, shop=market.shops["A"], sku=market.sku, units=8)
        DailyDemand.objects.create(day=day, shop=market.shops["B"], sku=market.sku, units=2)

    run = market.plan("demand", settings={"days": 7})

    lines = market.lines(run)
    assert lines["A"][1] > 2 * lines["B"][1] > 20
    assert lines["C"][1] == 7
    line = AllocationLine.objects.get(run=run, shop=market.shops["A"])
    assert line.inputs["days"] == 7
    assert 40 < line.inputs["expected"] < 70
    assert "units are expected to be asked for in 7 days" in read_sentence(line.reason)


@pytest.mark.capability("V7")
def test_what_is_below_its_minimum_is_filled_from_base_then_shared_then_from_who_needs_least() -> None:
    market = Market(
        30,
        ratios=dict.fromkeys("ABCD"),
        rules={
            "A": {"minimum": 20},
            "B": {"minimum": 5, "priority": 50},
            "C": {"minimum": 5, "priority": 200},
            "D": {"minimum": 0, "priority": 200},
        },
    )
    market.grant({"B": 11, "C": 9, "D": 6})

    run = market.plan("refill")

    # 4 are shared; C and D give before B, though B has most; D has most of the two.
    assert market.lines(run) == {
        "D": (6, 0, 0, "planned"),
        "C": (9, 5, 0, "planned"),
        "B": (11, 5, 0, "planned"),
        "A": (0, 20, 0, "planned"),
        "shared": (4, 0, 0, "planned"),
    }
    line = AllocationLine.objects.get(run=run, shop=market.shops["A"])
    assert read_sentence(line.reason) == "Only 0 units are free; its minimum is 20."


@pytest.mark.capability("V7")
def test_of_what_there_is_not_enough_of_the_shop_that_goes_first_is_filled_first() -> None:
    market = Market(
        10,
        ratios=dict.fromkeys("AB"),
        rules={"A": {"minimum": 8}, "B": {"minimum": 8, "priority": 1}},
    )

    lines = market.lines(market.plan("refill"))

    assert (lines["B"][1], lines["A"][1]) == (8, 2)


def test_a_scope_is_some_skus_a_brand_a_category_or_all_that_lies_there() -> None:
    market = Market(100, ratios={"A": "0.5"})
    elsewhere = SkuFactory.create()
    put_stock(market.location, elsewhere, 10)

    assert market.plan("ratio", scope={}).skus == 2
    assert market.plan("ratio", scope={"brand": elsewhere.spu.brand_id}).skus == 1
    assert market.plan("ratio", scope={"skus": [market.sku.pk]}).skus == 1


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"method": "magic"}, "method"),
        ({"scope": {"skus": [1], "brand": 1}}, "scope"),
        ({"scope": {"colour": 1}}, "scope"),
        ({"scope": {"skus": [0]}}, "scope"),
        ({"method": "demand", "settings": {"days": 0}}, "days"),
        ({"method": "hand", "settings": {}}, "targets"),
        ({"method": "hand", "settings": {"targets": [[1, 2]]}}, "targets"),
        ({"method": "hand", "settings": {"targets": [[1, 2, -1]]}}, "targets"),
        ({"method": "hand", "settings": {"targets": [[1, 2, 3], [1, 2, 4]]}}, "targets"),
        ({"method": "hand", "settings": {"targets": [[0, 2, 3]]}}, "targets"),
    ],
)
def test_what_makes_no_sense_is_refused(how: dict[str, object], field: str) -> None:
    market = Market(10)

    with pytest.raises(BadAllocation) as refused:
        market.plan(**how)  # type: ignore[arg-type]

    assert field in refused.value.fields
    assert not AllocationRun.objects.exists()


def test_an_unknown_group_and_a_bundle_are_refused() -> None:
    market = Market(10)
    bundle = make_bundle({market.sku: 2})

    with pytest.raises(UnknownPlace):
        market.plan(group_id=0)
    with pytest.raises(BundleHasNoStock):
        market.by_hand({"A": 5}, sku=bundle)


def test_a_run_that_was_killed_while_it_was_worked_out_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(100)
    other = SkuFactory.create()
    put_stock(market.location, other, 50)
    monkeypatch.setattr(plan, "BATCH", 1)
    run = plan.start_allocation(
        group_id=market.group_id,
        method="ratio",
        scope={},
        settings={},
        trigger="person",
        reason="",
        at=timezone.now(),
        by="user:7",
    )
    job = job_of(run)
    half = plan_allocation(job)
    next(half)
    half.close()
    assert AllocationLine.objects.count() == 5

    list(plan_allocation(job))

    run.refresh_from_db()
    assert (run.state, run.lines_planned, AllocationLine.objects.count()) == ("planned", 10, 10)


def test_a_run_is_dropped_with_a_reason_and_then_it_is_over() -> None:
    market = Market(100)
    run = market.plan("ratio")

    drop_run(run_id=run.pk, reason="not now", at=timezone.now(), by="user:7")

    with pytest.raises(NotToDrop):
        drop_run(run_id=run.pk, reason="again", at=timezone.now(), by="user:7")
    run.refresh_from_db()
    assert run.state == "dropped"
    assert not PromotionLock.objects.exists()
    assert market.pool("shared") == (100, 0)
