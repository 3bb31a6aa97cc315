"""After every test of this room no running total may have drifted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from orders import drift as orders


@pytest.fixture(autouse=True)
def nothing_has_drifted(request: pytest.FixtureRequest) -> Iterator[None]:
    uses_database = request.node.get_closest_marker("django_db") is not None
    if uses_database:
        request.getfixturevalue("transactional_db" if _is_transactional(request) else "db")
    yield
    if uses_database and not request.node.get_closest_marker("drifts"):
        connection.ensure_connection()
        found = {check.code: rows for check in orders.CHECKS if (rows := check.find(5))}
        assert found == {}


def _is_transactional(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("django_db")
    return bool(marker and marker.kwargs.get("transaction"))
