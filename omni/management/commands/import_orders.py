"""Import a file of orders: read, compare, take; what cannot be taken is parked with its reason."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from omni.kernel.errors import DomainError
from omni.kernel.imports.commit import start_commit, start_retry
from omni.kernel.imports.map_columns import map_columns
from omni.kernel.imports.preview import start_preview
from omni.kernel.imports.rejects import outcomes, reasons
from omni.kernel.imports.target import Target
from omni.kernel.imports.undo import start_undo
from omni.kernel.imports.upload import upload_file
from omni.kernel.jobs import Work, claim_job, run_job
from omni.kernel.models import Import, ImportMapping, Job
from omni.kernel.relay import relay_events
from omni.wiring import IMPORT_TARGETS, JOBS, REACTIONS
from orders.imports.online_retail import ONLINE_RETAIL, PARKED, RETURNED, TAKEN
from orders.imports.order_lines import ORDER_LINES

BLOCK_BYTES = 1024 * 1024
BY = "command:import_orders"
# Mappings that need not be saved: the files are always like this.
BUILT_IN: dict[str, Target] = {"online-retail": ONLINE_RETAIL}
OF_ORDERS = (ORDER_LINES.name, ONLINE_RETAIL.name)
EVENTS_BATCH = 100


@dataclass
class Account:
    """Where every line went: taken + returned + parked = lines. `created`: orders, returns and products made."""

    file: str
    run: int = 0
    lines: int = 0
    taken: int = 0
    returned: int = 0
    parked: int = 0
    unchanged: int = 0
    created: int = 0
    created_by_kind: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="CSV (also .gz) or XLSX")
        parser.add_argument("--mapping", help="online-retail, or the name of a saved mapping")
        parser.add_argument("--shop", default="", help="code of the shop to which the orders belong")
        parser.add_argument("--dry-run", action="store_true", help="preview only")
        parser.add_argument(
            "--retry", type=int, metavar="IMPORT", help="try the parked lines of an import again"
        )
        parser.add_argument("--undo", type=int, metavar="IMPORT", help="take a whole import back")
        parser.add_argument("--json", action="store_true", help="print the account as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        try:
            run = self._run(options)
        except DomainError as refusal:
            raise CommandError(refusal.detail) from refusal
        account = account_of(run)
        account.seconds = round(time.monotonic() - began, 2)
        self._print(account, run, as_json=options["json"])

    def _run(self, options: dict[str, Any]) -> Import:
        if options["undo"]:
            run = _import(options["undo"])
            self._work(
                start_undo(run_id=run.pk, target=IMPORT_TARGETS[run.target], at=timezone.now(), by=BY),
                options,
            )
        elif options["retry"]:
            run = _import(options["retry"])
            self._work(start_retry(run_id=run.pk, at=timezone.now(), by=BY), options)
        else:
            run = self._take_in(options)
            target = IMPORT_TARGETS[run.target]
            self._work(start_preview(run_id=run.pk, target=target, at=timezone.now(), by=BY), options)
            if not options["dry_run"]:
                self._work(start_commit(run_id=run.pk, at=timezone.now(), by=BY), options)
        run.refresh_from_db()
        _hand_on()
        return run

    def _take_in(self, options: dict[str, Any]) -> Import:
        path: Path | None = options["file"]
        if path is None or not options["mapping"]:
            raise CommandError(_("Name a file and --mapping, or an import with --retry or --undo."))
        if not path.is_file():
            raise CommandError(_("There is no file %s.") % path)
        target, mapping = _mapping(options["mapping"])
        params = {"shop": options["shop"]} if options["shop"] else {}
        given = mapping.options if mapping else getattr(target, "options", {})
        run = upload_file(
            target=target,
            name=path.name,
            chunks=_blocks(path),
            params=params,
            options=given,
            at=timezone.now(),
            by=BY,
            door="command",
        )
        if mapping:
            run = map_columns(run_id=run.pk, target=target, columns=mapping.columns, mapping=mapping)
        return run

    def _work(self, job: Job, options: dict[str, Any]) -> None:
        """Do the job here and now; should we be killed, a worker goes on with it."""
        claimed = claim_job(at=timezone.now(), job_id=job.pk)
        if claimed is None:  # a worker was faster
            while job.state in (Job.State.QUEUED, Job.State.RUNNING):
                time.sleep(0.5)
                job.refresh_from_db()
        else:
            with _progress(job, JOBS) as works:
                job = run_job(job=claimed, works=works)
        if job.state != Job.State.DONE:
            raise CommandError(job.message or _("The work was stopped."))

    def _print(self, account: Account, run: Import, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(asdict(account), ensure_ascii=False))
            return
        self.stdout.write(
            f"{account.file}: {account.lines} lines = {account.taken} taken + {account.returned} returned"
            f" + {account.parked} parked; {account.unchanged} unchanged, {account.created} created"
            f" ({account.seconds:.1f} s, import {account.run}, {run.get_state_display()})"
        )
        for reason, count in account.reasons.items():
            self.stdout.write(f"  {count:>8}  {reason}")


def account_of(run: Import) -> Account:
    """Where the lines of an import went."""
    by_outcome = outcomes(run.pk)
    made = {kind: count for kind, count in run.summary.items() if count}
    return Account(
        file=run.file_name,
        run=run.pk,
        lines=run.lines,
        taken=by_outcome.get(TAKEN, 0),
        returned=by_outcome.get(RETURNED, 0),
        parked=by_outcome.get(PARKED, 0),
        unchanged=run.unchanged,
        created=sum(made.values()),
        created_by_kind=made,
        reasons=dict(reasons(run.pk)),
    )


def _mapping(name: str) -> tuple[Target, ImportMapping | None]:
    if name in BUILT_IN:
        return BUILT_IN[name], None
    mapping = ImportMapping.objects.filter(name=name, target__in=OF_ORDERS).first()
    if mapping is None:
        known = [
            *BUILT_IN,
            *ImportMapping.objects.filter(target__in=OF_ORDERS).values_list("name", flat=True),
        ]
        raise CommandError(
            _("There is no mapping “%(name)s”; there are: %(known)s.")
            % {"name": name, "known": ", ".join(known)}
        )
    return IMPORT_TARGETS[mapping.target], mapping


def _import(ident: int) -> Import:
    run = Import.objects.filter(pk=ident, target__in=OF_ORDERS).first()
    if run is None:
        raise CommandError(_("There is no import %d of orders.") % ident)
    return run


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _hand_on() -> None:
    """Hand on what the orders' room has recorded: where no worker runs, the news would lie."""
    while relay_events(reactions=REACTIONS, limit=EVENTS_BATCH, at=timezone.now()) == EVENTS_BATCH:
        pass


class _progress:  # noqa: N801 - used as a function
    """Show the progress of a job on a terminal; elsewhere one line every five seconds, on standard error."""

    def __init__(self, job: Job, works: Mapping[str, Work]) -> None:
        self._works = works
        self._title = job.title
        self._bar: Progress | None = None
        self._said = time.monotonic()

    def __enter__(self) -> dict[str, Work]:
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None)
        return {kind: self._watched(work) for kind, work in self._works.items()}

    def __exit__(self, *_exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _watched(self, work: Work) -> Work:
        def watch(job: Job) -> Any:
            steps = work(job)
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    return end.value
                self._show(step.done, step.total, step.message)
                yield step

        return watch

    def _show(self, done: int, total: int | None, message: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._title}: {message}")
        elif time.monotonic() - self._said > 5:
            self._said = time.monotonic()
            sys.stderr.write(f"{self._title}: {message} {done}{f' of {total}' if total else ''}\n")
