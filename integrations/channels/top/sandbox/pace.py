"""The clockwork of the sandbox: lets buyers come at a rate, and lets due events happen."""

from __future__ import annotations

import threading

from . import lives
from .market import Market

_TICK_SECONDS = 0.1


class Pacemaker(threading.Thread):
    def __init__(self, *, market: Market, rate: float) -> None:
        super().__init__(name="pacemaker", daemon=True)
        self._market = market
        self._stopped = threading.Event()
        self._owed = 0.0
        self.rate = rate

    def run(self) -> None:
        last = self._market.clock()
        while not self._stopped.wait(_TICK_SECONDS):
            now = self._market.clock()
            self.beat(seconds=min(now - last, 1.0))
            last = now

    def beat(self, *, seconds: float) -> None:
        self._owed += self.rate * max(0.0, seconds)
        while self._owed >= 1:
            self._owed -= 1
            lives.place_random_order(self._market)
        lives.live_on(self._market)

    def stop(self) -> None:
        self._stopped.set()
        self.join(timeout=2)
