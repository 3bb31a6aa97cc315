"""A caller that asks too much waits, the others do not, and nobody waits because the counter is away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from omni import settings as house_settings
from omni.kernel.api import rate as rate_module
from omni.kernel.api.rate import Rate, _Counter, counter_at
from tests.factories.api import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def few(settings: Any) -> Iterator[None]:
    """Three requests in ten seconds, two failures."""
    settings.OMNI_API_RATE, settings.OMNI_API_FAILURES = Rate(3, 10), Rate(2, 60)
    _forget(settings.REDIS_URL)
    yield
    _forget(settings.REDIS_URL)


def _forget(url: str) -> None:
    counter_at.cache_clear()
    if url != NOWHERE:
        valkey = redis.Redis.from_url(url)
        for key in valkey.scan_iter("rate:*"):
            valkey.delete(key)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def statuses(caller: Caller, count: int) -> list[int]:
    return [caller.get("shops").status_code for _ in range(count)]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records if record.name == rate_module.__name__]


def test_who_asks_too_often_is_told_when_to_come_back(caller: Caller) -> None:
    assert statuses(caller, 3) == [200, 200, 200]

    refused = caller.get("shops")

    assert refused.status_code == 429
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "throttled"
    assert 1 <= int(refused["Retry-After"]) <= 11


def test_a_key_that_is_refused_takes_nothing_from_another(caller: Caller) -> None:
    statuses(caller, 5)

    assert statuses(Caller(), 3) == [200, 200, 200]


def test_a_post_that_is_refused_does_nothing(caller: Caller) -> None:
    statuses(caller, 3)

    answer = caller.post("stock/receipts", {"number": "R1", "lines": []})

    assert answer.status_code == 429


def test_requests_that_the_key_may_not_make_count_too() -> None:
    caller = Caller(scopes=frozenset({"stock:read"}))

    assert statuses(caller, 5) == [403, 403, 403, 429, 429]


def test_people_are_counted_one_by_one(client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))

    assert [client.get("/api/v1/shops").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_an_address_without_a_valid_key_is_told_so_only_so_often(caller: Caller, client: Client) -> None:
    wrong = {"Authorization": "Bearer omk_abc_wrong"}

    answers = [client.get("/api/v1/shops", headers=wrong) for _ in range(3)]
    elsewhere = client.get("/api/v1/shops", headers=wrong, REMOTE_ADDR="192.0.2.7")

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert int(answers[2]["Retry-After"]) >= 1
    assert elsewhere.status_code == 401
    # Whoever has a valid key is known by it, wherever it calls from.
    assert caller.get("shops").status_code == 200


def test_an_address_cannot_be_made_up_where_no_proxy_is_trusted(client: Client) -> None:
    answers = [
        client.get("/api/v1/shops", headers={"X-Forwarded-For": f"192.0.2.{place}"}) for place in range(3)
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 429]


def test_call_backs_of_warehouses_are_not_counted(client: Client) -> None:
    answers = [client.post("/api/v1/webhooks/qimen/nobody/").status_code for _ in range(5)]

    assert answers == [404] * 5


def test_a_request_costs_one_round_trip(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses(caller, 1)  # the script is known from here on
    sent: list[Any] = []
    send: Any = redis.connection.Connection.send_packed_command

    def count(self: Any, command: Any, **values: Any) -> Any:
        sent.append(command)
        return send(self, command, **values)

    for kind in (redis.connection.Connection, redis.connection.UnixDomainSocketConnection):
        monkeypatch.setattr(kind, "send_packed_command", count)

    assert statuses(caller, 1) == [200]

    assert len(sent) == 1


def test_of_a_generous_limit_a_process_takes_some_at_once_and_never_more_than_all(settings: Any) -> None:
    url, rate, caller = settings.REDIS_URL, Rate(1005, 60), f"key:{uuid4()}"
    one, other = _Counter(url), _Counter(url)
    asked: list[Any] = []
    take = one._take

    def count(**request: Any) -> Any:
        asked.append(request)
        return take(**request)

    one._take = count  # type: ignore[assignment]

    waits = [one.wait_seconds(caller, rate) for _ in range(1000)]

    assert waits == [None] * 1000
    assert len(asked) == 100
    assert [other.wait_seconds(caller, rate) is None for _ in range(6)] == [True] * 5 + [False]


def test_without_valkey_everybody_is_let_through_and_it_is_said_once(
    caller: Caller, client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = NOWHERE
    counter_at.cache_clear()

    with caplog.at_level(logging.INFO, logger=rate_module.__name__):
        assert statuses(caller, 10) == [200] * 10
        assert [client.get("/api/v1/shops").status_code for _ in range(4)] == [401] * 4

    assert said(caplog) == ["WARNING"]


def test_when_valkey_comes_back_the_limit_does_too(
    caller: Caller, settings: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_module, "LEFT_ALONE_SECONDS", 0.0)
    counter = counter_at(settings.REDIS_URL)
    count, away = counter._take, counter_at(NOWHERE)._take

    with caplog.at_level(logging.INFO, logger=rate_module.__name__):
        counter._take = away
        assert statuses(caller, 5) == [200] * 5
        counter._take = count
        assert statuses(caller, 4) == [200, 200, 200, 429]

    assert said(caplog) == ["WARNING", "INFO"]


def test_no_limit_asks_nobody(caller: Caller, settings: Any) -> None:
    settings.OMNI_API_RATE = Rate(0, 10)

    assert statuses(caller, 8) == [200] * 8


@pytest.mark.parametrize("text", ["many", "10", "10/0", "-1/10", "10/x"])
def test_a_limit_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        house_settings.rate(text, "600/10")


def test_the_limits_come_from_the_environment() -> None:
    assert house_settings.rate("", "600/10") == (600, 10)
    assert house_settings.rate("0", "600/10") == (0, 1)
    assert house_settings.rate("50/1", "600/10") == (50, 1)
