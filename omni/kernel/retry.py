"""Repeat a whole idempotent operation when the database says that somebody was in the way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection
from django.utils.translation import gettext as _

from omni.kernel.errors import Busy
from omni.kernel.transactions import is_in_transaction

Result = TypeVar("Result")

# serialization failure, deadlock, lock not available, server going down or starting
REPEATABLE = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03"})
ATTEMPTS = 5


def repeat_on_conflict(operation: Callable[[], Result]) -> Result:
    """Run the operation; repeat it at most four times, with full jitter from 20 ms, on the errors named above,
    a lost link, or when it says itself that it was Busy.

    Only for operations that open their own transaction and are idempotent. Inside an open transaction it is run
    once: whoever opened that one repeats it. Raises Busy when the last attempt fails too.
    """
    if is_in_transaction():
        return operation()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return operation()
        except Busy:
            if attempt == ATTEMPTS:
                raise
        except OperationalError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if not (state is None or state in REPEATABLE or state.startswith("08")):
                raise
            connection.close_if_unusable_or_obsolete()
            if attempt == ATTEMPTS:
                raise Busy(_("The database is busy: try again in a moment.")) from error
        time.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))
    raise AssertionError("unreachable")
