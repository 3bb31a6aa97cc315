"""Ask no oftener than the other side allows: a token bucket per connection, shared by every worker."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import redis
from django.conf import settings

from omni.kernel.http import HttpAnswer, HttpClient, HttpFailed

log = logging.getLogger(__name__)

WAIT_SECONDS_MAX = 20.0
# Without Valkey nobody knows how many workers ask: each takes this part of the rate.
SHARE_ALONE = 0.25

# Takes one token, going into debt: the answer is how long to wait for it (ms). Debt keeps the order of those who
# wait without a queue. The bucket's clock is Valkey's, so that workers with wrong clocks agree.
TAKE = """
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or burst, tonumber(bucket[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local wait = 0
if tokens < 1 then wait = (1 - tokens) / rate end
if wait > tonumber(ARGV[3]) then return -1 end
redis.call('HSET', KEYS[1], 'tokens', tokens - 1, 'at', now)
redis.call('PEXPIRE', KEYS[1], 120000)
return math.floor(wait * 1000)
"""


class LocalBucket:
    """The same bucket inside one process, for when Valkey is away: limits are smaller then, never absent."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> float | None:
        """Seconds to wait for the token that was taken; None: too long, nothing taken."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            wait = max(0.0, (1 - self._tokens) / self._rate)
            if wait > WAIT_SECONDS_MAX:
                return None
            self._tokens -= 1
            return wait


class PacedHttpClient(HttpClient):
    """An HttpClient that waits for its turn before each request, at most WAIT_SECONDS_MAX."""

    def __init__(self, *, bucket: str, calls_per_second: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key = f"pace:{bucket}"
        self._rate = calls_per_second
        self._burst = max(1.0, calls_per_second)
        self._valkey = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, retry=None
        )
        self._take = self._valkey.register_script(TAKE)
        self._alone = LocalBucket(rate=self._rate * SHARE_ALONE, burst=max(1.0, self._burst * SHARE_ALONE))

    def send(self, **request: Any) -> HttpAnswer:
        wait = self._wait_seconds()
        if wait is None:
            raise HttpFailed("our own rate limit: too many calls are waiting already", was_sent=False)
        if wait > 0:
            time.sleep(wait)
        return super().send(**request)

    def close(self) -> None:
        super().close()
        self._valkey.close()

    def _wait_seconds(self) -> float | None:
        try:
            answer: Any = self._take(keys=[self._key], args=[self._rate, self._burst, WAIT_SECONDS_MAX])
        except redis.RedisError as error:
            log.warning("no shared rate limit for %s: %s", self._key, error)
            return self._alone.take()
        return None if int(answer) < 0 else int(answer) / 1000
