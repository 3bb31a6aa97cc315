"""What another system answered to one line of a call, and when it is to be asked again.

Two ways of keeping score stand on it: requests, which are answered once, and *told values*, which a channel is told
again whenever they change (stock, prices). Of a told value each number has a version, and a row holds three of them:
what is desired, what was sent last, what was acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from omni.kernel.sql import execute, fetch_all

RETRY_SECONDS_MAX = 600
# What was refused for good is told again when the value changes, or after a day.
REFUSED_FOR = timedelta(days=1)

# In id order, as planners lock them; claims never wait for a lock.
LOCK_TOLD = "SELECT id, attempts FROM {table} WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
# An answer to an older call than the last changes nothing.
ACKNOWLEDGE = """
    UPDATE {table} p
    SET acked_{value} = p.sent_{value}, acked_version = v.version, acked_at = %(at)s, attempts = 0,
        last_error = '', not_before = greatest(%(at)s, p.sent_at + %(pause)s)
    FROM unnest(%(ids)s::bigint[], %(versions)s::bigint[]) AS v(id, version)
    WHERE p.id = v.id AND p.sent_version = v.version AND p.acked_version < v.version
"""
POSTPONE = """
    UPDATE {table} p SET last_error = v.detail, not_before = v.not_before
    FROM unnest(%(ids)s::bigint[], %(versions)s::bigint[], %(details)s::text[], %(moments)s::timestamptz[])
        AS v(id, version, detail, not_before)
    WHERE p.id = v.id AND p.sent_version = v.version AND p.acked_version < v.version
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the line `key`. `is_final` and not ok: however often it is asked, it will not be done.

    `retry_seconds`: when the other side wants to be asked again. `version`: of a told value, the one that was sent.
    """

    key: int
    ok: bool
    detail: str = ""
    is_final: bool = False
    retry_seconds: int | None = None
    version: int = 0


class Told(NamedTuple):
    """Where told values are kept. `pause`: so long after a call the row is not due again, whatever changes."""

    table: str
    value: str
    pause: timedelta = timedelta(0)


def wait_after(answer: Answer, *, attempts: int) -> timedelta:
    """How long to wait before a line that was not taken is asked again: as it says, or ever longer."""
    if answer.retry_seconds is not None:
        return timedelta(seconds=answer.retry_seconds)
    return timedelta(seconds=min(RETRY_SECONDS_MAX, 2 ** min(attempts, 12)))


def record_told(told: Told, *, answers: Sequence[Answer], at: datetime) -> None:
    """Note what was said to told values. Only the answer to the last call of a row counts, and only once.

    A value that was not taken is due again after `wait_after`; one that was refused for good when it changes, or after
    REFUSED_FOR. Inside the caller's transaction.
    """
    names = told._asdict()
    attempts = dict(fetch_all(LOCK_TOLD.format(**names), [[answer.key for answer in answers]]))
    taken = [answer for answer in answers if answer.ok]
    if taken:
        execute(ACKNOWLEDGE.format(**names), {**_keys(taken), "at": at, "pause": told.pause})
    refused = [answer for answer in answers if not answer.ok]
    if refused:
        waits = [
            REFUSED_FOR if answer.is_final else wait_after(answer, attempts=attempts.get(answer.key, 1))
            for answer in refused
        ]
        details = [answer.detail[:2000] for answer in refused]
        moments = [at + wait for wait in waits]
        execute(POSTPONE.format(**names), {**_keys(refused), "details": details, "moments": moments})


def _keys(answers: Sequence[Answer]) -> dict[str, list[int]]:
    return {"ids": [answer.key for answer in answers], "versions": [answer.version for answer in answers]}
