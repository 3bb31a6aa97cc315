"""What may be done once is done once, by however many at the same moment: undone, taken over, received, ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.utils import timezone

from inventory.holds import end, take_over
from inventory.holds.hold import hold_stock
from inventory.holds.take_over import Fate, reserve_from_holds
from inventory.models import AllocationRun, Reservation, TransferLine
from inventory.network import transfer
from inventory.network.transfer import Arrival, TransferItem, plan_transfer, receive_transfer, ship_transfer
from inventory.quota import apply
from inventory.quota.apply import NotToUndo, unapply_run, undo_run
from inventory.reserve import Demand
from omni.kernel.models import Job
from tests.factories.inventory import LocationFactory, Scene
from tests.factories.quota import Market, job_of
from tests.inventory.races import drift, must_break, run_together

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    settings.OMNI_DOORBELL = False


def without(monkeypatch: pytest.MonkeyPatch, module: object, name: str, old: str) -> None:
    statement = getattr(module, name)
    assert old in statement
    monkeypatch.setattr(module, name, statement.replace(old, ""))


# a run, undone by many ------------------------------------------------------------------------------------------


def granted_market() -> tuple[Market, AllocationRun]:
    """A and B had 40 each, and the run gave A ten more: who takes them back twice takes them of the 40."""
    market = Market(100, ratios={"A": None, "B": None})
    market.grant({"A": 40, "B": 40})
    run = market.grant({"A": 50})
    assert market.quotas() == {"A": 50, "B": 40}
    return market, run


def undo_is_pressed_by_many() -> None:
    """Six people press the button: one of them undoes it."""
    market, run = granted_market()

    def press() -> bool:
        try:
            undo_run(run_id=run.pk, reason="", at=timezone.now(), by="user:7")
        except NotToUndo:
            return False
        return True

    assert Counter(run_together([press] * 6)) == {True: 1, False: 5}
    assert Job.objects.filter(kind=apply.UNDO, params__run=run.pk).count() == 1
    assert market.quotas() == {"A": 50, "B": 40}


@pytest.mark.capability("V7")
def test_a_run_that_many_undo_at_once_is_undone_by_one() -> None:
    undo_is_pressed_by_many()


def test_mutant_without_the_lock_of_the_run_it_is_undone_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "_lock", lambda run_id: AllocationRun.objects.get(pk=run_id))

    must_break(undo_is_pressed_by_many)


def undo_is_worked_on_by_many() -> None:
    """A worker that was taken for dead goes on while another has taken its job."""
    market, run = granted_market()
    undo_run(run_id=run.pk, reason="", at=timezone.now(), by="user:7")
    job = job_of(run)
    Job.objects.filter(pk=job.pk).update(state="running")

    def work() -> int:
        return len(list(unapply_run(Job.objects.get(pk=job.pk))))

    run_together([work] * 6)

    assert market.quotas() == {"A": 40, "B": 40}
    assert market.pool("revoking", "A") == (10, 0)
    assert drift() == []


@pytest.mark.capability("V7")
def test_a_run_that_several_workers_undo_at_once_is_undone_once() -> None:
    undo_is_worked_on_by_many()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_lines_they_are_undone_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, apply, "LOCK_LINES", "FOR NO KEY UPDATE")

    must_break(undo_is_worked_on_by_many)


# a hold, named by many orders -----------------------------------------------------------------------------------


def hold_is_named_by_many() -> None:
    """Four units are held and no more are there; eight orders name the hold."""
    scene = Scene(4)
    hold_stock(
        shop_id=scene.shop.pk,
        key="cart",
        buyer="ann",
        lines=[(scene.sku.pk, 4)],
        at=timezone.now(),
        by="test",
    )

    def order() -> tuple[int, Fate]:
        outcomes, fates = reserve_from_holds(
            shop_id=scene.shop.pk,
            wanted=[Demand(uuid4(), scene.shop.pk, scene.sku.pk, 4)],
            holds={0: "cart"},
            at=timezone.now(),
            by="test",
        )
        return outcomes[0].reserved, fates[0]

    assert Counter(run_together([order] * 8)) == {(4, Fate.TAKEN): 1, (0, Fate.OVER): 7}
    assert Reservation.objects.filter(sku=scene.sku, state="held").count() == 1
    assert drift() == []


@pytest.mark.capability("V11")
def test_a_hold_that_many_orders_name_is_taken_over_once() -> None:
    hold_is_named_by_many()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_lock_and_guard_of_the_hold_it_is_taken_over_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, take_over, "LOCK_NAMED", "FOR NO KEY UPDATE OF h")
    without(monkeypatch, end, "END_HOLDS", "AND state = 'held'")

    must_break(hold_is_named_by_many)


# a receipt, sent by many doors ----------------------------------------------------------------------------------


def receipt_is_sent_by_many() -> None:
    """The warehouse sends the same receipt of two out of six until somebody answers."""
    scene = Scene(10)
    made = plan_transfer(
        source_id=scene.location.pk,
        destination_id=LocationFactory.create().pk,
        items=[TransferItem(scene.sku.pk, 6)],
        at=timezone.now(),
        by="test",
    )
    ship_transfer(transfer_id=made.pk, at=timezone.now(), by="test")
    line = TransferLine.objects.get(transfer=made)
    send: Callable[..., bool] = partial(
        receive_transfer, key=uuid4().hex, transfer_id=made.pk, arrivals=[Arrival(line.pk, 2)], by="test"
    )

    taken = run_together([partial(send, at=timezone.now())] * 6)

    line.refresh_from_db()
    assert (Counter(taken), line.received) == ({True: 1, False: 5}, 2)
    assert drift() == []


@pytest.mark.capability("V17")
def test_a_receipt_that_is_sent_many_times_at_once_is_taken_once() -> None:
    receipt_is_sent_by_many()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_number_of_the_receipt_a_transfer_is_received_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "take_operation", lambda **_how: True)

    must_break(receipt_is_sent_by_many)
