"""Two approvals, or an approval and a floor, at the same moment: raced for by real connections."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError

from products.models import Price
from products.prices import lock
from products.prices.ask import ask_for_prices
from products.prices.decide import approve_prices
from products.prices.set_floor import NewFloor, set_floors
from tests.factories.prices import BOSS, BUYER, DAY, NOON, draft_of
from tests.factories.products import SkuFactory
from tests.inventory.races import must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("P11")]

ROUNDS = 6


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    """The bells would only slow the race down."""
    settings.OMNI_DOORBELL = False


@pytest.fixture
def no_sku_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SKUs are read without being held."""
    monkeypatch.setattr(lock, "LOCK_SKUS", lock.LOCK_SKUS.replace("FOR NO KEY UPDATE", ""))


def ask(count: int) -> tuple[int, list[int]]:
    """So many special prices of one SKU for the same days."""
    sku = SkuFactory.create()
    drafts = [
        draft_of(sku, 90 + n, kind="special", starts_at=NOON + DAY, ends_at=NOON + 2 * DAY)
        for n in range(count)
    ]
    outcomes = ask_for_prices(drafts=drafts, reason="", at=NOON, by=BUYER)
    return sku.pk, [outcome.price_id or 0 for outcome in outcomes]


def approve(ident: int) -> str:
    [outcome] = approve_prices(price_ids=[ident], may_approve_own=False, at=NOON, by=BOSS)
    return outcome.code or "ok"


def eight_approvers() -> None:
    for _ in range(ROUNDS):
        _sku, idents = ask(8)

        results = run_together([partial(approve, ident) for ident in idents])

        assert sorted(results) == ["ok"] + ["overlaps"] * 7
        assert Price.objects.filter(pk__in=idents, state="approved").count() == 1


def floor_against_approvals() -> None:
    """Whoever comes second knows of the first: the floor reports the price, or the approval is refused."""
    for _ in range(ROUNDS * 2):
        sku_id, idents = ask(2)
        floor = NewFloor(sku_id, Decimal(100), "CNY", NOON + timedelta(hours=1))

        def raise_floor(floor: NewFloor = floor) -> set[int]:
            below = set_floors(floors=[floor], reason="", at=NOON, by=BOSS)
            return {row.price_id for row in below}

        jobs: list[Callable[[], Any]] = [*(partial(approve, ident) for ident in idents), raise_floor]
        [reported] = [result for result in run_together(jobs) if isinstance(result, set)]

        approved = Price.objects.filter(pk__in=idents, state="approved")
        assert set(approved.values_list("pk", flat=True)) == reported


def test_of_eight_approvals_of_the_same_days_one_is_taken_and_seven_say_why() -> None:
    eight_approvers()


def test_without_the_lock_the_constraint_would_refuse_them_rudely(no_sku_lock: None) -> None:
    with pytest.raises(IntegrityError, match="no_two_prices_of_one_scope_overlap"):
        eight_approvers()


def test_a_floor_and_an_approval_never_miss_each_other() -> None:
    floor_against_approvals()


def test_without_the_lock_they_would(no_sku_lock: None) -> None:
    must_break(floor_against_approvals)
