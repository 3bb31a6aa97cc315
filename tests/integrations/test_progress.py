"""How far the orders of shops were read decides when units that were taken back go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.models import Cursor
from integrations.progress import orders_read_until
from integrations.tasks import let_revoked_go_on
from tests.factories.integrations import make_channel
from tests.factories.quota import Market

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V12")]


def connect(market: Market, letter: str, **values: Any) -> Cursor:
    connection = make_channel(shop=market.shops[letter], **values)
    return Cursor.objects.create(connection=connection, stream="orders")


def test_a_shop_was_read_up_to_its_cursor_and_one_that_is_switched_off_was_not() -> None:
    market = Market(0, ratios={"A": None, "B": None, "C": None})
    now = timezone.now()
    read = {"upto": now - timedelta(minutes=1), "last_run_at": now}
    Cursor.objects.filter(pk=connect(market, "A").pk).update(**read)
    Cursor.objects.filter(pk=connect(market, "B", is_active=False).pk).update(**read)
    connect(market, "C")

    assert orders_read_until() == {market.shops["A"].pk: now - timedelta(minutes=1)}


def test_units_go_on_when_the_next_pull_has_read_past_the_acknowledgement() -> None:
    market = Market(100, ratios={"A": None, "B": None})
    market.grant({"A": 100})
    market.list_everywhere()
    cursor = connect(market, "A")
    market.grant({"A": 60, "B": 40})
    market.tell()
    now = timezone.now()
    Cursor.objects.filter(pk=cursor.pk).update(upto=now - timedelta(minutes=1), last_run_at=now)

    let_revoked_go_on()
    let_revoked_go_on()
    assert market.revocations() == [("pulling", 40, 0)]

    later = timezone.now() + timedelta(seconds=1)
    Cursor.objects.filter(pk=cursor.pk).update(upto=later, last_run_at=later)
    let_revoked_go_on()
    assert market.revocations() == [("done", 40, 40)]
    assert market.quotas() == {"A": 60, "B": 40}
