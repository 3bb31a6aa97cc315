"""Call-backs: true ones are stored before they are answered and take effect once, forged ones never."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from integrations import registry
from integrations.contract import ChannelUnavailable
from integrations.lease import open_streams
from integrations.models import Connection, InboundMessage, MessageLog
from integrations.receive import EARLY_FOR, GRACE, retry_inbound, take_inbound
from integrations.release import release_fulfilments
from inventory.models import StockLevel, StockMovement
from omni.kernel.models import AuditEntry
from orders.models import FulfilmentOrder, OrderEvent, OrderHold, Parcel, SalesOrder, Shipment
from orders.review import review_captured
from orders.source import source_orders
from orders.states import FulfilmentState, Stage
from tests.factories.integrations import make_warehouse
from tests.factories.orders import House, line_draft, make_house
from tests.factories.outside import Depot

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I1", "X10")]

SECRET = "qimen-secret"
CONFIRM = "taobao.qimen.deliveryorder.confirm"


@pytest.fixture
def depot(monkeypatch: pytest.MonkeyPatch) -> Depot:
    depot = Depot()
    monkeypatch.setitem(registry.WAREHOUSES, "qimen", depot)
    return depot


@pytest.fixture
def house() -> House:
    return make_house(stock=20)


@pytest.fixture
def warehouse(house: House, depot: Depot) -> Connection:
    warehouse = make_warehouse(location=house.location)
    open_streams(connection_id=warehouse.pk, streams=["release"])
    return warehouse


def released(house: House, warehouse: Connection, quantity: int = 2) -> FulfilmentOrder:
    """An order that the warehouse has accepted."""
    house.order(line_draft(house.sku, quantity))
    review_captured(limit=10, at=timezone.now())
    source_orders(limit=10, at=timezone.now())
    release_fulfilments(connection_id=warehouse.pk, at=timezone.now())
    fulfilment = FulfilmentOrder.objects.latest("pk")
    assert fulfilment.state == FulfilmentState.ACCEPTED
    return fulfilment


# --- the warehouse's side, written anew: it must not lean on our own signing --------------------------------


def sign(query: Mapping[str, str], body: bytes, secret: str) -> str:
    text = "".join(name + query[name] for name in sorted(query))
    return hashlib.md5(secret.encode() + text.encode() + body + secret.encode()).hexdigest().upper()  # noqa: S324


def address(code: str, method: str, body: bytes, *, secret: str = SECRET) -> str:
    query = {
        "method": method,
        "timestamp": "2026-05-04 20:00:00",
        "format": "xml",
        "app_key": "qimen-app",
        "v": "2.0",
        "sign_method": "md5",
        "customerId": "omni",
    }
    return f"/api/v1/webhooks/qimen/{code}/?" + urlencode({**query, "sign": sign(query, body, secret)})


def call(warehouse: Connection, body: str | bytes, *, method: str = CONFIRM, secret: str = SECRET) -> Any:
    data = body if isinstance(body, bytes) else body.encode()
    url = address(warehouse.code, method, data, secret=secret)
    return Client().post(url, data=data, content_type="text/xml;charset=utf-8")


def confirm(
    fulfilment: FulfilmentOrder | str,
    *,
    units: int = 2,
    sku: str = "",
    event: str = "E1",
    status: str = "DELIVERED",
    kind: str = "0",
    place: str = "",
) -> str:
    number = fulfilment if isinstance(fulfilment, str) else fulfilment.number
    if isinstance(fulfilment, FulfilmentOrder):
        sku = sku or fulfilment.lines.get().sku.code
        place = place or fulfilment.location.code
    box = f"""<packages><package><logisticsCode>SF</logisticsCode><expressCode>SF{event}</expressCode>
        <items><item><itemCode>{sku}</itemCode><quantity>{units}</quantity></item></items></package></packages>"""
    return f"""<?xml version="1.0" encoding="utf-8"?><request><deliveryOrder>
        <deliveryOrderCode>{number}</deliveryOrderCode><warehouseCode>{place}</warehouseCode>
        <orderType>JYCK</orderType><status>{status}</status><outBizCode>{event}</outBizCode>
        <confirmType>{kind}</confirmType><orderConfirmTime>2026-05-04 20:00:00</orderConfirmTime>
        </deliveryOrder>{box if units else ""}</request>"""


def tell_stock(
    warehouse: Connection, sku: str, quantity: int, *, event: str = "S1", kind: str = "ZP", place: str = ""
) -> Any:
    """A movement that the warehouse made by itself; `place`: in another warehouse of the account."""
    body = f"""<request><items><item><ownerCode>OMNI</ownerCode>
        <warehouseCode>{place or warehouse.settings["warehouse_code"]}</warehouseCode>
        <orderCode>PD1</orderCode><orderType>PD</orderType><outBizCode>{event}</outBizCode>
        <itemCode>{sku}</itemCode><inventoryType>{kind}</inventoryType><quantity>{quantity}</quantity>
        </item></items></request>"""
    return call(warehouse, body, method="stockchange.report")


def take(at: Any = None) -> int:
    """One sweep, with every wait over."""
    InboundMessage.objects.filter(state="new").update(not_before=timezone.now() - timedelta(minutes=1))
    return take_inbound(limit=50, at=at or timezone.now())


def flag(response: Any) -> str:
    text = response.content.decode()
    return "success" if "<flag>success</flag>" in text else "failure"


# --- at the door --------------------------------------------------------------------------------------------


def test_a_confirmation_is_stored_before_it_is_answered_and_worked_on_after(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse)

    response = call(warehouse, confirm(fulfilment))

    assert (response.status_code, flag(response)) == (200, "success")
    stored = InboundMessage.objects.get()
    assert (stored.state, stored.subject) == (InboundMessage.State.NEW, fulfilment.number)
    assert not Shipment.objects.exists()
    take()
    stored.refresh_from_db()
    assert stored.state == InboundMessage.State.DONE
    assert Parcel.objects.get().tracking_no == "SFE1"
    assert SalesOrder.objects.get().stage == Stage.SHIPPED
    assert StockLevel.objects.get().on_hand == 18


def test_a_replayed_confirmation_is_answered_with_success_and_ships_nothing_more(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment))
    take()

    replays = [call(warehouse, confirm(fulfilment)) for _ in range(3)]
    take()

    assert [flag(response) for response in replays] == ["success"] * 3
    assert InboundMessage.objects.count() == Shipment.objects.count() == Parcel.objects.count() == 1
    assert StockLevel.objects.get().on_hand == 18


@pytest.mark.parametrize("secret", ["wrong", "", "qimen-secret "])
def test_a_forged_confirmation_is_answered_as_qimen_does_and_leaves_only_a_line_in_the_log(
    warehouse: Connection, house: House, secret: str
) -> None:
    fulfilment = released(house, warehouse)
    logged = MessageLog.objects.count()

    response = call(warehouse, confirm(fulfilment), secret=secret)
    take()

    assert (response.status_code, flag(response)) == (200, "failure")
    assert b"sign-check-failure" in response.content
    assert not InboundMessage.objects.exists()
    assert not Shipment.objects.exists()
    assert MessageLog.objects.count() == logged + 1
    assert MessageLog.objects.latest("pk").is_ok is False


def test_a_body_that_was_altered_on_its_way_is_forged(warehouse: Connection, house: House) -> None:
    fulfilment = released(house, warehouse)
    signed = confirm(fulfilment, units=1).encode()
    altered = confirm(fulfilment, units=2).encode()

    response = Client().post(
        address(warehouse.code, CONFIRM, signed), data=altered, content_type="text/xml;charset=utf-8"
    )

    assert b"sign-check-failure" in response.content
    assert not InboundMessage.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<request>\xff\xfe</request>",
        "<request>钱</request>".encode("gb18030"),
        b"<request><deliveryOrder></deliveryOrder></request>",
        b"<response/>",
        b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><request>&b;</request>',
        b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><request>&x;</request>',
        b"<request>" + b"<a>" * 20_000,
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason_and_not_stored(
    warehouse: Connection, body: bytes
) -> None:
    response = call(warehouse, body)

    assert (response.status_code, flag(response)) == (200, "failure")
    assert b"<message>" in response.content
    assert b"passwd" not in response.content
    assert not InboundMessage.objects.exists()
    assert MessageLog.objects.get().is_ok is False


def test_ten_megabytes_are_not_even_parsed(warehouse: Connection) -> None:
    body = b"<request>" + b" " * (10 * 1024 * 1024) + b"</request>"

    response = call(warehouse, body)

    assert (response.status_code, flag(response)) == (413, "failure")
    assert not InboundMessage.objects.exists()
    assert MessageLog.objects.get().is_ok is False


def test_a_nearly_full_body_is_read(warehouse: Connection, house: House) -> None:
    fulfilment = released(house, warehouse)
    padding = " " * (9 * 1024 * 1024)

    response = call(warehouse, confirm(fulfilment).replace("</request>", f"{padding}</request>"))

    assert flag(response) == "success"
    assert InboundMessage.objects.count() == 1


def test_an_address_that_nobody_has_is_not_found(warehouse: Connection) -> None:
    body = confirm("FO1", sku="x", place="y").encode()
    asleep = make_warehouse(is_active=False)

    for code in ("nobody", asleep.code):
        response = Client().post(address(code, CONFIRM, body), data=body, content_type="text/xml")
        assert response.status_code == 404

    assert not InboundMessage.objects.exists()


def test_reading_is_not_what_the_door_is_for(warehouse: Connection) -> None:
    response = Client().get(f"/api/v1/webhooks/qimen/{warehouse.code}/")

    assert response.status_code == 405


def test_the_log_holds_neither_the_secret_nor_a_phone_number(warehouse: Connection, house: House) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment).replace("<status>", "<remark>13812345678</remark><status>"))
    call(warehouse, b"<request><phone>13812345678</phone>qimen-secret", secret=SECRET)
    take()

    texts = [f"{row.operation}{row.subject}{row.detail}" for row in MessageLog.objects.all()]

    assert texts
    assert not [text for text in texts if "13812345678" in text or SECRET in text]


# --- at work ------------------------------------------------------------------------------------------------


def test_a_confirmation_of_an_unknown_delivery_is_waited_for_and_then_shown_to_a_person(
    warehouse: Connection, house: House
) -> None:
    body = confirm("FO99999999", sku=house.sku.code, place=house.location.code)
    assert flag(call(warehouse, body)) == "success"

    take()
    early = InboundMessage.objects.get()
    take(at=timezone.now() + EARLY_FOR + timedelta(seconds=5))

    late = InboundMessage.objects.get()
    assert (early.state, late.state) == (InboundMessage.State.NEW, InboundMessage.State.FAILED)
    assert "FO99999999" in late.last_error
    assert not Shipment.objects.exists()


def test_a_confirmation_that_overtook_its_order_takes_effect_once_the_order_is_there(
    warehouse: Connection, house: House
) -> None:
    house.order(line_draft(house.sku, 2))
    number = (
        f"FO{(FulfilmentOrder.objects.order_by('-pk').values_list('pk', flat=True).first() or 0) + 1:08d}"
    )
    call(warehouse, confirm(number, sku=house.sku.code, place=house.location.code))
    take()
    assert not Shipment.objects.exists()
    review_captured(limit=10, at=timezone.now())
    source_orders(limit=10, at=timezone.now())
    fulfilment = FulfilmentOrder.objects.get()
    FulfilmentOrder.objects.update(number=number)
    release_fulfilments(connection_id=warehouse.pk, at=timezone.now())

    take()

    fulfilment.refresh_from_db()
    assert fulfilment.state == FulfilmentState.SHIPPED


def test_more_than_was_ordered_is_shown_to_a_person_and_ships_nothing(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse)
    assert flag(call(warehouse, confirm(fulfilment, units=3))) == "success"

    take()

    message = InboundMessage.objects.get()
    assert message.state == InboundMessage.State.FAILED
    assert fulfilment.number in message.last_error
    assert not Shipment.objects.exists()
    assert StockLevel.objects.get().on_hand == 20
    assert MessageLog.objects.filter(operation="take.delivery", is_ok=False).count() == 1


def test_a_person_who_has_mended_the_cause_lets_it_be_tried_again(
    warehouse: Connection, house: House
) -> None:
    tell_stock(warehouse, "new-sku", 5)
    take()
    message = InboundMessage.objects.get()
    assert message.state == InboundMessage.State.FAILED
    house.sku.code = "new-sku"
    house.sku.save()

    count = retry_inbound(message_ids=[message.pk], at=timezone.now(), by="user:1")
    take()

    message.refresh_from_db()
    assert (count, message.state) == (1, InboundMessage.State.DONE)
    assert StockLevel.objects.get().on_hand == 25
    assert AuditEntry.objects.filter(action="inbound.retried", by="user:1").count() == 1


def test_what_is_done_is_not_tried_again(warehouse: Connection, house: House) -> None:
    tell_stock(warehouse, house.sku.code, 5)
    take()

    count = retry_inbound(message_ids=[InboundMessage.objects.get().pk], at=timezone.now(), by="user:1")

    assert count == 0
    assert take() == 0


def test_a_stock_change_moves_stock_once_and_the_grade_it_names(warehouse: Connection, house: House) -> None:
    for _ in range(2):
        tell_stock(warehouse, house.sku.code, -3)
        tell_stock(warehouse, house.sku.code, 3, event="S2", kind="CC")
    take()

    levels = dict(StockLevel.objects.values_list("grade", "on_hand"))

    assert levels == {"good": 17, "defective": 3}
    assert InboundMessage.objects.filter(state="done").count() == 2


@pytest.mark.parametrize(
    ("sku", "kind", "says"), [("unheard-of", "ZP", "unheard-of"), ("", "ZT", "ZT"), ("", "??", "??")]
)
def test_a_stock_change_of_something_unknown_is_shown_to_a_person(
    warehouse: Connection, house: House, sku: str, kind: str, says: str
) -> None:
    moved = StockMovement.objects.count()
    tell_stock(warehouse, sku or house.sku.code, 1, kind=kind)

    take()

    message = InboundMessage.objects.get()
    assert (message.state, says in message.last_error) == (InboundMessage.State.FAILED, True)
    assert StockMovement.objects.count() == moved


def test_the_loss_of_a_unit_that_is_taken_for_an_order_waits_for_the_confirmation_without_it(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse, quantity=20)
    tell_stock(warehouse, house.sku.code, -1)
    take()
    assert InboundMessage.objects.get().state == InboundMessage.State.NEW
    call(warehouse, confirm(fulfilment, units=19))

    take(at=timezone.now() + GRACE + timedelta(seconds=5))
    take()

    assert set(InboundMessage.objects.values_list("state", flat=True)) == {InboundMessage.State.DONE}
    assert StockLevel.objects.get().on_hand == 0


def test_the_loss_of_a_unit_is_booked_hours_later_when_all_that_is_left_was_taken_for_orders(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse, quantity=20)
    tell_stock(warehouse, house.sku.code, -1)
    take(at=timezone.now() + timedelta(hours=2))
    lost = InboundMessage.objects.get()
    assert lost.state == InboundMessage.State.NEW
    assert "committed" in lost.last_error

    call(warehouse, confirm(fulfilment, units=19))
    for hours in (3, 4):
        InboundMessage.objects.update(not_before=timezone.now() - timedelta(seconds=1))
        take(at=timezone.now() + timedelta(hours=hours))

    assert StockLevel.objects.get().on_hand == 0
    assert not InboundMessage.objects.exclude(state=InboundMessage.State.DONE).exists()


def test_two_parcels_in_two_confirmations_are_two_shipments_of_one_order(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=1, event="E1", status="PARTDELIVERED", kind="1"))
    call(warehouse, confirm(fulfilment, units=1, event="E2"))

    take()
    take()

    fulfilment.refresh_from_db()
    assert fulfilment.state == FulfilmentState.SHIPPED
    assert sorted(Parcel.objects.values_list("tracking_no", flat=True)) == ["SFE1", "SFE2"]


def test_the_last_confirmation_of_a_delivery_waits_for_the_others_that_are_here(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=1, event="E1", status="PARTDELIVERED", kind="1"))
    call(warehouse, confirm(fulfilment, units=1, event="E2"))
    first = InboundMessage.objects.get(event_key__contains="E1")
    InboundMessage.objects.filter(pk=first.pk).update(not_before=timezone.now() + timedelta(minutes=1))

    overtaken = take_inbound(limit=50, at=timezone.now() + GRACE + timedelta(seconds=5))

    # worked on first, the last confirmation would have had the first parcel's goods sent again
    assert overtaken == 0
    assert not Shipment.objects.exists()
    take()
    take()
    assert Shipment.objects.count() == 2
    assert FulfilmentOrder.objects.count() == 1


def test_a_last_confirmation_of_less_waits_a_little_for_one_that_it_has_overtaken(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=1, event="E2"))
    take()
    assert not Shipment.objects.exists()
    call(warehouse, confirm(fulfilment, units=1, event="E1", status="PARTDELIVERED", kind="1"))

    take()
    take()

    fulfilment.refresh_from_db()
    assert (Shipment.objects.count(), fulfilment.state) == (2, FulfilmentState.SHIPPED)


def test_a_last_confirmation_of_less_is_believed_when_the_warehouse_has_sent_no_more(
    warehouse: Connection, house: House, depot: Depot
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=1))
    depot.sent[fulfilment.number] = 1

    take(at=timezone.now() + GRACE + timedelta(seconds=5))

    fulfilment.refresh_from_db()
    assert (Shipment.objects.count(), fulfilment.state) == (1, FulfilmentState.SHIPPED)
    assert SalesOrder.objects.get().stage == Stage.APPROVED


def test_a_warehouse_that_has_sent_more_than_it_told_of_is_waited_for_however_long_it_takes(
    warehouse: Connection, house: House, depot: Depot
) -> None:
    """Believed too soon, the goods of the parcel that was overtaken would be sent to the buyer once more."""
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=1, event="E2"))
    depot.sent[fulfilment.number] = 2
    take(at=timezone.now() + timedelta(hours=1))
    assert not Shipment.objects.exists()
    assert "has sent 2 units" in InboundMessage.objects.get().last_error

    call(warehouse, confirm(fulfilment, units=1, event="E1", status="PARTDELIVERED", kind="1"))
    take(at=timezone.now() + timedelta(hours=2))
    InboundMessage.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    take(at=timezone.now() + timedelta(hours=2))

    fulfilment.refresh_from_db()
    assert (Shipment.objects.count(), fulfilment.state) == (2, FulfilmentState.SHIPPED)
    assert FulfilmentOrder.objects.count() == 1


def test_a_warehouse_that_does_not_answer_is_asked_again_and_nothing_is_believed(
    warehouse: Connection, house: House, depot: Depot
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=1))
    depot.fails["count"] = ChannelUnavailable("no answer")

    take(at=timezone.now() + GRACE + timedelta(seconds=5))

    message = InboundMessage.objects.get()
    assert (message.state, message.last_error) == (InboundMessage.State.NEW, "no answer")
    assert not Shipment.objects.exists()


def test_a_warehouse_that_cannot_say_is_believed_after_a_while(
    warehouse: Connection, house: House, depot: Depot
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=1))

    take(at=timezone.now() + GRACE + timedelta(seconds=5))

    fulfilment.refresh_from_db()
    assert fulfilment.state == FulfilmentState.SHIPPED


def test_a_warehouse_that_refuses_afterwards_is_a_refusal(warehouse: Connection, house: House) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=0, status="REJECT"))

    take()

    fulfilment.refresh_from_db()
    assert fulfilment.state == FulfilmentState.REFUSED


def test_a_problem_in_the_warehouse_holds_the_order_until_it_has_left(
    warehouse: Connection, house: House
) -> None:
    fulfilment = released(house, warehouse)
    call(warehouse, confirm(fulfilment, units=0, status="EXCEPTION", event="X"))
    take()
    assert OrderHold.objects.get().state == OrderHold.State.OPEN

    call(warehouse, confirm(fulfilment))
    take()

    assert OrderHold.objects.get().state == OrderHold.State.RESOLVED
    assert SalesOrder.objects.get().open_holds == 0


def test_steps_inside_the_warehouse_appear_on_the_timeline(warehouse: Connection, house: House) -> None:
    fulfilment = released(house, warehouse)
    body = f"""<request><order><orderCode>{fulfilment.number}</orderCode><orderType>JYCK</orderType></order>
        <process><processStatus>PICK</processStatus><operateTime>2026-05-04 20:00:00</operateTime></process>
        </request>"""

    call(warehouse, body, method="orderprocess.report")
    take()

    assert OrderEvent.objects.filter(kind="warehouse.step", detail__step="PICK").count() == 1


def test_one_account_calls_back_for_all_of_its_warehouses(warehouse: Connection, house: House) -> None:
    sibling = make_warehouse(credentials=warehouse.credentials)
    stranger = make_warehouse(credentials={**warehouse.credentials, "customer_id": "other"})
    tell_stock(warehouse, house.sku.code, 4, event="S1", place=sibling.settings["warehouse_code"])
    tell_stock(warehouse, house.sku.code, 4, event="S2", place=stranger.settings["warehouse_code"])

    take()

    states = dict(InboundMessage.objects.values_list("state", "last_error"))
    assert StockLevel.objects.get(location=sibling.location).on_hand == 4
    assert not StockLevel.objects.filter(location=stranger.location).exists()
    assert stranger.settings["warehouse_code"] in states[InboundMessage.State.FAILED]


def test_a_message_that_kills_its_worker_is_counted_before_the_work(
    warehouse: Connection, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_stock(warehouse, house.sku.code, 1)

    def die(**_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("integrations.receive.apply_notice", die)
        with pytest.raises(SystemExit):
            take()

    message = InboundMessage.objects.get()
    assert (message.state, message.attempts) == (InboundMessage.State.NEW, 1)
    assert message.not_before > timezone.now()


def test_a_slip_of_ours_is_tried_again_and_at_last_shown_to_a_person(
    warehouse: Connection, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(**_: object) -> None:
        raise KeyError("slip")

    monkeypatch.setattr("integrations.receive.apply_notice", stumble)
    tell_stock(warehouse, house.sku.code, 1)

    states = []
    for _ in range(8):
        take()
        states.append(InboundMessage.objects.get().state)

    assert states == ["new"] * 7 + ["failed"]
    assert StockLevel.objects.get().on_hand == 20


@pytest.mark.django_db(transaction=True)
def test_sweeps_at_the_same_time_share_the_work_and_do_nothing_twice(
    warehouse: Connection, house: House
) -> None:
    for number in range(30):
        tell_stock(warehouse, house.sku.code, 1, event=f"S{number}")
    InboundMessage.objects.update(not_before=timezone.now() - timedelta(minutes=1))
    counts, start = [], threading.Barrier(3)

    def sweep() -> None:
        start.wait()
        counts.append(take_inbound(limit=50, at=timezone.now()))
        database.close()

    threads = [threading.Thread(target=sweep) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == 30
    assert StockLevel.objects.get().on_hand == 50
    assert InboundMessage.objects.filter(state="done").count() == 30
