"""Orders come in: once each, every version kept, stock promised, nothing lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from inventory.models import PublishedStock, Reservation, ShopPool, Shortage, StockPool
from inventory.publish import plan_all_published_stock, plan_published_stock
from omni.kernel.models import OutboxEvent
from orders.draft import ChannelState, LineRefund, Receiver
from orders.models import ChannelOrder, ChannelOrderVersion, OrderHold, ParkedOrder, SalesOrder
from orders.retry import retry_parked
from orders.states import Stage
from products.models import Sku
from tests.factories.inventory import put_stock, shop_drawing_on
from tests.factories.orders import NOON, House, later, line_draft, make_house, order_draft, order_of
from tests.factories.products import ListingFactory, SkuFactory
from tests.statements import StatementCounter

pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def reserved(sku: Sku) -> int:
    return sum(StockPool.objects.filter(sku=sku).values_list("reserved", flat=True))


@pytest.mark.capability("O1", "O3", "V10")
def test_a_paid_order_is_captured_with_its_stock_promised(house: House) -> None:
    draft = order_draft(line_draft(house.sku, 3), payload={"tid": "1", "buyer": "小明 😀 & co"})

    (captured,) = house.take(draft)

    order = order_of(captured)
    assert (captured.result, order.stage, order.short_lines) == ("new", Stage.CAPTURED, 0)
    assert reserved(house.sku) == 3
    assert ChannelOrderVersion.objects.get().payload == {"tid": "1", "buyer": "小明 😀 & co"}
    assert order.receiver["name"] == "张伟"
    assert order.receiver_mask == "张** *******8000 广东省 广州市"
    assert OutboxEvent.objects.filter(kind="orders.OrdersCaptured").exists()
    assert list(order.events.values_list("kind", flat=True)) == ["captured"]


@pytest.mark.capability("O1")
def test_the_same_order_twice_is_one_order(house: House) -> None:
    draft = order_draft(line_draft(house.sku, 3))

    first, second = house.take(draft, draft)
    (third,) = house.take(draft)

    assert [first.result, second.result, third.result] == ["new", "unchanged", "unchanged"]
    assert SalesOrder.objects.count() == ChannelOrderVersion.objects.count() == 1
    assert reserved(house.sku) == 3


def test_an_older_version_is_kept_but_changes_nothing(house: House) -> None:
    draft = order_draft(line_draft(house.sku))
    house.take(later(draft, minutes=5, seller_memo="new"))

    (captured,) = house.take(later(draft, minutes=1, seller_memo="old", state=ChannelState.CANCELLED))

    assert captured.result == "stale"
    assert SalesOrder.objects.get().seller_memo == "new"
    assert list(ChannelOrderVersion.objects.order_by("id").values_list("is_stale", flat=True)) == [
        False,
        True,
    ]


def test_what_falls_short_is_taken_and_marked_short(house: House) -> None:
    plenty, scarce = line_draft(house.sku, 4), line_draft(SkuFactory.create(), 2)

    (captured,) = house.take(order_draft(plenty, scarce))

    order = order_of(captured)
    assert (captured.result, order.short_lines) == ("new", 1)
    assert Shortage.objects.get().quantity == 2
    assert reserved(house.sku) == 4
    assert order.events.filter(kind="short", detail={"units": 2}).exists()


@pytest.mark.capability("V12")
def test_two_lines_of_one_sku_cannot_have_the_same_units(house: House) -> None:
    draft = order_draft(line_draft(house.sku, 6), line_draft(house.sku, 6))

    house.take(draft)

    assert reserved(house.sku) == 6
    assert SalesOrder.objects.get().short_lines == 1


def test_who_paid_first_is_served_first_however_the_page_is_read(house: House) -> None:
    late = order_draft(line_draft(house.sku, 6), outer_id="a-1", paid_at=NOON)
    early = order_draft(line_draft(house.sku, 6), outer_id="b-2", paid_at=NOON - timedelta(minutes=4))

    taken_late, _taken_early = house.take(late, early)

    assert Shortage.objects.get().line_key == order_of(taken_late).lines.get().line_key


def test_an_unpaid_order_holds_no_stock_until_it_is_paid(house: House) -> None:
    draft = order_draft(line_draft(house.sku, 2), state=ChannelState.PENDING_PAYMENT, paid_at=None)
    house.take(draft)
    held_before_payment = reserved(house.sku)

    (captured,) = house.take(later(draft, state=ChannelState.TO_SHIP, paid_at=NOON))

    order = order_of(captured)
    assert held_before_payment == 0
    assert (captured.result, order.stage, order.paid_at) == ("changed", Stage.CAPTURED, NOON)
    assert reserved(house.sku) == 2


def test_an_order_cancelled_on_its_platform_gives_its_stock_back(house: House) -> None:
    draft = order_draft(line_draft(house.sku, 2))
    house.take(draft)

    house.take(later(draft, state=ChannelState.CLOSED))

    assert SalesOrder.objects.get().stage == Stage.CANCELLED
    assert reserved(house.sku) == 0
    assert Reservation.objects.get().state == Reservation.State.RELEASED


def test_a_refund_that_is_asked_for_holds_the_order_and_its_end_lets_go(house: House) -> None:
    line = line_draft(house.sku)
    draft = order_draft(line)
    house.take(draft)

    house.take(later(draft, 1, lines=[replace(line, refund=LineRefund.OPEN)]))
    holds_while_open = SalesOrder.objects.get().open_holds
    house.take(later(draft, 2, lines=[replace(line, refund=LineRefund.REFUSED)]))

    assert holds_while_open == 1
    assert SalesOrder.objects.get().open_holds == 0
    assert OrderHold.objects.get().state == OrderHold.State.RESOLVED


def test_a_refunded_line_is_cancelled_and_the_rest_goes_on(house: House) -> None:
    kept, refunded = line_draft(house.sku, 1), line_draft(house.sku, 2)
    draft = order_draft(kept, refunded)
    house.take(draft)

    house.take(later(draft, lines=[kept, replace(refunded, refund=LineRefund.DONE)]))

    order = SalesOrder.objects.get()
    assert order.stage == Stage.CAPTURED
    assert list(order.lines.order_by("id").values_list("cancelled_quantity", flat=True)) == [0, 2]
    assert reserved(house.sku) == 1


def test_an_unknown_word_of_the_platform_holds_the_order(house: House) -> None:
    house.take(order_draft(line_draft(house.sku), state=ChannelState.UNKNOWN, raw_state="WAIT_FOR_MOON"))

    hold = OrderHold.objects.get()
    assert hold.kind == "unknown_state"
    assert "WAIT_FOR_MOON" in hold.reason_said


def test_an_order_that_was_shipped_before_we_heard_of_it_takes_no_stock(house: House) -> None:
    house.take(order_draft(line_draft(house.sku, 2), state=ChannelState.SHIPPED))

    order = SalesOrder.objects.get()
    assert (order.stage, order.fulfilled_by) == (Stage.SHIPPED, "outside")
    assert order.lines.get().shipped_quantity == 2
    assert reserved(house.sku) == 0


def test_other_goods_in_a_newer_version_are_never_taken_over_in_silence(house: House) -> None:
    line = line_draft(house.sku, 1)
    draft = order_draft(line)
    house.take(draft)

    house.take(later(draft, lines=[replace(line, quantity=5, amount=Decimal(50))], total_amount=Decimal(50)))

    order = SalesOrder.objects.get()
    assert order.lines.get().quantity == 1
    assert order.holds.get().kind == "changed"


def test_an_address_changed_before_the_review_is_simply_taken_over(house: House) -> None:
    draft = order_draft(line_draft(house.sku))
    house.take(draft)

    house.take(later(draft, receiver=replace(draft.receiver, city="深圳市")))

    order = SalesOrder.objects.get()
    assert (order.city, order.open_holds) == ("深圳市", 0)


def test_the_weekly_token_of_a_masked_receiver_is_no_change_of_address(house: House) -> None:
    draft = order_draft(line_draft(house.sku), receiver=replace(order_draft().receiver, token="week-1"))
    house.take(draft)

    house.take(later(draft, receiver=replace(draft.receiver, token="week-2")))

    order = SalesOrder.objects.get()
    assert order.receiver["token"] == "week-2"
    assert not order.events.filter(kind="texts.changed").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lines": []}, "no_lines"),
        ({"currency": "YUAN"}, "bad_currency"),
        ({"placed_at": NOON + timedelta(days=1)}, "future_time"),
        ({"total_amount": Decimal(-1)}, "bad_amount"),
        ({"outer_id": "x" * 65}, "bad_id"),
    ],
)
def test_what_cannot_be_an_order_is_parked_with_its_reason(
    house: House, change: dict[str, object], reason: str
) -> None:
    draft = replace(order_draft(line_draft(house.sku)), **change)  # type: ignore[arg-type]

    captured, good = house.take(draft, order_draft(line_draft(house.sku)))

    assert (captured.result, captured.reason, good.result) == ("parked", reason, "new")
    assert ParkedOrder.objects.get().reason == reason
    assert SalesOrder.objects.count() == 1


@pytest.mark.parametrize("quantity", [0, -1, 10**12])
def test_a_line_of_an_absurd_quantity_parks_its_order(house: House, quantity: int) -> None:
    (captured,) = house.take(order_draft(line_draft(house.sku, quantity, amount=Decimal(1))))

    assert (captured.result, captured.reason) == ("parked", "bad_quantity")
    assert reserved(house.sku) == 0


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"total_amount": Decimal("9.99")}, "amount"),
        ({"receiver": Receiver(name="张伟")}, "address"),
    ],
)
def test_a_doubtful_order_is_taken_and_held(house: House, change: dict[str, object], kind: str) -> None:
    draft = replace(order_draft(line_draft(house.sku)), **change)  # type: ignore[arg-type]

    (captured,) = house.take(draft)

    assert captured.result == "new"
    assert OrderHold.objects.get().kind == kind
    assert reserved(house.sku) == 1


@pytest.mark.capability("P15")
def test_an_order_with_an_unknown_sku_is_parked_until_someone_maps_it(house: House) -> None:
    line = line_draft(house.sku, sku_code="", outer_item_id="600", outer_sku_id="700")
    (parked,) = house.take(order_draft(line))
    ListingFactory.create(shop=house.shop, sku=house.sku, outer_item_id="600", outer_sku_id="700")

    results = retry_parked(parked_ids=[ParkedOrder.objects.get().pk], at=NOON, by="user:1")

    assert (parked.result, parked.reason) == ("parked", "unknown_sku")
    assert [captured.result for captured in results.values()] == ["new"]
    assert ParkedOrder.objects.get().state == ParkedOrder.State.TAKEN
    assert reserved(house.sku) == 1


def test_a_parked_order_heard_again_is_the_same_parked_row(house: House) -> None:
    draft = order_draft(line_draft(house.sku, sku_code="unheard-of"))

    house.take(draft)
    house.take(draft)

    assert ParkedOrder.objects.get().attempts == 2


class TestAShopWhoseOrdersAreRequests:
    @pytest.fixture
    def house(self) -> House:
        return make_house(stock=10, order_policy="request", channel="api")

    @pytest.mark.capability("V12")
    def test_an_order_that_cannot_have_all_is_refused_and_leaves_no_trace(self, house: House) -> None:
        draft = order_draft(line_draft(house.sku, 4), line_draft(SkuFactory.create(), 1))

        (captured,) = house.take(draft)

        assert (captured.result, captured.reason) == ("refused", "not_enough_stock")
        assert not SalesOrder.objects.exists()
        assert not ChannelOrder.objects.exists()
        assert not Shortage.objects.exists()
        assert reserved(house.sku) == 0

    def test_of_a_batch_only_those_that_fit_are_taken(self, house: House) -> None:
        drafts = [order_draft(line_draft(house.sku, 4)) for _ in range(3)]

        results = [captured.result for captured in house.take(*drafts)]

        assert results == ["new", "new", "refused"]
        assert reserved(house.sku) == 8

    def test_of_a_batch_those_are_served_first_that_asked_first(self, house: House) -> None:
        drafts = [order_draft(line_draft(house.sku, 6), outer_id=outer_id) for outer_id in ("b-2", "a-1")]

        results = [captured.result for captured in house.take(*drafts)]

        assert results == ["new", "refused"]

    def test_a_faulty_order_is_refused_instead_of_parked(self, house: House) -> None:
        (captured,) = house.take(order_draft(line_draft(house.sku, 0)))

        assert (captured.result, captured.reason, captured.field) == (
            "refused",
            "bad_quantity",
            "lines[0].quantity",
        )
        assert not ParkedOrder.objects.exists()


def test_the_number_of_statements_does_not_grow_with_the_batch(house: House) -> None:
    put_stock(house.location, house.sku, 1000)

    counts = []
    for size in (20, 200):
        drafts = [order_draft(line_draft(house.sku), line_draft(house.sku)) for _ in range(size)]
        with StatementCounter() as counter:
            house.take(*drafts)
        counts.append(counter.statements)

    assert counts[0] == counts[1]
    assert counts[1] <= 25


def test_an_echo_of_the_same_second_does_not_bring_back_what_was_before(house: House) -> None:
    draft = order_draft(line_draft(house.sku), payload={"memo": "a"}, seller_memo="a")
    news = replace(draft, payload={"memo": "b"}, seller_memo="b")

    results = [captured.result for captured in (*house.take(draft), *house.take(news), *house.take(draft))]

    assert results == ["new", "changed", "stale"]
    assert SalesOrder.objects.get().seller_memo == "b"


def test_an_order_whose_payment_we_missed_is_not_shipped_a_second_time(house: House) -> None:
    draft = order_draft(line_draft(house.sku), state=ChannelState.PENDING_PAYMENT, paid_at=None)
    house.take(draft)

    house.take(later(draft, state=ChannelState.SHIPPED, paid_at=NOON))

    order = SalesOrder.objects.get()
    assert order.stage == Stage.CAPTURED
    assert [hold.kind for hold in order.holds.all()] == ["shipped_elsewhere"]


@pytest.mark.capability("V9")
@pytest.mark.parametrize("was_known", [True, False])
def test_an_order_that_was_never_paid_makes_us_tell_the_channel_its_number_again(
    house: House, was_known: bool
) -> None:
    ListingFactory.create(shop=house.shop, sku=house.sku)
    plan_all_published_stock(at=NOON)
    draft = order_draft(line_draft(house.sku, 2), state=ChannelState.PENDING_PAYMENT, paid_at=None)
    if was_known:
        house.take(draft)
        plan_published_stock(limit=100, at=NOON)
    before = PublishedStock.objects.get().desired_version

    house.take(later(draft, state=ChannelState.CANCELLED))
    plan_published_stock(limit=100, at=NOON)

    after = PublishedStock.objects.get()
    assert (after.desired_version, after.desired_quantity) == (before + 1, 10)


@pytest.mark.capability("V9")
def test_a_sale_that_rounds_to_the_same_number_is_told_to_its_channel_and_to_no_other(house: House) -> None:
    other = shop_drawing_on(house.location.group)
    for shop in (house.shop, other):
        ListingFactory.create(shop=shop, sku=house.sku)
    ShopPool.objects.update(publish_ratio=Decimal("0.1"))
    put_stock(house.location, house.sku, 9)
    plan_all_published_stock(at=NOON)

    house.take(order_draft(line_draft(house.sku, 1)))
    plan_published_stock(limit=100, at=NOON)

    versions = dict(PublishedStock.objects.values_list("shop_id", "desired_version"))
    assert set(PublishedStock.objects.values_list("desired_quantity", flat=True)) == {1}
    assert versions == {house.shop.pk: 2, other.pk: 1}


def test_an_amount_that_does_not_add_up_is_said_in_cents(house: House) -> None:
    line = line_draft(house.sku, amount=Decimal("299.0000"))

    house.take(order_draft(line, total_amount=Decimal("304.5")))

    reason = OrderHold.objects.get().reason_said
    assert reason == "The lines (299.00) and freight (0.00) add up to 299.00, but the total says 304.50."
