"""300 buyers for 100 units, over real connections to a real server: not one unit too many, not one too few."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter

import pytest

from inventory.models import Reservation, Shortage, StockPool
from orders.models import ChannelOrder, SalesOrder
from tests.factories.api import Caller, order_body
from tests.factories.orders import House, make_house
from tests.factories.server import web_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("V12")]

UNITS, BUYERS, CLIENTS = 100, 300, 12
# The mutant: neither lock nor guard, and a moment between looking and taking in which a rival fits.
WITHOUT_LOCK_AND_GUARD = """
import time
from inventory import reserve

reserve.LOCK_SOURCES = reserve.LOCK_SOURCES.replace("FOR NO KEY UPDATE OF p", "")
reserve.WRITE_PROMISES = reserve.WRITE_PROMISES.replace("AND p.granted - p.reserved >= v.quantity", "")
share_out = reserve.share_out

def look_then_wait(*args, **kwargs):
    shares = share_out(*args, **kwargs)
    time.sleep(0.02)
    return shares

reserve.share_out = look_then_wait
"""


def buy(house: House, port: int) -> Counter[int]:
    """One unit for each of the buyers, as fast as the clients can ask; the answers by status."""
    caller = Caller(house.shop)
    bodies = [
        json.dumps({"shop": house.shop.code, **order_body(house.sku, outer_id=f"buyer-{number}")})
        for number in range(BUYERS)
    ]
    statuses: Counter[int] = Counter()
    lock, barrier = threading.Lock(), threading.Barrier(CLIENTS)

    def client(mine: list[tuple[int, str]]) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        barrier.wait()
        for number, body in mine:
            headers = {
                "Authorization": f"Bearer {caller.key}",
                "Content-Type": "application/json",
                "Idempotency-Key": f"buyer-{number}",
            }
            link.request("POST", "/api/v1/orders", body, headers)
            answer = link.getresponse()
            answer.read()
            with lock:
                statuses[answer.status] += 1

    numbered = list(enumerate(bodies))
    threads = [threading.Thread(target=client, args=(numbered[n::CLIENTS],)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def promised() -> int:
    return sum(Reservation.objects.filter(state="held").values_list("quantity", flat=True))


def test_of_300_requests_for_100_units_exactly_100_are_taken() -> None:
    house = make_house(stock=UNITS, order_policy="request")

    with web_server() as port:
        statuses = buy(house, port)

    pool = StockPool.objects.get(sku=house.sku)
    assert statuses == {201: UNITS, 409: BUYERS - UNITS}
    assert (pool.granted, pool.reserved, promised()) == (UNITS, UNITS, UNITS)
    assert SalesOrder.objects.count() == ChannelOrder.objects.count() == UNITS
    assert not Shortage.objects.exists()


def test_of_300_facts_for_100_units_all_are_taken_and_200_are_short() -> None:
    house = make_house(stock=UNITS)

    with web_server() as port:
        statuses = buy(house, port)

    pool = StockPool.objects.get(sku=house.sku)
    assert statuses == {201: BUYERS}
    assert (pool.granted, pool.reserved, promised()) == (UNITS, UNITS, UNITS)
    assert SalesOrder.objects.filter(short_lines=1).count() == BUYERS - UNITS
    assert Shortage.objects.filter(state="open").count() == BUYERS - UNITS


def test_without_lock_and_guard_the_race_is_lost() -> None:
    """The tests above would notice. Even then the table's CHECK, the third net, lets nothing be oversold."""
    house = make_house(stock=UNITS, order_policy="request")

    with web_server(mutant=WITHOUT_LOCK_AND_GUARD) as port:
        statuses = buy(house, port)

    assert statuses != {201: UNITS, 409: BUYERS - UNITS}
    assert statuses[500] > 0
    assert promised() <= UNITS
