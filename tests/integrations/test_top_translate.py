"""What TOP says about trades and refunds arrives in Omni's words, or is parked with a reason that helps."""

from __future__ import annotations

import copy
import json
import timeit
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import integrations.channels.top
from integrations.channels.top.translate import STATES, translate_refund, translate_trade
from integrations.contract import BadPayload
from orders.draft import ChannelState, LineRefund, OrderDraft, RefundDraft

FIXTURES = Path(integrations.channels.top.__file__).parent / "fixtures"


def load_trade(name: str) -> dict[str, Any]:
    answer = json.loads((FIXTURES / f"{name}.json").read_text())
    trade: dict[str, Any] = answer["trade_fullinfo_get_response"]["trade"]
    return trade


def translated(trade: dict[str, Any]) -> OrderDraft:
    draft = translate_trade(trade)
    assert isinstance(draft, OrderDraft), draft
    return draft


def test_a_trade_with_two_lines_keeps_ids_of_19_digits_and_adds_up() -> None:
    trade = load_trade("trade_two_lines")

    draft = translated(trade)

    assert draft.outer_id == "4123456789012345678"
    assert [line.outer_line_id for line in draft.lines] == ["4123456789012345679", "4123456789012345680"]
    assert [line.amount for line in draft.lines] == [Decimal("166.00"), Decimal("84.00")]
    assert (
        sum(line.amount for line in draft.lines) + draft.freight_amount
        == draft.total_amount
        == Decimal("258.00")
    )
    assert draft.currency == "CNY"
    assert draft.payload is trade


def test_a_line_tells_item_sku_code_and_its_refund() -> None:
    first, second = translated(load_trade("trade_two_lines")).lines

    assert (first.outer_item_id, first.outer_sku_id, first.sku_code) == (
        "600000000001",
        "5000000000011",
        "TEE-RED-M",
    )
    assert (first.quantity, first.unit_price, first.refund) == (2, Decimal("99.00"), LineRefund.NONE)
    assert (second.outer_sku_id, second.sku_code) == ("", "CAP")
    assert (second.refund, second.outer_refund_id) == (LineRefund.OPEN, "700000000000001")


def test_moments_of_china_are_aware_and_equal_the_same_moment_in_utc() -> None:
    draft = translated(load_trade("trade_two_lines"))

    assert draft.outer_modified_at == datetime(2026, 3, 1, 2, 0, 0, tzinfo=UTC)
    assert draft.placed_at == datetime(2026, 3, 1, 1, 58, 11, tzinfo=UTC)
    assert draft.paid_at == datetime(2026, 3, 1, 1, 58, 40, tzinfo=UTC)


def test_a_receiver_stays_masked_and_carries_its_oaid() -> None:
    draft = translated(load_trade("trade_two_lines"))

    assert draft.receiver.is_masked
    assert draft.receiver.token == "1EfAKjFZZlVoaid"
    assert draft.receiver.name == "王**"
    assert draft.receiver.province == "浙江省"
    assert draft.buyer == "AAHk1buyer"
    assert draft.buyer_message == "周末送货 🎁 & 谢谢=+%"


def test_without_a_share_a_single_line_gets_the_payment_less_the_postage() -> None:
    draft = translated(load_trade("trade_one_line"))

    assert draft.lines[0].amount == Decimal("50.00")
    assert draft.lines[0].is_shipped
    assert draft.state is ChannelState.SHIPPED


def test_without_shares_the_lines_of_a_longer_trade_pay_less_their_part_of_its_discount() -> None:
    trade = load_trade("trade_two_lines")
    for line in trade["orders"]["order"]:
        del line["divide_order_fee"]

    draft = translated(trade)

    assert [line.amount for line in draft.lines] == [Decimal("166.00"), Decimal("84.00")]


def test_a_paid_deposit_is_no_licence_to_ship() -> None:
    draft = translated(load_trade("trade_presale"))

    assert draft.state is ChannelState.PENDING_PAYMENT


def test_a_pre_sale_paid_in_full_is_to_ship() -> None:
    trade = load_trade("trade_presale") | {"step_trade_status": "FRONT_PAID_FINAL_PAID"}

    assert translated(trade).state is ChannelState.TO_SHIP


@pytest.mark.parametrize(("word", "state"), [*STATES.items(), ("A_WORD_OF_TOMORROW", ChannelState.UNKNOWN)])
def test_every_status_word_has_its_state_and_a_new_one_is_unknown(word: str, state: ChannelState) -> None:
    draft = translated(load_trade("trade_two_lines") | {"status": word})

    assert draft.state is state
    assert draft.raw_state == word


@pytest.mark.parametrize(
    ("word", "refund"),
    [
        ("NO_REFUND", LineRefund.NONE),
        ("WAIT_BUYER_RETURN_GOODS", LineRefund.OPEN),
        ("WAIT_SELLER_CONFIRM_GOODS", LineRefund.OPEN),
        ("SELLER_REFUSE_BUYER", LineRefund.REFUSED),
        ("CLOSED", LineRefund.REFUSED),
        ("SUCCESS", LineRefund.DONE),
        ("A_WORD_OF_TOMORROW", LineRefund.OPEN),
    ],
)
def test_a_refund_word_decides_whether_the_line_may_ship(word: str, refund: LineRefund) -> None:
    trade = load_trade("trade_two_lines")
    trade["orders"]["order"][0]["refund_status"] = word

    assert translated(trade).lines[0].refund is refund


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("tid",), None, "bad_tid"),
        (("tid",), 4.123456789012346e18, "bad_tid"),
        (("orders",), {}, "no_lines"),
        (("orders",), None, "no_lines"),
        (("orders", "order"), [], "no_lines"),
        (("orders", "order", 0, "oid"), None, "bad_oid"),
        (("orders", "order", 0, "oid"), "x1", "bad_oid"),
        (("orders", "order", 0, "oid"), 4123456789012345680, "duplicate_line"),
        (("orders", "order", 0, "num"), 0, "bad_quantity"),
        (("orders", "order", 0, "num"), -2, "bad_quantity"),
        (("orders", "order", 0, "num"), "two", "bad_quantity"),
        (("orders", "order", 0, "num"), 1.5, "bad_quantity"),
        (("orders", "order", 0, "num"), True, "bad_quantity"),
        (("orders", "order", 0, "price"), "9,90", "bad_amount"),
        (("orders", "order", 0, "divide_order_fee"), "-1.00", "bad_amount"),
        (("payment",), "NaN", "bad_amount"),
        (("payment",), "1e30", "bad_amount"),
        (("payment",), None, "bad_amount"),
        (("payment",), [], "bad_amount"),
        (("post_fee",), "free", "bad_amount"),
        (("modified",), "", "bad_time"),
        (("modified",), "2026-02-30 10:00:00", "bad_time"),
        (("created",), "2026-03-01", "bad_time"),
        (("pay_time",), 1772330000, "bad_time"),
        (("modified",), "2026-03-01T10:00+08", "bad_time"),
    ],
)
def test_a_bad_value_is_parked_with_its_reason_and_a_sentence_that_names_it(
    path: tuple[Any, ...], value: object, reason: str
) -> None:
    trade = copy.deepcopy(load_trade("trade_two_lines"))
    target: Any = trade
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value

    parked = translate_trade(trade)

    assert isinstance(parked, BadPayload)
    assert parked.reason == reason
    assert "." in parked.detail
    assert len(parked.detail) > 30
    assert parked.payload is trade


def test_refunds_tell_open_done_and_the_word_that_nobody_knows() -> None:
    rows = json.loads((FIXTURES / "refunds.json").read_text())["refunds_receive_get_response"]["refunds"][
        "refund"
    ]

    asked, paid, unknown = (translate_refund(row) for row in rows)

    assert isinstance(asked, RefundDraft)
    assert (asked.state, asked.amount, asked.outer_line_id) == (
        "open",
        Decimal("84.00"),
        "4123456789012345680",
    )
    assert isinstance(paid, RefundDraft)
    assert (paid.state, paid.outer_id) == ("done", "4123456789012349999")
    assert isinstance(unknown, BadPayload)
    assert unknown.reason == "unknown_refund_state"
    assert "A_WORD_OF_TOMORROW" in unknown.detail


def test_translating_is_cheap_enough_for_the_hot_path() -> None:
    trade = load_trade("trade_two_lines")

    seconds = min(timeit.repeat(lambda: translate_trade(trade), number=200, repeat=5)) / 200

    # the budget is 60 µs; the limit is wide, because the machine that runs the tests is shared
    assert seconds < 300e-6
