"""Refuse a row of a file, in words, so that the same fault of the same content is shown once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from omni.kernel.imports.rows import encode
from omni.kernel.imports.target import Verdict


def refuse_row(*, outcome: str, reason: str, column: str, detail: str, values: Mapping[str, Any]) -> Verdict:
    """The verdict on a row that cannot be taken. Its key follows from the reason and from what the row says.

    `column`: the heading that people know it by.
    """
    said = {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }
    key = UUID(bytes=blake2b(encode([reason, sorted(said.items())]).encode(), digest_size=16).digest())
    return Verdict("error", outcome, row_key=key, reason=reason, column=column, detail=detail)
