"""Forget the lines of runs that are over: they come in millions, and what was done stands in the audit."""

from __future__ import annotations

import time
from datetime import datetime

from django.db import transaction

from omni.kernel.sql import execute, fetch_all

BATCH = 10_000
# Well below a task's time limit: what is left goes the night after.
SECONDS_MAX = 120.0

# What was never applied is of no use after some days; what was is looked at for longer. Plan: assortment_run_kept.
OVER = """
    SELECT id FROM products_assortmentrun
    WHERE NOT is_forgotten AND created_at < CASE WHEN state = 'applied' THEN %(applied)s::timestamptz
        ELSE %(unapplied)s::timestamptz END
    ORDER BY created_at
"""
DROP_LEFT = (
    "UPDATE products_assortmentrun SET state = 'dropped' WHERE id = %s AND state IN ('planning', 'planned')"
)
DROP_SHOPS = """
    UPDATE products_assortmentshop SET state = 'dropped' WHERE run_id = %s AND state IN ('planning', 'planned')
"""
# Plan: assortment_row, a batch of one run at a time.
FORGET = """
    DELETE FROM products_assortmentrow WHERE id IN (
        SELECT id FROM products_assortmentrow WHERE run_id = %s LIMIT %s)
"""
FORGOTTEN = "UPDATE products_assortmentrun SET is_forgotten = true WHERE id = %s"


def forget_assortments(*, applied_before: datetime, unapplied_before: datetime) -> int:
    """Delete the lines of old runs; their numbers stay. What was never applied is dropped. Returns how many went."""
    count, stop_at = 0, time.monotonic() + SECONDS_MAX
    for (run_id,) in fetch_all(OVER, {"applied": applied_before, "unapplied": unapplied_before}):
        with transaction.atomic():
            execute(DROP_LEFT, [run_id])
            execute(DROP_SHOPS, [run_id])
        while gone := execute(FORGET, [run_id, BATCH]):
            count += gone
            if time.monotonic() > stop_at:
                return count
        execute(FORGOTTEN, [run_id])
    return count
