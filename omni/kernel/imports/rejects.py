"""The rows of an import for people: pages of the preview, and the refused rows with their reasons as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import gettext as _

from omni.kernel.imports.export import csv_chunks, write_xlsx
from omni.kernel.models import Import, ImportRow
from omni.kernel.sql import fetch_all

PAGE_ROWS = 100


def import_rows(
    run: Import, *, status: str = "", after_line: int = 0, limit: int = PAGE_ROWS
) -> list[ImportRow]:
    """One page of rows in the file's order, of one status or of all, after a line (key-set paging)."""
    rows = ImportRow.objects.filter(run=run, line_no__gt=after_line)
    if status:
        rows = rows.filter(status=status)
    return list(rows.order_by("line_no")[:limit])


def reasons(run_id: int) -> list[tuple[str, int]]:
    """Why rows were refused, the most frequent reason first; of rows that wait here or in an earlier import."""
    rows = fetch_all(
        """
        SELECT reason, count(*) FROM kernel_importrow
        WHERE run_id = %s AND reason <> '' AND status IN ('error', 'unchanged') GROUP BY reason ORDER BY 2 DESC, 1
        """,
        [run_id],
    )
    return [(str(reason), int(count)) for reason, count in rows]


def outcomes(run_id: int) -> dict[str, int]:
    """How many rows there are of each outcome, in the target's words."""
    rows = fetch_all(
        "SELECT outcome, count(*) FROM kernel_importrow WHERE run_id = %s GROUP BY outcome", [run_id]
    )
    return {str(outcome): int(count) for outcome, count in rows}


def rejects_header(run: Import) -> list[str]:
    """The file's own headings, so that the mended file can be uploaded again, and what was wrong."""
    return [*run.header, _("Line"), _("Column"), _("Reason"), _("Explanation")]


def rejects_csv(run: Import) -> Iterator[bytes]:
    """The refused rows as CSV with BOM, streamed."""
    return csv_chunks(rejects_header(run), _rejected(run))


def rejects_xlsx(run: Import, file: Any) -> int:
    """The refused rows as a workbook. Returns how many."""
    return write_xlsx(file, rejects_header(run), _rejected(run), title=_("Rejected rows"))


def _rejected(run: Import) -> Iterator[Sequence[Any]]:
    width = len(run.header)
    line = 0
    while page := import_rows(run, status=ImportRow.Status.ERROR, after_line=line, limit=1_000):
        for row in page:
            cells = (row.raw + [""] * width)[:width]
            yield [*cells, row.line_no, row.column, row.reason, row.detail]
        line = page[-1].line_no
