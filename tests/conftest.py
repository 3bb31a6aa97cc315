"""What every test of the house begins with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import translation


@pytest.fixture(autouse=True)
def the_usual_language() -> Iterator[None]:
    """A page that a test has looked at leaves its language behind in the thread; the next test knows nothing of it."""
    yield
    translation.deactivate()
