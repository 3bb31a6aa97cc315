"""How much each bench does: enough for a figure, or just enough to see that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """`batches`: per process and repeat."""

    repeats: int
    skus: int
    batches: int
    changed_skus: int  # of the bench of publishing
    orders: int  # that the queues are looked at with
    imported: int  # SKUs in one file
    assorted: int  # SKUs over which the rules go
    priced_skus: int  # each in five shops
    priced_pushed: int  # prices told to one channel, a call each
    sellable: int  # SKUs of which is worked out what six shops may sell
    allocated: int  # SKUs shared out to six shops


FULL = Size(
    repeats=5,
    skus=10_000,
    batches=15,
    changed_skus=1_000,
    orders=1_000_000,
    imported=100_000,
    assorted=100_000,
    priced_skus=20_000,
    priced_pushed=2_000,
    sellable=100_000,
    allocated=100_000,
)
QUICK = Size(
    repeats=1,
    skus=300,
    batches=1,
    changed_skus=60,
    orders=2_000,
    imported=1_000,
    assorted=1_000,
    priced_skus=60,
    priced_pushed=40,
    sellable=400,
    allocated=300,
)
