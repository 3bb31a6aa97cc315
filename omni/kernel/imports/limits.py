"""How large and how odd a file may be before it is refused as a whole."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`unpacked_bytes` and `ratio` are for .gz and .xlsx; a small archive may have any ratio."""

    file_bytes: int = 10 * MB
    unpacked_bytes: int = 200 * MB
    ratio: int = 100
    ratio_free_bytes: int = 1 * MB
    archive_entries: int = 1_000
    rows: int = 1_000_000
    sheet_rows: int = 100_000
    columns: int = 100
    line_chars: int = 1_000_000
    record_lines: int = 200  # a quoted cell may hold line breaks, but not a whole file
    cell_chars: int = 32_767
    sheet_memory_bytes: int = 512 * MB
    sheet_cpu_seconds: int = 60


UPLOAD = Limits()
# A file that somebody with a shell names: larger, but not endless.
COMMAND = Limits(file_bytes=200 * MB, unpacked_bytes=2_000 * MB, rows=10_000_000)
# An import remembers by which limits its file came in.
BY_DOOR = {"upload": UPLOAD, "command": COMMAND}
