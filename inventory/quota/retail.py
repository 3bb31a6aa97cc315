"""A case for the backtest out of the public ledger of an online retailer, whose customers are spread over shops.

UCI Machine Learning Repository, *Online Retail* (D. Chen 2015): one line per product of an invoice. Knows no database.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from django.utils.translation import gettext as _

from inventory.quota.backtest import Case, Event, Method, Mode, Policy, Supply, Terms, same_terms
from omni.kernel.errors import NotFound

SALE = re.compile(r"\d{6}")
PRODUCT = re.compile(r"\d{5}[A-Za-z]{0,2}")
WEEK = 7
TRAINING_DAYS = 84
# Where the rest is shared a shop is assured of what it needs in every other period; the shared pool sees to the rest.
ASSURED = 0.5
# A cancellation of the same units within a day: nobody wanted them after all.
REGRET = timedelta(days=1)


class NoRetailData(NotFound):
    """There is no folder of such files."""

    code = "no_retail_data"


class Sold(NamedTuple):
    at: datetime
    invoice: str
    customer: str
    sku: str
    units: int


@dataclass(frozen=True, slots=True)
class Split:
    """How customers are spread over shops. `ends`: the weights at the end, where customers move while time goes by.

    Who buys where follows from a hash of the customer's number and the seed: everybody stays with one shop unless the
    weights move past them; who has no number is a guest, and each invoice of theirs another.
    """

    name: str
    weights: Sequence[float]
    ends: Sequence[float] | None = None
    seed: int = 0

    def shop_of(self, customer: str, progress: float) -> int:
        digest = blake2b(f"{self.seed}:{customer}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest) / 2**64
        weights = self.weights
        if self.ends is not None:
            weights = [a + (b - a) * progress for a, b in zip(weights, self.ends, strict=True)]
        edges = list(accumulate(weights))
        return min(bisect_right(edges, place * edges[-1]), len(edges) - 1)


def read_retail(folder: Path) -> list[Sold]:
    """What was sold according to the files (`*.csv`, `*.csv.gz`) of a folder, in the order of time.

    Products alone, sold for a price; without lines that were cancelled in full within a day. Raises NoRetailData.
    """
    files = sorted([*folder.glob("*.csv.gz"), *folder.glob("*.csv")])
    if not files:
        raise NoRetailData(_("There are no CSV files in %s.") % folder)
    sold: list[Sold] = []
    cancelled: dict[tuple[str, str, int], list[datetime]] = defaultdict(list)
    for row in _rows(files):
        code, units = row["StockCode"].upper(), int(row["Quantity"])
        invoice, customer = row["InvoiceNo"], row["CustomerID"].removesuffix(".0")
        if not PRODUCT.fullmatch(code):
            continue
        at = datetime.fromisoformat(row["InvoiceDate"])
        if invoice.startswith("C") and units < 0:
            cancelled[customer, code, -units].append(at)
        elif SALE.fullmatch(invoice) and units > 0 and float(row["UnitPrice"]) > 0:
            sold.append(Sold(at, invoice, customer or f"guest {invoice}", code, units))
    sold.sort()
    return [sale for sale in sold if not _is_cancelled(sale, cancelled)]


def _rows(files: Sequence[Path]) -> Iterator[dict[str, str]]:
    for path in files:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        yield from csv.DictReader(io.StringIO(text, newline=""))


def _is_cancelled(sale: Sold, cancelled: dict[tuple[str, str, int], list[datetime]]) -> bool:
    moments = cancelled.get((sale.customer, sale.sku, sale.units), [])
    for moment in moments:
        if timedelta(0) <= moment - sale.at <= REGRET:
            moments.remove(moment)
            return True
    return False


def make_case(
    sold: Sequence[Sold],
    split: Split,
    *,
    stock: float,
    training_days: int = TRAINING_DAYS,
    is_level: bool = False,
    sees_lost: bool = True,
) -> Case:
    """The first days are for training; after that each SKU gets every Monday of its own `stock` × what the coming week
    will ask of it in all shops (`is_level`: the same each week, as much in all), rounded so that nothing is lost.

    So the stock is equal for all policies, and a policy is told of it only when it comes in.
    """
    first = sold[0].at.replace(hour=0, minute=0, second=0)
    length = (sold[-1].at - first).days + 1
    before: list[Event] = []
    events: list[Event] = []
    weekly: dict[str, Counter[int]] = defaultdict(Counter)
    weeks = -(-(length - training_days) // WEEK)
    for sale in sold:
        day = (sale.at - first) / timedelta(days=1)
        event = Event(day, sale.invoice, split.shop_of(sale.customer, day / length), sale.sku, sale.units)
        if day < training_days:
            before.append(event)
        else:
            events.append(event)
            weekly[sale.sku][int(day - training_days) // WEEK] += sale.units
    supplies: list[Supply] = []
    for sku, asked in weekly.items():
        total, come, until = sum(asked.values()), 0, 0
        for week in range(weeks):
            until += asked[week]
            wanted = total * (week + 1) / weeks if is_level else until
            units = int(wanted * stock + 0.5) - come
            if units > 0:
                come += units
                supplies.append(Supply(training_days + week * WEEK, sku, units))
    shops = [f"shop {number + 1}" for number in range(len(split.weights))]
    return Case(shops, before, events, supplies, training_days, length, sees_lost)


def usual_policies(case: Case, *, every_days: int = WEEK, horizon_days: int = WEEK) -> list[Policy]:
    """The fixed ratio first, then what is held against it, and the shared pool last.

    The ratio is not made up: it is what each shop was asked for in the time of training, over all SKUs.
    """
    units = [0] * len(case.shops)
    for event in case.before:
        units[event.shop] += event.units
    total = sum(units)
    ratios = [Decimal(part * 10_000 // total) / 10_000 for part in units]
    ratios[0] += 1 - sum(ratios)
    exclusive = same_terms([Terms(Mode.EXCLUSIVE, ratio) for ratio in ratios])
    refilled = same_terms([Terms(Mode.EXCLUSIVE, ratio, minimum=1) for ratio in ratios])
    open_to_all = same_terms([Terms(Mode.SHARED)] * len(ratios))
    half = same_terms([Terms(Mode.LOCK_SHARE, ratio / 2) for ratio in ratios])
    assured = same_terms([Terms(Mode.LOCK_SHARE, ratio, service_level=ASSURED) for ratio in ratios])
    return [
        Policy("ratio", Method.RATIO, exclusive),
        Policy("ratio, divided anew", Method.RATIO, exclusive, every_days),
        Policy("ratio, refilled", Method.REFILL, refilled),
        Policy("demand, exclusive", Method.DEMAND, exclusive, every_days, horizon_days),
        Policy("half ratio, half shared", Method.RATIO, half),
        Policy("demand, the rest shared", Method.DEMAND, assured, every_days, horizon_days),
        Policy("all shared", Method.NONE, open_to_all),
    ]
