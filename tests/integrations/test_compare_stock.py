"""Warehouses are asked what lies there: by night and at once, and what they say differently waits for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from integrations import registry, tasks
from integrations.compare_stock import (
    COMPARE_STOCK,
    JOB,
    CompareFailed,
    ask_comparison,
    compare_warehouse,
    due_tonight,
)
from integrations.contract import ChannelUnavailable, WarehouseStock
from integrations.hasten import IsPaused
from integrations.health import pause_connection
from integrations.lease import open_streams
from integrations.models import Connection, Cursor, MessageLog
from integrations.warehouses.qimen.sandbox.callbacks import Identity
from integrations.warehouses.qimen.sandbox.server import GATEWAY_PATH, Options, Sandbox
from integrations.warehouses.qimen.sandbox.shelves import add_stock
from inventory.adjust import StockAdjustment, adjust_stock
from inventory.models import StockComparison, StockDifference
from inventory.network.compare import compare_stock
from inventory.network.decide import book_theirs
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Job
from omni.kernel.sentences import read_sentence
from omni.wiring import JOBS
from tests.factories.integrations import make_channel, make_warehouse
from tests.factories.inventory import Scene
from tests.factories.outside import AWAY, Depot

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V19")]


@pytest.fixture
def depot(monkeypatch: pytest.MonkeyPatch) -> Depot:
    depot = Depot()
    monkeypatch.setitem(registry.WAREHOUSES, "fake", depot)
    return depot


@pytest.fixture
def scene() -> Scene:
    return Scene(20)


@pytest.fixture
def warehouse(scene: Scene, depot: Depot) -> Connection:
    warehouse = make_warehouse(adapter="fake", location=scene.location)
    open_streams(connection_id=warehouse.pk, streams=[COMPARE_STOCK])
    return warehouse


def compare(warehouse: Connection) -> Any:
    return compare_warehouse(connection_id=warehouse.pk, at=timezone.now())


def set_up(warehouse: Connection, **settings: Any) -> None:
    warehouse.settings = {**warehouse.settings, **settings}
    warehouse.save()


def found() -> list[tuple[str, str, int, int, str]]:
    rows = StockDifference.objects.order_by("pk")
    return list(rows.values_list("sku__code", "grade", "ours", "theirs", "state"))


# --- what is asked and what comes of it -------------------------------------------------------------------------------


def test_all_that_the_warehouse_has_is_compared_page_by_page(
    scene: Scene, warehouse: Connection, depot: Depot
) -> None:
    other = Scene()
    depot.shelf = [
        WarehouseStock(scene.sku.code, 15, 3, "ZP"),
        WarehouseStock(other.sku.code, 2, 0, "ZP"),
        WarehouseStock(scene.sku.code, 4, 0, "ZP"),
    ]

    run = compare(warehouse)

    comparison = StockComparison.objects.get()
    assert run.count == 3
    assert (comparison.basis, comparison.is_complete, comparison.source) == ("gross", True, warehouse.code)
    assert (comparison.compared, comparison.differing) == (2, 2)
    assert found() == [(scene.sku.code, "good", 20, 19, "open"), (other.sku.code, "good", 0, 2, "open")]


def test_what_a_warehouse_does_not_list_does_not_lie_there(scene: Scene, warehouse: Connection) -> None:
    compare(warehouse)

    assert found() == [(scene.sku.code, "good", 20, 0, "open")]


def test_what_figures_mean_and_how_old_they_are_is_a_setting(
    scene: Scene, warehouse: Connection, depot: Depot
) -> None:
    set_up(warehouse, stock_basis="net", stock_age_minutes=30)
    depot.shelf = [WarehouseStock(scene.sku.code, 3, 3, "ZP")]
    began = timezone.now()

    compare(warehouse)

    comparison = StockComparison.objects.get()
    assert comparison.basis == "net"
    assert timedelta(minutes=-30) <= comparison.cut_off_at - began < timedelta(minutes=-29)
    assert found() == []  # the 20 came after the cut-off; of the 3 there, all are taken


def test_grades_are_those_of_the_inventory_types_and_an_unknown_one_is_said(
    scene: Scene, warehouse: Connection, depot: Depot
) -> None:
    depot.shelf = [
        WarehouseStock(scene.sku.code, 20, 0, "ZP"),
        WarehouseStock(scene.sku.code, 2, 0, "CC"),
        WarehouseStock(scene.sku.code, 7, 0, "ZT"),
    ]

    compare(warehouse)

    assert found() == [(scene.sku.code, "defective", 0, 2, "open")]
    [(name, reason)] = StockComparison.objects.get().unknown
    assert (name, read_sentence(reason)) == (scene.sku.code, "the inventory type ZT has no grade here")


def test_a_code_that_nobody_knows_stands_in_the_compare_and_in_the_log(
    scene: Scene, warehouse: Connection, depot: Depot
) -> None:
    depot.shelf = [WarehouseStock(scene.sku.code, 20, 0, "ZP"), WarehouseStock("NOBODY", 1, 0, "ZP")]

    compare(warehouse)

    assert [name for name, _reason in StockComparison.objects.get().unknown] == ["NOBODY"]
    assert MessageLog.objects.get(operation="compare_stock.unknown").subject == "NOBODY"


def test_a_warehouse_that_cannot_list_is_asked_for_what_we_know_to_lie_there(
    scene: Scene, warehouse: Connection, depot: Depot
) -> None:
    set_up(warehouse, stock_by_sku=True)
    depot.shelf = [WarehouseStock("NOBODY", 1, 0, "ZP")]

    compare(warehouse)

    assert depot.calls == ["read stock of 1"]
    assert found() == [(scene.sku.code, "good", 20, 0, "open")]


def test_figures_of_others_that_are_newer_stay(scene: Scene, warehouse: Connection, depot: Depot) -> None:
    set_up(warehouse, stock_age_minutes=60)
    at = timezone.now()
    compare_stock(
        location_id=scene.location.pk,
        figures={(scene.sku.pk, "good"): 20},
        basis="gross",
        cut_off_at=at,
        source="ERP",
        is_complete=True,
        at=at,
        by="test",
    )

    run = compare(warehouse)

    assert run is not None
    assert found() == []
    assert "later than this cut-off" in MessageLog.objects.get(operation=COMPARE_STOCK).detail


# --- when it goes wrong -----------------------------------------------------------------------------------------------


def test_a_warehouse_that_does_not_answer_is_troubled_and_nothing_is_concluded(
    warehouse: Connection, depot: Depot
) -> None:
    depot.fails["stock"] = AWAY

    run = compare(warehouse)

    warehouse.refresh_from_db()
    assert run is None
    assert warehouse.last_error == "the gateway answered 502"
    assert Cursor.objects.get(connection=warehouse).failures == 1
    assert not StockComparison.objects.exists()


def test_a_reading_that_breaks_off_concludes_nothing(
    scene: Scene, warehouse: Connection, depot: Depot
) -> None:
    depot.shelf = [WarehouseStock(scene.sku.code, 1, 0, "ZP")] * 3
    shown = depot.list_stock

    def break_off(**codes: Any) -> Iterator[Any]:
        yield next(shown(**codes))
        raise ChannelUnavailable("gone in the middle")

    depot.list_stock = break_off  # type: ignore[method-assign]

    assert compare(warehouse) is None
    assert not StockComparison.objects.exists()


# --- at night and at once ---------------------------------------------------------------------------------------------


def test_at_night_every_warehouse_is_due_that_is_not_exempt(
    warehouse: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cursor.objects.update(due_at=timezone.now() + timedelta(days=1))
    exempt = make_warehouse(adapter="fake", settings={"no_stock_compare": True})
    make_channel()
    sent: list[tuple[int, str]] = []
    monkeypatch.setattr(
        tasks.pull_stream, "delay", lambda *, connection_id, stream: sent.append((connection_id, stream))
    )

    assert due_tonight(at=timezone.now()) == 1
    tasks.pull_due_streams()

    assert (warehouse.pk, COMPARE_STOCK) in sent
    assert Cursor.objects.filter(connection=exempt, stream=COMPARE_STOCK).exists()


def test_a_person_asks_for_a_compare_and_a_job_says_what_came_of_it(
    scene: Scene, warehouse: Connection, depot: Depot
) -> None:
    depot.shelf = [WarehouseStock(scene.sku.code, 19, 0, "ZP")]

    job = ask_comparison(connection_id=warehouse.pk, at=timezone.now(), by="user:7")
    done = work_off(job)

    assert (done.state, done.kind, done.done, done.total) == (Job.State.DONE, JOB, 1, 1)
    assert done.result == {"comparison": StockComparison.objects.get().pk, "compared": 1, "differing": 1}
    assert StockComparison.objects.get().by == "user:7"


def work_off(job: Job) -> Job:
    claimed = claim_job(at=timezone.now(), job_id=job.pk)
    assert claimed is not None
    return run_job(job=claimed, works=JOBS)


def test_a_job_that_gets_no_answer_fails_with_the_warehouses_word(
    warehouse: Connection, depot: Depot
) -> None:
    depot.fails["stock"] = AWAY

    failed = work_off(ask_comparison(connection_id=warehouse.pk, at=timezone.now(), by="user:7"))

    assert (failed.state, failed.message) == (Job.State.FAILED, "the gateway answered 502")


def test_while_a_warehouse_is_compared_a_second_one_waits(warehouse: Connection) -> None:
    Cursor.objects.update(holder="another", lease_until=timezone.now() + timedelta(seconds=30))

    failed = work_off(ask_comparison(connection_id=warehouse.pk, at=timezone.now(), by="user:7"))

    assert failed.state == Job.State.FAILED
    assert "already" in failed.message


def test_a_paused_warehouse_and_a_channel_are_not_asked(warehouse: Connection) -> None:
    pause_connection(connection_id=warehouse.pk, reason="a test", at=timezone.now(), by="test")

    with pytest.raises(IsPaused):
        ask_comparison(connection_id=warehouse.pk, at=timezone.now(), by="user:7")
    with pytest.raises(CompareFailed):
        ask_comparison(connection_id=make_channel().pk, at=timezone.now(), by="user:7")

    assert not Job.objects.exists()


# --- against the simulated warehouse ----------------------------------------------------------------------------------


@pytest.fixture
def open_sandbox(tmp_path: Path) -> Iterator[Callable[[dict[str, int]], Sandbox]]:
    opened = []

    def open_it(units: dict[str, int]) -> Sandbox:
        identity = Identity(app_key="qimen-app", secret="qimen-secret", customer_id="omni")
        sandbox = Sandbox(Options(identity=identity, state=tmp_path / "state.sqlite3"))
        with sandbox.store.transaction() as db:
            add_stock(
                db,
                [
                    {"warehouseCode": "SH", "ownerCode": "OMNI", "itemCode": code, "quantity": quantity}
                    for code, quantity in units.items()
                ],
            )
        sandbox.start()
        opened.append(sandbox)
        return sandbox

    yield open_it
    for sandbox in opened:
        sandbox.stop()


def test_a_miscount_in_the_warehouse_opens_ages_is_booked_and_is_over(
    scene: Scene, open_sandbox: Callable[[dict[str, int]], Sandbox], settings: LazySettings
) -> None:
    settings.OMNI_ALLOW_LOOPBACK = True
    sandbox = open_sandbox({scene.sku.code: 20, **{f"OTHER-{n:03}": 0 for n in range(150)}})
    warehouse = make_warehouse(
        adapter="qimen",
        location=scene.location,
        base_url=f"{sandbox.url}{GATEWAY_PATH}",
        settings={"warehouse_code": "SH"},
    )
    open_streams(connection_id=warehouse.pk, streams=[COMPARE_STOCK])

    run = compare(warehouse)
    assert run.count == 151
    assert found() == []

    sandbox.faults.switch({"stock_differs": 1})
    compare(warehouse)
    compare(warehouse)
    difference = StockDifference.objects.get(sku=scene.sku)
    assert (difference.ours, difference.theirs, difference.times) == (20, 21, 2)
    assert difference.since < difference.cut_off_at

    [booked] = book_theirs(
        difference_ids=[difference.pk], reason="counted again: they are right", at=timezone.now(), by="user:7"
    )
    assert booked.ok
    assert scene.level.on_hand == 21
    compare(warehouse)
    assert found() == [(scene.sku.code, "good", 20, 21, "booked")]

    sandbox.faults.switch({"stock_differs": 0})
    compare(warehouse)
    adjust_stock(
        key="a correction",
        adjustments=[StockAdjustment(scene.location.pk, scene.sku.pk, -1)],
        reason="they found their mistake",
        at=timezone.now(),
        by="test",
    )
    compare(warehouse)
    assert found()[1] == (scene.sku.code, "good", 20, 20, "gone")
