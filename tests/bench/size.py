"""How much each bench does: enough for a figure, or just enough to see that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """`batches`: per process and repeat."""

    repeats: int
    skus: int
    batches: int
    orders: int  # that the queues are looked at with


FULL = Size(repeats=5, skus=10_000, batches=15, orders=1_000_000)
QUICK = Size(repeats=1, skus=300, batches=1, orders=2_000)
