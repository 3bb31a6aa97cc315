"""A long list in parts of a size that a statement or a call takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most `size` at a time; nothing of an empty list."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
