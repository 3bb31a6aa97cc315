"""Imports whose counts disagree with their rows, or that say they are done and are not."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.checks import Check, sql_check

CHECKS: Sequence[Check] = (
    sql_check(
        "imports.every_line_is_somewhere",
        "A taken import has as many rows as lines were read, each with an outcome, and none left to do.",
        """SELECT i.id, i.file_name, i.lines, count(r.id), count(r.id) FILTER (WHERE r.outcome = ''),
                  count(r.id) FILTER (WHERE r.status IN ('staged', 'new', 'changed'))
           FROM kernel_import i LEFT JOIN kernel_importrow r ON r.run_id = i.id
           WHERE i.state = 'done' GROUP BY i.id
           HAVING i.lines <> count(r.id) OR count(r.id) FILTER (WHERE r.outcome = '') > 0
               OR count(r.id) FILTER (WHERE r.status IN ('staged', 'new', 'changed')) > 0""",
        ["import", "file", "says", "rows", "without_outcome", "to_do"],
    ),
    sql_check(
        "imports.a_finished_job_has_finished_its_import",
        "An import that is being taken has a job that waits, runs, was stopped or failed.",
        """SELECT i.id, i.file_name, j.state FROM kernel_import i LEFT JOIN kernel_job j ON j.id = i.job_id
           WHERE i.state = 'committing'
               AND coalesce(j.state, '') NOT IN ('queued', 'running', 'cancelled', 'failed')""",
        ["import", "file", "job"],
    ),
)
