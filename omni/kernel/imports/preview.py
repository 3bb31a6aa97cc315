"""Read a file into rows and say of each what it would do: new, changed, unchanged, or why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from omni.kernel.imports.faults import BadCell, Fault
from omni.kernel.imports.fields import LOSSLESS, Parser, parser_of, revivers_of
from omni.kernel.imports.limits import BY_DOOR
from omni.kernel.imports.lines import Line, read_lines
from omni.kernel.imports.map_columns import ImportIsOver, check_columns
from omni.kernel.imports.options import Options
from omni.kernel.imports.rows import (
    DO_NOT_WAIT_FOR_DISK,
    RowQueue,
    as_json,
    count_rows,
    encode,
    revive_values,
    write_verdicts,
)
from omni.kernel.imports.target import Context, Row, Target, Verdict
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Import, Job
from omni.kernel.sql import as_array, execute, fetch_all

READ_CHUNK = 5_000
GROUP_KEY_MAX = 200
REMEMBERED_MAX = 4_096
COPY_PIECE = 500
NULL = "\\N"
COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
UNCOMPARED = (
    f"{NULL}\tstaged\t\t\t\t\t{NULL}\t0\t{NULL}\n"  # row key … result of a row that waits to be compared
)

COPY_ROWS = """
    COPY kernel_importrow
        (run_id, line_no, raw, "values", group_key, row_key, status, outcome, reason, "column", detail,
         changes, phase, result)
    FROM STDIN
"""
# Rows with the same content that wait with an error in an import that was taken.
ALREADY_OPEN = """
    SELECT r.row_key, min(r.id) FROM kernel_importrow r JOIN kernel_import i ON i.id = r.run_id
    WHERE r.row_key = ANY(%s::uuid[]) AND r.status = 'error' AND r.run_id <> %s AND i.state IN ('done', 'committing')
    GROUP BY r.row_key
"""


@transaction.atomic
def start_preview(*, run_id: int, target: Target, at: datetime, by: str) -> Job:
    """Read and compare the file in the background. Raises ImportIsOver, MissingColumn."""
    run = Import.objects.select_for_update().get(pk=run_id)
    if run.state not in (Import.State.UPLOADED, Import.State.FAILED):
        raise ImportIsOver(_("This import has been previewed already."))
    check_columns(target, run.columns, run.header, Options.from_json(run.options))
    job = start_job(
        kind="imports.preview",
        title=_("Read %s") % run.file_name,
        params={"run": run_id},
        at=at,
        by=by,
    )
    Import.objects.filter(pk=run_id).update(job=job, state=Import.State.UPLOADED, message="")
    return job


def preview_import(*, run_id: int, target: Target) -> Generator[Progress, None, dict[str, Any]]:
    """Read the file and compare it with what is there, chunk by chunk; goes on where it was when started again.

    Returns the counts by status.
    """
    run = Import.objects.get(pk=run_id)
    if run.state != Import.State.UPLOADED:
        return count_rows(run_id)
    if not run.is_read:
        yield from _stage(run, target)
    yield from diff_rows(run, target)
    with transaction.atomic():
        counts = count_rows(run_id)
        Import.objects.filter(pk=run_id, state=Import.State.UPLOADED).update(
            state=Import.State.PREVIEWED, **counts
        )
    return counts


# --- reading --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class StagedRow:
    """A row on its way into the table.

    `raw`, `values`: as JSON; `typed`: the values as a target wants them. None: it could not be read. `verdict` None:
    not compared yet.
    """

    line_no: int
    raw: str
    values: str | None
    typed: dict[str, Any] | None
    group_key: str
    verdict: Verdict | None = None


class RowReader:
    """Turns lines into rows to be copied, by one mapping. Column by column: what a cell means is found out once."""

    def __init__(self, run: Import, target: Target) -> None:
        options = Options.from_json(run.options)
        columns = check_columns(target, run.columns, run.header, options)
        position = {heading: place for place, heading in enumerate(run.header)}
        revivers = revivers_of(target.fields)
        self._error_outcome = target.error_outcome
        self._columns: list[_Column] = []
        self._constants: dict[str, Any] = {}
        self._group_place = -1
        for field in target.fields:
            parse = parser_of(field, options)
            heading = columns.get(field.name)
            if heading is not None:
                if field.name == target.group_by:
                    self._group_place = len(self._columns)
                # A number that the spreadsheet has rounded equals its text, so that it must not be remembered.
                is_told_apart = run.options["kind"] == "xlsx" and field.kind in LOSSLESS
                self._columns.append(
                    _Column(
                        position[heading],
                        field.name,
                        heading,
                        parse if is_told_apart else Memory(parse).__getitem__,
                        Memory(revivers[field.name]).__getitem__ if field.name in revivers else None,
                    )
                )
            elif options.constants.get(field.name):
                self._constants[field.name] = parse(options.constants[field.name])
        self._empty = (
            dict.fromkeys(field.name for field in target.fields) | revive_values([self._constants], target)[0]
        )
        self._salt = blake2b(json.dumps([target.name, run.params], sort_keys=True).encode()).digest()
        self._seen: dict[bytes, int] = {}

    def read(self, lines: Sequence[Line]) -> list[StagedRow]:
        """What the lines say, and what is known about them before anybody has compared them."""
        faults: dict[int, Fault] = {number: line.fault for number, line in enumerate(lines) if line.fault}
        stored, typed = self._parse([line.cells for line in lines], faults)
        nothing: list[tuple[Any, ...]] = [()] * len(lines)
        stored_rows = zip(*stored, strict=True) if stored else nothing
        typed_rows = zip(*typed, strict=True) if typed else nothing
        names = [column.name for column in self._columns]
        groups = stored[self._group_place] if self._group_place >= 0 else None
        rows = []
        for number, (line, values, meant) in enumerate(zip(lines, stored_rows, typed_rows, strict=True)):
            raw = encode(line.cells)
            group = "" if groups is None or groups[number] is None else str(groups[number])[:GROUP_KEY_MAX]
            if number in faults:
                rows.append(self._refused(line, raw, group, faults[number]))
                continue
            said = dict(zip(names, values, strict=True))
            if None in values:
                said = {name: value for name, value in said.items() if value is not None}
            rows.append(
                StagedRow(
                    line.number,
                    raw,
                    encode(self._constants | said),
                    self._empty | dict(zip(names, meant, strict=True)),
                    group,
                )
            )
        return rows

    def _parse(
        self, rows: Sequence[Sequence[str]], faults: dict[int, Fault]
    ) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
        """The columns of the rows, as they are stored and as they are meant. Adds the first fault of each row."""
        stored: list[Sequence[Any]] = []
        typed: list[Sequence[Any]] = []
        broken = set(faults)  # whatever their cells say
        for column in self._columns:
            place = column.place
            values: list[Any]
            try:
                values = list(map(column.parse, [cells[place] for cells in rows]))
            except (BadCell, IndexError):
                values = []
                for number, cells in enumerate(rows):
                    try:
                        values.append(column.parse(cells[place] if place < len(cells) else ""))
                    except BadCell as bad:
                        values.append(None)
                        if number not in broken:
                            faults.setdefault(number, Fault(bad.reason, bad.detail, column.heading))
            stored.append(values)
            revive = column.revive
            typed.append(
                values if revive is None else [None if value is None else revive(value) for value in values]
            )
        return stored, typed

    def _refused(self, line: Line, raw: str, group: str, fault: Fault) -> StagedRow:
        verdict = Verdict(
            "error",
            self._error_outcome,
            row_key=self._key(raw),
            reason=fault.reason,
            column=fault.column,
            detail=fault.detail,
        )
        return StagedRow(line.number, raw, None, None, group, verdict)

    def _key(self, raw: str) -> UUID:
        digest = blake2b(raw.encode(), digest_size=16, key=self._salt).digest()
        count = self._seen[digest] = self._seen.get(digest, 0) + 1
        return UUID(bytes=blake2b(digest + str(count).encode(), digest_size=16).digest())


class _Column(NamedTuple):
    place: int
    name: str
    heading: str
    parse: Parser
    revive: Callable[[Any], Any] | None


class Memory(dict[Any, Any]):
    """What a function made of its argument, for as many arguments as fit. It is not asked twice in a row of equals."""

    def __init__(self, ask: Callable[[Any], Any]) -> None:
        super().__init__()
        self._ask = ask

    def __missing__(self, key: Any) -> Any:
        if len(self) >= REMEMBERED_MAX:
            self.clear()
        found = self[key] = self._ask(key)
        return found


def _stage(run: Import, target: Target) -> Generator[Progress, None, None]:
    """Copy the rows that are not there yet. Each chunk is one transaction with the line up to which it went."""
    options = Options.from_json(run.options)
    lines = read_lines(Path(run.file.path), run.options["kind"], options, limits=BY_DOOR[run.options["door"]])
    next(lines)
    reader = RowReader(run, target)
    context = Context(run)
    done, count = run.read_lines, run.lines
    while chunk := list(islice(lines, READ_CHUNK)):
        rows = reader.read(chunk)  # also those copied before a crash: their faults are counted
        rows = [row for row in rows if row.line_no > done]
        if not rows:
            continue
        with transaction.atomic():
            claimed = Import.objects.filter(pk=run.pk, read_lines=done, is_read=False).update(
                read_lines=rows[-1].line_no, lines=count + len(rows)
            )
            if not claimed:
                raise ImportIsOver(_("Somebody else reads this file already."))
            if not target.group_by:
                # Nothing to wait for: compared on the way in, the rows are written once.
                _judge(rows, target, context)
            _copy_rows(run.pk, rows)
            execute(DO_NOT_WAIT_FOR_DISK)
        done, count = rows[-1].line_no, count + len(rows)
        yield Progress(done=count, message=_("reading"))
    Import.objects.filter(pk=run.pk).update(is_read=True)
    run.lines = count


def _judge(rows: Sequence[StagedRow], target: Target, context: Context) -> None:
    sound = [row for row in rows if row.typed is not None]
    asked = [Row(0, row.line_no, row.typed, status="staged") for row in sound if row.typed is not None]
    for row, verdict in zip(sound, target.diff(asked, context) if asked else [], strict=True):
        row.verdict = verdict


def _copy_rows(run_id: int, rows: Sequence[StagedRow]) -> None:
    keys = [row.verdict.row_key for row in rows if row.verdict and row.verdict.status == "error"]
    # A faulty row that waits from an earlier import already is not new trouble.
    known = open_errors(run_id, [key for key in keys if key is not None])
    with connection.cursor() as cursor, cursor.copy(COPY_ROWS) as copy:
        # The server takes in one piece while the next is written.
        for start in range(0, len(rows), COPY_PIECE):
            copy.write("".join([_as_copied(run_id, row, known) for row in rows[start : start + COPY_PIECE]]))


def _as_copied(run_id: int, row: StagedRow, known: Mapping[UUID, int]) -> str:
    """A line of COPY. The driver would look at the type of each value again."""
    values = NULL if row.values is None else row.values.replace("\\", "\\\\")
    raw = row.raw.replace("\\", "\\\\")
    begin = f"{run_id}\t{row.line_no}\t{raw}\t{values}\t{_escaped(row.group_key)}\t"
    v = row.verdict
    if v is None:
        return begin + UNCOMPARED
    earlier = known.get(v.row_key) if v.row_key else None
    if v.status != "error" and v.row_key is None and v.changes is None and v.keep is None and not v.reason:
        return begin + _plain_verdict(v.status, v.outcome, v.phase)
    said: Sequence[Any] = (
        v.row_key,
        "unchanged" if earlier else v.status,
        v.outcome,
        v.reason,
        v.column,
        v.detail,
        as_json(v.changes),
        v.phase,
        as_json({"row": earlier} if earlier else v.keep),
    )
    return begin + "\t".join([NULL if value is None else _escaped(str(value)) for value in said]) + "\n"


@lru_cache(maxsize=64)
def _plain_verdict(status: str, outcome: str, phase: int) -> str:
    return f"{NULL}\t{_escaped(status)}\t{_escaped(outcome)}\t\t\t\t{NULL}\t{phase}\t{NULL}\n"


def _escaped(text: str) -> str:
    """Text as COPY wants it."""
    return text if text.isalnum() else text.translate(COPY_ESCAPES)


def open_errors(run_id: int, keys: Sequence[UUID]) -> dict[UUID, int]:
    """Of these contents, those that wait with an error in another import that was taken: key → row."""
    return dict(fetch_all(ALREADY_OPEN, [as_array(keys), run_id])) if keys else {}


# --- comparing ------------------------------------------------------------------------------------------------


def diff_rows(run: Import, target: Target) -> Iterator[Progress]:
    """Compare the rows that are read and not yet compared."""
    context = Context(run)
    queue = RowQueue(run.pk, target, statuses=("staged",))
    done = 0
    while True:
        with transaction.atomic():
            Import.objects.select_for_update().get(pk=run.pk)
            rows = queue.take()
            if not rows:
                # Taking for the first time, nothing has been compared anew.
                if done or run.finished_at is not None or run.state == Import.State.UPLOADED:
                    _mark_conflicts(target, context)
                return
            diff_chunk(rows, target, context)
        done += len(rows)
        yield Progress(done=done, total=run.lines or None, message=_("comparing"))


def _mark_conflicts(target: Target, context: Context) -> None:
    conflicts = target.find_conflicts(context)
    known = open_errors(context.run.pk, [c.verdict.row_key for c in conflicts if c.verdict.row_key])
    write_verdicts([c.row_id for c in conflicts], [c.verdict for c in conflicts], known)


def diff_chunk(rows: Sequence[Row], target: Target, context: Context) -> None:
    """Ask the target about one chunk and write down what it says."""
    readable = [row for row in rows if row.is_readable]
    verdicts = list(target.diff(readable, context)) if readable else []
    asked = [(row, v) for row, v in zip(readable, verdicts, strict=True) if row.status == "staged"]
    if target.whole_groups and target.group_by:
        asked = _keep_groups_whole(rows, asked, target)
    known = open_errors(context.run.pk, [v.row_key for _row, v in asked if v.status == "error" and v.row_key])
    write_verdicts([row.ident for row, _ in asked], [verdict for _, verdict in asked], known)


def _keep_groups_whole(
    rows: Sequence[Row], asked: Sequence[tuple[Row, Verdict]], target: Target
) -> list[tuple[Row, Verdict]]:
    """One bad row keeps back the rest of its group, which would be taken as if it were all."""
    bad = {row.group_key: row.line_no for row in reversed(rows) if row.status == "error"}
    for row, verdict in reversed(asked):
        if verdict.status == "error":
            bad[row.group_key] = row.line_no
    return [
        (row, verdict)
        if verdict.status == "error" or row.group_key not in bad
        else (row, _kept_back(verdict, bad[row.group_key], target))
        for row, verdict in asked
    ]


def _kept_back(verdict: Verdict, line_no: int, target: Target) -> Verdict:
    return Verdict(
        "error",
        target.error_outcome,
        row_key=verdict.row_key,
        reason="group_incomplete",
        detail=_("Line %d, which belongs to the same group, has an error.") % line_no,
    )
