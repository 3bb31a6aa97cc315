"""A bundle is one line for its channel and its buyer, and several for stock and warehouses, with the same money."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from inventory.availability import sellable_stock
from inventory.fill import fill_shortages
from inventory.models import Reservation, StockPool
from inventory.publish import plan_published_stock
from omni.kernel.answers import Answer
from omni.kernel.errors import DomainError
from orders import drift
from orders.cancel import LineCancel, cancel_lines
from orders.cancel_part import NotCancellable, UnitsCancel, cancel_units
from orders.dispatch import PART_OF_A_BUNDLE, claim_due_notices, record_notice_answers
from orders.draft import ChannelState, LineRefund, RefundDraft
from orders.forget import forget_orders
from orders.models import BundleLine, DispatchNotice, FulfilmentOrder, ReturnLine, SalesOrder, SalesOrderLine
from orders.refunds import take_refunds
from orders.review import order_facts
from orders.shares import line_shares
from orders.source import source_orders
from orders.states import Stage
from orders.take_back import ReturnDraft, forget_returns, take_back_goods
from products.models import Sku
from tests.factories.bundles import compose, make_bundle, skus_of_one_brand
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.orders import NOON, later, line_draft, make_house, order_draft, order_of
from tests.factories.path import approve, release, ship, ship_parcel, source_split, stage
from tests.factories.products import ListingFactory, SkuFactory
from tests.statements import StatementCounter

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "test"}


class Shelf:
    """A house that sells a set of two cups (10 of them) and one pot (6 of them), split 3 to 2."""

    def __init__(self, **shop: Any) -> None:
        self.house = make_house(stock=0, **shop)
        self.cup, self.pot = skus_of_one_brand(2, list_price=Decimal(30))
        put_stock(self.house.location, self.cup, 10)
        put_stock(self.house.location, self.pot, 6)
        self.set = make_bundle({self.cup: 2, self.pot: 1}, weights={self.cup: 3, self.pot: 2})

    def draft(self, quantity: int = 1, **values: Any) -> Any:
        return line_draft(self.set, quantity, **values)

    def order(self, quantity: int = 1, **values: Any) -> SalesOrder:
        return self.house.order(self.draft(quantity, **values))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def lines_of(order: SalesOrder) -> dict[str, SalesOrderLine]:
    return {line.sku.code: line for line in order.lines.select_related("sku", "bundle").order_by("id")}


def reserved(sku: Sku) -> int:
    return sum(StockPool.objects.filter(sku=sku).values_list("reserved", flat=True))


def cancel(order: SalesOrder, outer_line_id: str, quantity: int) -> str:
    units = [UnitsCancel(outer_line_id, quantity)]
    return cancel_units(order_id=order.pk, units=units, reason="changed his mind", **BY).outcome


class TestCapture:
    @pytest.mark.capability("P20")
    def test_a_bundle_becomes_lines_of_what_lies_in_it_with_its_price_split_by_frozen_weights(
        self, shelf: Shelf
    ) -> None:
        order = shelf.order(
            3, outer_line_id="L", unit_price=Decimal("33.35"), amount=Decimal("99.99"), title="Tea set"
        )

        bundle = BundleLine.objects.get(order=order)
        assert (bundle.sku_id, bundle.title, bundle.quantity, bundle.amount) == (
            shelf.set.pk,
            "Tea set",
            3,
            Decimal("99.99"),
        )
        found = [
            (line.sku_id, line.outer_line_id, line.quantity, line.amount, line.unit_price, line.title)
            for line in order.lines.order_by("id")
        ]
        assert found == [
            (shelf.cup.pk, "L", 6, Decimal("59.99"), Decimal("10.0050"), shelf.cup.name),
            (shelf.pot.pk, "L", 3, Decimal("40.00"), Decimal("13.3400"), shelf.pot.name),
        ]
        assert {line.bundle_id for line in order.lines.all()} == {bundle.pk}
        frozen = [(line.bundle_units, line.bundle_weight) for line in order.lines.order_by("id")]
        assert frozen == [(2, Decimal(3)), (1, Decimal(2))]
        assert (reserved(shelf.cup), reserved(shelf.pot), reserved(shelf.set)) == (6, 3, 0)

    def test_plain_lines_beside_it_stay_in_their_order(self, shelf: Shelf) -> None:
        before, after = SkuFactory.create(), SkuFactory.create()

        order = shelf.house.order(line_draft(before), shelf.draft(), line_draft(after))

        assert [line.sku_id for line in order.lines.order_by("id")] == [
            before.pk,
            shelf.cup.pk,
            shelf.pot.pk,
            after.pk,
        ]

    def test_a_listing_names_a_bundle_as_it_names_any_sku(self, shelf: Shelf) -> None:
        listing = ListingFactory.create(shop=shelf.house.shop, sku=shelf.set)
        named = shelf.draft(
            sku_code="", outer_item_id=listing.outer_item_id, outer_sku_id=listing.outer_sku_id
        )

        order = shelf.house.order(named)

        assert set(lines_of(order)) == {shelf.cup.code, shelf.pot.code}

    def test_the_same_order_again_is_the_same_even_when_the_bundle_has_changed_since(
        self, shelf: Shelf
    ) -> None:
        draft = order_draft(shelf.draft(2))
        (first,) = shelf.house.take(draft)
        keys = set(order_of(first).lines.values_list("line_key", "sku_id", "quantity", "amount"))
        compose(shelf.set, {shelf.pot: 5}, weights={shelf.pot: 1})

        (again,) = shelf.house.take(draft)
        (changed,) = shelf.house.take(later(draft, seller_memo="gift"))

        assert (again.result, changed.result) == ("unchanged", "changed")
        order = order_of(changed)
        assert set(order.lines.values_list("line_key", "sku_id", "quantity", "amount")) == keys
        assert (order.seller_memo, order.open_holds) == ("gift", 0)

    def test_another_number_of_bundles_than_captured_holds_the_order(self, shelf: Shelf) -> None:
        line = shelf.draft(2)
        draft = order_draft(line)
        shelf.house.take(draft)

        (changed,) = shelf.house.take(later(draft, lines=[replace(line, quantity=3)]))

        assert "other goods" in order_of(changed).holds.get().reason_said

    def test_an_unpaid_bundle_is_promised_when_it_is_paid_as_it_was_captured(self, shelf: Shelf) -> None:
        draft = order_draft(shelf.draft(2), state=ChannelState.PENDING_PAYMENT, paid_at=None)
        shelf.house.take(draft)
        compose(shelf.set, {shelf.pot: 5}, weights={shelf.pot: 1})

        shelf.house.take(later(draft, state=ChannelState.TO_SHIP, paid_at=NOON))

        assert (reserved(shelf.cup), reserved(shelf.pot)) == (4, 2)

    def test_a_short_component_keeps_the_whole_bundle_waiting_and_the_others_promised(
        self, shelf: Shelf
    ) -> None:
        order = shelf.order(6)  # twelve cups of ten, six pots of six

        missing = {code: line.short_quantity for code, line in lines_of(order).items()}
        order.refresh_from_db()
        source_orders(limit=10, at=NOON)
        waiting = FulfilmentOrder.objects.exists()
        put_stock(shelf.house.location, shelf.cup, 2)
        fill_shortages(sku_ids=[shelf.cup.pk], **BY)

        assert missing == {shelf.cup.code: 12, shelf.pot.code: 0}
        assert (order.short_lines, waiting) == (1, False)
        assert (reserved(shelf.cup), reserved(shelf.pot)) == (12, 6)
        SalesOrderLine.objects.filter(order=order).update(short_quantity=0)
        SalesOrder.objects.filter(pk=order.pk).update(short_lines=0)

    def test_where_orders_are_requests_a_bundle_that_is_short_leaves_no_trace(self) -> None:
        shelf = Shelf(order_policy="request")

        (refused,) = shelf.house.take(order_draft(shelf.draft(6)))

        assert (refused.result, refused.reason) == ("refused", "not_enough_stock")
        assert not BundleLine.objects.exists()
        assert not SalesOrderLine.objects.exists()
        assert (reserved(shelf.cup), reserved(shelf.pot)) == (0, 0)

    def test_the_channel_is_told_again_of_the_bundle_that_it_sold_not_of_what_lies_in_it(
        self, shelf: Shelf
    ) -> None:
        listings = [ListingFactory.create(shop=shelf.house.shop, sku=sku) for sku in (shelf.set, shelf.pot)]
        plan_published_stock(limit=100, at=NOON)
        before = [listing.published.desired_quantity for listing in listings]

        shelf.order(1)
        plan_published_stock(limit=100, at=NOON)

        for listing in listings:
            listing.published.refresh_from_db()
        after = [listing.published.desired_quantity for listing in listings]
        assert (before, after) == ([5, 6], [4, 5])

    def test_an_order_that_is_forgotten_takes_its_bundles_along(self, shelf: Shelf) -> None:
        order = shelf.order(2)

        forget_orders(order_ids=[order.pk], **BY)

        assert not BundleLine.objects.exists()
        assert (reserved(shelf.cup), reserved(shelf.pot)) == (0, 0)

    def test_plain_orders_take_no_statement_more_for_bundles(self, shelf: Shelf) -> None:
        plain = [order_draft(line_draft(shelf.pot)) for _number in range(3)]
        with StatementCounter() as counter:
            shelf.house.take(*plain)

        assert not [text for text in counter.log if "orders_bundleline" in text]
        assert len([text for text in counter.log if "products_bundlecomponent" in text]) == 1

    def test_the_statements_do_not_grow_with_the_bundles(self, shelf: Shelf) -> None:
        with StatementCounter() as of_one:
            shelf.house.take(order_draft(shelf.draft()))
        with StatementCounter() as of_two:
            shelf.house.take(order_draft(shelf.draft()), order_draft(shelf.draft()))

        assert of_two.statements <= of_one.statements + 3  # more rows than a handful go by COPY, a table each

    def test_a_rule_sees_the_bundle_as_one_line_and_finds_it_by_either_code(self, shelf: Shelf) -> None:
        order = SalesOrder.objects.prefetch_related("lines__sku", "lines__bundle__sku").get(
            pk=shelf.order(3).pk
        )

        facts = order_facts(order)

        assert (facts["line_count"], facts["unit_count"]) == (1, 3)
        assert facts["sku_codes"] == [shelf.set.code, shelf.cup.code, shelf.pot.code]


class TestCancel:
    def test_some_bundles_are_cancelled_with_all_that_lies_in_them(self, shelf: Shelf) -> None:
        order = shelf.order(3, outer_line_id="L", amount=Decimal("99.99"))

        outcome = cancel(order, "L", 1)

        assert outcome == "cancelled"
        counted = {code: (line.quantity, line.cancelled_quantity) for code, line in lines_of(order).items()}
        assert counted == {shelf.cup.code: (6, 2), shelf.pot.code: (3, 1)}
        assert (reserved(shelf.cup), reserved(shelf.pot)) == (4, 2)

    def test_of_a_plain_line_units_are_cancelled(self, shelf: Shelf) -> None:
        order = shelf.house.order(line_draft(shelf.pot, 3, outer_line_id="L"))

        cancel(order, "L", 2)

        assert order.lines.get().cancelled_quantity == 2

    @pytest.mark.parametrize(
        ("line", "quantity", "text"),
        [("L", 4, "only 3 whole bundles are open"), ("L", 0, "at least 1"), ("M", 1, "no line M")],
    )
    def test_more_than_is_open_is_refused_and_changes_nothing(
        self, shelf: Shelf, line: str, quantity: int, text: str
    ) -> None:
        order = shelf.order(3, outer_line_id="L")

        with pytest.raises(NotCancellable, match=text):
            cancel(order, line, quantity)

        assert (reserved(shelf.cup), reserved(shelf.pot)) == (6, 3)

    def test_a_bundle_of_which_a_part_has_left_is_not_cancelled_as_a_whole(self, shelf: Shelf) -> None:
        order = shelf.order(2, outer_line_id="L")
        ship(release(order), shelf.pot.code, 1, is_final=False)

        with pytest.raises(NotCancellable, match="only 1 whole bundles"):
            cancel(order, "L", 2)

    def test_what_a_warehouse_has_is_asked_for_and_a_second_wish_adds_to_the_first(
        self, shelf: Shelf
    ) -> None:
        order = shelf.order(3, outer_line_id="L")
        release(order)

        outcomes = [cancel(order, "L", 1), cancel(order, "L", 1)]

        assert outcomes == ["asked", "asked"]
        assert {line.cancel_wanted for line in order.lines.all()} == {4, 2}

    def test_a_line_refunded_on_its_platform_is_cancelled_with_all_components(self, shelf: Shelf) -> None:
        line, other = shelf.draft(2), line_draft(shelf.pot)
        draft = order_draft(line, other)
        (captured,) = shelf.house.take(draft)

        shelf.house.take(later(draft, lines=[replace(line, refund=LineRefund.DONE), other]))

        cancelled = order_of(captured).lines.order_by("id").values_list("quantity", "cancelled_quantity")
        assert list(cancelled) == [(4, 4), (2, 2), (1, 0)]

    def test_a_refund_case_of_the_whole_bundle_cancels_it_and_one_of_a_part_does_not(
        self, shelf: Shelf
    ) -> None:
        order = shelf.order(2, outer_line_id="L", amount=Decimal(20))

        def refund(number: str, amount: str) -> None:
            case = RefundDraft(number, order.outer_id, "L", "done", "SUCCESS", Decimal(amount), "CNY", NOON)
            take_refunds(shop=shelf.house.shop, refunds=[case], **BY)

        refund("R1", "12.00")
        after_a_part = stage(order)
        refund("R2", "20.00")

        assert after_a_part == Stage.CAPTURED
        assert stage(order) == Stage.CANCELLED
        assert (reserved(shelf.cup), reserved(shelf.pot)) == (0, 0)


class TestSourcing:
    def place(self, shelf: Shelf, cups: int, pots: int, **values: Any) -> Any:
        location = LocationFactory.create(group=shelf.house.location.group, **values)
        for sku, units in ((shelf.cup, cups), (shelf.pot, pots)):
            if units:
                put_stock(location, sku, units)
        return location

    def sent(self, fulfilments: list[FulfilmentOrder]) -> dict[str, dict[str, int]]:
        return {
            row.location.code: dict(row.lines.values_list("sku__code", "quantity")) for row in fulfilments
        }

    def test_a_bundle_is_sent_whole_by_a_place_that_has_all_of_it(self, shelf: Shelf) -> None:
        cup, pot = shelf.cup.code, shelf.pot.code
        whole = self.place(shelf, cups=10, pots=6)
        order = shelf.order(8, amount=Decimal(80))  # 16 cups, 8 pots: five sets there, three elsewhere

        sent = self.sent(source_split(order))

        here = shelf.house.location.code
        assert sent == {here: {cup: 10, pot: 5}, whole.code: {cup: 6, pot: 3}}

    def test_more_units_in_pieces_do_not_win_over_whole_bundles(self, shelf: Shelf) -> None:
        # Here lie ten cups and six pots; there many cups, and no pot.
        cups_only = self.place(shelf, cups=50, pots=0)
        order = shelf.order(5)

        sent = self.sent(source_split(order))

        assert cups_only.code not in sent

    def test_what_no_place_can_send_together_is_sent_apart(self, shelf: Shelf) -> None:
        cup, pot = shelf.cup.code, shelf.pot.code
        cups_only = self.place(shelf, cups=2, pots=0)
        order = shelf.order(6)  # twelve cups: ten here and two there; six pots, all here

        sent = self.sent(source_split(order))

        assert sent == {shelf.house.location.code: {cup: 10, pot: 6}, cups_only.code: {cup: 2}}

    def test_bundles_stay_whole_before_plain_lines_of_the_same_goods(self, shelf: Shelf) -> None:
        cups_only = self.place(shelf, cups=3, pots=0)
        order = shelf.house.order(line_draft(shelf.cup, 3), shelf.draft(5))

        sent = self.sent(source_split(order))

        assert sent[cups_only.code] == {shelf.cup.code: 3}
        assert sent[shelf.house.location.code] == {shelf.cup.code: 10, shelf.pot.code: 5}


class TestDispatch:
    def claim(self, shelf: Shelf, *, one_parcel_per_line: bool = False) -> list[tuple[str, Any, bool]]:
        due = claim_due_notices(
            shop_id=shelf.house.shop.pk, limit=10, one_parcel_per_line=one_parcel_per_line, **BY
        )
        answers = [Answer(notice.notice_id, ok=True) for notice in due]
        record_notice_answers(answers=answers, **BY)
        return [(notice.tracking_no, list(notice.lines), notice.is_whole_order) for notice in due]

    def test_a_channel_hears_of_bundles_not_of_what_lies_in_them(self, shelf: Shelf) -> None:
        order = shelf.order(2, outer_line_id="L")

        ship_parcel(release(order), [(shelf.cup.code, 4), (shelf.pot.code, 2)], "K1")

        assert self.claim(shelf) == [("SFK1", [("L", 2)], True)]
        assert stage(order) == Stage.SHIPPED

    def test_it_hears_with_the_parcel_that_makes_them_complete(self, shelf: Shelf) -> None:
        order = shelf.order(3, outer_line_id="L")
        fulfilment = release(order)

        ship_parcel(fulfilment, [(shelf.cup.code, 3)], "K1", is_final=False)
        ship_parcel(fulfilment, [(shelf.pot.code, 2)], "K2", is_final=False)
        ship_parcel(fulfilment, [(shelf.cup.code, 3), (shelf.pot.code, 1)], "K3")

        assert self.claim(shelf) == [("SFK2", [("L", 1)], False), ("SFK3", [("L", 2)], False)]
        silent = DispatchNotice.objects.get(parcel__tracking_no="SFK1")
        assert (silent.state, silent.reason) == ("not_needed", PART_OF_A_BUNDLE)
        assert order.events.filter(kind="dispatch.not_needed").exists()

    def test_one_that_keeps_one_number_per_line_hears_in_the_first_parcel(self, shelf: Shelf) -> None:
        order = shelf.order(1, outer_line_id="L")
        fulfilment = release(order)
        ship_parcel(fulfilment, [(shelf.cup.code, 2)], "K1", is_final=False)
        first = self.claim(shelf, one_parcel_per_line=True)
        ship_parcel(fulfilment, [(shelf.pot.code, 1)], "K2")

        second = self.claim(shelf, one_parcel_per_line=True)

        assert [(number, [outer for outer, _units in lines]) for number, lines, _ in first] == [
            ("SFK1", ["L"])
        ]
        assert second == []
        assert DispatchNotice.objects.get(parcel__tracking_no="SFK2").state == "not_needed"

    def test_when_the_rest_of_a_bundle_is_cancelled_it_hears_of_what_has_left(self, shelf: Shelf) -> None:
        order = shelf.order(1, outer_line_id="L")
        ship_parcel(release(order), [(shelf.cup.code, 2)], "K1")  # the pot was not found
        told_before = self.claim(shelf)
        pot = lines_of(order)[shelf.pot.code]

        cancel_lines(cancels=[LineCancel(pot.pk)], reason="closed", **BY)

        assert told_before == []
        assert self.claim(shelf) == [("SFK1", [("L", 1)], False)]
        assert stage(order) == Stage.SHIPPED

    def test_bundles_that_were_cancelled_whole_are_not_told_of(self, shelf: Shelf) -> None:
        order = shelf.order(3, outer_line_id="L")
        cancel(order, "L", 1)

        ship_parcel(release(order), [(shelf.cup.code, 4), (shelf.pot.code, 2)], "K1")

        assert self.claim(shelf) == [("SFK1", [("L", 2)], False)]


class TestReturns:
    def shipped(self, shelf: Shelf, quantity: int, amount: str) -> SalesOrder:
        order = shelf.house.order(
            shelf.draft(quantity, outer_line_id="L", amount=Decimal(amount)), buyer="Li"
        )
        units = [(shelf.cup.code, 2 * quantity), (shelf.pot.code, quantity)]
        ship_parcel(release(order), units, "K1")
        return order

    def bring_back(self, shelf: Shelf, sku: Sku, quantity: int, number: str = "R1") -> Any:
        draft = ReturnDraft(number, "1", "Li", sku.code, quantity, Decimal("1.00"), NOON)
        [result] = take_back_goods(shop=shelf.house.shop, drafts=[draft], source="test", **BY)
        return result

    def amounts(self, order: SalesOrder) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for row in ReturnLine.objects.filter(return_case__order=order).select_related("order_line__sku"):
            code = row.order_line.sku.code
            found[code] = found.get(code, Decimal(0)) + row.amount
        return found

    def test_a_bundle_comes_back_whole_for_what_was_paid_for_it(self, shelf: Shelf) -> None:
        order = self.shipped(shelf, 3, "99.99")

        self.bring_back(shelf, shelf.set, 1, "R1")
        after_one = self.amounts(order)
        self.bring_back(shelf, shelf.set, 2, "R2")

        assert after_one == {shelf.cup.code: Decimal("20.00"), shelf.pot.code: Decimal("13.33")}
        assert self.amounts(order) == {shelf.cup.code: Decimal("59.99"), shelf.pot.code: Decimal("40.00")}
        assert [line.returned_quantity for line in order.lines.order_by("id")] == [6, 3]

    def test_one_component_comes_back_alone_for_its_share(self, shelf: Shelf) -> None:
        order = self.shipped(shelf, 1, "50.00")

        result = self.bring_back(shelf, shelf.pot, 1)

        assert result.result == "new"
        assert self.amounts(order) == {shelf.pot.code: Decimal("20.00")}

    def test_without_one_component_the_bundle_does_not_come_back_whole(self, shelf: Shelf) -> None:
        order = self.shipped(shelf, 2, "50.00")
        self.bring_back(shelf, shelf.pot, 1, "R1")

        too_much = self.bring_back(shelf, shelf.set, 2, "R2")
        fits = self.bring_back(shelf, shelf.set, 1, "R3")

        assert (too_much.result, too_much.reason) == ("refused", "more_than_bought")
        assert fits.result == "new"
        assert [line.returned_quantity for line in order.lines.order_by("id")] == [2, 2]

    def test_a_return_that_is_taken_out_again_makes_nobody_richer(self, shelf: Shelf) -> None:
        order = self.shipped(shelf, 3, "1.00")
        first = self.bring_back(shelf, shelf.pot, 1, "R1")
        self.bring_back(shelf, shelf.pot, 1, "R2")
        forget_returns(return_ids=first.return_ids, **BY)

        self.bring_back(shelf, shelf.pot, 2, "R3")

        assert self.amounts(order) == {shelf.pot.code: Decimal("0.40")}

    def test_a_plain_line_is_paid_back_as_the_document_says(self, shelf: Shelf) -> None:
        order = shelf.house.order(line_draft(shelf.pot, 2), buyer="Li")
        ship(release(order), shelf.pot.code, 2)

        self.bring_back(shelf, shelf.pot, 2)

        assert self.amounts(order) == {shelf.pot.code: Decimal("2.00")}


def test_the_shares_of_what_left_was_cancelled_and_is_open_are_the_amount(shelf: Shelf) -> None:
    order = shelf.order(3, outer_line_id="L", amount=Decimal("10.00"))
    cancel(order, "L", 1)
    ship(release(order), shelf.pot.code, 1, is_final=False)

    shares = {code: line_shares(line, currency="CNY") for code, line in lines_of(order).items()}

    pot, cup = shares[shelf.pot.code], shares[shelf.cup.code]
    assert (pot.shipped, pot.cancelled, pot.open) == (Decimal("1.33"), Decimal("1.33"), Decimal("1.34"))
    assert (cup.shipped, cup.cancelled, cup.open) == (Decimal(0), Decimal("2.00"), Decimal("4.00"))


def test_a_sku_that_an_open_order_sells_does_not_become_a_bundle() -> None:
    house = make_house(stock=0)
    sku, part = skus_of_one_brand(2, list_price=Decimal(1))
    order = house.order(line_draft(sku), state=ChannelState.PENDING_PAYMENT, paid_at=None)

    refused = compose(sku, {part: 1})
    house.take(later(order_draft(line_draft(sku), outer_id=order.outer_id), state=ChannelState.CANCELLED))
    taken = compose(sku, {part: 1})

    assert isinstance(refused.refusal, DomainError)
    assert order.number in refused.refusal.detail
    assert taken.result == "new"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("orders.bundles_equal_their_components", {"amount": Decimal("0.01")}),
        ("orders.components_are_in_step_with_their_bundles", {"bundle_units": 7}),
        ("orders.components_are_in_step_with_their_bundles", {"outer_line_id": "other"}),
        ("orders.components_have_their_bundles", {"bundle_id": 0}),
        ("orders.bundles_are_paid_back_by_their_shares", {"amount": Decimal("0.01")}),
    ],
)
def test_doctor_finds_bundles_that_do_not_add_up(shelf: Shelf, code: str, changes: dict[str, Any]) -> None:
    order = TestReturns().shipped(shelf, 2, "50.00")
    TestReturns().bring_back(shelf, shelf.pot, 1)
    check = next(check for check in drift.CHECKS if check.code == code)
    sound = check.find(5)

    with transaction.atomic():
        SalesOrderLine.objects.filter(order=order, sku=shelf.pot).update(**changes)
        found = check.find(5)
        transaction.set_rollback(True)

    assert sound == []
    assert len(found) == 1


def test_what_is_sold_of_a_bundle_falls_with_what_is_promised_of_its_components(shelf: Shelf) -> None:
    shop = shelf.house.shop.pk

    def sellable() -> int:
        return sellable_stock(sku_ids=[shelf.set.pk], shop_ids=[shop])[shop, shelf.set.pk]

    before = sellable()
    order = shelf.order(2)
    after = sellable()
    approve(order)

    assert (before, after) == (5, 3)
    assert Reservation.objects.filter(sku=shelf.set).count() == 0
