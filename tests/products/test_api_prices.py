"""Machines ask what things cost and why, ask for prices, and decide on them; each within its own shops."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from omni.kernel.models import AuditEntry
from products.models import Brand, Price, Shop, Sku, StaffScope
from tests.factories.api import Caller
from tests.factories.prices import DAY, NOON, approved, asked, put_floor
from tests.factories.products import BrandFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P11")]


@pytest.fixture
def brand() -> Brand:
    return BrandFactory.create()


@pytest.fixture
def shop(brand: Brand) -> Shop:
    return ShopFactory.create(code="TM", brand=brand)


@pytest.fixture
def sku(brand: Brand) -> Sku:
    return SkuFactory.create(code="S-1", spu__brand=brand, list_price=Decimal(129))


def ask(caller: Caller, *prices: dict[str, Any], **body: Any) -> list[dict[str, Any]]:
    answer = caller.post("price-requests", {"prices": list(prices), "reason": "autumn"} | body)
    assert answer.status_code == 200, answer.content
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def decide(caller: Caller, act: str, *ids: int, **body: Any) -> list[tuple[int, str, str]]:
    """Status, reason and state of each."""
    answer = caller.post(f"price-requests/{act}", {"ids": list(ids)} | body)
    assert answer.status_code == 200, answer.content
    return [(row["status"], row["reason"], row["state"]) for row in answer.json()["results"]]


# --- what it costs ------------------------------------------------------------------------------------------------


def test_the_price_is_told_with_who_asked_and_approved_and_over_what_it_won(shop: Shop, sku: Sku) -> None:
    price = approved(sku, 99, shop=shop)
    approved(sku, 110)
    soon = approved(sku, 79, shop=shop, kind="special", starts_at=NOON + 3 * DAY, ends_at=NOON + 4 * DAY)
    put_floor(sku, 60)

    answer = Caller(shop).get("prices?shop=TM&sku=S-1&at=2026-11-23T12:00:00%2B08:00")

    [told] = answer.json()["results"]
    assert (told["amount"], told["currency"], told["scope"], told["floor"]) == (
        "99.0000",
        "CNY",
        "shop",
        "60.0000",
    )
    assert (told["price"]["id"], told["price"]["requested_by"], told["price"]["decided_by"]) == (
        price.pk,
        "user:1",
        "user:2",
    )
    assert [(row["amount"], row["scope"], row["lost"]) for row in told["beaten"]] == [
        ("110.0000", "everywhere", "less_specific"),
        ("129.0000", "list_price", "less_specific"),
    ]
    assert [row["id"] for row in told["next"]] == [soon.pk]


def test_a_sku_without_an_approved_price_costs_its_list_price(shop: Shop, sku: Sku) -> None:
    [told] = Caller(shop).get("prices?shop=TM&sku=S-1").json()["results"]

    assert (told["amount"], told["scope"], told["price"], told["beaten"]) == (
        "129.0000",
        "list_price",
        None,
        [],
    )


def test_many_skus_are_told_in_the_order_asked_for_in_as_many_statements_as_one(
    shop: Shop, brand: Brand
) -> None:
    skus = [SkuFactory.create(spu__brand=brand) for _ in range(5)]
    for sku in skus:
        approved(sku, 50, shop=shop)
    caller, codes = Caller(), [sku.code for sku in reversed(skus)]
    caller.get(f"prices?shop=TM&sku={codes[0]}")

    with CaptureQueriesContext(connection) as one:
        caller.get(f"prices?shop=TM&sku={codes[0]}")
    with CaptureQueriesContext(connection) as five:
        answer = caller.get(f"prices?shop=TM&sku={','.join(codes)}")

    assert [row["sku"] for row in answer.json()["results"]] == codes
    assert len(five) == len(one) <= 8


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("shop=TM", "sku"),
        ("sku=S-1", "shop"),
        ("shop=TM&sku=NONE", "sku"),
        ("shop=TM&sku=S-1&at=yesterday", "at"),
        ("shop=TM&sku=S-1&colour=red", "colour"),
        ("shop=TM&sku=S-1&sku=S-2", "sku"),
        ("shop=TM&sku=" + ",".join(f"X{n}" for n in range(101)), "sku"),
    ],
)
def test_a_question_that_is_not_understood_is_refused_at_its_parameter(
    shop: Shop, sku: Sku, query: str, field: str
) -> None:
    answer = Caller(shop).get(f"prices?{query}")

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


# --- asking -------------------------------------------------------------------------------------------------------


def test_prices_are_asked_for_and_each_is_taken_or_refused_for_itself(shop: Shop, sku: Sku) -> None:
    put_floor(sku, 60)
    results = ask(
        Caller(),
        {"sku": "S-1", "shop": "TM", "amount": "99.00"},
        {"sku": "NONE", "amount": "1"},
        {"sku": "S-1", "amount": "50"},
        {"sku": "S-1", "amount": "0"},
        {"sku": "S-1", "channel": "top", "amount": 88, "kind": "special"},
    )

    assert [(row["status"], row["reason"], row["state"]) for row in results] == [
        (201, "", "submitted"),
        (404, "unknown_sku", ""),
        (409, "below_floor", "draft"),
        (409, "bad_amount", ""),
        (409, "no_end", ""),
    ]
    price = Price.objects.get(state="submitted")
    assert (price.amount, price.shop, price.reason) == (Decimal(99), shop, "autumn")
    assert price.requested_by.startswith("key:")
    assert AuditEntry.objects.filter(action="price.submitted").count() == 1


def test_drafts_are_written_down_and_submitted_later(shop: Shop, sku: Sku) -> None:
    caller = Caller()
    [draft] = ask(caller, {"sku": "S-1", "shop": "TM", "amount": "99"}, is_draft=True)

    submitted = decide(caller, "submit", draft["id"])

    assert (draft["status"], draft["state"]) == (201, "draft")
    assert submitted == [(200, "", "submitted")]
    assert caller.get(f"price-requests/{draft['id']}").json()["state"] == "submitted"


def test_the_same_request_sent_again_asks_once(shop: Shop, sku: Sku) -> None:
    caller, body = Caller(), {"prices": [{"sku": "S-1", "amount": "99"}]}

    first = caller.post("price-requests", body, key="same")
    again = caller.post("price-requests", body, key="same")

    assert first.json() == again.json()
    assert Price.objects.count() == 1


# --- deciding -----------------------------------------------------------------------------------------------------


def test_a_price_is_approved_by_another_than_asked_for_it_rejected_and_taken_back(
    shop: Shop, sku: Sku
) -> None:
    asker, boss = Caller(), Caller()
    results = ask(
        asker,
        {"sku": "S-1", "shop": "TM", "amount": "99"},
        {"sku": "S-1", "amount": "90"},
        {"sku": "S-1", "channel": "top", "amount": "95"},
    )
    ids = [row["id"] for row in results]

    own = decide(asker, "approve", ids[0])
    done = decide(boss, "approve", ids[0], ids[1], 999_999)
    refused = decide(boss, "reject", ids[2], reason="too low")
    back = decide(asker, "withdraw", ids[1], reason="a slip")

    assert own == [(403, "own_price", "submitted")]
    assert done == [(200, "", "approved"), (200, "", "approved"), (404, "not_found", "")]
    assert refused == [(200, "", "rejected")]
    assert [status for status, _reason, _state in back] == [200]
    assert Price.objects.get(pk=ids[2]).decision == "too low"


def test_refusing_needs_a_reason(shop: Shop, sku: Sku) -> None:
    price = asked(sku, 99)

    answer = Caller().post("price-requests/reject", {"ids": [price.pk], "reason": ""})

    assert answer.status_code == 400
    assert Price.objects.get().state == "submitted"


# --- who may ------------------------------------------------------------------------------------------------------


def test_a_key_needs_the_scope_of_what_it_does(shop: Shop, sku: Sku) -> None:
    price = asked(sku, 99, shop=shop)
    reader = Caller(scopes=frozenset({"prices:read"}))
    asker = Caller(scopes=frozenset({"prices:read", "prices:write"}))

    assert reader.get("price-requests").status_code == 200
    assert reader.post("price-requests", {}).status_code == 403
    assert asker.post("price-requests/approve", {"ids": [price.pk]}).status_code == 403
    assert asker.post("price-requests/reject", {"ids": [price.pk], "reason": "no"}).status_code == 403
    assert Caller(scopes=frozenset({"orders:read"})).get("prices?shop=TM&sku=S-1").status_code == 403


def test_prices_of_other_shops_are_neither_seen_nor_touched_nor_asked_for(shop: Shop, sku: Sku) -> None:
    other = ShopFactory.create(code="OTHER")
    theirs, everywhere = asked(sku, 91, shop=other), asked(sku, 92)
    caller = Caller(shop)

    seen = [row["id"] for row in caller.get("price-requests").json()["results"]]
    results = ask(caller, {"sku": "S-1", "shop": "OTHER", "amount": "9"}, {"sku": "S-1", "amount": "9"})

    assert seen == [everywhere.pk]
    assert caller.get(f"price-requests/{theirs.pk}").status_code == 404
    assert caller.get("prices?shop=OTHER&sku=S-1").status_code == 404
    assert [row["reason"] for row in results] == ["unknown_shop", "foreign_shops"]
    assert decide(caller, "approve", theirs.pk, everywhere.pk) == [
        (404, "not_found", ""),
        (403, "foreign_shops", ""),
    ]
    assert set(Price.objects.values_list("state", flat=True)) == {"submitted"}


def test_staff_decide_on_prices_for_every_shop_only_for_brands_given_whole(
    shop: Shop, sku: Sku, client: Client
) -> None:
    price = asked(sku, 99, starts_at=timezone.now() + timedelta(days=1))
    clerk = User.objects.create_user("clerk", is_staff=True, pk=77)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_price", "approve_price"]))
    StaffScope.objects.create(user=clerk, shop=shop)
    client.force_login(clerk)

    def approve(key: str) -> Any:
        return client.post(
            "/api/v1/price-requests/approve",
            {"ids": [price.pk]},
            content_type="application/json",
            headers={"Idempotency-Key": key},
        ).json()["results"][0]

    narrow = approve("one")
    StaffScope.objects.create(user=clerk, brand=sku.spu.brand)
    wide = approve("two")

    assert (narrow["status"], narrow["reason"]) == (403, "foreign_shops")
    assert (wide["status"], wide["state"]) == (200, "approved")
