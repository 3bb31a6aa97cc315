"""The whole path against real sandbox servers: orders in, stock promised, parcels out, stock back, under faults too."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from integrations import drift as integrations
from integrations.models import Connection, InboundMessage
from integrations.open import open_missing_streams
from integrations.pull import pull_orders, pull_refunds
from integrations.push import push_dispatches, push_stock
from integrations.receive import take_inbound
from integrations.release import ask_cancellations, release_fulfilments, settle_unanswered
from inventory import drift as inventory
from inventory.models import PublishedStock
from inventory.publish import plan_published_stock
from omni.demo.furnish import furnish_demo
from orders import drift as orders
from orders.models import (
    ChannelOrder,
    DispatchNotice,
    FulfilmentOrder,
    ParkedOrder,
    SalesOrder,
)
from orders.review import approve_orders, review_captured
from orders.source import source_orders
from orders.states import Stage

ROOT = Path(__file__).parents[2]
OVER = [Stage.SHIPPED, Stage.COMPLETED, Stage.CANCELLED]


@dataclass
class World:
    """Both sandboxes, and the house between them."""

    top: str
    qimen: str

    def act(self, base: str, name: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{base}/_control/{name}", data=data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def turn(self) -> None:
        """What all the sweeps do, one after the other."""
        at = timezone.now
        for channel in Connection.objects.filter(kind="channel", is_active=True):
            pull_orders(connection_id=channel.pk, at=at())
            pull_refunds(connection_id=channel.pk, at=at())
        review_captured(limit=1000, at=at())
        waiting = list(SalesOrder.objects.filter(stage=Stage.IN_REVIEW).values_list("pk", flat=True))
        approve_orders(order_ids=waiting, at=at(), by="user:1", note="looked at")
        source_orders(limit=1000, at=at(), by="test")
        for warehouse in Connection.objects.filter(kind="warehouse", is_active=True):
            release_fulfilments(connection_id=warehouse.pk, at=at())
            ask_cancellations(connection_id=warehouse.pk, at=at())
            settle_unanswered(connection_id=warehouse.pk, at=at())
        while take_inbound(limit=50, at=at()):
            pass
        plan_published_stock(limit=5000, at=at())
        for channel in Connection.objects.filter(kind="channel", is_active=True):
            push_dispatches(connection_id=channel.pk, at=at())
            push_stock(connection_id=channel.pk, at=at())

    def turn_until(self, is_done: Callable[[], bool], *, seconds: float) -> None:
        stop_at = time.monotonic() + seconds
        while not is_done():
            assert time.monotonic() < stop_at, f"the house did not come to rest: {describe()}"
            self.turn()
            time.sleep(0.3)


@pytest.fixture
def world(transactional_db: None, live_server: LiveServer, tmp_path: Path) -> Iterator[World]:
    furnish_demo(port=1, folder=tmp_path, at=timezone.now())
    callback = f"{live_server.url}/api/v1/webhooks/qimen/qimen-shanghai/"
    top = _start(
        "integrations.channels.top.sandbox",
        *("--port", "0", "--rate", "0", "--lag-seconds", "0.5"),
        *("--catalogue", str(tmp_path / "top-catalogue.json")),
    )
    qimen = _start(
        "integrations.warehouses.qimen.sandbox",
        *("--port", "0", "--pace", "0.5", "--callback", callback, "--state", str(tmp_path / "qimen.sqlite3")),
        *("--stock", str(tmp_path / "qimen-stock.json")),
    )
    try:
        world = World(top=_base(top), qimen=_base(qimen))
        Connection.objects.filter(adapter="top").update(
            base_url=f"{world.top}/router/rest",
            settings={"pull_lag_seconds": 1, "pull_every_seconds": 0, "timeout_seconds": 5},
        )
        for warehouse in Connection.objects.filter(adapter="qimen"):
            warehouse.base_url = f"{world.qimen}/router/qimen/service"
            warehouse.save()
        open_missing_streams()
        yield world
    finally:
        for process in (top, qimen):
            process.terminate()
            process.wait(10)
            if process.stdout:
                process.stdout.close()


def _start(module: str, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def _base(process: subprocess.Popen[str]) -> str:
    """The address that the sandbox prints when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    address = line.split("http://", 1)[1].split("/", 1)[0]
    return f"http://{address}"


def describe() -> str:
    """Where everything stands, for whoever reads a failure."""
    asked = {
        "orders": SalesOrder.objects.values_list("stage", "open_holds", "short_lines"),
        "fulfilments": FulfilmentOrder.objects.values_list("state", "refusal"),
        "notices": DispatchNotice.objects.values_list("state", "last_error"),
        "inbound": InboundMessage.objects.values_list("kind", "state", "last_error"),
        "parked": ParkedOrder.objects.values_list("reason", "detail"),
        "connections": Connection.objects.values_list("code", "health", "last_error"),
    }
    return "; ".join(f"{name}: {dict(Counter(rows))}" for name, rows in asked.items())


def nothing_has_drifted() -> None:
    checks = [*inventory.CHECKS, *orders.CHECKS, *integrations.CHECKS]
    assert {check.code: rows for check in checks if (rows := check.find(5))} == {}


def all_shown(world: World) -> bool:
    """Whether the channel shows what Omni says, by the channel's own books."""
    wanted = dict(PublishedStock.objects.values_list("listing__outer_sku_id", "desired_quantity"))
    shown = {sku["sku_id"]: sku["quantity"] for sku in world.act(world.top, "truth")["skus"]}
    return shown == wanted


@pytest.mark.capability("O1", "V9", "I1")
@pytest.mark.django_db(transaction=True)
def test_orders_come_in_and_parcels_and_numbers_go_out(world: World) -> None:
    world.turn_until(lambda: all_shown(world), seconds=30)
    lines = [{"outer_sku_id": "LM-001-01", "num": 1}, {"outer_sku_id": "LM-018-02", "num": 2}]
    placed = world.act(world.top, "orders", {"count": 12, "lines": lines})["tids"]

    world.turn_until(
        lambda: (
            SalesOrder.objects.filter(stage__in=OVER).count() == len(placed)
            and not DispatchNotice.objects.filter(state="due").exists()
        ),
        seconds=40,
    )
    world.turn_until(lambda: all_shown(world), seconds=30)

    truth = world.act(world.top, "truth")
    assert {trade["tid"] for trade in truth["orders"]} == set(
        ChannelOrder.objects.values_list("outer_id", flat=True)
    )
    assert truth["lines_sent"] == truth["lines"]
    assert truth["lines_sent_twice"] == 0
    warehouse = world.act(world.qimen, "truth")
    assert {each["times_shipped"] for each in warehouse["deliveries"]} == {1}
    assert not PublishedStock.objects.exclude(acked_version=F("desired_version")).exists()
    nothing_has_drifted()


@pytest.mark.capability("O18", "O22")
@pytest.mark.django_db(transaction=True)
def test_a_line_that_leaves_in_two_parcels_is_told_once_and_fails_nowhere(world: World) -> None:
    world.act(world.qimen, "faults", {"partial_confirms": 1})
    world.turn_until(lambda: all_shown(world), seconds=30)
    lines = [{"outer_sku_id": "LM-018-02", "num": 2}]
    placed = world.act(world.top, "orders", {"count": 3, "lines": lines})["tids"]

    world.turn_until(
        lambda: (
            SalesOrder.objects.filter(stage__in=OVER).count() == len(placed)
            and not DispatchNotice.objects.filter(state="due").exists()
        ),
        seconds=40,
    )

    truth = world.act(world.top, "truth")
    assert (truth["lines_sent"], truth["lines_sent_twice"]) == (len(placed), 0)
    states = Counter(DispatchNotice.objects.values_list("state", flat=True))
    assert states == {"sent": len(placed), "not_needed": len(placed)}
    nothing_has_drifted()


def test_the_demo_command_runs_where_it_may(tmp_path: Path, settings: Any, db: None) -> None:
    settings.OMNI_HOME = tmp_path

    call_command("demo")

    assert (tmp_path / "sandbox" / "top-catalogue.json").exists()
