"""What a platform says later meets what we did meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from inventory.models import StockPool
from orders.cancel import LineCancel, cancel_lines
from orders.draft import ChannelState, LineRefund, Receiver
from orders.models import ChannelOrder, ParkedOrder, SalesOrder
from orders.states import Stage
from tests.factories.orders import NOON, House, later, line_draft, make_house, order_draft, order_of
from tests.factories.products import SkuFactory
from tests.statements import StatementCounter

pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def open_holds(order: SalesOrder) -> list[str]:
    return sorted(order.holds.filter(state="open").values_list("kind", flat=True))


def reserved() -> int:
    return sum(StockPool.objects.values_list("reserved", flat=True))


class TestPayment:
    def test_an_order_that_is_paid_without_an_address_is_held(self, house: House) -> None:
        line = line_draft(house.sku)
        draft = order_draft(line, state=ChannelState.PENDING_PAYMENT, paid_at=None)
        (captured,) = house.take(draft)

        paid = later(draft, state=ChannelState.TO_SHIP, paid_at=NOON, receiver=Receiver(name="张伟"))
        house.take(replace(paid, total_amount=Decimal("9.99")))

        assert open_holds(order_of(captured)) == ["address", "amount"]

    def test_goods_that_changed_before_the_payment_are_not_taken_over_in_silence(self, house: House) -> None:
        line = line_draft(house.sku)
        draft = order_draft(line, state=ChannelState.PENDING_PAYMENT, paid_at=None)
        (captured,) = house.take(draft)

        more = replace(line, quantity=2, amount=Decimal("20.00"))
        house.take(
            later(
                draft, state=ChannelState.TO_SHIP, paid_at=NOON, lines=[more], total_amount=Decimal("20.00")
            )
        )

        assert open_holds(order_of(captured)) == ["changed"]

    def test_what_was_cancelled_before_the_payment_is_not_promised(self, house: House) -> None:
        line = line_draft(house.sku, 3)
        draft = order_draft(line, state=ChannelState.PENDING_PAYMENT, paid_at=None)
        (captured,) = house.take(draft)
        cancelled = LineCancel(order_of(captured).lines.get().pk, 2)
        cancel_lines(cancels=[cancelled], reason="buyer called", at=NOON, by="test")

        house.take(later(draft, state=ChannelState.TO_SHIP, paid_at=NOON))

        assert reserved() == 1


def test_an_address_that_the_platform_completes_lets_the_order_go_on(house: House) -> None:
    draft = order_draft(line_draft(house.sku))
    (captured,) = house.take(replace(draft, receiver=Receiver(name="张伟")))
    while_incomplete = open_holds(order_of(captured))

    house.take(later(draft))

    assert while_incomplete == ["address"]
    assert open_holds(order_of(captured)) == []


class TestShippedOutside:
    @pytest.fixture
    def house(self) -> House:
        return make_house(stock=10, fulfilled_by="outside")

    def test_a_part_that_others_shipped_is_not_the_whole_order(self, house: House) -> None:
        sent, waiting = line_draft(house.sku), line_draft(house.sku, 2)
        draft = order_draft(sent, waiting)
        (captured,) = house.take(draft)

        partly = later(draft, state=ChannelState.PARTIALLY_SHIPPED)
        house.take(replace(partly, lines=[replace(sent, is_shipped=True), waiting]))
        after_a_part = (order_of(captured).stage, list(shipped(order_of(captured))))
        house.take(later(draft, 2, state=ChannelState.SHIPPED))

        assert after_a_part == (Stage.CAPTURED, [1, 0])
        assert (order_of(captured).stage, list(shipped(order_of(captured)))) == (Stage.SHIPPED, [1, 2])

    def test_the_statements_of_many_shipments_are_those_of_few(self, house: House) -> None:
        counts = []
        for size in (2, 12):
            drafts = [order_draft(line_draft(house.sku), line_draft(house.sku)) for _ in range(size)]
            house.take(*drafts)
            with StatementCounter() as counter:
                house.take(*[later(draft, state=ChannelState.SHIPPED) for draft in drafts])
            counts.append(counter.statements)

        assert counts[0] == counts[1]


def shipped(order: SalesOrder) -> list[int]:
    return list(order.lines.order_by("id").values_list("shipped_quantity", flat=True))


def test_an_order_of_which_all_lines_have_left_or_were_paid_back_is_over_when_we_first_hear_of_it(
    house: House,
) -> None:
    sent = line_draft(house.sku, is_shipped=True)
    refunded = line_draft(house.sku, 2, refund=LineRefund.DONE)

    (captured,) = house.take(order_draft(sent, refunded, state=ChannelState.PARTIALLY_SHIPPED))

    order = order_of(captured)
    lines = order.lines.order_by("id").values_list("shipped_quantity", "cancelled_quantity")
    assert (order.stage, order.fulfilled_by, order.open_holds) == (Stage.SHIPPED, "outside", 0)
    assert list(lines) == [(1, 0), (0, 2)]


class TestParked:
    def test_a_version_that_was_parked_is_no_longer_when_it_could_be_applied(self, house: House) -> None:
        line = line_draft(house.sku)
        draft = order_draft(line)
        house.take(draft)
        news = later(draft, lines=[replace(line, sku_code="late-sku")])
        house.take(news)
        while_unknown = ParkedOrder.objects.get().state

        SkuFactory.create(code="late-sku")
        (captured,) = house.take(news)

        assert (while_unknown, captured.result) == ("open", "changed")
        assert ParkedOrder.objects.get().state == "taken"

    def test_an_older_version_that_could_be_taken_does_not_close_the_newer_one_that_is_parked(
        self, house: House
    ) -> None:
        line = line_draft(house.sku)
        draft = order_draft(line)
        house.take(later(draft, lines=[replace(line, sku_code="late-sku")]))

        (captured,) = house.take(draft)

        assert captured.result == "new"
        assert ParkedOrder.objects.get().state == "open"

    def test_content_that_was_taken_is_not_parked_when_its_sku_is_gone(self, house: House) -> None:
        draft = order_draft(line_draft(house.sku))
        house.take(draft)
        type(house.sku).objects.update(code="renamed")

        (captured,) = house.take(draft)

        assert (captured.result, captured.order_id) == ("unchanged", SalesOrder.objects.get().pk)
        assert not ParkedOrder.objects.exists()


def test_what_a_platform_says_once_more_later_is_its_newest_word(house: House) -> None:
    draft = order_draft(line_draft(house.sku), payload={"memo": "a"}, seller_memo="a")
    house.take(draft)
    house.take(later(draft, 1, payload={"memo": "b"}, seller_memo="b"))

    (captured,) = house.take(later(draft, 2))

    assert captured.result == "changed"
    assert SalesOrder.objects.get().seller_memo == "a"
    assert ChannelOrder.objects.get().outer_modified_at == draft.outer_modified_at + timedelta(minutes=2)


def test_what_a_platform_repeats_later_makes_what_it_said_in_between_an_older_word(house: House) -> None:
    draft = order_draft(line_draft(house.sku), payload={"memo": "a"}, seller_memo="a")
    house.take(draft)

    (echo,) = house.take(later(draft, 3))
    (late,) = house.take(later(draft, 2, payload={"memo": "b"}, seller_memo="b"))

    assert (echo.result, late.result) == ("unchanged", "stale")
    assert SalesOrder.objects.get().seller_memo == "a"
    channel_order = ChannelOrder.objects.get()
    assert channel_order.outer_modified_at == draft.outer_modified_at + timedelta(minutes=3)
    assert channel_order.versions == 1


def test_an_echo_of_an_earlier_moment_does_not_turn_the_clock_back(house: House) -> None:
    draft = order_draft(line_draft(house.sku), payload={"memo": "a"})
    house.take(later(draft, 3))

    house.take(draft)

    assert ChannelOrder.objects.get().outer_modified_at == draft.outer_modified_at + timedelta(minutes=3)


def test_the_statements_of_many_echoes_are_those_of_few(house: House) -> None:
    counts = []
    for size in (2, 12):
        drafts = [order_draft(line_draft(house.sku), payload={"size": size, "n": n}) for n in range(size)]
        house.take(*drafts)
        with StatementCounter() as counter:
            house.take(*[later(draft) for draft in drafts])
        counts.append(counter.statements)

    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "change",
    [
        {"raw_state": "WAIT\x00"},
        {"seller_memo": "half \ud83d", "buyer": "小\x00明"},
    ],
)
def test_characters_that_no_database_takes_keep_no_order_out(house: House, change: dict[str, str]) -> None:
    draft = order_draft(line_draft(house.sku))

    (taken,) = house.take(replace(draft, **change))  # type: ignore[arg-type]
    (changed,) = house.take(replace(later(draft, buyer_message="a\x00b"), **change))  # type: ignore[arg-type]

    assert (taken.result, changed.result) == ("new", "changed")
    assert SalesOrder.objects.get().buyer_message == "ab"


@pytest.mark.parametrize("freight", [Decimal(-1), Decimal(10) ** 17, Decimal("NaN")])
def test_an_absurd_freight_parks_the_order(house: House, freight: Decimal) -> None:
    draft = order_draft(line_draft(house.sku))

    (captured,) = house.take(replace(draft, freight_amount=freight))

    assert (captured.result, captured.reason) == ("parked", "bad_amount")


def test_a_line_id_that_does_not_fit_parks_the_order(house: House) -> None:
    (captured,) = house.take(order_draft(line_draft(house.sku, outer_line_id="x" * 65)))

    assert (captured.result, captured.reason) == ("parked", "bad_line_id")
