"""Every worker together asks no oftener than the connection's settings allow, with Valkey or without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from integrations.pace import LocalBucket, PacedHttpClient
from omni.kernel.http import HttpFailed

pytestmark = pytest.mark.capability("O17")


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited for, without waiting."""
    found: list[float] = []
    monkeypatch.setattr("integrations.pace.time.sleep", found.append)
    return found


@pytest.fixture
def clients() -> Iterator[list[PacedHttpClient]]:
    name = uuid4().hex
    made = [PacedHttpClient(bucket=name, calls_per_second=2.0, timeout_seconds=1) for _ in range(2)]
    yield made
    for client in made:
        client.close()


def send(client: PacedHttpClient) -> None:
    with pytest.raises(HttpFailed):  # loopback is refused after the turn was waited for
        client.send(method="GET", url="http://127.0.0.1:9/")


def test_two_workers_share_one_rate(clients: list[PacedHttpClient], naps: list[float]) -> None:
    for _ in range(3):
        for client in clients:
            send(client)

    # two calls a second with two saved up: the sixth call has to wait for four more
    assert len(naps) == 4
    assert naps == sorted(naps)
    assert 1.5 < naps[-1] <= 2.0


def test_a_queue_that_grows_too_long_is_refused_before_anything_is_sent(
    clients: list[PacedHttpClient], naps: list[float]
) -> None:
    for _ in range(42):
        send(clients[0])

    with pytest.raises(HttpFailed, match="rate limit") as refused:
        clients[1].send(method="GET", url="http://127.0.0.1:9/")

    assert not refused.value.was_sent


def test_without_valkey_the_rate_is_smaller_and_not_absent(
    monkeypatch: pytest.MonkeyPatch, settings: object, naps: list[float]
) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:9/0")
    client = PacedHttpClient(bucket="alone", calls_per_second=4.0, timeout_seconds=1)

    for _ in range(3):
        send(client)

    client.close()
    assert len(naps) == 2
    assert naps[-1] > 1.0


def test_a_bucket_fills_up_again_with_time() -> None:
    bucket = LocalBucket(rate=100.0, burst=1.0)
    assert bucket.take() == 0.0
    time.sleep(0.02)

    wait = bucket.take()

    assert wait == 0.0
