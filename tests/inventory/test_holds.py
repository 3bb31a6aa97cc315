"""Stock that is set aside for a buyer for some minutes, and what an order takes over of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.availability import sellable_stock
from inventory.count import StockCount, count_stock
from inventory.fill import fill_shortages
from inventory.holds import drift as hold_drift
from inventory.holds.end import HoldWasTaken, NoSuchHold, give_back_hold, lapse_holds
from inventory.holds.forget import forget_holds
from inventory.holds.hold import (
    HoldConflict,
    HoldLimitReached,
    HoldTooLong,
    NotEnoughToHold,
    hold_line_key,
    hold_stock,
)
from inventory.holds.take_over import Fate, reserve_from_holds
from inventory.models import Reservation, ShopPool, Shortage, StockMovement
from inventory.models.holds import HoldLimit, StockHold, StockHoldLine
from inventory.reserve import Demand, NothingDemanded, Outcome
from inventory.tasks import lapse_stock_holds
from omni.kernel.errors import BadInput
from omni.kernel.models import AuditEntry
from orders.capture import Captured, capture_orders
from orders.draft import ChannelState, OrderDraft
from products.models import Sku
from tests.factories.bundles import make_bundle
from tests.factories.inventory import Scene, parts_of, put_stock
from tests.factories.orders import House, later, line_draft, make_house, order_draft
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V10")]


def hold(scene: Scene, units: int | Mapping[Sku, int] = 1, *, key: str = "cart-1", **how: Any) -> StockHold:
    lines = {scene.sku: units} if isinstance(units, int) else units
    told: dict[str, Any] = {"buyer": "ann", "minutes": 10, "at": timezone.now(), "by": "key:1"}
    wanted = [(sku.pk, quantity) for sku, quantity in lines.items()]
    return hold_stock(shop_id=scene.shop.pk, key=key, lines=wanted, **(told | how))


def order(
    scene: Scene, units: int, *, key: str = "cart-1", refuse_short: bool = False, sku: Sku | None = None
) -> tuple[Outcome, Fate]:
    demand = Demand(uuid4(), scene.shop.pk, (sku or scene.sku).pk, units)
    outcomes, fates = reserve_from_holds(
        shop_id=scene.shop.pk,
        wanted=[demand],
        holds={0: key},
        at=timezone.now(),
        by="test",
        refuse_short=refuse_short,
    )
    return outcomes[0], fates[0]


def let_time_pass(minutes: int = 11) -> None:
    back = timedelta(minutes=minutes)
    StockHold.objects.update(expires_at=F("expires_at") - back, created_at=F("created_at") - back)


def lapse() -> int:
    return lapse_holds(limit=10, at=timezone.now(), by="system")


def free(scene: Scene) -> int:
    return sellable_stock(sku_ids=[scene.sku.pk], shop_ids=[scene.shop.pk])[scene.shop.pk, scene.sku.pk]


# --- holding ------------------------------------------------------------------------------------------------


def test_what_is_held_is_promised_to_nobody_else_until_it_expires() -> None:
    scene = Scene(10)

    held = hold(scene, 4)

    [line] = held.lines.all()
    promise = Reservation.objects.get(line_key=line.line_key)
    assert (held.state, line.quantity, promise.quantity) == ("held", 4, 4)
    assert promise.expires_at == held.expires_at == held.created_at + timedelta(minutes=10)
    assert (free(scene), scene.pool().reserved) == (6, 4)
    assert scene.reserve(scene.demand(7), refuse_short=True)[0].reserved == 0


def test_a_hold_holds_all_of_its_goods_or_nothing() -> None:
    scene, other = Scene(10), SkuFactory.create()
    put_stock(scene.location, other, 2)

    with pytest.raises(NotEnoughToHold) as refusal:
        hold(scene, {scene.sku: 1, other: 3})

    assert refusal.value.extra == {"skus": [other.code]}
    assert not any(model.objects.exists() for model in (StockHold, Reservation, Shortage))


def test_the_same_hold_again_is_the_same_hold_also_when_it_is_over() -> None:
    scene = Scene(10)
    first = hold(scene, 4)

    again = hold(scene, 4)
    let_time_pass()
    lapse()
    later = hold(scene, 4, minutes=None)

    assert (again.pk, later.pk, later.state) == (first.pk, first.pk, "expired")
    assert scene.pool().reserved == 0


@pytest.mark.parametrize("other", [{"buyer": "bob"}, {"minutes": 9}, {"units": 3}])
def test_the_same_key_for_something_else_is_refused(other: dict[str, Any]) -> None:
    scene = Scene(10)
    hold(scene, 4)

    with pytest.raises(HoldConflict):
        hold(scene, **({"units": 4} | other))

    assert (StockHold.objects.count(), scene.pool().reserved) == (1, 4)


def test_of_a_bundle_its_components_are_held() -> None:
    scene = Scene(10)
    soap = SkuFactory.create(spu=scene.sku.spu)
    put_stock(scene.location, soap, 10)
    bundle = make_bundle({scene.sku: 1, soap: 2})

    held = hold(scene, {bundle: 2, soap: 1})

    assert dict(held.lines.values_list("sku_id", "quantity")) == {scene.sku.pk: 2, soap.pk: 5}
    assert hold(scene, {bundle: 2, soap: 1}).pk == held.pk


@pytest.mark.parametrize(
    ("how", "refusal"),
    [
        ({"units": 0}, NothingDemanded),
        ({"units": {}}, NothingDemanded),
        ({"minutes": 0}, HoldTooLong),
        ({"minutes": 16}, HoldTooLong),
        ({"key": ""}, BadInput),
        ({"buyer": ""}, BadInput),
    ],
)
def test_a_hold_that_makes_no_sense_is_refused(how: dict[str, Any], refusal: type[Exception]) -> None:
    scene = Scene(10)

    with pytest.raises(refusal):
        hold(scene, **how)

    assert not StockHold.objects.exists()


# --- limits -------------------------------------------------------------------------------------------------


def test_without_a_word_a_buyer_holds_ten_units_of_a_sku_in_five_holds_for_a_quarter_of_an_hour() -> None:
    scene = Scene(100)

    with pytest.raises(HoldLimitReached) as refusal:
        hold(scene, 11)
    for number in range(5):
        hold(scene, 1, key=f"cart-{number}", minutes=15)
    with pytest.raises(HoldLimitReached) as too_many:
        hold(scene, 1, key="cart-6")

    assert refusal.value.extra == {"limit": "units_per_buyer", "sku": scene.sku.code, "held": 0, "most": 10}
    assert too_many.value.extra["limit"] == "holds_per_buyer"
    assert scene.pool().reserved == 5


def test_the_shops_own_limits_come_before_those_of_every_other_shop() -> None:
    scene, other = Scene(100), Scene(100)
    HoldLimit.objects.create(shop=None, units_per_buyer=3)
    HoldLimit.objects.create(shop=scene.shop, units_per_buyer=20, units_per_shop=25, minutes_max=60)

    hold(scene, 20, minutes=60)
    with pytest.raises(HoldLimitReached) as refusal:
        hold(scene, 6, key="cart-2", buyer="bob")
    hold(scene, 5, key="cart-2", buyer="bob")
    with pytest.raises(HoldLimitReached):
        hold(other, 4)

    assert refusal.value.extra == {"limit": "units_per_shop", "sku": scene.sku.code, "held": 20, "most": 25}


def test_what_is_over_counts_for_no_limit_even_before_it_is_swept() -> None:
    scene = Scene(100)
    hold(scene, 10)
    let_time_pass()

    hold(scene, 10, key="cart-2")

    assert scene.pool().reserved == 20


# --- its end ------------------------------------------------------------------------------------------------


def test_what_expires_is_given_back_once() -> None:
    scene = Scene(10)
    hold(scene, 4)
    assert lapse() == 0
    let_time_pass()

    assert [lapse(), lapse()] == [1, 0]

    held = StockHold.objects.get()
    assert (held.state, free(scene), scene.pool().reserved) == ("expired", 10, 0)
    assert held.ended_at is not None
    assert StockMovement.objects.filter(kind="release").count() == 1


def test_the_sweep_goes_on_until_nothing_is_due() -> None:
    scene = Scene(300)
    HoldLimit.objects.create(shop=None, holds_per_buyer=200, units_per_buyer=200)
    for number in range(101):
        hold(scene, 1, key=f"cart-{number}")
    let_time_pass()

    lapse_stock_holds()

    assert set(StockHold.objects.values_list("state", flat=True)) == {"expired"}
    assert free(scene) == 300


def test_a_hold_is_given_back_before_its_time_and_it_is_written_down_who_did_it_and_why() -> None:
    scene = Scene(10)
    hold(scene, 4)
    how: dict[str, Any] = {"shop_id": scene.shop.pk, "key": "cart-1", "at": timezone.now(), "by": "user:7"}

    given = give_back_hold(**how, reason="the buyer left")
    again = give_back_hold(**how)

    assert (given.state, again.state, free(scene)) == ("released", "released", 10)
    act = AuditEntry.objects.get(action="hold.given_back")
    assert (act.by, act.reason, act.object_id) == ("user:7", "the buyer left", str(given.pk))


def test_what_an_order_has_taken_over_and_what_is_unknown_cannot_be_given_back() -> None:
    scene = Scene(10)
    hold(scene, 4)
    order(scene, 4)

    with pytest.raises(HoldWasTaken):
        give_back_hold(shop_id=scene.shop.pk, key="cart-1", at=timezone.now(), by="user:7")
    with pytest.raises(NoSuchHold):
        give_back_hold(shop_id=scene.shop.pk, key="cart-2", at=timezone.now(), by="user:7")

    assert scene.pool().reserved == 4


def test_what_was_over_long_ago_is_forgotten_and_its_key_may_be_used_again() -> None:
    scene = Scene(10)
    over = hold(scene, 4)
    give_back_hold(shop_id=scene.shop.pk, key="cart-1", at=timezone.now(), by="user:7")
    stands = hold(scene, 1, key="cart-2")

    forgotten = [forget_holds(before=over.created_at), forget_holds(before=timezone.now())]
    again = hold(scene, 3)

    assert (forgotten, again.state, scene.pool().reserved) == ([0, 1], "held", 4)
    assert set(StockHold.objects.all()) == {stands, again}


# --- taking over --------------------------------------------------------------------------------------------


def test_an_order_gets_the_units_of_its_hold_when_nothing_else_is_left() -> None:
    scene = Scene(4)
    held = hold(scene, 4)

    outcome, fate = order(scene, 4, refuse_short=True)

    assert (outcome.reserved, outcome.missing, fate) == (4, 0, Fate.TAKEN)
    held.refresh_from_db()
    assert (held.state, scene.pool().reserved) == ("taken", 4)
    assert parts_of(outcome.line_key) == [(0, 4, "held")]
    assert [*StockMovement.objects.order_by("pk").values_list("kind", flat=True)][-3:] == [
        "reserve",
        "hand_over",
        "reserve",
    ]


def test_an_order_that_wants_more_takes_the_rest_from_what_is_free() -> None:
    scene = Scene(10)
    hold(scene, 4)

    outcome, fate = order(scene, 9)

    assert (outcome.reserved, fate, scene.pool().reserved) == (9, Fate.TAKEN, 9)
    assert parts_of(outcome.line_key) == [(0, 9, "held")]


def test_an_order_that_wants_less_gives_the_rest_back() -> None:
    scene = Scene(10)
    hold(scene, 4)

    outcome, fate = order(scene, 1)

    assert (outcome.reserved, fate, scene.pool().reserved, free(scene)) == (1, Fate.TAKEN, 1, 9)


def test_a_request_that_cannot_be_met_even_with_the_hold_leaves_the_hold_as_it_was() -> None:
    scene = Scene(5)
    held = hold(scene, 4)

    outcome, fate = order(scene, 6, refuse_short=True)

    held.refresh_from_db()
    assert (outcome.reserved, fate, held.state, scene.pool().reserved) == (0, Fate.KEPT, "held", 4)


def test_a_fact_that_cannot_be_met_even_with_the_hold_is_owed_all_of_it_and_the_hold_stays() -> None:
    scene = Scene(5)
    held = hold(scene, 4)

    outcome, fate = order(scene, 6)

    held.refresh_from_db()
    assert (outcome.reserved, outcome.missing, fate, held.state) == (0, 6, Fate.KEPT, "held")
    assert Shortage.objects.get(state="open").quantity == 6


def test_a_hold_that_is_over_is_as_none_and_the_answer_says_so() -> None:
    scene = Scene(5)
    hold(scene, 4)
    let_time_pass()

    unswept, fate = order(scene, 5, refuse_short=True)
    lapse()
    swept, fate_after = order(scene, 5, refuse_short=True)
    _outcome, unknown = order(scene, 1, key="cart-9", refuse_short=True)

    assert (unswept.reserved, fate) == (0, Fate.EXPIRED)
    assert (swept.reserved, fate_after, unknown) == (5, Fate.EXPIRED, Fate.UNKNOWN)


def test_two_orders_that_name_one_hold_get_it_once() -> None:
    scene = Scene(4)
    hold(scene, 4)

    (first, fate), (second, fate_after) = order(scene, 4), order(scene, 4, refuse_short=True)

    assert (first.reserved, fate, second.reserved, fate_after) == (4, Fate.TAKEN, 0, Fate.OVER)


def test_an_order_for_other_goods_leaves_the_hold_alone() -> None:
    scene, other = Scene(4), SkuFactory.create()
    put_stock(scene.location, other, 1)
    held = hold(scene, 4)

    outcome, fate = order(scene, 1, sku=other)

    held.refresh_from_db()
    assert (outcome.reserved, fate, held.state) == (1, Fate.KEPT, "held")


def test_what_is_held_comes_from_its_own_pool_even_if_the_shop_may_not_draw_on_it_any_more() -> None:
    scene = Scene(4)
    hold(scene, 4)
    ShopPool.objects.filter(shop=scene.shop).delete()

    outcome, fate = order(scene, 4, refuse_short=True)

    assert (outcome.reserved, fate, scene.pool().reserved) == (4, Fate.TAKEN, 4)


def test_units_that_turn_out_not_to_exist_are_taken_from_holds_and_filled_again() -> None:
    scene = Scene(5)
    hold(scene, 4)
    count = StockCount(scene.location.pk, scene.sku.pk, 2)
    count_stock(key="c1", counts=[count], reason="counted", at=timezone.now(), by="test")
    assert Shortage.objects.get().quantity == 4  # a line has all that it wants or nothing

    put_stock(scene.location, scene.sku, 2)
    fill_shortages(sku_ids=[scene.sku.pk], at=timezone.now(), by="system")
    outcome, fate = order(scene, 4, refuse_short=True)

    assert (outcome.reserved, fate) == (4, Fate.TAKEN)


def test_what_a_hold_is_still_owed_ends_with_it() -> None:
    scene = Scene(5)
    hold(scene, 4)
    count = StockCount(scene.location.pk, scene.sku.pk, 2)
    count_stock(key="c1", counts=[count], reason="counted", at=timezone.now(), by="test")

    outcome, fate = order(scene, 2, refuse_short=True)

    assert (outcome.reserved, fate, Shortage.objects.get().state) == (2, Fate.TAKEN, "cancelled")


# --- orders -------------------------------------------------------------------------------------------------


def take(house: House, *drafts: OrderDraft, holds: Mapping[str, str] | None = None) -> list[Captured]:
    return capture_orders(
        shop=house.shop, drafts=drafts, at=timezone.now(), by="test", source="test", holds=holds
    )


def hold_in(house: House, units: int, key: str = "cart-1", sku: Sku | None = None) -> StockHold:
    return hold_stock(
        shop_id=house.shop.pk,
        key=key,
        buyer="ann",
        lines=[((sku or house.sku).pk, units)],
        at=timezone.now(),
        by="key:1",
    )


def test_an_order_that_is_captured_with_its_hold_gets_the_units() -> None:
    house = make_house(stock=5)
    held = hold_in(house, 5)
    draft, rival = order_draft(line_draft(house.sku, 5)), order_draft(line_draft(house.sku, 1))

    captured = take(house, rival, draft, holds={draft.outer_id: "cart-1"})

    held.refresh_from_db()
    assert [(one.result, one.hold) for one in captured] == [("new", ""), ("new", "taken")]
    assert held.state == "taken"
    assert Shortage.objects.get().quantity == 1  # the rival's


def test_an_order_takes_its_hold_over_when_it_is_paid() -> None:
    house = make_house(stock=5)
    held = hold_in(house, 5)
    draft = order_draft(line_draft(house.sku, 5), state=ChannelState.PENDING_PAYMENT, paid_at=None)
    holds = {draft.outer_id: "cart-1"}

    [placed] = take(house, draft, holds=holds)
    [paid] = take(house, later(draft, state=ChannelState.TO_SHIP, paid_at=timezone.now()), holds=holds)

    held.refresh_from_db()
    assert ((placed.result, placed.hold), (paid.result, paid.hold)) == (("new", "kept"), ("changed", "taken"))
    assert (held.state, Shortage.objects.exists()) == ("taken", False)


def test_a_bundle_that_is_held_is_taken_over_by_the_order_for_it() -> None:
    house = make_house(stock=4)
    soap = SkuFactory.create(spu=house.sku.spu)
    put_stock(house.location, soap, 8)
    bundle = make_bundle({house.sku: 1, soap: 2})
    hold_in(house, 4, sku=bundle)
    draft = order_draft(line_draft(bundle, 4))

    [captured] = take(house, draft, holds={draft.outer_id: "cart-1"})

    assert (captured.hold, Shortage.objects.exists()) == ("taken", False)


def test_orders_that_name_no_hold_do_not_pay_for_those_that_do() -> None:
    house = make_house(stock=5)
    take(house, order_draft(line_draft(house.sku, 1)))

    with CaptureQueriesContext(connection) as plain:
        take(house, order_draft(line_draft(house.sku, 1)))

    assert not [query for query in plain.captured_queries if "stockhold" in query["sql"]]


# --- the doctor ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("broken_on_purpose")
def test_the_doctor_finds_holds_without_their_promise_ended_ones_with_one_and_those_left_lying() -> None:
    scene = Scene(10)
    lacking, ended, late = (hold(scene, 2, key=f"cart-{n}") for n in range(3))
    StockHoldLine.objects.filter(hold=lacking).update(quantity=3)
    StockHold.objects.filter(pk=ended.pk).update(state="released")
    StockHold.objects.filter(pk=late.pk).update(expires_at=timezone.now() - timedelta(hours=1))

    found = {check.code: [row["hold_id"] for row in check.find(5)] for check in hold_drift.CHECKS}

    assert found == {
        "holds.held_have_their_promises": [lacking.pk],
        "holds.ended_have_none": [ended.pk],
        "holds.lapse_in_time": [late.pk],
    }


def test_a_holds_promise_has_the_same_name_everywhere() -> None:
    scene = Scene(10)

    held = hold(scene, 1)

    key = hold_line_key(shop_id=scene.shop.pk, key="cart-1", sku_id=scene.sku.pk)
    assert held.lines.get().line_key == key
