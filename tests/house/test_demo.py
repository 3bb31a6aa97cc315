"""The demo is the same everywhere, made once, and never in production."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.utils import timezone
from stdnum import ean

from integrations.models import ApiKey, Connection
from inventory.models import PublishedStock, StockLevel, StockPool
from omni.demo.furnish import furnish_demo
from omni.demo.goods import demo_goods, gtin13
from orders.models import ReviewRule
from products.models import AssortmentRow, AssortmentRule, Barcode, Catalogue, Category, Listing, Shop, Sku
from products.template import of_sku, read_values, templates_of
from tests.factories.assortment import planned

pytestmark = pytest.mark.django_db


def furnish(folder: Path, port: int = 8100) -> Any:
    return furnish_demo(port=port, folder=folder, at=timezone.now())


def rows() -> Counter[str]:
    return Counter(
        {
            model.__name__: model._default_manager.count()
            for model in (
                Sku,
                Barcode,
                Listing,
                Connection,
                StockLevel,
                StockPool,
                ReviewRule,
                ApiKey,
                AssortmentRule,
                Catalogue,
            )
        }
    )


def test_the_warehouse_begins_with_what_omni_has_received(tmp_path: Path) -> None:
    furnish(tmp_path)

    stock = json.loads((tmp_path / "qimen-stock.json").read_text())

    told = {(row["warehouseCode"], row["itemCode"]): row["quantity"] for row in stock}
    levels = StockLevel.objects.exclude(location__code="CTU-1")
    assert told == {(r[0], r[1]): r[2] for r in levels.values_list("location__code", "sku__code", "on_hand")}


def test_shops_are_meant_to_sell_what_the_rules_of_the_demo_say(tmp_path: Path) -> None:
    furnish(tmp_path)
    assert AssortmentRule.objects.count() == 3

    shops = [Shop.objects.get(code=code) for code in ("webshop", "partner-api")]
    run = planned(*shops, at=timezone.now())

    told = {row.shop.code: row.drafts for row in run.shops.select_related("shop")}
    assert min(told.values()) > 10
    assert not AssortmentRow.objects.filter(run=run, sku__list_price__lte=59, shop=shops[0]).exists()


def test_what_the_administrator_asks_for_the_manager_approves(tmp_path: Path) -> None:
    furnish(tmp_path)

    manager, ops = User.objects.get(username="manager"), User.objects.get(username="ops")

    decisions = ("products.approve_price", "products.approve_listing")
    assert manager.has_perms(decisions)
    assert not manager.has_perm("products.approve_own_price")
    assert not any(ops.has_perm(decision) for decision in decisions)


def test_what_was_granted_is_what_lies_there(tmp_path: Path) -> None:
    furnish(tmp_path)

    granted = StockPool.objects.aggregate(units=Sum("granted"))["units"]

    assert granted == StockLevel.objects.aggregate(units=Sum("on_hand"))["units"]
    assert StockPool.objects.filter(kind="safety", granted__gt=0).exists()


def test_every_sku_says_what_its_category_knows(tmp_path: Path) -> None:
    furnish(tmp_path)

    templates = templates_of(Category.objects.values_list("pk", flat=True))
    for sku in Sku.objects.select_related("spu"):
        assert read_values(of_sku(templates[sku.spu.category_id]), sku.attributes) == sku.attributes
        assert sku.attributes


def test_every_listing_of_the_marketplace_has_a_number_to_publish(tmp_path: Path) -> None:
    furnish(tmp_path)

    catalogue = json.loads((tmp_path / "top-catalogue.json").read_text())

    assert {str(row["sku_id"]) for row in catalogue} == set(
        Listing.objects.values_list("outer_sku_id", flat=True)
    )
    assert PublishedStock.objects.filter(desired_quantity__gt=0).count() == len(catalogue)


@pytest.mark.capability("P20")
def test_the_marketplace_sells_a_bundle_as_often_as_its_components_make(tmp_path: Path) -> None:
    furnish(tmp_path)

    bundle = Sku.objects.get(code="LM-SET-1-01")
    shown = {listing.sku_id: listing.published.desired_quantity for listing in Listing.objects.all()}
    parts = [(part.component_id, part.units) for part in bundle.components.all()]
    assert len(parts) == 2
    assert shown[bundle.pk] == min(shown[sku_id] // units for sku_id, units in parts) > 0
    assert not StockLevel.objects.filter(sku=bundle).exists()


def test_a_copy_from_before_a_bundle_came_into_the_demo_does_not_sell_it(tmp_path: Path) -> None:
    furnish(tmp_path)
    bundle = Sku.objects.get(code="LM-SET-1-01")
    PublishedStock.objects.filter(listing__sku=bundle).delete()
    bundle.listings.all().delete()
    bundle.components.all().delete()
    bundle.barcodes.all().delete()
    bundle.delete()

    furnish(tmp_path)

    catalogue = json.loads((tmp_path / "top-catalogue.json").read_text())
    assert {row["outer_sku_id"] for row in catalogue} == set(Sku.objects.values_list("code", flat=True))


def test_a_second_time_makes_nothing_and_shows_no_key(tmp_path: Path) -> None:
    first = furnish(tmp_path)
    Sku.objects.filter(code=demo_goods()[0].skus[0].code).update(name="renamed by somebody")
    before = rows()

    second = furnish(tmp_path)

    assert (first.is_new, second.is_new, second.api_key) == (True, False, "")
    assert rows() == before
    assert Sku.objects.filter(name="renamed by somebody").exists()


def test_connections_follow_the_port_of_this_copy(tmp_path: Path) -> None:
    furnish(tmp_path, port=8100)

    furnish(tmp_path, port=8300)

    addresses = dict(Connection.objects.values_list("code", "base_url"))
    assert addresses["tmall"] == "http://127.0.0.1:8301/router/rest"
    assert addresses["qimen-shanghai"] == "http://127.0.0.1:8302/router/qimen/service"
    assert addresses["webshop"] == "http://127.0.0.1:9000"


def test_production_is_refused_and_stays_empty(settings: Any) -> None:
    settings.PRODUCTION = True

    with pytest.raises(CommandError):
        call_command("demo")

    assert not Sku.objects.exists()


def test_codes_are_valid_unique_and_the_same_on_every_call() -> None:
    skus = [sku for spu in demo_goods() for sku in spu.skus]

    assert skus == [sku for spu in demo_goods() for sku in spu.skus]
    assert all(ean.is_valid(sku.barcode) for sku in skus)
    for name in ("code", "barcode", "outer_sku_id"):
        assert len({getattr(sku, name) for sku in skus}) == len(skus)
    assert {len(sku.outer_sku_id) for sku in skus} == {13, 16, 19}


def test_the_check_digit_is_that_of_gs1() -> None:
    assert gtin13(1) == "2000000000015"
