"""The staged rows of an import: what is next, and what has been found out about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from omni.kernel.imports.fields import revivers_of
from omni.kernel.imports.target import Row, Taken, Target, Verdict
from omni.kernel.models import ImportRow
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all


def encode(value: Any) -> str:
    """As JSON. Moments and amounts as Python writes them: contents are known by what this gives (`row_key`)."""
    return orjson.dumps(value, default=str, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


COLUMNS = 'r.id, r.line_no, r."values", r.group_key, r.status, r.row_key, r.result, r.undo, r.phase'
# Scans begin after what was done before: the index still holds its dead entries, and walking over them again with
# every chunk made the work quadratic.
NEXT_HEAD = """
    SELECT r.id, r.phase, r.line_no, r.group_key FROM kernel_importrow r
    WHERE r.run_id = %(run)s AND r.status = ANY(%(statuses)s) AND r.status IN ('staged', 'new', 'changed')
        AND (r.phase, r.line_no) > (%(phase)s, %(line)s)
    ORDER BY r.phase, r.line_no LIMIT %(limit)s
"""
ROWS_BY_ID = (
    f"SELECT {COLUMNS} FROM kernel_importrow r WHERE r.id = ANY(%(ids)s::bigint[]) ORDER BY r.line_no"  # noqa: S608
)
# All rows of the groups, wherever in the file they stand; with `also`, those of other statuses.
ROWS_BY_GROUP = f"""
    SELECT {COLUMNS} FROM kernel_importrow r
    WHERE r.run_id = %(run)s AND r.group_key = ANY(%(groups)s) AND r.group_key <> ''
        AND (r.status = ANY(%(statuses)s) AND r.phase = %(phase)s OR r.status = ANY(%(also)s))
    ORDER BY r.line_no
"""  # noqa: S608 - a constant
DONE_ROWS = f"""
    SELECT {COLUMNS} FROM kernel_importrow r
    WHERE r.run_id = %s AND r.status = 'done' AND (r.phase, r.line_no) < (%s, %s)
    ORDER BY r.phase DESC, r.line_no DESC LIMIT %s
"""  # noqa: S608 - a constant
# Most rows of a chunk fare alike: what is said of them is sent once, and each row names it by its place.
WRITE_VERDICTS = """
    UPDATE kernel_importrow r SET status = k.status, outcome = k.outcome, changes = v.changes, phase = k.phase,
        row_key = COALESCE(v.row_key, r.row_key), reason = k.reason, "column" = k.col, detail = k.detail,
        result = v.result
    FROM unnest(%s::bigint[], %s::int[], %s::uuid[], %s::jsonb[], %s::jsonb[])
        AS v(id, kind, row_key, changes, result)
    JOIN unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::text[])
        WITH ORDINALITY AS k(status, outcome, phase, reason, col, detail, kind) ON k.kind = v.kind
    WHERE r.id = v.id
"""
WRITE_TAKEN = """
    UPDATE kernel_importrow r SET status = k.status, outcome = k.outcome, result = v.result, undo = v.undo,
        reason = k.reason, "column" = k.col, detail = k.detail
    FROM unnest(%s::bigint[], %s::int[], %s::jsonb[], %s::jsonb[]) AS v(id, kind, result, undo)
    JOIN unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
        WITH ORDINALITY AS k(status, outcome, reason, col, detail, kind) ON k.kind = v.kind
    WHERE r.id = v.id
"""
# What waited with an error elsewhere and has been taken now waits no more.
SETTLE = """
    UPDATE kernel_importrow SET status = 'settled', result = jsonb_build_object('settled_by', %s::bigint)
    WHERE row_key = ANY(%s::uuid[]) AND status = 'error' AND run_id <> %s
"""
COUNTS = """
    SELECT count(*), count(*) FILTER (WHERE status = 'new'), count(*) FILTER (WHERE status = 'changed'),
        count(*) FILTER (WHERE status = 'unchanged'), count(*) FILTER (WHERE status = 'error'),
        count(*) FILTER (WHERE status = 'done')
    FROM kernel_importrow WHERE run_id = %s
"""


# A chunk and the word how far the work has come are one transaction: should the server die, both are lost together, and
# the next worker does the chunk again. The last transaction of an import waits for the disk, and so for all before it.
DO_NOT_WAIT_FOR_DISK = "SET LOCAL synchronous_commit = off"


class RowQueue:
    """The rows of an import with one of the statuses, chunk by chunk, lowest phase first.

    Where the target has groups, whole groups; rows that are to be compared come with all others of their group. Rows
    are not locked: the caller holds the import.
    """

    def __init__(self, run_id: int, target: Target, *, statuses: Sequence[str]) -> None:
        self._target = target
        self._after = (0, 0)
        self._where = {
            "run": run_id,
            "statuses": list(statuses),
            "limit": target.chunk_rows,
            "also": list(ImportRow.Status.values) if "staged" in statuses else [],
        }

    def take(self) -> list[Row]:
        """The next rows, in the order of the file; none: all are done."""
        phase, line = self._after
        head = fetch_all(NEXT_HEAD, {**self._where, "phase": phase, "line": line})
        if not head:
            return []
        phase = head[0][1]
        head = [row for row in head if row[1] == phase]
        self._after = (phase, head[-1][2])
        if self._target.group_by:
            groups = list({row[3] for row in head})
            found = fetch_all(ROWS_BY_GROUP, {**self._where, "phase": phase, "groups": groups})
        else:
            found = fetch_all(ROWS_BY_ID, {"ids": as_array(row[0] for row in head)})
        return _revive(found, self._target)


class DoneRows:
    """The rows that were taken, chunk by chunk, in the reverse of the order in which they were."""

    def __init__(self, run_id: int, target: Target) -> None:
        self._run_id = run_id
        self._target = target
        self._before = (32_767, 2**31 - 1)

    def take(self) -> list[Row]:
        rows = fetch_all(DONE_ROWS, [self._run_id, *self._before, self._target.chunk_rows])
        if rows:
            self._before = (rows[-1][-1], rows[-1][1])
        return _revive(rows, self._target)


def _revive(rows: Sequence[tuple[Any, ...]], target: Target) -> list[Row]:
    typed = revive_values([_json(row[2]) or {} for row in rows], target)
    return [
        Row(
            ident=row[0],
            line_no=row[1],
            values=values,
            group_key=row[3],
            status=row[4],
            row_key=row[5],
            result=_json(row[6]),
            undo=_json(row[7]),
            is_readable=row[2] is not None,
        )
        for row, values in zip(rows, typed, strict=True)
    ]


def revive_values(stored: Sequence[Mapping[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Stored values as a target wants them: typed, and None where the file says nothing."""
    revivers = revivers_of(target.fields)
    empty = dict.fromkeys(field.name for field in target.fields)
    return [
        empty | {name: revivers[name](value) if name in revivers else value for name, value in values.items()}
        for values in stored
    ]


def _json(value: Any) -> Any:
    """Django leaves jsonb to its model fields: a bare cursor gives text."""
    return orjson.loads(value) if isinstance(value, (str, bytes)) else value


def write_verdicts(row_ids: Sequence[int], verdicts: Sequence[Verdict], known: Mapping[UUID, int]) -> None:
    """`known`: contents that wait with an error elsewhere already, with the row where they do."""
    if not row_ids:
        return
    earlier = [
        known.get(verdict.row_key) if verdict.status == "error" and verdict.row_key else None
        for verdict in verdicts
    ]
    kinds = Kinds()
    places = [
        kinds.place("unchanged" if e else v.status, v.outcome, v.phase, v.reason, v.column, v.detail)
        for v, e in zip(verdicts, earlier, strict=True)
    ]
    execute(
        WRITE_VERDICTS,
        [
            as_array(row_ids),
            as_array(places),
            as_array(verdict.row_key for verdict in verdicts),
            as_text_array(as_json(verdict.changes) for verdict in verdicts),
            as_text_array(
                as_json({"row": e} if e else v.keep) for v, e in zip(verdicts, earlier, strict=True)
            ),
            *kinds.columns(),
        ],
    )


class Kinds:
    """The different things that are said of rows, each once, with places from 1."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], int] = {}

    def place(self, *kind: Any) -> int:
        return self._places.setdefault(kind, len(self._places) + 1)

    def columns(self) -> list[list[Any]]:
        return [list(column) for column in zip(*self._places, strict=True)]


def write_taken(run_id: int, rows: Sequence[Row], taken: Sequence[Taken], known: Mapping[UUID, int]) -> None:
    """Write down what became of the rows, and settle what waited elsewhere for the same content.

    `known`: contents that wait with an error elsewhere already, with the row where they do.
    """
    kinds, places, results, settled = Kinds(), [], [], []
    for row, t in zip(rows, taken, strict=True):
        earlier = known.get(row.row_key) if t.status == "error" and row.row_key else None
        status, result = ("unchanged", {"row": earlier}) if earlier else (t.status, t.result)
        places.append(kinds.place(status, t.outcome, t.reason, t.column, t.detail))
        results.append(as_json(result))
        if t.status != "error" and row.row_key:
            settled.append(row.row_key)
    execute(
        WRITE_TAKEN,
        [
            as_array(row.ident for row in rows),
            as_array(places),
            as_text_array(results),
            as_text_array(as_json(t.undo) for t in taken),
            *kinds.columns(),
        ],
    )
    if settled:
        execute(SETTLE, [run_id, as_array(settled), run_id])


def as_json(value: Any) -> str | None:
    """As a jsonb parameter wants it."""
    return None if value is None else encode(value)


def count_rows(run_id: int) -> dict[str, int]:
    """How many rows there are of each status that people ask for."""
    names = ("lines", "new", "changed", "unchanged", "error", "done")
    return dict(zip(names, fetch_all(COUNTS, [run_id])[0], strict=True))
