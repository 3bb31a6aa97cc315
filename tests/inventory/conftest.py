"""After every test of this room all its invariants are asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.inventory.races import drift


@pytest.fixture
def broken_on_purpose() -> None:
    """This test leaves numbers behind that disagree: to see that they are found."""


@pytest.fixture(autouse=True)
def no_number_has_drifted(request: pytest.FixtureRequest) -> Iterator[None]:
    """No running total may differ from its sources after a test."""
    marker = request.node.get_closest_marker("django_db")
    if marker:
        # Asked for here, so that the database is still there when this fixture looks at it afterwards.
        request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
    yield
    if marker and "broken_on_purpose" not in request.fixturenames:
        assert drift() == []
