"""What a policy of sharing stock would have lost, on made-up demand of which the answer is known."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.models.allocation import AllocationMethod, RebalancePolicy
from inventory.models.quota import QuotaRule
from inventory.quota.backtest import (
    Case,
    Event,
    Method,
    Mode,
    Outcome,
    Policy,
    Supply,
    Terms,
    compare,
    run_backtest,
    same_terms,
)
from inventory.quota.replay import BACKTEST, BadProposal, start_backtest
from inventory.quota.retail import NoRetailData, Split, make_case, read_retail, usual_policies
from inventory.quota.roll_up import roll_up_demand
from inventory.reserve import Demand, reserve_stock
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Job
from omni.wiring import JOBS
from products.models import Shop
from tests.factories.inventory import Scene, put_stock, shop_drawing_on

HALF = Decimal(".5")


def policy(
    method: Method, mode: Mode = Mode.EXCLUSIVE, *, every_days: int = 0, name: str = "", **terms: Any
) -> Policy:
    return Policy(
        name or method.value,
        method,
        same_terms([Terms(mode, HALF, **terms) for _shop in range(2)]),
        every_days,
    )


def case_of(
    asked: Sequence[tuple[float, int, int]],
    supplies: Sequence[tuple[float, int]],
    *,
    before: Sequence[tuple[float, int, int]] = (),
    begin: int = 0,
    sees_lost: bool = True,
) -> Case:
    """Demand (day, shop, units) and supplies (day, units) of one SKU in two shops."""
    return Case(
        ["a", "b"],
        [Event(day, f"b{n}", shop, 1, units) for n, (day, shop, units) in enumerate(before)],
        [Event(day, f"o{n}", shop, 1, units) for n, (day, shop, units) in enumerate(asked)],
        [Supply(day, 1, units) for day, units in supplies],
        begin,
        60,
        sees_lost,
    )


def lost(outcomes: Sequence[Outcome]) -> list[int]:
    return [outcome.lost_units for outcome in outcomes]


@pytest.mark.capability("V6")
def test_exclusive_quotas_lose_what_the_other_shop_has_and_a_shared_pool_does_not() -> None:
    case = case_of([(0.1, 0, 3), (0.2, 0, 4), (0.3, 1, 2)], [(0, 10)])

    fixed, shared = run_backtest(case, [policy(Method.RATIO), policy(Method.NONE, Mode.SHARED)])

    assert (fixed.lost_units, fixed.lost_lines, fixed.left_units, len(fixed.short_orders)) == (4, 1, 5, 1)
    assert (shared.lost_units, shared.left_units) == (0, 1)
    assert fixed.lost_by_shop == [4, 0]


@pytest.mark.capability("V6")
def test_what_was_asked_before_decides_who_is_granted_how_much() -> None:
    before = [(day + 0.5, day % 10 == 0, 2) for day in range(50)]
    case = case_of([(50.5, 0, 9)], [(50, 10)], before=before, begin=50)

    fixed, by_demand = run_backtest(case, [policy(Method.RATIO), policy(Method.DEMAND)])

    assert (fixed.lost_units, by_demand.lost_units) == (9, 0)


def test_a_policy_knows_nothing_of_what_comes() -> None:
    before = [(day + 0.5, day % 2, 1) for day in range(50)]
    now = [(50.5, 0, 3), (53.5, 1, 4)]
    by_demand = policy(Method.DEMAND, every_days=1)

    [a] = run_backtest(case_of([*now, (55.5, 0, 400)], [(50, 8)], before=before, begin=50), [by_demand])
    [b] = run_backtest(case_of([*now, (55.5, 1, 500)], [(50, 8)], before=before, begin=50), [by_demand])

    # The last line is lost in any case; whose it will be has changed nothing of what was decided before.
    assert [a.lost_by_shop[0] - 400, a.lost_by_shop[1]] == [b.lost_by_shop[0], b.lost_by_shop[1] - 500]
    assert (a.left_units, a.moved_units) == (b.left_units, b.moved_units)


def test_dividing_anew_takes_units_from_who_has_no_use_for_them() -> None:
    asked = [(day + 0.5, 0, 1) for day in range(20)]
    case = case_of(asked, [(0, 20)])

    kept, moved = run_backtest(case, [policy(Method.RATIO), policy(Method.DEMAND, every_days=1)])

    assert kept.lost_units == 10
    assert moved.lost_units < 3
    assert moved.moved_units > 5


@pytest.mark.capability("V7")
def test_who_falls_below_its_minimum_is_filled_up_from_the_richest() -> None:
    case = case_of([(0.1, 0, 4), (0.2, 0, 2), (0.3, 0, 2)], [(0, 10)])

    [outcome] = run_backtest(case, [policy(Method.REFILL, minimum=2)])

    assert (outcome.lost_units, outcome.moved_units) == (0, 3)


def test_a_write_off_takes_from_what_is_shared_and_then_from_the_largest_quota() -> None:
    case = case_of([(2.0, 0, 5), (2.1, 1, 1)], [(0, 10), (1, -9)])

    [outcome] = run_backtest(case, [policy(Method.RATIO)])

    # 5 and 5 became 0 and 1
    assert (outcome.lost_units, outcome.left_units) == (5, 0)


def test_channels_that_hide_what_is_sold_out_teach_less() -> None:
    asked = [(day + 0.5, 1, 2) for day in range(1, 40)]
    supplies = [(day, 2) for day in range(0, 40, 7)]
    before = [(0.1, 0, 1)]
    seen = case_of(asked, supplies, before=before, begin=1)
    hidden = case_of(asked, supplies, before=before, begin=1, sees_lost=False)
    by_demand = policy(Method.DEMAND, every_days=7)

    assert lost(run_backtest(seen, [by_demand])) <= lost(run_backtest(hidden, [by_demand]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 1), st.integers(1, 9)), max_size=40),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 30)), max_size=6),
)
def test_every_unit_is_sold_lost_or_left_under_every_policy(
    asked: list[tuple[float, int, int]], supplies: list[tuple[float, int]]
) -> None:
    case = case_of(asked, supplies)

    for mode in Mode:
        for method in Method:
            [outcome] = run_backtest(case, [policy(method, mode, every_days=3, minimum=2)])

            wanted = sum(units for _day, _shop, units in asked)
            sold = wanted - outcome.lost_units
            assert outcome.units == wanted
            # Of a SKU that nobody asks for nothing is replayed but what lies there.
            assert sold + outcome.left_units == sum(units for _day, units in supplies)
            assert sum(outcome.lost_by_shop) == outcome.lost_units


def test_rows_are_compared_with_the_first_policy() -> None:
    rows = compare([Outcome("one", [0], units=10, lost_units=4), Outcome("two", [0], units=10, lost_units=3)])

    assert [row["lost_against_first"] for row in rows] == [0.0, -25.0]


HEADER = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
]


def write_ledger(folder: Path, *, days: int = 126, customers: int = 24) -> None:
    """A retailer of two products; one is bought by half of the customers alone. And the dirt of the real files."""
    lines: list[list[object]] = []
    began = datetime(2010, 12, 1, 9)  # noqa: DTZ001 - as the files have it
    for day in range(days):
        at = began + timedelta(days=day)
        for n in range(3):
            customer = 10_000 + (day * 7 + n * 5) % customers
            code = "22000A" if customer % 2 else "22001"
            lines.append([f"{500_000 + day * 10 + n}", code, "A, B", 2 + n, at, 1.5, f"{customer}.0", "UK"])
    lines.append(["C599999", lines[3][1], "", -2, began + timedelta(days=1, hours=1), 1.5, lines[3][6], "UK"])
    lines.append(["599990", "POST", "POSTAGE", 1, began, 18.0, "", "UK"])
    lines.append(["599991", "22001", "", -30, began, 0.0, "", "UK"])
    with gzip.open(folder / "2010-12.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows([HEADER, *lines])


def test_a_ledger_is_read_without_its_dirt(tmp_path: Path) -> None:
    write_ledger(tmp_path)

    sold = read_retail(tmp_path)

    assert len(sold) == 126 * 3 - 1  # one was cancelled within the hour
    assert {sale.sku for sale in sold} == {"22000A", "22001"}
    with pytest.raises(NoRetailData):
        read_retail(tmp_path / "nowhere")


def test_a_customer_stays_with_one_shop_unless_the_shares_drift() -> None:
    still, moving = Split("", [1, 1]), Split("", [9, 1], [1, 9])
    names = [f"customer {n}" for n in range(400)]

    assert [still.shop_of(name, 0) for name in names] == [still.shop_of(name, 1) for name in names]
    assert 150 < sum(still.shop_of(name, 0) for name in names) < 250
    assert (
        sum(moving.shop_of(name, 0) for name in names)
        < 80
        < 320
        < sum(moving.shop_of(name, 1) for name in names)
    )
    assert [Split("", [1, 1], seed=2).shop_of(name, 0) for name in names] != [
        still.shop_of(name, 0) for name in names
    ]


def test_stock_is_the_wanted_part_of_what_every_week_will_ask(tmp_path: Path) -> None:
    write_ledger(tmp_path)
    sold = read_retail(tmp_path)

    case = make_case(sold, Split("", [1, 1]), stock=0.5)

    asked = sum(event.units for event in case.events)
    assert sum(supply.units for supply in case.supplies) == pytest.approx(asked / 2, abs=2)
    assert all(event.day < case.begin for event in case.before)
    assert {supply.day % 7 for supply in case.supplies} == {case.begin % 7}


@pytest.mark.capability("V6")
def test_where_shops_sell_different_things_demand_beats_the_fixed_ratio_at_equal_stock(
    tmp_path: Path,
) -> None:
    write_ledger(tmp_path)
    case = make_case(read_retail(tmp_path), Split("", [1, 1], seed=1), stock=0.9)

    outcomes = {outcome.policy: outcome for outcome in run_backtest(case, usual_policies(case))}

    assert len({(outcome.units, outcome.lines) for outcome in outcomes.values()}) == 1
    assert outcomes["demand, exclusive"].lost_units < outcomes["ratio"].lost_units
    assert outcomes["demand, the rest shared"].lost_units < outcomes["ratio"].lost_units


def test_the_command_prints_the_comparison(tmp_path: Path) -> None:
    write_ledger(tmp_path)
    out, table = StringIO(), StringIO()

    call_command("backtest", file=tmp_path, shops=2, stock="0.9,1", json=True, stdout=out)
    call_command("backtest", file=tmp_path, weights="60,40", ends="40,60", stdout=table)

    results = json.loads(out.getvalue())
    assert [result["stock"] for result in results] == [0.9, 1.0]
    assert results[0]["outcomes"][0]["policy"] == "ratio"
    assert "all shared" in table.getvalue()
    with pytest.raises(CommandError):
        call_command("backtest", file=tmp_path / "nowhere")
    with pytest.raises(CommandError):
        call_command("backtest")


NOW = datetime(2026, 3, 20, 4, tzinfo=UTC)


class House:
    """Two shops share 20 units by a fixed ratio; all of the demand comes to the first."""

    def __init__(self) -> None:
        self.scene = Scene()
        group = self.scene.location.group
        self.group = group
        self.first: Shop = self.scene.shop
        self.second = shop_drawing_on(group)
        for shop in (self.first, self.second):
            QuotaRule.objects.create(group=group, shop=shop, mode="exclusive", quota_ratio=HALF)
        put_stock(self.scene.location, self.scene.sku, 20, at=NOW - timedelta(days=40))
        for n in range(20, 0, -1):
            self.ask(1, at=NOW - timedelta(days=n))
        roll_up_demand(days=41, at=NOW)

    def ask(self, units: int, *, at: datetime) -> None:
        demand = Demand(self.scene.demand().line_key, self.first.pk, self.scene.sku.pk, units)
        reserve_stock(wanted=[demand], at=at, by="test")

    def replay(self, **proposed: Any) -> dict[str, Any]:
        job = start_backtest(group_id=self.group.pk, days=10, proposed=proposed, at=NOW, by="user:1")
        claimed = claim_job(at=NOW, job_id=job.pk)
        assert claimed is not None
        done = run_job(job=claimed, works=JOBS)
        assert (done.kind, done.state) == (BACKTEST, Job.State.DONE), done.message
        result: dict[str, Any] = done.result
        return result


@pytest.mark.django_db
@pytest.mark.capability("V6")
@pytest.mark.usefixtures("broken_on_purpose")  # its rules were entered behind the back of what shops draw on
def test_the_houses_own_demand_is_replayed_against_the_present_and_a_proposed_policy() -> None:
    house = House()

    result = house.replay(method="demand", every_days=1)

    present, proposed, shared = result["outcomes"]
    # 20 units came, 10 were sold before the ten days that are replayed; each shop has 5 of the other 10.
    assert (present["policy"], present["units"], present["lost_units"]) == ("present", 10, 5)
    assert proposed["lost_units"] == 0
    assert shared["lost_units"] == 0
    assert (result["days"], result["skus"], result["stock_units"]) == (10, 1, 10)
    assert sorted(result["shops"]) == sorted([house.first.code, house.second.code])


@pytest.mark.django_db
@pytest.mark.usefixtures("broken_on_purpose")  # its rules were entered behind the back of what shops draw on
def test_the_present_policy_is_what_rules_and_rebalancing_say() -> None:
    house = House()
    QuotaRule.objects.create(
        group=house.group, shop=house.first, sku=house.scene.sku, mode="exclusive", quota_ratio=Decimal(".9")
    )
    QuotaRule.objects.create(
        group=house.group, shop=house.second, sku=house.scene.sku, mode="exclusive", quota_ratio=Decimal(".1")
    )

    by_rule = house.replay(
        method="ratio", every_days=0, ratios={house.first.code: ".2", house.second.code: ".8"}
    )
    RebalancePolicy.objects.create(group=house.group, method=AllocationMethod.DEMAND, every_minutes=1440)
    rebalanced = house.replay(method="none", mode="shared")

    assert [row["lost_units"] for row in by_rule["outcomes"][:2]] == [1, 8]
    assert [row["lost_units"] for row in rebalanced["outcomes"]] == [0, 0, 0]


@pytest.mark.django_db
@pytest.mark.usefixtures("broken_on_purpose")  # its rules were entered behind the back of what shops draw on
def test_shops_without_a_rule_share_everything() -> None:
    house = House()
    QuotaRule.objects.filter(shop=house.first).delete()

    present = house.replay()["outcomes"][0]

    # the second shop is granted its half of 10, the first draws on the rest
    assert present["lost_units"] == 5


@pytest.mark.django_db
@pytest.mark.parametrize(
    "proposed",
    [
        {"method": "magic"},
        {"service_level": 2},
        {"every_days": -1},
        {"horizon_days": 0},
        {"ratios": {"nobody": ".5"}},
        {"ratios": {"nobody": "a"}},
        {"ratios": [1]},
        {"minimum": -1},
    ],
)
def test_a_proposal_that_means_nothing_is_refused(proposed: dict[str, Any]) -> None:
    scene = Scene()

    with pytest.raises(BadProposal):
        start_backtest(group_id=scene.location.group_id, days=7, proposed=proposed, at=NOW, by="user:1")
    with pytest.raises(BadProposal):
        start_backtest(group_id=scene.location.group_id, days=0, proposed={}, at=NOW, by="user:1")
    with pytest.raises(BadProposal):
        start_backtest(group_id=0, days=7, proposed={}, at=NOW, by="user:1")
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_the_command_replays_a_group() -> None:
    scene = Scene(units=10)
    out = StringIO()

    call_command("backtest", group=scene.location.group.code, days=3, json=True, stdout=out)

    [result] = json.loads(out.getvalue())
    assert [row["policy"] for row in result["outcomes"]] == ["present", "proposed", "all shared"]
    assert result["skus"] == 0
    with pytest.raises(CommandError):
        call_command("backtest", group="nowhere")
