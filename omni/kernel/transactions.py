"""One transaction for operations that call each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import connection, transaction

Params = ParamSpec("Params")
Result = TypeVar("Result")


def is_in_transaction() -> bool:
    """Whether an operation has a transaction open already."""
    # As Django's own check of durable blocks does: the transaction around a test is nobody's operation.
    return bool(connection.atomic_blocks) and not connection.atomic_blocks[-1]._from_testcase  # type: ignore[attr-defined]


@contextmanager
def _joined() -> Iterator[None]:
    with transaction.atomic(savepoint=not is_in_transaction()):
        yield


def joins_transaction(operation: Callable[Params, Result]) -> Callable[Params, Result]:
    """Run the operation in a transaction of its own, or as a part of the one that is open.

    Unlike `transaction.atomic` it sets no savepoint in the open one, which costs two round trips: so its caller
    cannot go on after an error, and has to give up the whole. For hot paths.
    """

    @wraps(operation)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        with _joined():
            return operation(*args, **kwargs)

    return run
