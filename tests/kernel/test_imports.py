"""A file comes in, is previewed as a diff, taken in the background, and taken back."""

from __future__ import annotations

import csv
import io
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from omni.kernel.errors import BadInput
from omni.kernel.imports.commit import NothingToRetry, dismiss_rows, start_commit, start_retry
from omni.kernel.imports.drift import CHECKS
from omni.kernel.imports.map_columns import ImportIsOver, MissingColumn, map_columns, save_mapping
from omni.kernel.imports.preview import preview_import, start_preview
from omni.kernel.imports.rejects import import_rows, outcomes, reasons, rejects_csv, rejects_xlsx
from omni.kernel.jobs import LOST_AFTER, cancel_job, claim_job, run_job
from omni.kernel.models import AuditEntry, Import, ImportRow, Job
from tests.factories.imports import (
    AT,
    PEOPLE,
    TEAMS,
    WORKS,
    commit,
    import_all,
    preview,
    retry,
    statuses,
    undo,
    upload,
    work,
)

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O2")]

PEOPLE_CSV = "Login,First name,Age\nann,Ann,30\nbob,Bob,31\nroot,Root,32\ncid,Cid,old\nann2,Ann,33\n"


def test_the_preview_says_what_each_row_would_do_and_changes_nothing() -> None:
    User.objects.create(username="ann", first_name="Anne")
    User.objects.create(username="bob", first_name="Bob")

    run = preview(upload(PEOPLE_CSV))

    assert run.state == Import.State.PREVIEWED
    assert (run.lines, run.new, run.changed, run.unchanged, run.error) == (5, 1, 1, 1, 2)
    assert statuses(run) == {2: "changed", 3: "unchanged", 4: "error", 5: "error", 6: "new"}
    changed = run.rows.get(line_no=2)
    assert changed.changes == {"first": ["Anne", "Ann"]}
    bad = run.rows.get(line_no=5)
    assert (bad.column, bad.reason) == ("Age", "bad_number")
    assert "old" in bad.detail
    assert User.objects.count() == 2
    assert User.objects.get(username="ann").first_name == "Anne"


def test_taking_an_import_takes_the_good_rows_and_keeps_the_others_with_their_reasons() -> None:
    run = import_all(PEOPLE_CSV)

    assert run.state == Import.State.DONE
    assert set(User.objects.values_list("username", flat=True)) == {"ann", "bob", "ann2"}
    assert (run.done, run.error) == (3, 2)
    assert run.summary == {"people": 3}
    assert outcomes(run.pk) == {"taken": 3, "refused": 2}
    assert reasons(run.pk) == [("bad_number", 1), ("reserved", 1)]


def test_a_row_refused_while_it_is_taken_keeps_back_nothing_else() -> None:
    run = import_all("login\nann\nforbidden\nbob\n")

    assert statuses(run) == {2: "done", 3: "error", 4: "done"}
    assert run.rows.get(line_no=3).reason == "forbidden"


def test_a_row_that_breaks_the_database_keeps_back_nothing_else() -> None:
    # 30 letters are allowed by the column of the file, and more than 150 by nothing: the unique login breaks it.
    run = preview(upload("login,first\nann,A\ncid,C\nann,B\nbob,B\n"))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user ADD CONSTRAINT no_cid CHECK (username <> 'cid')")

    run = commit(run)

    assert statuses(run) == {2: "done", 3: "error", 4: "done", 5: "done"}
    assert run.rows.get(line_no=3).reason == "refused_by_database"
    assert run.summary == {"people": 2}


def test_the_same_file_again_changes_nothing_and_shows_its_errors_only_once() -> None:
    first = import_all(PEOPLE_CSV)

    again = import_all(PEOPLE_CSV)

    assert (again.lines, again.unchanged, again.done, again.error) == (5, 5, 0, 0)
    assert outcomes(again.pk) == {"taken": 3, "refused": 2}
    assert ImportRow.objects.filter(status="error").count() == 2
    assert again.rows.get(line_no=4).result == {"row": first.rows.get(line_no=4).pk}
    assert again.summary == {}


def test_the_same_faulty_row_twice_in_a_file_is_two_rows() -> None:
    import_all("login,age\nann,x\nann,x\n")

    again = import_all("login,age\nann,x\nann,x\nann,x\n")

    assert statuses(again) == {2: "unchanged", 3: "unchanged", 4: "error"}


def test_the_errors_of_an_import_that_was_never_taken_hide_nothing() -> None:
    preview(upload("login\nroot\n"))

    run = preview(upload("login\nroot\n"))

    assert statuses(run) == {2: "error"}


def test_a_row_of_a_team_with_an_error_keeps_back_the_rest_of_the_team() -> None:
    run = import_all(
        "team,login,age\nred,ann,30\nblue,bob,31\nred,cid,x\nblue,dan,33\ngreen,eve\nred,fay,9\ngreen,gus,9\n",
        target=TEAMS,
    )

    assert statuses(run) == {2: "error", 3: "done", 4: "error", 5: "done", 6: "error", 7: "error", 8: "error"}
    assert run.rows.get(line_no=7).reason == "group_incomplete"
    assert "Line 4" in run.rows.get(line_no=7).detail
    assert set(User.objects.values_list("username", flat=True)) == {"bob", "dan"}


def test_refused_rows_come_back_as_a_file_that_can_be_mended_and_uploaded() -> None:
    run = import_all(PEOPLE_CSV)

    data = b"".join(rejects_csv(run))
    table = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    mended = import_all(data.replace(b"old", b"40"))

    assert data.startswith(b"\xef\xbb\xbf")
    assert table[0][:3] == ["Login", "First name", "Age"]
    assert table[1][:6] == ["root", "Root", "32", "4", "Login", "reserved"]
    assert table[2][:6] == ["cid", "Cid", "old", "5", "Age", "bad_number"]
    assert (mended.done, mended.unchanged) == (1, 1)


def test_refused_rows_come_back_as_a_workbook_too() -> None:
    run = import_all(PEOPLE_CSV)

    file = io.BytesIO()
    count = rejects_xlsx(run, file)
    again = preview(upload(file.getvalue(), name="rejects.xlsx"))

    assert count == 2
    assert again.header[:3] == ["Login", "First name", "Age"]
    assert [row.raw[0] for row in import_rows(again)] == ["root", "cid"]


def test_refused_rows_are_tried_again_when_their_cause_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = import_all("login\nforbidden\nroot\n")
    monkeypatch.setattr(PEOPLE, "forbidden", set())

    run = retry(run)

    assert statuses(run) == {2: "done", 3: "error"}
    assert (run.done, run.error) == (1, 1)
    assert run.summary == {"people": 1}


def test_a_refused_row_that_a_later_file_takes_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    first = import_all("login,first\nforbidden,F\nroot,R\n")
    monkeypatch.setattr(PEOPLE, "forbidden", set())

    second = import_all("login,first\nforbidden,F\nroot,R\n")

    assert statuses(second) == {2: "done", 3: "unchanged"}
    assert statuses(first) == {2: "settled", 3: "error"}
    assert first.rows.get(line_no=2).result == {"settled_by": second.pk}


def test_nothing_is_tried_again_where_nothing_can_be() -> None:
    run = import_all("login,age\nann,x\n")

    with pytest.raises(NothingToRetry):
        start_retry(run_id=run.pk, at=AT, by="user:1")

    assert statuses(run) == {2: "error"}
    assert Import.objects.get(pk=run.pk).state == Import.State.DONE


def test_dismissed_rows_are_written_down_and_seen_no_more() -> None:
    run = import_all(PEOPLE_CSV)
    row = run.rows.get(line_no=4)

    count = dismiss_rows(run_id=run.pk, row_ids=[row.pk], note="not ours", at=AT, by="user:7")

    assert count == 1
    run.refresh_from_db()
    assert run.error == 1
    assert AuditEntry.objects.get(action="dismiss_rows").reason == "not ours"


# --- undo ---------------------------------------------------------------------------------------------------------


def test_a_whole_import_is_taken_back() -> None:
    User.objects.create(username="ann", first_name="Anne")
    run = import_all(PEOPLE_CSV)

    job = undo(run)

    assert job.state == Job.State.DONE
    assert run.state == Import.State.UNDONE
    assert list(User.objects.values_list("username", "first_name")) == [("ann", "Anne")]
    assert set(statuses(run).values()) == {"undone"}
    assert AuditEntry.objects.filter(action="undo_import").count() == 1


def test_an_import_of_which_something_is_in_use_is_not_taken_back_at_all() -> None:
    run = import_all(PEOPLE_CSV)
    User.objects.filter(username="bob").update(is_staff=True)

    job = undo(run)

    assert job.state == Job.State.FAILED
    assert "line 3: Works here by now." in job.message
    assert run.message == job.message
    assert run.state == Import.State.DONE
    assert User.objects.count() == 3


def test_the_same_file_can_be_imported_after_its_import_was_taken_back() -> None:
    undo(import_all(PEOPLE_CSV))

    run = import_all(PEOPLE_CSV)

    assert (run.done, run.error) == (3, 2)
    assert User.objects.count() == 3


def test_an_import_is_taken_back_once_and_only_after_it_was_taken() -> None:
    run = preview(upload(PEOPLE_CSV))
    with pytest.raises(ImportIsOver):
        undo(run)
    commit(run)
    undo(run)

    with pytest.raises(ImportIsOver):
        undo(run)
    with pytest.raises(ImportIsOver):
        start_commit(run_id=run.pk, at=AT, by="user:1")


# --- mapping ------------------------------------------------------------------------------------------------------


def test_headings_are_recognised_whatever_their_case_and_by_their_aliases() -> None:
    run = upload(" USER NAME ,first_name,Unknown\nann,Ann,x\n")

    assert run.columns == {"login": "USER NAME", "first": "first_name"}


def test_a_missing_required_column_is_named() -> None:
    run = upload("who,First name\nann,Ann\n")

    with pytest.raises(MissingColumn) as refusal:
        start_preview(run_id=run.pk, target=PEOPLE, at=AT, by="user:1")

    assert "Login" in refusal.value.detail
    assert Job.objects.count() == 0


def test_columns_are_mapped_once_and_the_mapping_serves_the_next_file() -> None:
    run = upload("who;called\nann;Ann\n")
    run = map_columns(run_id=run.pk, target=PEOPLE, columns={"login": "who", "first": "called"})
    mapping = save_mapping(
        target=PEOPLE, name="HR system", columns=run.columns, options=run.options, at=AT, by="user:1"
    )

    following = upload("called;who\nBob;bob\n")
    following = map_columns(
        run_id=following.pk, target=PEOPLE, columns=mapping.columns, options=mapping.options, mapping=mapping
    )
    preview(following)
    commit(following)

    assert User.objects.get(username="bob").first_name == "Bob"
    assert following.mapping == mapping


def test_a_mapping_to_a_heading_that_the_file_does_not_have_says_which_it_has() -> None:
    run = upload("login\nann\n")

    with pytest.raises(MissingColumn) as refusal:
        map_columns(run_id=run.pk, target=PEOPLE, columns={"login": "nick"})

    assert "“nick”" in refusal.value.detail
    assert "login" in refusal.value.detail
    assert Import.objects.get(pk=run.pk).columns == {"login": "login"}


def test_what_the_file_does_not_say_can_be_said_for_all_its_rows() -> None:
    run = upload("login\nann\n")
    run = map_columns(
        run_id=run.pk, target=PEOPLE, columns={"login": "login"}, options={"constants": {"first": "Somebody"}}
    )

    commit(preview(run))

    assert User.objects.get(username="ann").first_name == "Somebody"


def test_mapping_again_forgets_the_preview() -> None:
    run = preview(upload("login,other\nann,bob\n"))

    run = map_columns(run_id=run.pk, target=PEOPLE, columns={"login": "other"})

    assert run.state == Import.State.UPLOADED
    assert run.rows.count() == 0
    assert preview(run).rows.get().values == {"login": "bob"}


# --- in the background --------------------------------------------------------------------------------------------


def test_the_background_work_reports_how_far_it_is() -> None:
    run = preview(upload("login\n" + "".join(f"u{n}\n" for n in range(10))))

    job = work(start_commit(run_id=run.pk, at=AT, by="user:1"))

    assert (job.state, job.done, job.total) == (Job.State.DONE, 10, 10)
    assert job.result["made"] == {"people": 10}


def test_a_job_out_of_time_queues_again_and_goes_on_where_it_was() -> None:
    run = preview(upload("login\n" + "".join(f"u{n}\n" for n in range(10))))
    job = start_commit(run_id=run.pk, at=AT, by="user:1")

    claimed = claim_job(at=AT, job_id=job.pk)
    assert claimed is not None
    half = run_job(job=claimed, works=WORKS, seconds_max=0)
    done_so_far = User.objects.count()
    job = work(half)

    assert done_so_far == 3
    assert half == job
    assert job.state == Job.State.DONE
    assert User.objects.count() == 10
    assert Import.objects.get(pk=run.pk).summary == {"people": 10}


def test_reading_a_file_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni.kernel.imports.preview.READ_CHUNK", 4)
    run = upload("login,age\n" + "".join(f"u{n},x\n" if n % 3 == 0 else f"u{n},1\n" for n in range(10)))

    steps = preview_import(run_id=run.pk, target=PEOPLE)
    next(steps)
    steps.close()
    assert run.rows.count() == 4
    list(preview_import(run_id=run.pk, target=PEOPLE))

    run.refresh_from_db()
    assert (run.lines, run.new, run.error) == (10, 6, 4)
    assert run.state == Import.State.PREVIEWED
    assert run.rows.exclude(row_key=None).values("row_key").distinct().count() == 10


def test_a_job_that_is_asked_to_stop_stops_after_its_chunk_and_keeps_what_it_did() -> None:
    run = preview(upload("login\n" + "".join(f"u{n}\n" for n in range(10))))
    job = start_commit(run_id=run.pk, at=AT, by="user:1")
    claimed = claim_job(at=AT, job_id=job.pk)
    assert claimed is not None
    cancel_job(job_id=job.pk, at=AT, by="user:1")

    ended = run_job(job=claimed, works=WORKS)

    assert ended.state == Job.State.CANCELLED
    assert User.objects.count() == 3
    work(start_commit(run_id=run.pk, at=AT, by="user:1"))
    assert User.objects.count() == 10
    assert Import.objects.get(pk=run.pk).state == Import.State.DONE


def test_a_stopped_import_cannot_be_taken_twice_at_a_time() -> None:
    run = preview(upload("login\nann\n"))
    start_commit(run_id=run.pk, at=AT, by="user:1")

    with pytest.raises(ImportIsOver):
        start_commit(run_id=run.pk, at=AT, by="user:1")

    assert Job.objects.filter(kind="imports.commit").count() == 1


def test_doctor_sees_an_import_whose_lines_are_not_accounted_for() -> None:
    run = import_all(PEOPLE_CSV)
    assert [row for check in CHECKS for row in check.find(9)] == []

    run.rows.filter(line_no=2).delete()
    run.rows.filter(line_no=3).update(status="new")
    broken = import_all("login\nzoe\n")
    Import.objects.filter(pk=broken.pk).update(state=Import.State.COMMITTING)

    found = {check.code: [row["import"] for row in check.find(9)] for check in CHECKS}
    assert found == {
        "imports.every_line_is_somewhere": [run.pk],
        "imports.a_finished_job_has_finished_its_import": [broken.pk],
    }


def test_a_job_is_claimed_by_one_worker_until_it_gives_no_sign_of_life() -> None:
    run = preview(upload("login\nann\n"))
    start_commit(run_id=run.pk, at=AT, by="user:1")

    first = claim_job(at=AT)
    second = claim_job(at=AT)
    later = claim_job(at=AT + LOST_AFTER + timedelta(seconds=1))

    assert first is not None
    assert second is None
    assert later == first


def test_a_job_that_ends_its_worker_every_time_is_given_up() -> None:
    run = preview(upload("login\nann\n"))
    job = start_commit(run_id=run.pk, at=AT, by="user:1")
    at = AT
    for _ in range(5):
        claim_job(at=at)
        at += LOST_AFTER + timedelta(seconds=1)

    claimed = claim_job(at=at)
    assert claimed is not None
    ended = run_job(job=claimed, works=WORKS)

    assert ended.state == Job.State.FAILED
    assert "ended its worker" in ended.message
    assert ended == job


@pytest.mark.django_db(transaction=True)
def test_killing_the_worker_in_the_middle_loses_nothing_and_takes_nothing_twice() -> None:
    run = preview(upload("login\n" + "".join(f"u{n}\n" for n in range(60))))
    job = start_commit(run_id=run.pk, at=AT, by="user:1")

    connection.close()
    child = os.fork()
    if child == 0:  # a worker of its own, which is killed while it works
        claimed = claim_job(at=datetime.now(UTC), job_id=job.pk)
        assert claimed is not None
        run_job(job=claimed, works=WORKS)
        os._exit(0)
    deadline = time.monotonic() + 20
    while User.objects.count() < 9 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    before = User.objects.count()
    Job.objects.filter(pk=job.pk).update(heartbeat_at=datetime.now(UTC) - LOST_AFTER * 2)
    ended = work(job)

    assert 9 <= before < 60
    assert ended.state == Job.State.DONE
    assert User.objects.count() == 60
    assert Import.objects.get(pk=run.pk).summary == {"people": 60}


# --- files that cannot be read ------------------------------------------------------------------------------------


def test_a_file_that_is_refused_is_not_kept() -> None:
    folder = Path(settings.MEDIA_ROOT) / "imports"
    before = sorted(folder.rglob("*")) if folder.exists() else []

    with pytest.raises(BadInput):
        upload("")
    with pytest.raises(BadInput):
        upload("login\n")

    after = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in after if path not in before] == []
    assert Import.objects.count() == 0
