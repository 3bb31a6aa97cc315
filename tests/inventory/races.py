"""Real threads with connections of their own, and what may be taken away to see that a race test would notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pytest
from django.db import connection, connections

from inventory.drift import CHECKS

Result = TypeVar("Result")

THREADS = 8


def drift() -> list[str]:
    """Every row that breaks an invariant, as text."""
    return [f"{check.code}: {row}" for check in CHECKS for row in check.find(20)]


def run_together(jobs: Sequence[Callable[[], Result]], *, threads: int = THREADS) -> list[Result]:
    """Run the jobs in threads that start at once; their results, in any order. Raises the first error of any."""
    todo = iter(jobs)
    taking, start = threading.Lock(), threading.Barrier(min(threads, len(jobs)))
    results: list[Result] = []
    errors: list[BaseException] = []

    def take() -> Callable[[], Result] | None:
        with taking:
            return next(todo, None)

    def work() -> None:
        try:
            connection.ensure_connection()
            start.wait()
            while not errors and (job := take()):
                results.append(job())
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(start.parties)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return results


def must_break(scenario: Callable[[], None], *, seconds_max: float = 60) -> None:
    """Fail unless the scenario fails: what was taken away from the code must be noticed by it.

    A race is a matter of chance: it is run again until it is lost, which mostly takes one or two rounds.
    """
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        try:
            scenario()
        except Exception:
            return
    pytest.fail(f"{scenario.__name__} still passes: it would not notice this mutant")


@contextmanager
def without_constraint(table: str, name: str) -> Iterator[None]:
    """The table without one of its constraints; afterwards it is emptied and whole again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s AND conrelid = %s::regclass",
            [name, table],
        )
        [definition] = cursor.fetchone()
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        try:
            yield
        finally:
            cursor.execute(f"TRUNCATE {table} CASCADE")
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
