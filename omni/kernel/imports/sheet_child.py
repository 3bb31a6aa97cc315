"""Read one sheet in a process of its own, with little memory and time: a hostile workbook ends this process only.

Run as a script. Writes one JSON line with the sheets' names, then one JSON line per row. A number that Excel has
rounded, because it holds 15 digits, is written as {"lossy": "…"}.
"""

import datetime
import resource
import sys

EXACT_MAX = 10**15


def main(path: str, sheet: str, memory_bytes: int, cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import orjson
    from python_calamine import CalamineWorkbook

    write = sys.stdout.buffer.write
    with CalamineWorkbook.from_path(path) as book:
        names = book.sheet_names
        if sheet and sheet not in names:
            write(orjson.dumps({"sheets": names, "missing": sheet}) + b"\n")
            return
        table = book.get_sheet_by_name(sheet or names[0])
        write(orjson.dumps({"sheets": names}) + b"\n")
        for row in table.iter_rows():
            write(orjson.dumps([cell if type(cell) is str else as_text(cell) for cell in row]) + b"\n")


def as_text(cell: object) -> "str | dict[str, str]":
    """The cell as somebody who types it would write it."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, (int, float)):
        text = f"{cell:.15g}" if isinstance(cell, float) else str(cell)
        if "e" in text or "E" in text:
            text = f"{cell:f}".rstrip("0").rstrip(".") if abs(cell) < EXACT_MAX else f"{cell:.0f}"
        return {"lossy": text} if abs(cell) >= EXACT_MAX else text
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ", timespec="seconds")
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    return str(cell)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
