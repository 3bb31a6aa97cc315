"""What must be true of the cellar: news is handed on, and answers that were given can be given again."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from omni.kernel.checks import Check, sql_check

# Plan: outbox_ready.
LEFT_LYING = """
    SELECT id, kind, created_at, attempts, last_error FROM kernel_outboxevent
    WHERE state = 'ready' AND not_before < now() - interval '5 minutes' ORDER BY not_before, id
"""
DEAD = "SELECT id, kind, attempts, last_error FROM kernel_outboxevent WHERE state = 'dead' ORDER BY id"
# Claimed and not answered: the two are one transaction, so nobody may ever see such a row.
WITHOUT_ANSWER = """
    SELECT id, principal, key, created_at FROM kernel_idempotencykey
    WHERE status = 0 OR jsonb_typeof(body) <> 'object' ORDER BY id
"""
KEPT_TOO_LONG = f"""
    SELECT id, principal, created_at FROM kernel_idempotencykey
    WHERE created_at < now() - interval '{settings.OMNI_KEEP_ANSWERS_DAYS + 2} days' ORDER BY created_at
"""  # noqa: S608 - a number of the settings

CHECKS: Sequence[Check] = (
    sql_check(
        "outbox.handed_on_in_time",
        "Every event is handed on within five minutes of its time.",
        LEFT_LYING,
        ("event", "kind", "created_at", "attempts", "last_error"),
    ),
    sql_check(
        "outbox.no_dead_letters",
        "No event waits for a person.",
        DEAD,
        ("event", "kind", "attempts", "last_error"),
    ),
    sql_check(
        "idempotency.every_key_has_its_answer",
        "Every Idempotency-Key that was taken has the answer that was given.",
        WITHOUT_ANSWER,
        ("row", "principal", "key", "created_at"),
    ),
    sql_check(
        "idempotency.answers_are_forgotten",
        "Answers are kept as long as the settings say, and no longer than it takes to forget them.",
        KEPT_TOO_LONG,
        ("row", "principal", "created_at"),
    ),
)
