"""What is repeated when somebody was in the way, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import OperationalError, transaction

from inventory.lock import LineIsBusy
from omni.kernel.errors import DomainError
from omni.kernel.retry import ATTEMPTS, repeat_on_conflict


def failing(times: int, error: Exception) -> tuple[Callable[[], str], list[int]]:
    """An operation that fails so many times, and the list of its calls."""
    calls: list[int] = []

    def operation() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return operation, calls


def test_an_operation_that_says_that_it_was_busy_is_repeated() -> None:
    operation, calls = failing(2, LineIsBusy("the line was promised at the same moment"))

    assert repeat_on_conflict(operation) == "done"
    assert len(calls) == 3


def test_one_that_stays_busy_says_so_itself_in_the_end() -> None:
    operation, calls = failing(99, LineIsBusy("the line was promised at the same moment"))

    with pytest.raises(LineIsBusy):
        repeat_on_conflict(operation)

    assert len(calls) == ATTEMPTS


def test_another_refusal_is_an_answer_and_not_repeated() -> None:
    operation, calls = failing(99, DomainError("no"))

    with pytest.raises(DomainError):
        repeat_on_conflict(operation)

    assert len(calls) == 1


@pytest.mark.django_db
def test_inside_a_transaction_nothing_is_repeated_because_whoever_opened_it_repeats_it() -> None:
    operation, calls = failing(99, OperationalError("the link was lost"))

    with pytest.raises(OperationalError), transaction.atomic():
        repeat_on_conflict(operation)

    assert len(calls) == 1
