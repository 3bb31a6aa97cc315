"""Monitors learn the truth: a missing table or database is not "ready", a missing Valkey does not stop the sale."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from omni.kernel.models import OutboxEvent

pytestmark = pytest.mark.django_db


def test_a_living_process_says_so_without_asking_the_database(client: Client) -> None:
    with connection.execute_wrapper(refuse):
        answer = client.get("/livez")

    assert (answer.status_code, answer.content) == (200, b"ok")
    assert "no-store" in answer["Cache-Control"]


def test_a_site_with_its_schema_is_ready_and_tells_what_waits(client: Client) -> None:
    OutboxEvent.objects.create(kind="orders.OrdersCaptured", payload={})
    OutboxEvent.objects.update(created_at=timezone.now() - timedelta(minutes=5))

    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": {
            "database": "ok",
            "migrations": "ok",
            "outbox": "oldest waits 300 s",
            "beat": "has not run yet",
            "valkey": "ok",
        },
    }


def test_a_site_whose_schema_is_older_than_its_code_is_not_ready(client: Client) -> None:
    newest = MigrationRecorder.Migration.objects.filter(app="products").order_by("-name").first()
    assert newest is not None
    newest.delete()

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["checks"]["migrations"].endswith("pending")


def test_a_site_without_database_is_not_ready_and_still_answers(client: Client) -> None:
    with connection.execute_wrapper(refuse):
        answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "away: OperationalError", "valkey": "ok"}


def test_a_site_without_valkey_goes_on_selling(client: Client, settings: Settings) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "unix:///nowhere/valkey.sock?db=0",
        }
    }

    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["checks"]["valkey"] == "away: ConnectionError"


def refuse(*_: object) -> object:
    raise OperationalError("the database is away")
