"""A price is asked for, approved by somebody else, holds from its time on, and lies below no floor."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from omni.kernel.models import AuditEntry
from products.models import Price, PriceChange, Shop, Sku
from products.prices.ask import ask_for_prices, draft_prices, submit_prices
from products.prices.decide import ReasonMissing, approve_prices, reject_prices, withdraw_prices
from products.prices.effective import effective_prices
from products.prices.faults import PriceDraft
from products.prices.floors import approved_below_floor
from products.prices.outcome import PriceOutcome
from products.prices.set_floor import BadFloor, NewFloor, set_floors
from products.prices.states import NEXT, PriceState
from tests.factories.prices import BOSS, BUYER, DAY, NOON, approved, asked, draft_of, put_floor
from tests.factories.products import ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P11")]


@pytest.fixture
def sku() -> Sku:
    return SkuFactory.create(list_price=Decimal(129))


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create()


def amount_of(shop: Shop, sku: Sku, at: datetime) -> Decimal | None:
    return effective_prices(shop_ids=[shop.pk], sku_ids=[sku.pk], at=at)[shop.pk, sku.pk].amount


def approve(*prices: Price, by: str = BOSS, at: datetime = NOON, own: bool = False) -> list[PriceOutcome]:
    return approve_prices(price_ids=[price.pk for price in prices], may_approve_own=own, at=at, by=by)


def codes(outcomes: list[PriceOutcome]) -> list[str]:
    return [outcome.code or "ok" for outcome in outcomes]


# --- asking ---


def test_a_price_holds_from_its_approval_on_and_says_who_wanted_it_and_who_approved_it(
    shop: Shop, sku: Sku
) -> None:
    price = asked(sku, 99, shop=shop)
    assert amount_of(shop, sku, NOON) == 129

    [outcome] = approve(price)

    price.refresh_from_db()
    assert outcome == PriceOutcome(price.pk, ok=True)
    assert amount_of(shop, sku, NOON) == 99
    assert (price.state, price.requested_by, price.decided_by, price.decided_at) == (
        "approved",
        BUYER,
        BOSS,
        NOON,
    )
    acts = AuditEntry.objects.filter(object_kind="products.price", object_id=str(price.pk)).order_by("id")
    assert [(act.action, act.by) for act in acts] == [("price.submitted", BUYER), ("price.approved", BOSS)]


def test_a_price_never_held_before_it_was_approved(shop: Shop, sku: Sku) -> None:
    price = asked(sku, 99, starts_at=NOON - 3 * DAY)

    approve(price)

    assert amount_of(shop, sku, NOON - DAY) == 129
    assert amount_of(shop, sku, NOON) == 99


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ends_at": NOON - DAY}, "ends_before_start"),
        ({"ends_at": NOON}, "ends_before_start"),
        ({"starts_at": NOON - 3 * DAY, "ends_at": NOON - DAY}, "is_over"),
        ({"kind": "special"}, "no_end"),
        ({"amount": Decimal(0)}, "bad_amount"),
        ({"amount": Decimal(-5)}, "bad_amount"),
        ({"amount": Decimal("9.999")}, "bad_amount"),
        ({"amount": Decimal("1e30")}, "bad_amount"),
        ({"amount": Decimal("99.5"), "currency": "JPY"}, "bad_amount"),
        ({"sku_id": 0}, "unknown_sku"),
        ({"shop_id": 0}, "unknown_shop"),
    ],
)
def test_a_bad_draft_is_refused_alone_with_its_reason(sku: Sku, change: dict[str, object], code: str) -> None:
    bad = replace(draft_of(sku, 99), **change)  # type: ignore[arg-type]

    outcomes = ask_for_prices(drafts=[bad, draft_of(sku, 88)], reason="", at=NOON, by=BUYER)

    assert codes(outcomes) == [code, "ok"]
    assert outcomes[0].detail
    assert list(Price.objects.values_list("amount", "state")) == [(Decimal(88), "submitted")]


def test_a_price_of_a_shop_is_in_its_money_and_one_of_a_channel_is_of_one_that_there_is(
    shop: Shop, sku: Sku
) -> None:
    drafts = [
        draft_of(sku, 99, shop=shop, currency="USD"),
        draft_of(sku, 99, shop=shop, channel="top"),
        draft_of(sku, 99, channel="tpo"),
    ]

    outcomes = draft_prices(drafts=drafts, reason="", at=NOON, by=BUYER)

    assert codes(outcomes) == ["wrong_currency", "two_scopes", "unknown_channel"]
    assert not Price.objects.exists()


# --- deciding ---


def test_whoever_asked_does_not_approve_unless_they_may(sku: Sku) -> None:
    price = asked(sku, 99)

    assert codes(approve(price, by=BUYER)) == ["own_price"]
    price.refresh_from_db()
    assert price.state == "submitted"

    assert codes(approve(price, by=BUYER, own=True)) == ["ok"]


def test_a_rejected_price_keeps_the_reason_and_never_holds(shop: Shop, sku: Sku) -> None:
    price = asked(sku, 99)

    reject_prices(price_ids=[price.pk], reason="too cheap", at=NOON, by=BOSS)

    price.refresh_from_db()
    assert (price.state, price.decision, price.decided_by) == ("rejected", "too cheap", BOSS)
    assert amount_of(shop, sku, NOON) == 129
    assert codes(approve(price)) == ["wrong_state"]


def test_refusing_and_taking_back_need_a_word_why(sku: Sku) -> None:
    price = asked(sku, 99)

    for act in (reject_prices, withdraw_prices):
        with pytest.raises(ReasonMissing):
            act(price_ids=[price.pk], reason=" ", at=NOON, by=BOSS)

    price.refresh_from_db()
    assert price.state == "submitted"


def in_state(sku: Sku, state: PriceState) -> Price:
    """A scheduled price in this state, by the way that leads there."""
    [outcome] = draft_prices(drafts=[draft_of(sku, 99, starts_at=NOON + DAY)], reason="", at=NOON, by=BUYER)
    ids = [outcome.price_id or 0]
    if state in (PriceState.SUBMITTED, PriceState.APPROVED, PriceState.REJECTED):
        submit_prices(price_ids=ids, at=NOON, by=BUYER)
    if state == PriceState.APPROVED:
        approve_prices(price_ids=ids, may_approve_own=False, at=NOON, by=BOSS)
    if state == PriceState.REJECTED:
        reject_prices(price_ids=ids, reason="no", at=NOON, by=BOSS)
    if state == PriceState.WITHDRAWN:
        withdraw_prices(price_ids=ids, reason="no", at=NOON, by=BUYER)
    price = Price.objects.get(pk=outcome.price_id or 0)
    assert price.state == state
    return price


@pytest.mark.parametrize("before", list(PriceState))
@pytest.mark.parametrize("after", [state for state in PriceState if state != PriceState.DRAFT])
def test_a_price_goes_only_the_ways_of_its_table(sku: Sku, before: PriceState, after: PriceState) -> None:
    price = in_state(sku, before)
    acts = {
        PriceState.SUBMITTED: lambda: submit_prices(price_ids=[price.pk], at=NOON, by=BUYER),
        PriceState.APPROVED: lambda: approve(price),
        PriceState.REJECTED: lambda: reject_prices(price_ids=[price.pk], reason="no", at=NOON, by=BOSS),
        PriceState.WITHDRAWN: lambda: withdraw_prices(price_ids=[price.pk], reason="no", at=NOON, by=BOSS),
    }

    [outcome] = acts[after]()

    price.refresh_from_db()
    if after in NEXT[before]:
        assert (outcome.ok, price.state) == (True, after)
    else:
        assert (outcome.code, price.state) == ("wrong_state", before)


def test_a_batch_answers_row_by_row_and_names_what_is_not_there(sku: Sku) -> None:
    good, own = asked(sku, 99), asked(sku, 98, channel="top")
    Price.objects.filter(pk=own.pk).update(requested_by=BOSS)

    outcomes = approve_prices(price_ids=[own.pk, 10**9, good.pk], may_approve_own=False, at=NOON, by=BOSS)

    assert codes(outcomes) == ["own_price", "not_found", "ok"]
    assert [outcome.price_id for outcome in outcomes] == [own.pk, 10**9, good.pk]


# --- one after the other ---


def test_a_regular_price_ends_the_one_before_it(shop: Shop, sku: Sku) -> None:
    old = approved(sku, 99)
    new = approved(sku, 109, starts_at=NOON + 5 * DAY)

    old.refresh_from_db()
    assert (old.ends_at, old.succeeded_by_id) == (new.starts_at, new.pk)
    assert amount_of(shop, sku, NOON + 4 * DAY) == 99
    assert amount_of(shop, sku, NOON + 5 * DAY) == 109


def test_a_regular_price_between_two_takes_its_place_in_the_line(shop: Shop, sku: Sku) -> None:
    approved(sku, 99)
    approved(sku, 109, starts_at=NOON + 10 * DAY)

    approved(sku, 105, starts_at=NOON + 5 * DAY)

    days = (4, 5, 9, 10)
    assert [amount_of(shop, sku, NOON + day * DAY) for day in days] == [99, 105, 105, 109]


def test_a_scheduled_price_that_is_withdrawn_gives_the_time_back(shop: Shop, sku: Sku) -> None:
    first = approved(sku, 99)
    second = approved(sku, 105, starts_at=NOON + 5 * DAY)
    third = approved(sku, 109, starts_at=NOON + 10 * DAY)

    withdraw_prices(price_ids=[second.pk], reason="not now", at=NOON + DAY, by=BOSS)

    first.refresh_from_db()
    assert (first.ends_at, first.succeeded_by_id) == (third.starts_at, third.pk)
    assert amount_of(shop, sku, NOON + 7 * DAY) == 99
    withdraw_prices(price_ids=[third.pk], reason="not now", at=NOON + DAY, by=BOSS)
    assert amount_of(shop, sku, NOON + 100 * DAY) == 99


def test_a_whole_line_that_is_withdrawn_together_gives_all_its_time_back(shop: Shop, sku: Sku) -> None:
    first = approved(sku, 99)
    later = [approved(sku, 100 + n, starts_at=NOON + n * DAY) for n in (5, 10, 15)]

    withdraw_prices(price_ids=[price.pk for price in later], reason="not now", at=NOON + DAY, by=BOSS)

    first.refresh_from_db()
    assert (first.ends_at, first.succeeded_by_id) == (None, None)


def test_prices_of_one_batch_follow_each_other_too(shop: Shop, sku: Sku) -> None:
    later, sooner = asked(sku, 109, starts_at=NOON + 5 * DAY), asked(sku, 99)

    assert codes(approve(later, sooner)) == ["ok", "ok"]

    assert [amount_of(shop, sku, NOON + day * DAY) for day in (0, 5)] == [99, 109]


def test_what_is_withdrawn_while_it_holds_ends_now_and_stays_known(shop: Shop, sku: Sku) -> None:
    price = approved(sku, 99)

    [outcome] = withdraw_prices(price_ids=[price.pk], reason="mistake", at=NOON + DAY, by=BOSS)

    price.refresh_from_db()
    assert (outcome.ok, price.state, price.ends_at) == (True, "approved", NOON + DAY)
    assert amount_of(shop, sku, NOON + DAY / 2) == 99
    assert amount_of(shop, sku, NOON + DAY) == 129
    assert AuditEntry.objects.get(action="price.ended").reason == "mistake"
    again = withdraw_prices(price_ids=[price.pk], reason="mistake", at=NOON + 2 * DAY, by=BOSS)
    assert codes(again) == ["is_over"]


def test_special_prices_that_overlap_are_refused_and_the_other_is_named(sku: Sku) -> None:
    first = approved(sku, 79, kind="special", ends_at=NOON + 3 * DAY)
    inside = asked(sku, 69, kind="special", starts_at=NOON + 2 * DAY, ends_at=NOON + 4 * DAY)
    after = asked(sku, 69, kind="special", starts_at=NOON + 3 * DAY, ends_at=NOON + 4 * DAY)

    refusal, taken = approve(inside, after)

    assert (refusal.code, taken.ok) == ("overlaps", True)
    assert f"#{first.pk}" in refusal.detail
    inside.refresh_from_db()
    assert inside.state == "submitted"


def test_a_regular_price_with_an_end_is_not_overlapped(sku: Sku) -> None:
    approved(sku, 99, ends_at=NOON + 5 * DAY)

    over = [
        asked(sku, 89, starts_at=NOON + DAY),
        asked(sku, 89, starts_at=NOON + DAY, ends_at=NOON + 2 * DAY),
    ]

    assert codes(approve(*over)) == ["overlaps", "overlaps"]
    assert codes(approve(asked(sku, 89, starts_at=NOON + 5 * DAY))) == ["ok"]


def test_the_database_itself_refuses_two_prices_at_one_time(sku: Sku) -> None:
    price = approved(sku, 99)
    other = asked(sku, 98, channel="top")

    with pytest.raises(IntegrityError, match="no_two_prices_of_one_scope_overlap"), transaction.atomic():
        Price.objects.filter(pk=other.pk).update(channel="", state="approved", decided_at=NOON)
    with pytest.raises(IntegrityError, match="a_price_ends_after_it_starts"), transaction.atomic():
        Price.objects.filter(pk=price.pk).update(ends_at=price.starts_at)


# --- which one holds ---


def test_the_most_specific_price_wins_and_a_special_one_within_its_scope(shop: Shop, sku: Sku) -> None:
    steps = [
        (approved(sku, 120), 120),
        (approved(sku, 119, kind="special", ends_at=NOON + DAY), 119),
        (approved(sku, 118, channel="top"), 118),
        (approved(sku, 117, channel="top", kind="special", ends_at=NOON + DAY), 117),
        (approved(sku, 116, shop=shop), 116),
        (approved(sku, 115, shop=shop, kind="special", ends_at=NOON + DAY), 115),
    ]

    for price, amount in reversed(steps):
        assert amount_of(shop, sku, NOON) == amount
        Price.objects.filter(pk=price.pk).update(state="withdrawn")
    assert amount_of(shop, sku, NOON) == 129


def test_prices_of_other_shops_channels_and_moneys_do_not_concern_a_shop(shop: Shop, sku: Sku) -> None:
    approved(sku, 99, shop=ShopFactory.create())
    approved(sku, 98, channel="medusa")
    approved(sku, 97, currency="USD")

    assert amount_of(shop, sku, NOON) == 129
    abroad = ShopFactory.create(currency="USD")
    assert amount_of(abroad, sku, NOON) == 97
    assert amount_of(abroad, SkuFactory.create(list_price=Decimal(5)), NOON) is None


def test_many_shops_and_skus_are_answered_in_one_statement(django_assert_num_queries: object) -> None:
    shops = [ShopFactory.create() for _ in range(3)]
    skus = [SkuFactory.create(list_price=Decimal(10)) for _ in range(3)]
    approved(skus[1], 9, shop=shops[2])

    with django_assert_num_queries(1):  # type: ignore[operator]
        found = effective_prices(
            shop_ids=[shop.pk for shop in shops], sku_ids=[sku.pk for sku in skus], at=NOON
        )

    amounts = {pair: price.amount for pair, price in found.items()}
    assert amounts.pop((shops[2].pk, skus[1].pk)) == 9
    assert set(amounts.values()) == {10}
    assert len(amounts) == 8


# --- floors ---


def test_a_price_below_the_floor_is_refused_when_it_is_submitted(sku: Sku) -> None:
    put_floor(sku, 100)

    [refusal] = ask_for_prices(drafts=[draft_of(sku, 99)], reason="", at=NOON, by=BUYER)
    [taken] = ask_for_prices(drafts=[draft_of(sku, 100)], reason="", at=NOON, by=BUYER)

    assert (refusal.code, taken.ok) == ("below_floor", True)
    assert "100.00" in refusal.detail
    assert Price.objects.get(pk=refusal.price_id or 0).state == "draft"


def test_a_floor_that_was_raised_meanwhile_blocks_the_approval(shop: Shop, sku: Sku) -> None:
    price = asked(sku, 99)
    put_floor(sku, 100)

    assert codes(approve(price)) == ["below_floor"]
    assert amount_of(shop, sku, NOON) == 129


def test_a_floor_that_begins_within_the_period_blocks_and_one_that_ended_before_does_not(sku: Sku) -> None:
    put_floor(sku, 100, since=NOON + 5 * DAY)

    def submit(**given: Any) -> str:
        [outcome] = ask_for_prices(drafts=[draft_of(sku, 99, **given)], reason="", at=NOON, by=BUYER)
        return outcome.code or "ok"

    assert submit() == "below_floor"
    assert submit(ends_at=NOON + 5 * DAY) == "ok"
    assert submit(starts_at=NOON + 6 * DAY) == "below_floor"
    put_floor(sku, 0, since=NOON + 6 * DAY)
    assert submit(starts_at=NOON + 6 * DAY) == "ok"


def test_a_floor_that_rises_later_keeps_approved_prices_from_holding_and_reports_them(
    shop: Shop, sku: Sku
) -> None:
    regular = approved(sku, 110)
    scheduled = approved(sku, 79, shop=shop, kind="special", starts_at=NOON + 5 * DAY, ends_at=NOON + 6 * DAY)

    floor = NewFloor(sku.pk, Decimal(100), "CNY", NOON + DAY)
    reported = set_floors(floors=[floor], reason="contract", at=NOON, by=BOSS)

    assert [(row.price_id, row.amount, row.floor) for row in reported] == [
        (scheduled.pk, Decimal(79), Decimal(100))
    ]
    assert amount_of(shop, sku, NOON + 5 * DAY) == 110
    assert approved_below_floor(at=NOON) == reported
    assert approved_below_floor(at=NOON + 7 * DAY) == []
    put_floor(sku, 111, since=NOON + 2 * DAY)
    assert {row.price_id for row in approved_below_floor(at=NOON)} == {scheduled.pk, regular.pk}
    assert amount_of(shop, sku, NOON + 5 * DAY) == 129


def test_below_the_floor_there_is_no_price_at_all(shop: Shop, sku: Sku) -> None:
    put_floor(sku, 200)

    assert amount_of(shop, sku, NOON) is None
    assert amount_of(shop, sku, NOON - DAY) == 129


def test_a_floor_is_no_less_than_nothing_and_in_whole_cents(sku: Sku) -> None:
    for amount in ("-1", "9.999"):
        with pytest.raises(BadFloor):
            put_floor(sku, amount)


def test_a_floor_set_for_the_past_holds_from_now_on(shop: Shop, sku: Sku) -> None:
    put_floor(sku, 200, since=NOON - 5 * DAY)

    assert amount_of(shop, sku, NOON - DAY) == 129
    assert amount_of(shop, sku, NOON) is None


# --- what the planner must look at ---


def test_every_start_and_end_is_noted_for_the_planner(sku: Sku) -> None:
    price = asked(sku, 79, kind="special", starts_at=NOON + DAY, ends_at=NOON + 2 * DAY)
    assert not PriceChange.objects.exists()

    approve(price)

    moments = PriceChange.objects.order_by("due_at").values_list("sku_id", "due_at")
    assert list(moments) == [(sku.pk, NOON + DAY), (sku.pk, NOON + 2 * DAY)]


def test_a_batch_costs_the_same_statements_however_long_it_is(django_assert_max_num_queries: object) -> None:
    skus = [SkuFactory.create() for _ in range(30)]
    drafts: list[PriceDraft] = [draft_of(sku, 9) for sku in skus]

    with django_assert_max_num_queries(16):  # type: ignore[operator]
        asked_for = ask_for_prices(drafts=drafts, reason="", at=NOON, by=BUYER)
    idents = [outcome.price_id or 0 for outcome in asked_for]
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        outcomes = approve_prices(price_ids=idents, may_approve_own=False, at=NOON, by=BOSS)

    assert all(outcome.ok for outcome in outcomes)
