"""Count what goes to the database: statements, COPY included, and commits."""

from __future__ import annotations

from types import TracebackType

from django.db import connection
from django.test.utils import CaptureQueriesContext

# What opens and ends a transaction is a round trip too, but no statement with a plan.
FRAMES = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


class StatementCounter:
    """`with StatementCounter() as counter:` then `counter.statements`, `counter.commits` and the `log` itself."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self._captured = CaptureQueriesContext(connection)

    @property
    def statements(self) -> int:
        return sum(not text.upper().startswith(FRAMES) for text in self.log)

    @property
    def commits(self) -> int:
        return sum(text.upper().startswith("COMMIT") for text in self.log)

    def __enter__(self) -> StatementCounter:
        self._captured.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._captured.__exit__(kind, error, trace)
        self.log = [" ".join(query["sql"].split()) for query in self._captured.captured_queries]
