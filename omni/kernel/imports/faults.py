"""What can be wrong with one row, said so that whoever sent the file can mend it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row cannot be taken. `reason`: a stable word. `column`: the heading, where one cell is at fault."""

    reason: str
    detail: str
    column: str = ""


class BadCell(Exception):
    """One cell cannot be understood."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
