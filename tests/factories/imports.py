"""A kind of table for the tests of the import engine: people and the teams that they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User

from omni.kernel.errors import BadInput
from omni.kernel.imports.commit import start_commit, start_retry
from omni.kernel.imports.fields import Field, Text
from omni.kernel.imports.preview import start_preview
from omni.kernel.imports.target import Context, Obstacle, Row, Taken, Target, Verdict
from omni.kernel.imports.undo import start_undo
from omni.kernel.imports.upload import upload_file
from omni.kernel.imports.works import import_works
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Import, Job

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class PeopleTarget(Target):
    """Users by login. A login that is forbidden is refused when it is taken, one that is `root` at once."""

    forbidden: ClassVar[set[str]] = {"forbidden"}
    name = "test.people"
    label = "People"
    fields = (
        Field("login", "Login", "code", is_required=True, max_length=30, aliases=("user name",)),
        Field("first", "First name", max_length=20),
        Field("age", "Age", "integer", minimum=0, maximum=150),
        Field("team", "Team", "code"),
    )
    group_by = ""
    whole_groups = False
    chunk_rows = 3
    can_undo = True
    error_outcome = "refused"
    reasons: Mapping[str, Text] = {"reserved": "reserved login"}

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        if params.get("bad"):
            raise BadInput("bad parameters")
        return dict(params)

    def diff(self, rows: Sequence[Row], context: Context) -> Sequence[Verdict]:
        known = {
            user.username: user.first_name
            for user in User.objects.filter(username__in=[row.values["login"] for row in rows])
        }
        return [self._verdict(row, known) for row in rows]

    def _verdict(self, row: Row, known: Mapping[str, str]) -> Verdict:
        login, first = row.values["login"], row.values["first"] or ""
        key = UUID(md5(f"{login}:{first}".encode(), usedforsecurity=False).hexdigest())
        if login == "root":
            return Verdict(
                "error", "refused", row_key=key, reason="reserved", column="Login", detail="Not this one."
            )
        if login not in known:
            return Verdict("new", "taken", row_key=key)
        if known[login] != first:
            return Verdict("changed", "taken", changes={"first": [known[login], first]}, row_key=key)
        return Verdict("unchanged", "taken", row_key=key)

    def prepare_commit(self, context: Context, *, at: datetime, by: str) -> Mapping[str, int]:
        return {}

    def commit(
        self, rows: Sequence[Row], context: Context, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        taken: list[Taken] = []
        made = 0
        for row in rows:
            login, first = row.values["login"], row.values["first"] or ""
            if login in self.forbidden:
                taken.append(Taken("error", "refused", reason="forbidden", detail="Refused when taken."))
                continue
            user = User.objects.filter(username=login).first()
            old = user.first_name if user else None
            if user is None:
                user = User(username=login)
                made += 1
            user.first_name = first
            user.save()
            taken.append(Taken("done", "taken", {"user": user.pk}, {"was": old}))
        return taken, {"people": made}

    def find_obstacles(self, rows: Sequence[Row], context: Context) -> Sequence[Obstacle]:
        used = set(
            User.objects.filter(username__in=[r.values["login"] for r in rows], is_staff=True).values_list(
                "username", flat=True
            )
        )
        return [
            Obstacle(r.line_no, "in_use", "Works here by now.") for r in rows if r.values["login"] in used
        ]

    def undo(self, rows: Sequence[Row], context: Context, *, at: datetime, by: str) -> None:
        for row in rows:
            users = User.objects.filter(username=row.values["login"])
            if row.undo["was"] is None:
                users.delete()
            else:
                users.update(first_name=row.undo["was"])


class TeamTarget(PeopleTarget):
    """The same people, taken team by team: whole teams only."""

    name = "test.teams"
    group_by = "team"
    whole_groups = True
    fields = (
        *PeopleTarget.fields[:3],
        Field("team", "Team", "code", is_required=True),
    )


PEOPLE = PeopleTarget()
TEAMS = TeamTarget()
WORKS = import_works({PEOPLE.name: PEOPLE, TEAMS.name: TEAMS})


def upload(data: bytes | str, *, target: Target = PEOPLE, name: str = "people.csv", **options: Any) -> Import:
    content = data.encode() if isinstance(data, str) else data
    return upload_file(
        target=target, name=name, chunks=[content], params={}, options=options, at=AT, by="user:1"
    )


def work(job: Job) -> Job:
    """Let a worker do the job now."""
    claimed = claim_job(at=datetime.now(UTC), job_id=job.pk)
    assert claimed is not None
    return run_job(job=claimed, works=WORKS)


def preview(run: Import, *, target: Target = PEOPLE) -> Import:
    job = work(start_preview(run_id=run.pk, target=target, at=AT, by="user:1"))
    run.refresh_from_db()
    assert job.state in (Job.State.DONE, Job.State.FAILED)
    return run


def commit(run: Import) -> Import:
    work(start_commit(run_id=run.pk, at=AT, by="user:1"))
    run.refresh_from_db()
    return run


def retry(run: Import, row_ids: Sequence[int] | None = None) -> Import:
    work(start_retry(run_id=run.pk, at=AT, by="user:1", row_ids=row_ids))
    run.refresh_from_db()
    return run


def undo(run: Import, *, target: Target = PEOPLE) -> Job:
    job = work(start_undo(run_id=run.pk, target=target, at=AT, by="user:1"))
    run.refresh_from_db()
    return job


def import_all(data: bytes | str, *, target: Target = PEOPLE, **options: Any) -> Import:
    return commit(preview(upload(data, target=target, **options), target=target))


def statuses(run: Import) -> dict[int, str]:
    return dict(run.rows.order_by("line_no").values_list("line_no", "status"))
