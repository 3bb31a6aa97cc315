"""Machines read catalogues and rules, have runs worked out, read them line by line, and apply or drop them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from products.assortment.apply import confirm_withdrawals
from products.assortment.conditions import Wish
from products.assortment.select import CatalogueDraft, define_catalogue
from products.models import AssortmentRun, Listing, ListingRequest
from tests.factories.api import Caller
from tests.factories.assortment import BUYER, a_rule, planned, work_off
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P8")]
SCOPES = frozenset({"products:read", "products:write"})


def a_sku(*tags: str) -> Any:
    return SkuFactory.create(spu=SpuFactory.create(tags=list(tags)))


def test_rules_and_catalogues_are_read_with_the_shops_that_the_caller_sees() -> None:
    mine, other = ShopFactory.create(), ShopFactory.create()
    a_rule(mine, other, name="Gifts", tags=["gift"])
    a_rule(other, name="Theirs", tags=["gift"])
    for code, shops in (("ours", [mine.pk, other.pk]), ("theirs", [])):
        draft = CatalogueDraft(code=code, name=code, wish=Wish(seasons=["26S"]), shop_ids=shops)
        define_catalogue(draft=draft, at=NOON, by=BUYER)
    caller = Caller(mine, scopes=SCOPES)

    [rule] = caller.get("assortment-rules").json()["results"]
    catalogues = caller.get("catalogues?shop=" + mine.code).json()["results"]

    assert (rule["name"], rule["tags"], rule["shops"]) == ("Gifts", ["gift"], [mine.code])
    assert [(row["code"], row["seasons"], row["shops"]) for row in catalogues] == [
        ("ours", ["26S"], [mine.code])
    ]


def test_a_run_is_worked_out_read_line_by_line_and_applied() -> None:
    shop, sku = ShopFactory.create(), a_sku("gift")
    rule = a_rule(shop, tags=["gift"])
    caller = Caller(shop, scopes=SCOPES)

    made = caller.post("assortment-runs", {"shops": [shop.code]})
    assert made.status_code == 201
    assert made.json()["state"] == "planning"
    path = made["Location"].removeprefix("/api/v1/")
    assert caller.post(f"{path}/apply", {}).json()["code"] == "nothing_to_apply"
    work_off(at=timezone.now())
    [line] = caller.get(f"{path}/lines?shop={shop.code}").json()["results"]
    assert (line["sku"], line["outcome"], line["cause"], line["rules"]) == (
        sku.code,
        "draft",
        "included",
        [rule.pk],
    )
    applied = caller.post(f"{path}/apply", {})
    assert (applied.status_code, applied.json()["state"]) == (200, "applying")
    work_off(at=timezone.now())

    [told] = caller.get(path).json()["shops"]
    assert (told["state"], told["drafts"], told["done"]) == ("applied", 1, 1)
    assert Listing.objects.get().sku == sku


def test_too_many_withdrawals_wait_for_a_person() -> None:
    shop = ShopFactory.create()
    ListingFactory.create(shop=shop, sku=a_sku("bad"))
    a_rule(shop, kind="exclude", tags=["bad"])
    run = planned(shop, at=timezone.now())
    caller = Caller(shop, scopes=SCOPES)

    refused = caller.post(f"assortment-runs/{run.pk}/apply", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "withdraws_too_much")
    confirm_withdrawals(run_id=run.pk, shop_id=shop.pk, typed_name=shop.name, reason="x", at=NOON, by=BUYER)
    caller.post(f"assortment-runs/{run.pk}/apply", {})
    work_off(at=timezone.now())

    assert ListingRequest.objects.get().act == "withdraw"


def test_a_caller_acts_on_its_own_shops_only() -> None:
    mine, other = ShopFactory.create(), ShopFactory.create()
    a_sku("gift")
    a_rule(mine, other, tags=["gift"])
    run, foreign = planned(mine, other, at=timezone.now()), planned(other)
    caller = Caller(mine, scopes=SCOPES)

    assert caller.post("assortment-runs", {"shops": [other.code]}).status_code == 400
    assert caller.get(f"assortment-runs/{foreign.pk}").status_code == 404
    assert caller.post(f"assortment-runs/{foreign.pk}/apply", {}).status_code == 404
    assert caller.get(f"assortment-runs/{run.pk}/lines?shop={other.code}").status_code == 404
    assert caller.post(f"assortment-runs/{run.pk}/drop", {}).status_code == 403
    caller.post(f"assortment-runs/{run.pk}/apply", {})
    work_off(at=timezone.now())

    assert list(Listing.objects.values_list("shop_id", flat=True)) == [mine.pk]


def test_a_run_is_dropped_and_lines_are_of_one_shop() -> None:
    shop = ShopFactory.create()
    run = planned(shop)
    caller = Caller(scopes=SCOPES)

    assert caller.get(f"assortment-runs/{run.pk}/lines").status_code == 400
    assert caller.post(f"assortment-runs/{run.pk}/drop", {}).json()["state"] == "dropped"
    assert caller.post(f"assortment-runs/{run.pk}/drop", {}).status_code == 409
    assert AssortmentRun.objects.count() == 1


def test_reading_scope_changes_nothing_and_visitors_see_nothing() -> None:
    shop = ShopFactory.create()
    run = planned(shop)
    reader = Caller(shop, scopes=frozenset({"products:read"}))

    assert reader.get("assortment-runs").status_code == 200
    for path in ("assortment-runs", f"assortment-runs/{run.pk}/apply", f"assortment-runs/{run.pk}/drop"):
        assert reader.post(path, {}).status_code == 403, path
        assert Client().post(f"/api/v1/{path}").status_code == 401, path
