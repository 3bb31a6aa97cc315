"""Forget what has been kept for long enough, batch by batch, so that no lock is held for long."""

from __future__ import annotations

import time
from datetime import datetime

from omni.kernel.sql import fetch_all

BATCH = 1_000
# Well below a task's time limit: what is left goes the night after.
SECONDS_MAX = 120.0

# By the key and not by the moment: rows are numbered in the order in which they come, so the oldest stand in front,
# and no index on the moment is needed.
FORGET_PAGE = """
    WITH page AS MATERIALIZED (
        SELECT id, {moment} AS moment FROM {table} WHERE id > %(after)s ORDER BY id LIMIT %(batch)s
    ), gone AS (
        DELETE FROM {table} t USING page
        WHERE t.id = page.id AND page.moment < %(before)s AND ({condition}) RETURNING t.id
    )
    SELECT max(id), coalesce(bool_or(moment < %(before)s), false), (SELECT count(*) FROM gone) FROM page
"""


def forget_rows(
    *, table: str, moment: str, before: datetime, condition: str = "true", batch: int = BATCH
) -> int:
    """Delete the rows of a table that came before a moment and of which the condition says that nobody needs them.

    `moment`: the column that says when a row came. `condition`: SQL over the row `t`, in which `%(before)s` may
    stand. Each batch is a statement of its own. Stops after SECONDS_MAX. Returns how many went.
    """
    statement = FORGET_PAGE.format(table=table, moment=moment, condition=condition)
    count, after, stop_at = 0, 0, time.monotonic() + SECONDS_MAX
    while time.monotonic() < stop_at:
        values = {"after": after, "before": before, "batch": batch}
        ((last, has_old, gone),) = fetch_all(statement, values)
        count += gone
        if not has_old:
            break
        after = last
    return count


def forget_answers(*, before: datetime) -> int:
    """Delete answers that were given before the moment; their keys may be used again. Returns how many."""
    return forget_rows(table="kernel_idempotencykey", moment="created_at", before=before)


def forget_done_events(*, before: datetime) -> int:
    """Delete events that were handed on before the moment; dead letters stay. Returns how many."""
    return forget_rows(
        table="kernel_outboxevent",
        moment="created_at",
        before=before,
        condition="t.state = 'done' AND t.done_at < %(before)s",
    )
