"""The whole path with the real Medusa: shoppers buy, Omni promises and sources, the warehouse sends, Medusa is told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

import integrations.tasks
import inventory.tasks
import omni.tasks
import orders.tasks
from integrations.models import Connection
from inventory import drift as stock_drift
from inventory.models import PublishedStock
from omni.celery import app
from omni.demo.furnish import furnish_demo
from omni.demo.webshop import connect_webshop
from omni.devstack.home import PROJECT
from omni.devstack.peers.medusa.api import Refused
from omni.devstack.peers.medusa.shopper import OrderRefused
from orders import drift as order_drift
from orders.models import ChannelOrder, DispatchNotice, Parcel, SalesOrder
from orders.states import Stage
from products.models import Listing, Shop
from tests.peer.real_shop import RealShop, ShopNotRunning

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]

TEE, LIPSTICK, MUG = "KY-043-02", "LM-009-01", "NH-024-01"
SWEEPS: tuple[Callable[[], Any], ...] = (
    integrations.tasks.pull_due_streams,
    orders.tasks.review_captured,
    orders.tasks.source_approved,
    integrations.tasks.push_releases,
    integrations.tasks.take_inbound,
    integrations.tasks.push_due_dispatches,
    inventory.tasks.plan_published,
    integrations.tasks.push_due_stock,
    omni.tasks.relay_outbox,
)


@dataclass(frozen=True)
class House:
    """Omni with the demo's stock, its web shop on the real Medusa, its warehouses in the Qimen sandbox."""

    shop: RealShop
    webshop: Shop

    def work_until(self, is_done: Callable[[], bool], *, seconds: float = 60) -> None:
        """Every sweep in turn, as beat and the worker would run them."""
        until = time.monotonic() + seconds
        while not is_done():
            assert time.monotonic() < until, f"not done after {seconds} s: {self.queues()}"
            for sweep in SWEEPS:
                sweep()
            time.sleep(0.2)

    def queues(self) -> dict[str, Any]:
        found = SalesOrder.objects.filter(shop=self.webshop).values_list("outer_id", "stage", "open_holds")
        errors = Connection.objects.exclude(last_error="").values_list("code", "last_error")
        return {"orders": list(found), "errors": list(errors)}

    def order(self, outer_id: str) -> SalesOrder | None:
        return SalesOrder.objects.filter(shop=self.webshop, outer_id=outer_id).first()

    def is_told(self, outer_id: str) -> bool:
        """The order has left, and Medusa has acknowledged every parcel of it."""
        order = self.order(outer_id)
        if order is None or order.stage != Stage.SHIPPED:
            return False
        notices = DispatchNotice.objects.filter(order=order).values_list("state", flat=True)
        return bool(notices) and set(notices) == {"sent"}

    def is_stock_told(self) -> bool:
        rows = PublishedStock.objects.filter(shop=self.webshop, listing__state=Listing.State.LISTED)
        return rows.exists() and all(row.acked_version == row.desired_version for row in rows)

    def desired(self, sku_code: str) -> int:
        return PublishedStock.objects.get(
            shop=self.webshop, listing__sku__code=sku_code, listing__state=Listing.State.LISTED
        ).desired_quantity

    def shown(self, sku_code: str) -> int:
        """What a shopper sees."""
        return int(self.shop.shelf()[sku_code]["inventory_quantity"])


@pytest.fixture(scope="module")
def shop() -> RealShop:
    try:
        return RealShop.find()
    except ShopNotRunning as missing:
        pytest.fail(str(missing))


@pytest.fixture
def house(
    transactional_db: None, live_server: Any, settings: Any, shop: RealShop, tmp_path: Path
) -> Iterator[House]:
    settings.OMNI_DOORBELL = False  # there is no worker that it could wake
    at = timezone.now()
    furnish_demo(port=8000, folder=tmp_path, at=at)
    connect_webshop(about=shop.about, at=at)
    Connection.objects.filter(code="tmall").update(is_active=False)
    webshop = Connection.objects.get(code="webshop")
    webshop.pulls_since = at
    # No overlap: it would bring the orders of the test before, which this empty house knows nothing of.
    webshop.settings = {**webshop.settings, "pull_every_seconds": 1, "pull_overlap_seconds": 0}
    webshop.save()
    eager = app.conf.task_always_eager
    app.conf.task_always_eager = True
    warehouse = subprocess.Popen(
        [
            *(sys.executable, "-m", "integrations.warehouses.qimen.sandbox", "--pace", "0.2"),
            *("--state", str(tmp_path / "qimen.sqlite3"), "--stock", str(tmp_path / "qimen-stock.json")),
            *("--callback", f"{live_server.url}/api/v1/webhooks/qimen/qimen-shanghai/"),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert warehouse.stdout is not None
        address = warehouse.stdout.readline().split()[-1]
        Connection.objects.filter(kind=Connection.Kind.WAREHOUSE).update(base_url=address)
        yield House(shop, Shop.objects.get(code="webshop"))
    finally:
        app.conf.task_always_eager = eager
        warehouse.terminate()
        warehouse.wait(timeout=15)


@pytest.fixture(autouse=True)
def nothing_has_drifted(house: House) -> Iterator[None]:
    yield
    found = {
        check.code: rows for check in (*order_drift.CHECKS, *stock_drift.CHECKS) if (rows := check.find(5))
    }
    assert found == {}


def test_orders_of_the_real_shop_go_all_the_way_to_their_parcels(house: House) -> None:
    house.work_until(house.is_stock_told)
    assert house.shown(TEE) == house.desired(TEE) > 0
    before = {code: house.desired(code) for code in (TEE, LIPSTICK, MUG)}

    placed = {
        house.shop.buy_and_pay({TEE: 2, LIPSTICK: 1}): {TEE: 2, LIPSTICK: 1},
        house.shop.buy_and_pay({MUG: 3}): {MUG: 3},
        house.shop.buy_and_pay({TEE: 1}): {TEE: 1},
    }
    house.work_until(lambda: all(house.is_told(outer_id) for outer_id in placed), seconds=120)
    house.work_until(house.is_stock_told)

    for outer_id, basket in placed.items():
        parcels = house.shop.parcels(outer_id)
        sent = {code: sum(units.get(code, 0) for _, units in parcels) for code in basket}
        assert sent == basket, "what was bought is in the parcels, no more and no less"
        ours = Parcel.objects.filter(shipment__fulfilment__lines__order__outer_id=outer_id).distinct()
        assert {number for number, _ in parcels} == set(ours.values_list("tracking_no", flat=True))
    assert ChannelOrder.objects.filter(shop=house.webshop, outer_id__in=placed).count() == len(placed)
    for code in before:
        assert house.shown(code) == house.desired(code) < before[code]


def test_an_order_that_is_only_authorised_waits_for_its_money(house: House) -> None:
    house.work_until(house.is_stock_told)

    outer_id = house.shop.buy({MUG: 1})
    house.work_until(lambda: house.order(outer_id) is not None)
    for _ in range(3):
        for sweep in SWEEPS:
            sweep()
    waiting = house.order(outer_id)
    assert waiting is not None
    assert waiting.stage not in (Stage.SOURCED, Stage.RELEASED, Stage.SHIPPED)
    assert house.shop.parcels(outer_id) == []

    # Nothing in Medusa's list of changes tells of it: Omni reads its open orders again, once a minute.
    house.shop.capture(outer_id)
    house.work_until(lambda: house.is_told(outer_id), seconds=150)

    assert [units for _, units in house.shop.parcels(outer_id)] == [{MUG: 1}]


def test_an_order_that_the_shop_cancels_before_it_leaves_gives_its_stock_back(house: House) -> None:
    house.work_until(house.is_stock_told)
    before = house.desired(LIPSTICK)
    outer_id = house.shop.buy({LIPSTICK: 2})
    house.work_until(lambda: house.order(outer_id) is not None)

    house.shop.admin.post(f"/admin/orders/{outer_id}/cancel")

    def is_cancelled() -> bool:
        order = house.order(outer_id)
        return order is not None and order.stage == Stage.CANCELLED

    house.work_until(is_cancelled, seconds=90)
    house.work_until(house.is_stock_told)
    assert house.desired(LIPSTICK) == house.shown(LIPSTICK) == before
    assert house.shop.parcels(outer_id) == []


def test_the_last_units_are_sold_once(house: House) -> None:
    house.work_until(house.is_stock_told)
    left = house.desired(MUG)

    house.shop.buy_and_pay({MUG: left})
    with pytest.raises((Refused, OrderRefused)):
        house.shop.buy({MUG: 1})
    house.work_until(lambda: SalesOrder.objects.filter(shop=house.webshop).exists())

    order = SalesOrder.objects.get(shop=house.webshop)
    assert order.short_lines == 0
