"""Keep one caller from taking the API away from all others: so many requests in so many seconds."""

from __future__ import annotations

import logging
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:
    # The views read their throttles from the settings while they are being imported.
    from rest_framework.views import APIView

log = logging.getLogger(__name__)

# Takes a block of requests out of the caller's window, which begins with its first one; answers how many of the limit
# were left before, and for how many milliseconds the window lasts. One round trip; the clock is Valkey's.
TAKE = """
local count = redis.call('INCRBY', KEYS[1], ARGV[3])
if count == tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {tonumber(ARGV[1]) - count + tonumber(ARGV[3]), math.max(1, redis.call('PTTL', KEYS[1]))}
"""
# A process takes a hundredth of a limit at once and spends it without asking. What it does not spend is lost to the
# others until the window ends: of small limits it takes one by one.
BLOCK_SHARE, BLOCK_MAX = 100, 10
CALLERS_MAX = 10_000
# A Valkey that does not answer must not cost every request this much: it is left alone for a while.
TIMEOUT_SECONDS = 0.25
LEFT_ALONE_SECONDS = 5.0


class Rate(NamedTuple):
    """`requests` in `seconds`; no requests: no limit."""

    requests: int
    seconds: int


class _Counter:
    """Counts in Valkey, for all web processes together. While that is away it lets everybody through."""

    def __init__(self, url: str) -> None:
        valkey = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=None
        )
        self._take = valkey.register_script(TAKE)
        self._away_until = 0.0
        self._blocks: dict[str, tuple[int, float]] = {}  # by caller: requests left, until when
        self._lock = threading.Lock()

    def wait_seconds(self, caller: str, rate: Rate) -> float | None:
        """Count a request; None: it may go on, else how long the caller must wait."""
        now = time.monotonic()
        if now < self._away_until or self._spend(caller, now):
            return None
        block = min(BLOCK_MAX, max(1, rate.requests // BLOCK_SHARE))
        try:
            answer: Any = self._take(
                keys=[f"rate:{caller}"], args=[rate.requests, rate.seconds * 1000, block]
            )
        except redis.RedisError as error:
            if not self._away_until:
                log.warning("no rate limit while Valkey is away: %s", error)
            self._away_until = time.monotonic() + LEFT_ALONE_SECONDS
            return None
        if self._away_until:
            log.info("Valkey is back, and with it the rate limit")
            self._away_until = 0.0
        left, lasts_seconds = int(answer[0]), int(answer[1]) / 1000
        if left <= 0:
            return lasts_seconds
        self._keep(caller, min(left, block) - 1, now + lasts_seconds)
        return None

    def _spend(self, caller: str, now: float) -> bool:
        """Use one of the block that this process has taken, if any is left."""
        with self._lock:
            left, until = self._blocks.get(caller, (0, 0.0))
            if left and now < until:
                self._blocks[caller] = (left - 1, until)
                return True
            return False

    def _keep(self, caller: str, left: int, until: float) -> None:
        with self._lock:
            if len(self._blocks) >= CALLERS_MAX:
                self._blocks.clear()
            if left:
                self._blocks[caller] = (left, until)


@cache
def counter_at(url: str) -> _Counter:
    """The counter of this process."""
    return _Counter(url)


class CallerThrottle(BaseThrottle):
    """Limits each key, and each person who is signed in, to `settings.OMNI_API_RATE`."""

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        self._wait = count_request(request)
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait


def count_request(request: Request) -> float | None:
    """Count a request of a known caller, once; None: it may go on, else how many seconds to wait."""
    rate = Rate(*settings.OMNI_API_RATE)
    user = request.user
    caller = getattr(user, "actor", None) or (user.pk and f"user:{user.pk}")
    if not rate.requests or not caller or getattr(request, "is_counted", False):
        return None
    request.is_counted = True  # type: ignore[attr-defined]
    return counter_at(settings.REDIS_URL).wait_seconds(caller, rate)


def count_failure(request: Request) -> float | None:
    """Count a request that came without a valid key, by its address; None: say so, else how many seconds to wait."""
    rate = Rate(*settings.OMNI_API_FAILURES)
    if not rate.requests:
        return None
    address = BaseThrottle().get_ident(request)
    return counter_at(settings.REDIS_URL).wait_seconds(f"failed:{address}", rate)
