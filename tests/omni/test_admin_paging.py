"""Lists page by key-set: every row once, in order, forwards and backwards, and no page costs more than the first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orders.models import SalesOrder
from products.models import Shop

pytestmark = pytest.mark.django_db

LIST = "admin:orders_salesorder_changelist"
ROWS = 130  # two full pages and a part


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


@pytest.fixture
def orders() -> list[int]:
    """Ids of the orders, newest first."""
    shop = Shop.objects.create(code="s", name="Shop", channel="top")
    now = timezone.now()
    made = SalesOrder.objects.bulk_create(
        SalesOrder(
            number=f"SO{number:08d}",
            shop=shop,
            outer_id=f"outer-{number}",
            stage="captured",
            currency="CNY",
            total_amount=number,
            receiver={},
            placed_at=now - timedelta(minutes=number),
        )
        for number in range(ROWS)
    )
    return sorted((order.pk for order in made), reverse=True)


def shown(client: Client, query: str) -> Any:
    return client.get(reverse(LIST) + query).context["cl"]


def test_going_on_shows_every_row_once_and_in_order(boss: Client, orders: list[int]) -> None:
    seen: list[int] = []
    query = ""

    while True:
        page = shown(boss, query)
        seen += [row.pk for row in page.result_list]
        if page.next_key is None:
            break
        query = page.next_page()

    assert seen == orders


def test_going_back_shows_the_same_pages(boss: Client, orders: list[int]) -> None:
    first = shown(boss, "")
    second = shown(boss, first.next_page())

    back = shown(boss, second.previous_page())

    assert [row.pk for row in back.result_list] == [row.pk for row in first.result_list]
    assert back.previous_key is None


def test_a_page_that_begins_before_the_first_full_one_is_filled_up(boss: Client, orders: list[int]) -> None:
    page = shown(boss, f"?before={orders[3]}")

    assert [row.pk for row in page.result_list] == orders[:50]


def test_a_far_page_takes_as_many_statements_as_the_first_and_no_offset(
    boss: Client, orders: list[int]
) -> None:
    boss.get(reverse(LIST))
    with CaptureQueriesContext(connection) as first:
        boss.get(reverse(LIST))

    with CaptureQueriesContext(connection) as far:
        boss.get(reverse(LIST) + f"?after={orders[100]}")

    assert len(far) == len(first)
    assert not [s for s in far.captured_queries if "OFFSET" in s["sql"]]


def test_a_search_begins_at_the_first_page_again(boss: Client, orders: list[int]) -> None:
    page = shown(boss, f"?after={orders[60]}")

    assert "after" not in page.filter_params
    assert page.get_query_string({"stage": "captured"}) == "?stage=captured"


def test_a_key_that_is_none_leads_back_to_the_list(boss: Client, orders: list[int]) -> None:
    answer = boss.get(reverse(LIST) + "?after=nonsense")

    assert answer.status_code == 302
    assert answer["Location"].endswith("?e=1")


def test_search_uses_whole_outer_ids_and_beginnings_of_our_numbers(boss: Client, orders: list[int]) -> None:
    by_outer_id = shown(boss, "?q=outer-12").result_list
    by_number = shown(boss, "?q=SO0000012").result_list

    assert [row.outer_id for row in by_outer_id] == ["outer-12"]
    assert {row.number for row in by_number} == {f"SO{number:08d}" for number in range(120, 130)}
