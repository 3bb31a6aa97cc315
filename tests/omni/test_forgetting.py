"""What has been kept for long enough is forgotten, what is still needed stays, and nothing is broken afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from integrations.forget import forget_old_drifts, forget_old_inbound
from integrations.models import InboundMessage, ListingDrift
from integrations.tasks import forget_messages
from inventory.tasks import forget_old_holds
from omni import settings as house_settings
from omni.kernel.forget import forget_answers, forget_done_events, forget_rows
from omni.kernel.imports import forget as imports
from omni.kernel.imports.forget import forget_imports
from omni.kernel.imports.map_columns import ImportIsOver
from omni.kernel.imports.undo import start_undo
from omni.kernel.models import AuditEntry, IdempotencyKey, Import, ImportRow, OutboxEvent
from omni.management.commands import doctor
from omni.schedule import ENTRIES
from omni.tasks import forget_old_events, forget_old_imports
from orders.draft import ChannelState
from orders.forget_payloads import forget_parked, forget_versions
from orders.models import ChannelOrderVersion, ParkedOrder, SalesOrder
from orders.park import dismiss_parked
from orders.tasks import forget_payloads
from tests.factories.imports import AT, PEOPLE, import_all, preview, undo, upload
from tests.factories.integrations import make_warehouse
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft
from tests.factories.products import ListingFactory

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
LATER = NOON + 200 * DAY


@pytest.fixture(autouse=True)
def doctor_finds_nothing(db: None) -> Iterator[None]:
    yield
    assert {check.code: rows for check in doctor.CHECKS if (rows := check.find(5))} == {}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


# --- what the platforms said --------------------------------------------------------------------------------


def versions(order: SalesOrder) -> list[bytes]:
    found = ChannelOrderVersion.objects.filter(channel_order=order.channel_order).order_by("id")
    return [bytes(row.content_hash) for row in found]


def two_versions(house: House, state: ChannelState = ChannelState.TO_SHIP) -> SalesOrder:
    """An order that its platform told of twice."""
    first = order_draft(line_draft(house.sku), payload={"said": 1}, state=ChannelState.PENDING_PAYMENT)
    house.take(first)
    second = replace(first, state=state, payload={"said": 2}, outer_modified_at=NOON)
    house.take(second)
    return SalesOrder.objects.get(outer_id=first.outer_id)


def test_an_open_order_keeps_its_newest_version_however_old_it_is(house: House) -> None:
    order = two_versions(house)
    _old, newest = versions(order)

    gone = forget_versions(before=LATER)
    forget_versions(before=LATER)

    assert gone == 1
    assert versions(order) == [newest]


def test_an_order_that_has_long_been_over_keeps_none(house: House) -> None:
    order = two_versions(house, ChannelState.CANCELLED)

    # one night the old ones, the next night the last
    gone = [forget_versions(before=LATER) for _night in range(3)]

    assert gone == [1, 1, 0]
    assert versions(order) == []


def test_an_order_that_was_over_only_lately_keeps_its_newest(house: House) -> None:
    order = two_versions(house, ChannelState.CANCELLED)
    SalesOrder.objects.update(stage_at=LATER + DAY)

    forget_versions(before=LATER)
    forget_versions(before=LATER)

    assert len(versions(order)) == 1


def test_young_versions_stay(house: House) -> None:
    order = two_versions(house, ChannelState.CANCELLED)

    gone = forget_versions(before=NOON - DAY)

    assert gone == 0
    assert len(versions(order)) == 2


def test_a_content_that_was_forgotten_and_is_heard_again_changes_nothing(house: House) -> None:
    order = two_versions(house)
    forget_versions(before=LATER)
    old = order_draft(
        line_draft(house.sku),
        outer_id=order.outer_id,
        payload={"said": 1},
        state=ChannelState.PENDING_PAYMENT,
        outer_modified_at=NOON - timedelta(minutes=1),
    )

    house.take(old)

    order.refresh_from_db()
    assert order.stage == "captured"
    assert ChannelOrderVersion.objects.get(content_hash=versions(order)[-1]).is_stale


def test_parked_orders_go_when_somebody_has_done_with_them(house: House) -> None:
    for _ in range(2):
        house.take(order_draft(line_draft(house.sku, sku_code="nobody knows it")))
    open_one, dismissed = ParkedOrder.objects.order_by("id")
    dismiss_parked(parked_ids=[dismissed.pk], note="a test order", at=NOON, by="user:1")

    gone = forget_parked(before=LATER)

    assert gone == 1
    assert ParkedOrder.objects.get() == open_one


# --- what was said over the connections ---------------------------------------------------------------------


def inbound(state: str, *, done_at: datetime | None = None) -> InboundMessage:
    number = InboundMessage.objects.count()
    return InboundMessage.objects.create(
        connection=make_warehouse(),
        event_key=f"e{number}",
        kind="progress",
        payload={"state": "accepted"},
        state=state,
        received_at=NOON,
        not_before=timezone.now() + DAY,
        done_at=done_at,
    )


def test_call_backs_go_when_they_are_done_with_and_wait_for_a_person_as_long_as_it_takes() -> None:
    inbound("done", done_at=NOON)
    kept = [inbound("done", done_at=LATER + DAY), inbound("failed"), inbound("new")]

    gone = forget_old_inbound(before=LATER)

    assert gone == 1
    assert list(InboundMessage.objects.order_by("id")) == kept


def test_differences_go_when_they_are_over_for_long() -> None:
    told = {"what": "title", "ours": "a", "theirs": "b", "version": 1, "cause": "changed"}
    moments = dict.fromkeys(("since", "held_since", "seen_at", "noted_at"), NOON)
    kept = set()
    for closed_at in (NOON, LATER + DAY, None):
        listing = ListingFactory.create()
        ending = {"closed_at": closed_at, "ending": "equal" if closed_at else ""}
        row = ListingDrift.objects.create(listing=listing, shop=listing.shop, **told, **moments, **ending)
        kept |= {row.pk} if closed_at != NOON else set()

    assert forget_old_drifts(before=LATER) == 1

    assert set(ListingDrift.objects.values_list("pk", flat=True)) == kept


# --- answers and events -------------------------------------------------------------------------------------


def test_answers_and_events_go_in_batches_and_dead_letters_stay() -> None:
    IdempotencyKey.objects.bulk_create(
        IdempotencyKey(principal="key:1", key=str(n), fingerprint="", status=200, body={}, created_at=NOON)
        for n in range(5)
    )
    young = IdempotencyKey.objects.create(principal="key:1", key="young", fingerprint="", status=200, body={})
    for state in ("done", "ready"):
        OutboxEvent.objects.create(kind="x", payload={}, state=state, created_at=NOON, done_at=NOON)

    in_batches = forget_rows(table="kernel_idempotencykey", moment="created_at", before=NOON + DAY, batch=2)

    assert in_batches == 5
    assert forget_answers(before=NOON + DAY) == 0
    assert IdempotencyKey.objects.get() == young
    assert forget_done_events(before=LATER) == 1
    assert OutboxEvent.objects.get().state == "ready"


# --- imports ------------------------------------------------------------------------------------------------

GOOD = "Login,First name,Age\nann,Ann,30\nbob,Bob,31\n"
BAD = "Login,First name,Age\nann,Ann,30\nroot,Root,32\n"


def file_of(run: Import) -> Path:
    return Path(settings.MEDIA_ROOT, Import.objects.values_list("file", flat=True).get(pk=run.pk))


def old(run: Import) -> Import:
    Import.objects.filter(pk=run.pk).update(finished_at=AT, created_at=AT)
    return run


def forget(before: datetime = AT + DAY) -> int:
    return forget_imports(before=before, at=before, by="system")


def test_an_import_that_may_still_be_taken_back_is_kept_whole() -> None:
    run = old(import_all(GOOD))

    assert forget(before=AT) == 0

    assert file_of(run).is_file()
    assert undo(run).state == "done"


def test_an_old_import_leaves_its_counts_and_can_no_longer_be_taken_back() -> None:
    run = old(import_all(GOOD))
    path = file_of(run)

    assert forget() == 1

    run.refresh_from_db()
    assert (run.state, run.done, run.lines, run.file.name) == (Import.State.FORGOTTEN, 2, 2, "")
    assert not ImportRow.objects.exists()
    assert not path.exists()
    with pytest.raises(ImportIsOver):
        start_undo(run_id=run.pk, target=PEOPLE, at=AT, by="user:1")
    entry = AuditEntry.objects.get(action="import.forgotten")
    assert (entry.by, entry.detail["was"]) == ("system", "done")
    assert forget() == 0


def test_an_import_whose_refused_rows_wait_for_somebody_is_kept() -> None:
    run = old(import_all(BAD))

    assert forget() == 0

    assert run.rows.count() == 2
    ImportRow.objects.filter(status="error").update(status="dismissed")
    Import.objects.update(error=0)
    assert forget() == 1


def test_a_file_that_nobody_took_goes_too() -> None:
    previewed, uploaded = old(preview(upload(BAD))), old(upload(GOOD))

    assert forget() == 2

    assert set(Import.objects.values_list("state", flat=True)) == {"forgotten"}
    assert {previewed.pk, uploaded.pk} == set(Import.objects.filter(file="").values_list("pk", flat=True))


def test_what_was_taken_back_stays_so_without_its_rows() -> None:
    run = import_all(GOOD)
    undo(run)
    old(run)

    assert forget() == 1

    run.refresh_from_db()
    assert (run.state, run.rows.count(), run.file.name) == (Import.State.UNDONE, 0, "")


def test_forgetting_that_was_broken_off_goes_on_the_night_after(monkeypatch: pytest.MonkeyPatch) -> None:
    run = old(import_all(GOOD))
    path = file_of(run)

    def die(*_: Any) -> int:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(imports, "execute", die)
        with pytest.raises(SystemExit):
            forget()
    assert (path.is_file(), ImportRow.objects.count()) == (True, 2)

    assert forget() == 1

    assert (path.exists(), ImportRow.objects.count()) == (False, 0)
    assert AuditEntry.objects.filter(action="import.forgotten").count() == 1


# --- by the clock -------------------------------------------------------------------------------------------


def test_every_night_everything_is_asked(house: House) -> None:
    two_versions(house)
    import_all(GOOD)
    inbound("done", done_at=timezone.now())
    tasks = [forget_messages, forget_old_events, forget_payloads, forget_old_imports, forget_old_holds]

    for task in tasks:
        task()

    nightly = {entry.task for entry in ENTRIES if not isinstance(entry.every, int)}
    assert {task.name for task in tasks} <= nightly
    # all of it is younger than its days, but what NOON's platform said
    assert Import.objects.get().state == Import.State.DONE
    assert InboundMessage.objects.count() == 1


@pytest.mark.parametrize("text", ["1", "0", "-7", "soon"])
def test_less_than_two_days_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        house_settings.days(text, 30)


def test_the_days_come_from_the_environment() -> None:
    assert house_settings.days("", 30) == 30
    assert house_settings.days("14", 30) == 14
