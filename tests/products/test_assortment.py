"""Rules say what shops sell: worked out and looked at first, then done line by line, and never too much at once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from omni.kernel.answers import Answer
from omni.kernel.jobs import claim_job
from omni.kernel.models import AuditEntry, Job
from omni.kernel.sentences import read_sentence
from products.arrange import create_category
from products.assortment import apply as applying
from products.assortment import plan as planning
from products.assortment.apply import (
    NothingToApply,
    RunIsStale,
    WithdrawsTooMuch,
    WrongName,
    apply_assortment,
    confirm_withdrawals,
    start_apply,
)
from products.assortment.conditions import Wish
from products.assortment.define import BadRule, EmptyRule, RuleDraft, define_rule, stop_rules
from products.assortment.forget import forget_assortments
from products.assortment.plan import drop_assortment, open_due_windows, plan_assortment, start_assortment
from products.assortment.select import CatalogueDraft, ForeignShop, define_catalogue
from products.draft import ReasonMissing, approve_listings, submit_listings
from products.drift import CHECKS
from products.models import (
    AssortmentRow,
    AssortmentRule,
    AssortmentRun,
    AssortmentShop,
    Listing,
    ListingRequest,
    PlacedListing,
    Shop,
    Sku,
)
from products.request import EndsBeforeItStarts, claim_due_requests, record_request_answers
from tests.factories.assortment import BUYER, a_rule, applied, planned, work_off
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, ListingFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P8")]
BY: dict[str, Any] = {"at": NOON, "by": BUYER}
HOUR = timedelta(hours=1)


def a_sku(*tags: str, **values: Any) -> Sku:
    more = {name: values.pop(name) for name in ("list_price", "is_active", "code") if name in values}
    return SkuFactory.create(spu=SpuFactory.create(tags=list(tags), **values), **more)


def rows(run: AssortmentRun, shop: Shop | None = None) -> dict[Sku, str]:
    found = AssortmentRow.objects.filter(run=run).select_related("sku").order_by("id")
    return {row.sku: row.outcome for row in (found.filter(shop=shop) if shop else found)}


def row_of(run: AssortmentRun, sku: Sku) -> AssortmentRow:
    return AssortmentRow.objects.get(run=run, sku=sku)


def numbers(run: AssortmentRun, shop: Shop) -> dict[str, int]:
    found = AssortmentShop.objects.get(run=run, shop=shop)
    columns = ("drafts", "publishes", "withdraws", "held_back", "waiting", "kept")
    return {name: getattr(found, name) for name in columns if getattr(found, name)}


def listed(shop: Shop, sku: Sku, **values: Any) -> Listing:
    return ListingFactory.create(shop=shop, sku=sku, **{"state": "listed", **values})


def placed(shop: Shop, sku: Sku) -> Listing:
    """A listing that a rule brought into the shop."""
    listing = listed(shop, sku)
    run = AssortmentRun.objects.create(source="person", judged_at=NOON, created_by=BUYER, state="applied")
    PlacedListing.objects.create(listing=listing, run=run, placed_at=NOON)
    return listing


def yes_of_channel(shop: Shop) -> None:
    at = timezone.now()
    due = claim_due_requests(shop_id=shop.pk, limit=100, at=at)
    record_request_answers(answers=[Answer(line.request_id, ok=True) for line in due], at=at)


# --- what follows from the rules ----------------------------------------------------------------------------


def test_each_sku_comes_by_its_own_outcome() -> None:
    shop = ShopFactory.create()
    new, approved, off, on_sale, drafted, by_hand = (a_sku("gift") for _ in range(6))
    a_sku("none")
    publishable = listed(shop, approved, state="approved")
    reopened = listed(shop, off, state="delisted", state_by="assortment:1")
    listed(shop, on_sale)
    listed(shop, drafted, state="draft", outer_item_id=None)
    listed(shop, by_hand, state="delisted", state_by="user:9")
    a_rule(shop, tags=["gift"])

    run = planned(shop)

    assert rows(run) == {new: "draft", by_hand: "held_back", approved: "publish", off: "publish"}
    assert numbers(run, shop) == {"drafts": 1, "publishes": 2, "held_back": 1, "waiting": 1, "kept": 1}
    assert row_of(run, approved).listing == publishable
    assert row_of(run, off).listing == reopened
    assert not ListingRequest.objects.exists()


def test_the_rule_with_the_highest_priority_decides_and_of_equals_the_one_that_excludes() -> None:
    shop = ShopFactory.create()
    low, same, high = a_sku("low"), a_sku("same"), a_sku("high")
    everything: dict[str, Any] = {"tags": ["low", "same", "high"]}
    base = a_rule(shop, priority=50, **everything)
    below = a_rule(shop, priority=40, kind="exclude", tags=["low"])
    equal = a_rule(shop, priority=50, kind="exclude", tags=["same"])
    above = a_rule(shop, priority=60, kind="exclude", tags=["high"])
    for sku in (low, same, high):
        listed(shop, sku)

    run = planned(shop)

    assert rows(run) == {same: "withdraw", high: "withdraw"}
    assert numbers(run, shop) == {"withdraws": 2, "kept": 1}
    assert [(row_of(run, sku).rule, row_of(run, sku).rules) for sku in (same, high)] == [
        (equal, [equal.pk, base.pk]),
        (above, [above.pk, base.pk]),
    ]
    assert below.pk


def test_every_kind_of_condition_takes_part_and_a_price_is_asked_of_each_sku() -> None:
    shop, brand = ShopFactory.create(), BrandFactory.create()
    root = create_category(code="beauty", name="Beauty", parent_id=None, **BY)
    leaf = create_category(code="serum", name="Serum", parent_id=root.pk, **BY)
    spu = SpuFactory.create(brand=brand, category=leaf, tags=["gift"], season="26S")
    cheap, dear = (SkuFactory.create(spu=spu, list_price=Decimal(price)) for price in (50, 150))
    unlike: list[dict[str, Any]] = [
        {"category": None},
        {"tags": []},
        {"season": "25S"},
        {"brand": BrandFactory.create()},
    ]
    for values in unlike:
        given = {"brand": brand, "category": leaf, "tags": ["gift"], "season": "26S", **values}
        SkuFactory.create(spu=SpuFactory.create(**given), list_price=Decimal(150))
    rule = a_rule(
        shop,
        brand_id=brand.pk,
        category_id=root.pk,
        tags=["gift"],
        seasons=["26S"],
        price_from=Decimal(100),
    )
    wide = a_rule(shop, priority=1, kind="exclude", seasons=["26S"], tags=["gift"], brand_id=brand.pk)

    run = planned(shop)

    assert rows(run) == {dear: "draft"}
    assert row_of(run, dear).rules == [rule.pk, wide.pk]
    assert cheap not in rows(run)


def test_each_shop_has_the_rules_that_speak_for_it_and_the_skus_of_its_brand() -> None:
    brand = BrandFactory.create()
    own, free, silent = ShopFactory.create(brand=brand), ShopFactory.create(), ShopFactory.create()
    ours, theirs = a_sku("gift", brand=brand), a_sku("gift")
    a_rule(own, free, tags=["gift"])

    run = planned(own, free, silent)

    assert rows(run, own) == {ours: "draft"}
    assert rows(run, free) == {ours: "draft", theirs: "draft"}
    assert rows(run, silent) == {}


def test_a_rule_speaks_only_while_its_window_is_open() -> None:
    shop, sku = ShopFactory.create(), a_sku("gift")
    a_rule(shop, tags=["gift"], starts_at=NOON, ends_at=NOON + HOUR)

    found = [rows(planned(shop, at=NOON + moment)) for moment in (-HOUR, timedelta(), HOUR)]

    assert found == [{}, {sku: "draft"}, {}]


def test_what_the_catalogue_does_not_hold_is_not_brought_into_the_shop() -> None:
    shop = ShopFactory.create()
    inside, outside = a_sku("gift", "summer"), a_sku("gift")
    leaving, by_hand = placed(shop, a_sku("gift")), listed(shop, a_sku("gift"))
    draft = CatalogueDraft(code="s", name="S", wish=Wish(tags=["summer"]), shop_ids=[shop.pk])
    define_catalogue(draft=draft, **BY)
    a_rule(shop, tags=["gift"])

    run = planned(shop)

    assert rows(run) == {inside: "draft", leaving.sku: "withdraw"}
    assert row_of(run, leaving.sku).cause == "outside"
    assert outside not in rows(run)
    assert by_hand.sku not in rows(run)


def test_only_what_a_rule_brought_is_withdrawn_when_no_rule_wants_it_any_more() -> None:
    shop = ShopFactory.create()
    brought, by_hand, excluded, retired = (a_sku("old"), a_sku("old"), a_sku("bad"), a_sku("gift"))
    placed(shop, brought)
    listed(shop, by_hand)
    listed(shop, excluded)
    placed(shop, retired)
    Sku.objects.filter(pk=retired.pk).update(is_active=False)
    a_rule(shop, tags=["gift"])
    a_rule(shop, kind="exclude", tags=["bad"])

    run = planned(shop)

    assert rows(run) == {brought: "withdraw", excluded: "withdraw", retired: "withdraw"}
    assert [row_of(run, sku).cause for sku in (brought, excluded, retired)] == [
        "no_rule",
        "excluded",
        "inactive",
    ]


def test_what_was_asked_for_already_is_not_asked_for_again() -> None:
    shop, on, off = ShopFactory.create(), a_sku("gift"), a_sku("gift")
    listed(shop, on, state="approved")
    placed(shop, off)
    off.spu.tags = []
    off.spu.save()
    a_rule(shop, tags=["gift"])
    run = planned(shop)
    confirm_withdrawals(run_id=run.pk, shop_id=shop.pk, typed_name=shop.name, reason="over", **BY)
    start_apply(run_id=run.pk, **BY)
    work_off()
    assert ListingRequest.objects.count() == 2

    again = planned(shop)

    assert rows(again) == {}
    assert numbers(again, shop) == {"waiting": 1}


# --- applying -----------------------------------------------------------------------------------------------


def test_applying_drafts_and_asks_the_channel_and_says_what_came_of_each_line() -> None:
    shop = ShopFactory.create()
    new, approved = a_sku("gift"), a_sku("gift")
    listing = listed(shop, approved, state="approved")
    others = [listed(shop, a_sku("none")) for _ in range(4)]
    bad = listed(shop, a_sku("bad"))
    a_rule(shop, tags=["gift"])
    a_rule(shop, kind="exclude", tags=["bad"])

    run = applied(shop)

    assert run.state == "applied"
    drafted = Listing.objects.get(shop=shop, sku=new)
    assert (drafted.state, drafted.state_by) == ("draft", f"assortment:{run.pk}")
    asked = ListingRequest.objects.order_by("act").values_list("listing_id", "act", "requested_by")
    assert list(asked) == [
        (listing.pk, "publish", f"assortment:{run.pk}"),
        (bad.pk, "withdraw", f"assortment:{run.pk}"),
    ]
    assert Counter(AssortmentRow.objects.values_list("state", flat=True)) == {"done": 3}
    assert row_of(run, new).listing == drafted
    assert set(PlacedListing.objects.values_list("listing_id", flat=True)) == {drafted.pk, listing.pk}
    assert all(Listing.objects.get(pk=other.pk).state == "listed" for other in others)
    assert AuditEntry.objects.filter(action="assortment.applied", by=BUYER).count() == 1


def test_from_the_draft_to_the_shelf_and_off_again_when_the_rule_is_stopped() -> None:
    shop, sku = ShopFactory.create(), a_sku("gift")
    rule = a_rule(shop, tags=["gift"])
    applied(shop)
    listing = Listing.objects.get()
    submit_listings(listing_ids=[listing.pk], **BY)
    approve_listings(listing_ids=[listing.pk], at=NOON, by="user:2")
    Listing.objects.update(outer_item_id="item")
    assert rows(applied(shop)) == {sku: "publish"}
    yes_of_channel(shop)
    assert rows(planned(shop)) == {}

    stop_rules(rule_ids=[rule.pk], reason="season is over", **BY)
    run = planned(shop)
    confirm_withdrawals(run_id=run.pk, shop_id=shop.pk, typed_name=shop.code, reason="season", **BY)
    start_apply(run_id=run.pk, **BY)
    work_off()
    yes_of_channel(shop)

    listing.refresh_from_db()
    assert listing.state == "delisted"
    assert not PlacedListing.objects.exists()


def test_applying_twice_does_nothing_twice() -> None:
    shop = ShopFactory.create()
    a_sku("gift")
    a_rule(shop, tags=["gift"])
    first, second = planned(shop), planned(shop)
    for run in (first, second):
        start_apply(run_id=run.pk, **BY)
        work_off()

    assert Listing.objects.count() == 1
    row = AssortmentRow.objects.get(run=second)
    assert row.state == "skipped"
    assert "changed" in read_sentence(row.detail)
    with pytest.raises(NothingToApply):
        start_apply(run_id=first.pk, **BY)


def test_a_line_that_changed_since_it_was_looked_at_is_left_out_and_the_others_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, stays, leaves = ShopFactory.create(), a_sku("gift"), a_sku("gift")
    a_rule(shop, tags=["gift"])
    run = planned(shop)
    leaves.spu.tags = []
    leaves.spu.save()

    start_apply(run_id=run.pk, **BY)
    work_off()

    assert list(Listing.objects.values_list("sku_id", flat=True)) == [stays.pk]
    assert (row_of(run, stays).state, row_of(run, leaves).state) == ("done", "skipped")
    shown = AssortmentShop.objects.get(run=run)
    assert (shown.done, shown.skipped, shown.state) == (1, 1, "applied")


@pytest.mark.parametrize("what", ["rule", "catalogue", "window"])
def test_a_run_made_with_other_rules_is_not_applied(what: str) -> None:
    shop = ShopFactory.create()
    a_sku("gift")
    rule = a_rule(shop, tags=["gift"], ends_at=NOON + HOUR)
    run = planned(shop)
    at = NOON + 2 * HOUR if what == "window" else NOON
    if what == "rule":
        a_rule(shop, rule=rule, tags=["gift", "new"], ends_at=NOON + HOUR)
    elif what == "catalogue":
        define_catalogue(draft=CatalogueDraft(code="s", name="S", wish=Wish(), shop_ids=[shop.pk]), **BY)

    with pytest.raises(RunIsStale):
        start_apply(run_id=run.pk, at=at, by=BUYER)

    assert not Listing.objects.exists()


def test_work_that_was_killed_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    shops = [ShopFactory.create() for _ in range(2)]
    for _ in range(3):
        a_sku("gift")
    a_rule(*shops, tags=["gift"])
    run = start_assortment(shop_ids=[shop.pk for shop in shops], **BY)
    monkeypatch.setattr(applying, "BATCH", 2)

    steps = plan_assortment(Job.objects.get())
    next(steps)
    steps.close()
    assert AssortmentRow.objects.count() == 3
    work_off()
    assert AssortmentRow.objects.count() == 6
    start_apply(run_id=run.pk, **BY)
    steps = apply_assortment(Job.objects.latest("pk"))
    next(steps)
    steps.close()
    assert Listing.objects.count() == 2
    work_off()

    assert Listing.objects.count() == 6
    assert set(AssortmentShop.objects.values_list("done", "skipped", "state")) == {(3, 0, "applied")}
    assert set(AssortmentRow.objects.values_list("state", flat=True)) == {"done"}


def test_begun_again_with_other_rules_all_shops_are_worked_out_anew() -> None:
    shops = [ShopFactory.create() for _ in range(2)]
    sku = a_sku("gift")
    rule = a_rule(*shops, tags=["gift"])
    run = start_assortment(shop_ids=[shop.pk for shop in shops], **BY)
    steps = plan_assortment(Job.objects.get())
    next(steps)
    steps.close()
    assert rows(run, shops[0]) == {sku: "draft"}

    a_rule(*shops, rule=rule, tags=["other"])
    work_off()

    assert rows(run) == {}
    assert numbers(run, shops[0]) == {}


def test_what_nobody_wants_is_dropped() -> None:
    shop = ShopFactory.create()
    a_sku("gift")
    a_rule(shop, tags=["gift"])
    run = planned(shop)

    assert drop_assortment(run_id=run.pk, **BY).state == "dropped"

    with pytest.raises(NothingToApply):
        start_apply(run_id=run.pk, **BY)


# --- too much at once ---------------------------------------------------------------------------------------


def a_shop_that_loses(withdrawn: int, of: int) -> Shop:
    shop = ShopFactory.create()
    for number in range(of):
        listed(shop, a_sku("bad" if number < withdrawn else "good"))
    return shop


def test_up_to_thirty_percent_of_a_shop_is_withdrawn_without_a_question() -> None:
    shop = a_shop_that_loses(3, of=10)
    a_rule(shop, kind="exclude", tags=["bad"])

    applied(shop)

    assert ListingRequest.objects.filter(act="withdraw").count() == 3


def test_many_small_losses_of_a_day_are_a_large_one() -> None:
    shop, now = a_shop_that_loses(2, of=10), timezone.now()
    rule = a_rule(shop, kind="exclude", tags=["bad"])
    applied(shop, at=now)
    yes_of_channel(shop)
    for sku in Sku.objects.filter(spu__tags=["good"])[:2]:
        type(sku.spu).objects.filter(pk=sku.spu_id).update(tags=["worse"])
    a_rule(shop, rule=rule, kind="exclude", tags=["bad", "worse"])

    soon, later = planned(shop, at=now + HOUR), planned(shop, at=now + 25 * HOUR)

    judged = [AssortmentShop.objects.get(run=run) for run in (soon, later)]
    assert [(row.listed, row.withdraws, row.is_too_much) for row in judged] == [(8, 2, True), (8, 2, False)]


def test_more_is_refused_until_a_person_confirms_that_shop_by_name_with_a_reason() -> None:
    shop, other = a_shop_that_loses(4, of=10), a_shop_that_loses(1, of=10)
    a_rule(shop, other, kind="exclude", tags=["bad"])
    run = planned(shop, other)
    which: dict[str, Any] = {"run_id": run.pk, "shop_id": shop.pk}

    with pytest.raises(WithdrawsTooMuch) as refusal:
        start_apply(run_id=run.pk, **BY)
    assert refusal.value.extra == {"shops": [shop.code]}
    with pytest.raises(WrongName):
        confirm_withdrawals(**which, typed_name=other.name, reason="season", **BY)
    with pytest.raises(ReasonMissing):
        confirm_withdrawals(**which, typed_name=shop.name, reason=" ", **BY)
    with pytest.raises(NothingToApply):
        confirm_withdrawals(run_id=run.pk, shop_id=other.pk, typed_name=other.name, reason="x", **BY)
    assert not ListingRequest.objects.exists()
    confirm_withdrawals(**which, typed_name=shop.name, reason="season is over", at=NOON, by="user:8")
    start_apply(run_id=run.pk, **BY)
    work_off()

    assert ListingRequest.objects.filter(act="withdraw").count() == 5
    entry = AuditEntry.objects.get(action="assortment.confirmed")
    assert (entry.by, entry.reason, entry.detail["withdraws"]) == ("user:8", "season is over", 4)


class Clock:
    """The time that the work of jobs reads."""

    moment = NOON


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timezone, "now", lambda: clock.moment)
    return clock


def tick(clock: Clock, hours: int) -> AssortmentRun | None:
    """What the sweep does so many hours after noon, and the jobs after it."""
    clock.moment = NOON + hours * HOUR
    run = open_due_windows(at=clock.moment)
    work_off(at=clock.moment)
    if run is not None:
        run.refresh_from_db()
    return run


# --- windows ------------------------------------------------------------------------------------------------


def test_a_window_opens_and_closes_by_the_clock_once(clock: Clock) -> None:
    shop, sku = ShopFactory.create(), a_sku("gift")
    for _ in range(9):
        listed(shop, a_sku("none"))
    a_rule(shop, tags=["gift"], starts_at=NOON + HOUR, ends_at=NOON + 2 * HOUR)
    assert tick(clock, 0) is None

    run = tick(clock, 1)
    assert run is not None
    assert (run.source, run.state, run.created_by) == ("clock", "applied", "system")
    listing = Listing.objects.get(sku=sku)
    Listing.objects.filter(pk=listing.pk).update(state="listed", outer_item_id="item")
    assert tick(clock, 1) is None
    assert tick(clock, 2) is not None

    assert list(ListingRequest.objects.values_list("listing_id", "act")) == [(listing.pk, "withdraw")]
    assert tick(clock, 3) is None


def test_what_the_clock_would_withdraw_too_much_of_waits_for_a_person_and_other_shops_do_not(
    clock: Clock,
) -> None:
    big, small = ShopFactory.create(), ShopFactory.create()
    for shop, count in ((big, 9), (small, 1)):
        for _ in range(count):
            listed(shop, a_sku("none"))
        listed(shop, a_sku("bad"))
    a_rule(big, small, kind="exclude", tags=["bad"], starts_at=NOON + HOUR)

    run = tick(clock, 1)

    assert run is not None
    assert run.state == "planned"
    states = dict(AssortmentShop.objects.values_list("shop_id", "state"))
    assert states == {big.pk: "applied", small.pk: "planned"}
    assert [request.shop_id for request in ListingRequest.objects.all()] == [big.pk]
    confirm_withdrawals(run_id=run.pk, shop_id=small.pk, typed_name=small.name, reason="yes", **BY)
    start_apply(run_id=run.pk, at=NOON + HOUR, by=BUYER)
    work_off(at=clock.moment)
    assert ListingRequest.objects.count() == 2


def test_what_the_clock_worked_out_with_other_rules_it_works_out_anew(clock: Clock) -> None:
    shop, sku = ShopFactory.create(), a_sku("gift")
    a_rule(shop, tags=["gift"], starts_at=NOON + HOUR, ends_at=NOON + 3 * HOUR)
    first = open_due_windows(at=NOON + HOUR)
    assert first is not None

    clock.moment = NOON + 2 * HOUR
    a_rule(shop, tags=["other"])
    stale = Job.objects.get()
    AssortmentRun.objects.filter(pk=first.pk).update(basis={"rules": [], "catalogues": []})
    clock.moment = NOON + 4 * HOUR
    list(plan_assortment(stale))

    first.refresh_from_db()
    assert first.state == "dropped"
    anew = AssortmentRun.objects.latest("pk")
    assert (anew.pk > first.pk, anew.source, anew.judged_at) == (True, "clock", clock.moment)
    Job.objects.filter(pk=stale.pk).update(state="done")
    work_off(at=clock.moment)
    assert not Listing.objects.filter(sku=sku).exists()


def test_a_rule_that_was_stopped_opens_nothing(clock: Clock) -> None:
    shop = ShopFactory.create()
    rule = a_rule(shop, tags=["gift"], starts_at=NOON + HOUR)

    stop_rules(rule_ids=[rule.pk], reason="no", **BY)

    assert tick(clock, 1) is None


def test_a_window_that_is_moved_opens_again(clock: Clock) -> None:
    shop = ShopFactory.create()
    rule = a_rule(shop, tags=["gift"], starts_at=NOON + HOUR)
    assert tick(clock, 1) is not None

    a_rule(shop, rule=rule, tags=["gift"], starts_at=NOON + 3 * HOUR, at=NOON + 2 * HOUR)

    assert tick(clock, 2) is None
    assert tick(clock, 3) is not None


# --- afterwards ---------------------------------------------------------------------------------------------


def test_the_doctor_compares_numbers_lines_drafts_and_requests() -> None:
    checks = {check.code: check for check in CHECKS}
    trace, same = (
        checks[f"assortment.{code}"] for code in ("what_is_done_left_a_trace", "numbers_equal_lines")
    )
    shop = ShopFactory.create()
    for state in ("approved", "delisted"):
        listed(shop, a_sku("gift"), state=state, state_by="user:1")
    a_sku("gift")
    a_rule(shop, tags=["gift"])
    run = applied(shop)
    assert (trace.find(10), same.find(10)) == ([], [])

    ListingRequest.objects.update(requested_by="user:1")
    AssortmentShop.objects.update(done=1)

    assert [row["outcome"] for row in trace.find(10)] == ["publish"]
    assert [(row["run"], row["done"], row["lines_done"]) for row in same.find(10)] == [(run.pk, 1, 2)]


def test_lines_are_forgotten_and_numbers_stay() -> None:
    shop = ShopFactory.create()
    a_sku("gift")
    a_rule(shop, tags=["gift"])
    done, left = applied(shop), start_assortment(shop_ids=[shop.pk], **BY)
    work_off()
    young: dict[str, Any] = {"applied_before": NOON - HOUR, "unapplied_before": NOON - HOUR}
    assert forget_assortments(**young) == 0

    assert forget_assortments(**{**young, "unapplied_before": NOON + HOUR}) == 0
    assert forget_assortments(**{**young, "applied_before": NOON + HOUR}) == 1

    assert not AssortmentRow.objects.exists()
    states = dict(AssortmentRun.objects.values_list("pk", "state"))
    assert states == {done.pk: "applied", left.pk: "dropped"}
    assert AssortmentShop.objects.get(run=done).drafts == 1
    assert set(AssortmentRun.objects.values_list("is_forgotten", flat=True)) == {True}


# --- entering rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "values", "field"),
    [
        (EmptyRule, {"tags": []}, None),
        (BadRule, {"kind": "perhaps"}, "kind"),
        (BadRule, {"priority": -1}, "priority"),
        (BadRule, {"name": "taken"}, "name"),
        (EndsBeforeItStarts, {"starts_at": NOON, "ends_at": NOON}, "ends_at"),
        (ForeignShop, {"brand_id": True}, "shops"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(
    error: type[Any], values: dict[str, Any], field: str | None
) -> None:
    shop = ShopFactory.create(brand=BrandFactory.create())
    a_rule(shop, name="taken", tags=["gift"])
    if "brand_id" in values:
        values = {"brand_id": BrandFactory.create().pk}

    with pytest.raises(error) as refusal:
        a_rule(shop, **{"tags": ["gift"], **values})

    assert list(refusal.value.fields) == ([field] if field else [])
    assert AssortmentRule.objects.count() == 1


def test_a_rule_speaks_for_a_shop() -> None:
    with pytest.raises(EmptyRule):
        define_rule(draft=RuleDraft(name="x", wish=Wish(tags=["a"]), shop_ids=[]), **BY)


def test_stopping_a_rule_needs_a_reason_and_tells_of_each() -> None:
    rule = a_rule(ShopFactory.create(), tags=["gift"])
    with pytest.raises(ReasonMissing):
        stop_rules(rule_ids=[rule.pk], reason=" ", **BY)

    stopped = stop_rules(rule_ids=[rule.pk], reason="over", **BY)
    again = stop_rules(rule_ids=[rule.pk], reason="over", **BY)

    assert [each.ok for each in (*stopped, *again)] == [True, False]
    rule.refresh_from_db()
    assert (rule.is_active, rule.version) == (False, 2)


def test_the_same_rule_again_is_no_change_and_no_run_is_stale_for_it() -> None:
    shop = ShopFactory.create()
    a_sku("gift")
    rule = a_rule(shop, tags=["gift"])
    run = planned(shop)

    same = a_rule(shop, rule=rule, tags=["gift", " gift"])

    assert same.version == 1
    start_apply(run_id=run.pk, **BY)


def test_one_statement_judges_a_shop_however_many_skus_it_has() -> None:
    from tests.statements import StatementCounter

    shop = ShopFactory.create()
    a_rule(shop, tags=["gift"])
    counts = []
    for more in (1, 30):
        for _ in range(more):
            a_sku("gift")
        start_assortment(shop_ids=[shop.pk], **BY)
        job = claim_job(at=NOON)
        assert job is not None
        with StatementCounter() as counter:
            list(plan_assortment(job))
        Job.objects.update(state="done")
        counts.append(counter.statements)

    assert counts[0] == counts[1]
    assert planning.LOSS_MAX == 30
