"""The authority over everything the sandbox knows: one lock, the records, and the only way to change and keep
them.

What may happen to trades lives in the modules beside it (`lives`, `parcels`, `refunds`, `shelf`); each of
their verbs works inside `with market.writing():`, and everything it marked is kept in one transaction when
the block ends.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .catalogue import Listing
from .faults import Dice
from .showing import show_trade
from .store import Record, Store
from .trades import Line, Refund, Trade, read_trade

_STALE_SECONDS = 10


class Refused(Exception):
    """The market understood and says no: `sub_code` is TOP's word for why."""

    def __init__(self, sub_code: str, detail: str) -> None:
        super().__init__(f"{sub_code}: {detail}")
        self.sub_code = sub_code
        self.detail = detail


class Timeline:
    """Ids in the order of a second that may change: the index behind every list of TOP."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int]] = []

    def add(self, second: int, key: int) -> None:
        insort(self._entries, (second, key))

    def move(self, key: int, *, before: int, after: int) -> None:
        del self._entries[bisect_left(self._entries, (before, key))]
        self.add(after, key)

    def between(self, start: int, end: int) -> list[int]:
        """Both ends included, newest first."""
        first = bisect_left(self._entries, (start, 0))
        last = bisect_left(self._entries, (end + 1, 0))
        return [key for _, key in reversed(self._entries[first:last])]


class Market:
    def __init__(
        self,
        *,
        seed: int,
        dice: Dice,
        store: Store,
        listings: Iterable[Listing],
        lag_seconds: float = 10,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.seed = seed
        self.dice = dice
        self.clock = clock
        self.lag_seconds = lag_seconds
        self._store = store
        self._lock = threading.RLock()
        self._marked: dict[tuple[str, int], Any] = {}
        self._offered = list(listings)
        self._start_empty()
        self._load()

    # records

    def _start_empty(self) -> None:
        self.placed = 0
        self.turned_away = 0
        self.trades: dict[int, Trade] = {}
        self.refunds: dict[int, Refund] = {}
        self.listings: dict[int, Listing] = {}
        self.shelf: list[Listing] = []
        self.items: dict[int, list[Listing]] = {}  # the shelf by item: a big shop is asked for one all day
        self.by_modified = Timeline()
        self.by_created = Timeline()
        self.refunds_by_modified = Timeline()
        self.agenda: list[
            tuple[float, int]
        ] = []  # heap of (due, tid); stale entries are skipped when they come up
        self._versions: dict[
            int, tuple[float, dict[str, Any]]
        ] = {}  # tid → (when it was replaced, the version before)

    def _load(self) -> None:
        with self.writing():
            for _, numbers in self._store.read("counters"):
                self.placed, self.turned_away = numbers["placed"], numbers["turned_away"]
            for key, document in self._store.read("listing"):
                self.listings[key] = Listing(**document)
            for _, document in self._store.read("trade"):
                self._know_trade(read_trade(document))
            for _, document in self._store.read("refund"):
                self.know_refund(Refund(**document))
            self._add_offered()

    def _add_offered(self) -> None:
        """A listing that is already known keeps its number, price and title: those are the market's own business."""
        for offered in self._offered:
            known = self.listings.get(offered.sku_id)
            if known is None:
                known = self.listings[offered.sku_id] = Listing(**vars(offered))
            known.outer_iid, known.outer_sku_id = offered.outer_iid, offered.outer_sku_id
            self.mark("listing", known.sku_id, known)
        self.shelf = [self.listings[key] for key in sorted(self.listings)]
        self.items = {}
        for listing in self.shelf:
            self.items.setdefault(listing.num_iid, []).append(listing)

    def _know_trade(self, trade: Trade) -> None:
        self.trades[trade.tid] = trade
        self.by_modified.add(trade.modified, trade.tid)
        self.by_created.add(trade.created, trade.tid)
        self.put_on_agenda(trade)

    def put_on_agenda(self, trade: Trade) -> None:
        for plan in trade.plans:
            heapq.heappush(self.agenda, (plan.due, trade.tid))

    def know_refund(self, refund: Refund) -> None:
        self.refunds[refund.refund_id] = refund
        self.refunds_by_modified.add(refund.modified, refund.refund_id)
        self.mark("refund", refund.refund_id, refund)

    # changing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone with the records. What was marked is kept at the end, even when the verb refuses: it was recorded."""
        with self._lock:
            try:
                yield
            finally:
                self._keep()

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._lock:
            yield

    def mark(self, kind: str, key: int, record: Any) -> None:
        self._marked[(kind, key)] = record

    def _keep(self) -> None:
        marked, self._marked = self._marked, {}
        records: list[Record] = [(kind, key, record) for (kind, key), record in marked.items()]
        self._store.save(records)

    def add_trade(self, trade: Trade) -> None:
        trade.visible_from = self._visible_from()
        self._know_trade(trade)
        self.mark("trade", trade.tid, trade)

    def touch(self, trade: Trade, *, second: int | None = None) -> None:
        """The trade has changed: give it the new time (now, unless a trap asks for another second)."""
        after = int(self.clock()) if second is None else second
        self.by_modified.move(trade.tid, before=trade.modified, after=after)
        trade.modified = after
        trade.visible_from = self._visible_from()
        self.mark("trade", trade.tid, trade)

    def touch_refund(self, refund: Refund) -> None:
        after = int(self.clock())
        self.refunds_by_modified.move(refund.refund_id, before=refund.modified, after=after)
        refund.modified = after
        refund.version += 1
        self.mark("refund", refund.refund_id, refund)

    def remember(self, trade: Trade) -> None:
        """Keep how the trade is shown now, for the trap `stale_detail`: every change calls this first."""
        if self.dice.probabilities["stale_detail"]:
            is_masked = self.dice.falls("masked_receivers")
            self._versions[trade.tid] = (self.clock(), show_trade(trade, is_masked=is_masked))

    def recent_version(self, tid: int) -> dict[str, Any] | None:
        """How the trade was shown before its last change, if that change is younger than ten seconds."""
        replaced_at, version = self._versions.get(tid, (0.0, {}))
        return version if self.clock() - replaced_at < _STALE_SECONDS else None

    def _visible_from(self) -> float:
        return self.clock() + self.lag_seconds if self.dice.falls("visibility_lag") else 0.0

    def count_order(self) -> int:
        """The number of the next order; it never comes back, so the seed's sequence goes on after a restart."""
        self.placed += 1
        self._mark_counters()
        return self.placed

    def count_turned_away(self) -> None:
        self.turned_away += 1
        self._mark_counters()

    def _mark_counters(self) -> None:
        self.mark("counters", 0, {"placed": self.placed, "turned_away": self.turned_away})

    def rng_for(self, *names: object) -> random.Random:
        return random.Random(":".join(str(name) for name in (self.seed, *names)))

    # looking

    def trade(self, tid: int) -> Trade:
        trade = self.trades.get(tid)
        if trade is None:
            raise Refused("isv.trade-not-exist", f"trade {tid} does not exist")
        return trade

    def line(self, trade: Trade, oid: int) -> Line:
        for line in trade.lines:
            if line.oid == oid:
                return line
        raise Refused("isv.invalid-parameter:sub_tid", f"order {oid} does not belong to trade {trade.tid}")

    def visible_trades(self, tids: Sequence[int]) -> list[Trade]:
        now = self.clock()
        return [trade for tid in tids if (trade := self.trades[tid]).visible_from <= now]

    # the whole

    def reset(self) -> None:
        """Back to the catalogue: no trade, no refund, the shelves as they were offered."""
        with self.writing():
            self._store.clear()
            self._marked = {}
            self._start_empty()
            self._add_offered()

    def close(self) -> None:
        with self._lock:
            self._store.close()
