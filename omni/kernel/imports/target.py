"""What a room tells the engine about a kind of table: its columns, what is new in it, and how it is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from omni.kernel.imports.fields import Field, Text
from omni.kernel.models import Import


@dataclass(slots=True)
class Row:
    """One row as a target sees it. `values`: by field name, typed; absent cells are None.

    `result`: before the commit what the verdict wanted to keep, then what the target gave when it took the row, with
    `undo`. `row_key`: as the target gave it. `is_readable`: false for rows that a target never sees.
    """

    ident: int
    line_no: int
    values: dict[str, Any]
    group_key: str = ""
    status: str = ""
    row_key: UUID | None = None
    result: Any = None
    undo: Any = None
    is_readable: bool = True


class Verdict(NamedTuple):
    """What a row would do. `outcome`: the target's word for it, such as `taken`.

    `phase`: rows of a lower phase are committed before any of a higher one. `row_key`: the same for the same content in
    any file; an error with the key of one that is open already is counted as unchanged, not shown twice. `keep`: handed
    to the commit as the row's `result`.
    """

    status: Literal["new", "changed", "unchanged", "error"]
    outcome: str = ""
    changes: Mapping[str, Sequence[Any]] | None = None
    phase: int = 0
    row_key: UUID | None = None
    keep: Any = None
    reason: str = ""
    column: str = ""
    detail: str = ""


class Conflict(NamedTuple):
    """A row, by its id, that cannot stand beside an earlier row of its file."""

    row_id: int
    verdict: Verdict


class Taken(NamedTuple):
    """What became of a row that was to be taken: done, done before (unchanged), or refused after all (error).

    `result`: what it made, for people and machines. `undo`: what the target needs to take it back; None: it cannot be.
    """

    status: Literal["done", "unchanged", "error"]
    outcome: str = ""
    result: Any = None
    undo: Any = None
    reason: str = ""
    column: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a row cannot be taken back."""

    line_no: int
    reason: str
    detail: str


@dataclass(slots=True)
class Context:
    """Which import, and what the target keeps between the chunks of one run of it (never relied upon)."""

    run: Import
    memory: dict[str, Any] = field(default_factory=dict)


class Target(Protocol):
    """A kind of table that can be imported. Its methods are set-based: they get chunks and write no rows themselves.

    `group_by`: the field (or empty) whose rows with the same value come in one chunk, in the file's order.
    `whole_groups`: one row with an error keeps back the others of its group. `error_outcome`: the word for rows with
    errors. `reasons`: the target's own reasons in a few words, for people. `permission`: what a person needs besides
    the permission to import. `belongs_to`: the parameter that limits an import: one shop, or the codes of the brands
    or shops that may be touched (absent: all); offers: of both, and of the brands that may be touched in every shop.
    """

    name: str
    label: Text
    fields: Sequence[Field]
    group_by: str
    whole_groups: bool
    chunk_rows: int
    can_undo: bool
    error_outcome: str
    reasons: Mapping[str, Text]
    permission: str = ""
    belongs_to: Literal["shop", "shops", "brands", "offers"] = "shop"
    is_exported: bool = False

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What the target needs besides the file, checked and completed. Raises BadInput."""
        ...

    def diff(self, rows: Sequence[Row], context: Context) -> Sequence[Verdict]:
        """What each row would do, in the order given. Reads only.

        Groups come whole: rows that were decided before (status other than staged) are among them when some rows of
        their group are tried again. What is said of those is not heard.
        """
        ...

    def find_conflicts(self, context: Context) -> Sequence[Conflict]:
        """What only the whole file shows, asked once every row has been compared. Reads only."""
        return ()

    def prepare_commit(self, context: Context, *, at: datetime, by: str) -> Mapping[str, int]:
        """Once before the first chunk, in a transaction of its own; repeated after a crash. What it made, by kind."""
        ...

    def commit(
        self, rows: Sequence[Row], context: Context, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        """Take the rows, in the transaction of their chunk: one Taken per row in the order given, and what was made."""
        ...

    def find_obstacles(self, rows: Sequence[Row], context: Context) -> Sequence[Obstacle]:
        """The rows that cannot be taken back, and why. Reads and locks."""
        ...

    def undo(self, rows: Sequence[Row], context: Context, *, at: datetime, by: str) -> None:
        """Take back rows against which there is no obstacle, the last first."""
        ...

    def offered(self, params: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """What there is now to choose from, by field: the drop-down lists of a template. `params` as in an import."""
        return {}

    def export(self, params: Mapping[str, Any]) -> Iterator[Sequence[Any]] | None:
        """What there is, as rows that can be imported again, in the order of the fields; None: not `is_exported`."""
        return None
