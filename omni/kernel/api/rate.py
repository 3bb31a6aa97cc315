"""Keep one caller from taking the API away from all others: so many requests in so many seconds."""

from __future__ import annotations

import logging
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

# Counts one more in the caller's window, which begins with its first request; answers 0, or for how many milliseconds
# the window lasts when it is full. One round trip; the clock is Valkey's.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if count <= tonumber(ARGV[1]) then return 0 end
return math.max(1, redis.call('PTTL', KEYS[1]))
"""
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
        self._count = valkey.register_script(COUNT)
        self._away_until = 0.0

    def wait_seconds(self, caller: str, rate: Rate) -> float | None:
        """Count a request; None: it may go on, else how long the caller must wait."""
        if time.monotonic() < self._away_until:
            return None
        try:
            left: Any = self._count(keys=[f"rate:{caller}"], args=[rate.requests, rate.seconds * 1000])
        except redis.RedisError as error:
            if not self._away_until:
                log.warning("no rate limit while Valkey is away: %s", error)
            self._away_until = time.monotonic() + LEFT_ALONE_SECONDS
            return None
        if self._away_until:
            log.info("Valkey is back, and with it the rate limit")
            self._away_until = 0.0
        return int(left) / 1000 if int(left) else None


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
