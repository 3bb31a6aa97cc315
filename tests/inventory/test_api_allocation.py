"""Allocations, promotion locks and units being taken back, as machines see and start them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inventory.models import AllocationRun, PromotionLock, Revocation
from tests.factories.api import Caller
from tests.factories.quota import Market, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def market() -> Market:
    return Market(150)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def start(market: Market, caller: Caller, **body: Any) -> dict[str, Any]:
    answer = caller.post("allocation-runs", {"group": market.location.group.code, "method": "ratio", **body})
    assert answer.status_code == 201, answer.content
    work()
    run: dict[str, Any] = caller.get(f"allocation-runs/{answer.json()['id']}").json()
    return run


@pytest.mark.capability("V5")
def test_a_run_is_started_looked_at_applied_and_undone(market: Market, caller: Caller) -> None:
    run = start(market, caller, skus=[market.sku.code], reason="spring")
    assert (run["state"], run["units_planned"], run["reason"]) == ("planned", 150, "spring")

    lines = caller.get(f"allocation-runs/{run['id']}/lines").json()["results"]
    own = next(line for line in lines if line["shop"] == market.shops["A"].code)
    assert (own["before"], own["after"], own["reason"]) == (0, 45, "30 % of 150 units.")
    assert own["inputs"]["supply"] == 150

    assert caller.post(f"allocation-runs/{run['id']}/apply", {}).status_code == 200
    work()
    assert market.quotas() == {"A": 45, "B": 30, "C": 30, "D": 45}
    again = caller.post(f"allocation-runs/{run['id']}/apply", {})
    assert (again.status_code, again.json()["code"]) == (409, "not_to_apply")

    undone = caller.post(f"allocation-runs/{run['id']}/undo", {"reason": "a mistake"})
    assert undone.status_code == 200
    work()
    market.settle()
    assert market.pool("shared") == (150, 0)


@pytest.mark.capability("V4")
def test_quotas_are_set_by_hand_and_a_run_is_dropped(market: Market, caller: Caller) -> None:
    target = {"sku": market.sku.code, "shop": market.shops["A"].code, "units": 30}
    run = start(market, caller, method="hand", targets=[target])

    dropped = caller.post(f"allocation-runs/{run['id']}/drop", {"reason": "no"})

    assert (dropped.status_code, dropped.json()["state"]) == (200, "dropped")
    assert [row["id"] for row in caller.get("allocation-runs?state=dropped").json()["results"]] == [run["id"]]
    assert market.quotas()["A"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"group": "nowhere"}, "group"),
        ({"skus": ["nothing"]}, "skus"),
        ({"brand": "nobody"}, "brand"),
        ({"category": "nothing"}, "category"),
        ({"method": "hand"}, "targets"),
        ({"method": "magic"}, "method"),
        ({"method": "demand", "days": 0}, "days"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_makes_no_sense_is_refused(
    market: Market, caller: Caller, body: dict[str, Any], field: str
) -> None:
    answer = caller.post("allocation-runs", {"group": market.location.group.code, "method": "ratio", **body})

    assert answer.status_code == 400
    assert field in answer.json()["fields"]
    assert not AllocationRun.objects.exists()


def test_who_sees_one_shop_reads_its_lines_and_moves_nothing(market: Market, caller: Caller) -> None:
    run = start(market, caller)
    limited = Caller(market.shops["A"])
    other = Market(0, ratios={"A": None}).shops["A"]

    lines = limited.get(f"allocation-runs/{run['id']}/lines").json()["results"]
    answers = [
        limited.post(f"allocation-runs/{run['id']}/apply", {}),
        limited.post("allocation-runs", {"group": market.location.group.code, "method": "ratio"}),
    ]

    assert [line["shop"] for line in lines] == [market.shops["A"].code]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "not_all_of_it")] * 2
    assert Caller(other).get(f"allocation-runs/{run['id']}").status_code == 404
    assert market.quotas()["A"] == 0


def test_a_key_that_may_only_read_starts_nothing(market: Market) -> None:
    reader = Caller(scopes=frozenset({"stock:read"}))

    answer = reader.post("allocation-runs", {"group": market.location.group.code, "method": "ratio"})

    assert answer.status_code == 403
    assert reader.get("allocation-runs").status_code == 200


def lock_body(market: Market, **changes: Any) -> dict[str, Any]:
    now = timezone.now()
    return {
        "code": "nine",
        "name": "Nine",
        "group": market.location.group.code,
        "shops": [market.shops["A"].code],
        "starts_at": (now - timedelta(minutes=1)).isoformat(),
        "ends_at": (now + timedelta(hours=2)).isoformat(),
        "lines": [{"sku": market.sku.code, "quantity": 55}],
        **changes,
    }


@pytest.mark.capability("V8")
def test_a_promotion_is_planned_changed_and_cancelled(market: Market, caller: Caller) -> None:
    body = lock_body(market)
    made = caller.post("promotion-locks", body)
    assert (made.status_code, made.json()["state"]) == (201, "active")
    assert market.pool("lock", "nine") == (55, 0)

    more = {**body, "lines": [{"sku": market.sku.code, "quantity": 60}]}
    assert caller.post("promotion-locks", more).status_code == 200
    [line] = caller.get("promotion-locks/nine/lines").json()["results"]
    assert line == {"sku": market.sku.code, "quantity": 60, "granted": 60, "returned": 0}

    ended = caller.post("promotion-locks/nine/cancel", {"reason": "over"})
    assert (ended.status_code, ended.json()["state"]) == (200, "cancelled")
    market.settle()
    assert market.pool("shared") == (150, 0)


@pytest.mark.capability("V8")
def test_a_promotion_that_makes_no_sense_or_is_somebody_elses_is_refused(
    market: Market, caller: Caller
) -> None:
    past = caller.post("promotion-locks", lock_body(market, ends_at="2020-01-01T00:00:00+08:00"))
    assert (past.status_code, past.json()["code"]) == (400, "bad_lock")
    twice = [{"sku": market.sku.code, "quantity": 1}] * 2
    assert caller.post("promotion-locks", lock_body(market, lines=twice)).status_code == 400
    assert not PromotionLock.objects.exists()

    caller.post("promotion-locks", lock_body(market, shops=[shop.code for shop in market.shops.values()]))
    limited = Caller(market.shops["A"])
    answer = limited.post("promotion-locks/nine/cancel", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_all_of_it")
    assert limited.get("promotion-locks/nine").json()["shops"] == [market.shops["A"].code]


@pytest.mark.capability("V12")
def test_units_being_taken_back_are_shown_and_may_be_forced_with_a_reason(
    market: Market, caller: Caller
) -> None:
    market.grant({"A": 60})
    market.list_everywhere()
    market.grant({"A": 40})

    [row] = caller.get(f"revocations?shop={market.shops['A'].code}&state=telling").json()["results"]
    assert (row["sku"], row["quantity"], row["arrived"], row["to_kind"]) == (market.sku.code, 20, 0, "shared")
    assert Caller(market.shops["B"]).get("revocations").json()["results"] == []
    assert caller.post(f"revocations/{row['id']}/force", {}).status_code == 400
    forced = caller.post(f"revocations/{row['id']}/force", {"reason": "the shop is closed"})

    assert (forced.status_code, forced.json()["state"], forced.json()["arrived"]) == (200, "forced", 20)
    assert Revocation.objects.get().state == "forced"
    assert market.pool("shared") == (110, 0)


def test_each_list_takes_a_fixed_number_of_statements(
    market: Market, caller: Caller, django_assert_num_queries: Any
) -> None:
    run = start(market, caller)
    caller.post("promotion-locks", lock_body(market))

    for path, statements in (
        ("allocation-runs", 2),
        (f"allocation-runs/{run['id']}/lines", 3),
        ("promotion-locks", 3),
        ("promotion-locks/nine/lines", 4),
        ("revocations", 2),
    ):
        caller.get(path)
        with django_assert_num_queries(statements):
            caller.get(path)
