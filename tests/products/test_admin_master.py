"""The pages of the master write through its operations: what these refuse is said at the field, and nothing happens."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from omni.kernel.models import AuditEntry, OutboxEvent
from products.models import Barcode, Category, CategoryAttribute, CodeRule, Sku, Spu
from tests.factories.products import BrandFactory, CategoryFactory, ListingFactory, SkuFactory, SpuFactory

pytestmark = pytest.mark.django_db

EAN13, EAN8 = "6901234567892", "96385074"


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


@pytest.fixture
def makeup(boss: Client) -> Category:
    category = CategoryFactory.create(code="makeup")
    add(boss, "categoryattribute", category=category.pk, code="vegan", name="纯素", kind="yes_no", position=0)
    colour = {"code": "colour", "name": "颜色", "kind": "choice", "is_variant": "on", "position": 1}
    add(boss, "categoryattribute", category=category.pk, options="RD = 红色\nBL = 蓝色", **colour)
    return category


def add(client: Client, model: str, **answers: Any) -> Any:
    return client.post(reverse(f"admin:products_{model}_add"), answers)


def change(client: Client, row: Any, **answers: Any) -> Any:
    return client.post(reverse(f"admin:products_{row._meta.model_name}_change", args=[row.pk]), answers)


def errors(answer: Any) -> set[str]:
    assert answer.status_code == 200
    return set(answer.context["adminform"].form.errors)


def test_a_category_is_made_below_its_parent_and_moves_with_what_is_below(boss: Client) -> None:
    beauty, home = CategoryFactory.create(code="beauty"), CategoryFactory.create(code="home")

    assert add(boss, "category", code="serum", name="Serum", parent=beauty.pk).status_code == 302
    serum = Category.objects.get(code="serum")
    assert change(boss, serum, name="精华", parent=home.pk).status_code == 302

    serum.refresh_from_db()
    assert (serum.path, serum.name) == ("home/serum/", "精华")
    by = f"user:{User.objects.get().pk}"
    assert AuditEntry.objects.filter(action__in=["category.created", "category.moved"], by=by).count() == 2


def test_a_circle_is_said_at_the_parent_and_nothing_happens(boss: Client) -> None:
    beauty = CategoryFactory.create(code="beauty")
    add(boss, "category", code="serum", name="Serum", parent=beauty.pk)
    serum = Category.objects.get(code="serum")

    answer = change(boss, beauty, name="New", parent=serum.pk)

    assert errors(answer) == {"parent"}
    assert set(Category.objects.values_list("path", "name")) == {
        ("beauty/", beauty.name),
        ("beauty/serum/", "Serum"),
    }


def test_attributes_are_defined_with_their_options(boss: Client, makeup: Category) -> None:
    colour = CategoryAttribute.objects.get(code="colour")

    assert colour.options == [{"code": "RD", "name": "红色"}, {"code": "BL", "name": "蓝色"}]
    page = boss.get(reverse("admin:products_categoryattribute_change", args=[colour.pk])).content.decode()
    assert "RD = 红色" in page
    answer = change(boss, colour, name="颜色", kind="text", is_variant="on", position=1, options="")
    assert errors(answer) == {"is_variant"}


@pytest.mark.capability("P2")
def test_a_product_says_only_what_its_category_knows(boss: Client, makeup: Category) -> None:
    answers = {"code": "P1", "name": "口红", "brand": BrandFactory.create().pk, "category": makeup.pk}

    refused = add(boss, "spu", **answers, attributes="smell = rose")
    taken = add(boss, "spu", **answers, attributes="vegan = yes", tags="新品，春季", season="2026 春")

    assert errors(refused) == {"attributes"}
    assert taken.status_code == 302
    spu = Spu.objects.get()
    assert (spu.attributes, spu.tags, spu.season) == ({"vegan": True}, ["新品", "春季"], "2026 春")


def test_a_product_without_a_code_is_named_by_the_rule(boss: Client) -> None:
    brand = BrandFactory.create(code="LM")
    assert add(boss, "coderule", kind="spu", brand=brand.pk, pattern="{brand}x{number:03}").status_code == 302

    add(boss, "spu", code="", name="口红", brand=brand.pk)

    assert Spu.objects.get().code == "LMx001"


def test_a_rule_that_cannot_work_is_said_at_the_pattern(boss: Client) -> None:
    assert errors(add(boss, "coderule", kind="spu", pattern="{brand}")) == {"pattern"}
    assert not CodeRule.objects.exists()


@pytest.mark.capability("P1")
def test_a_sku_is_changed_with_its_barcodes_and_the_change_is_told(boss: Client, makeup: Category) -> None:
    spu = SpuFactory.create(category=makeup)
    sku = SkuFactory.create(spu=spu, attributes={"colour": "RD"})
    Barcode.objects.create(code="OLD", sku=sku)
    answers = {
        "name": "红",
        "attributes": "colour = BL",
        "currency": "CNY",
        "weight_grams": 30,
        "is_active": "on",
    }

    assert change(boss, sku, **answers, barcodes=f"{EAN13}\n{EAN8}").status_code == 302

    sku.refresh_from_db()
    assert (sku.name, sku.attributes, sku.weight_grams) == ("红", {"colour": "BL"}, 30)
    assert dict(sku.barcodes.values_list("code", "kind")) == {EAN13: "ean13", EAN8: "ean8"}
    told = OutboxEvent.objects.filter(kind="products.ProductsChanged").order_by("pk").last()
    assert told is not None
    assert told.payload["sku_ids"] == [sku.pk]


@pytest.mark.capability("P3")
def test_a_barcode_of_another_sku_is_refused_and_nothing_happens(boss: Client) -> None:
    sku, other = SkuFactory.create(), SkuFactory.create()
    Barcode.objects.create(code=EAN13, kind="ean13", sku=other)
    Barcode.objects.create(code="OLD", sku=sku)
    answers = {"name": "new", "currency": "CNY", "is_active": "on"}

    refused = change(boss, sku, **answers, barcodes=EAN13)
    mistyped = change(boss, sku, **answers, barcodes="6901234567893")

    assert errors(refused) == errors(mistyped) == {"barcodes"}
    assert other.code in refused.content.decode()
    assert Sku.objects.get(pk=sku.pk).name != "new"
    assert [barcode.code for barcode in sku.barcodes.all()] == ["OLD"]


# --- the grid of SKUs -----------------------------------------------------------------------------------------------


@pytest.fixture
def lipstick(boss: Client, makeup: Category) -> Spu:
    size = {"code": "size", "name": "规格", "kind": "choice", "is_variant": "on", "position": 2}
    add(boss, "categoryattribute", category=makeup.pk, options="S = 小\nL = 大", **size)
    return SpuFactory.create(code="LIP", name="Lipstick", category=makeup)


def grid(client: Client, spu: Spu, **answers: Any) -> Any:
    return client.post(reverse("admin:products_spu_grid", args=[spu.pk]), answers)


@pytest.mark.capability("P2")
def test_a_grid_is_shown_before_it_is_made_and_made_only_once(boss: Client, lipstick: Spu) -> None:
    chosen = {
        "option_colour": ["RD", "BL"],
        "option_size": ["S", "L"],
        "list_price": "59.90",
        "weight_grams": "12",
    }

    shown = grid(boss, lipstick, **chosen)
    assert not lipstick.skus.exists()
    assert shown.context["new"] == 4
    made = grid(boss, lipstick, **chosen, make="1", seen=shown.context["seen"])
    again = grid(boss, lipstick, **chosen, make="1", seen=shown.context["seen"])

    assert made.status_code == 302
    assert {(s.attributes["colour"], s.attributes["size"]) for s in lipstick.skus.all()} == {
        ("RD", "S"),
        ("RD", "L"),
        ("BL", "S"),
        ("BL", "L"),
    }
    assert {(str(s.list_price), s.weight_grams) for s in lipstick.skus.all()} == {("59.9000", 12)}
    # What was shown is there by now: it is shown anew, and nothing is made.
    assert (again.status_code, again.context["new"]) == (200, 0)
    panel = boss.get(reverse("admin:products_spu_change", args=[lipstick.pk])).content.decode()
    assert "红色, 小" in panel


def test_nothing_is_made_that_was_not_shown(boss: Client, lipstick: Spu) -> None:
    shown = grid(boss, lipstick, option_colour=["RD"], option_size=["S"])

    answer = grid(
        boss, lipstick, option_colour=["RD", "BL"], option_size=["S"], make="1", seen=shown.context["seen"]
    )

    assert (answer.status_code, answer.context["new"]) == (200, 2)
    assert not lipstick.skus.exists()


def test_an_option_that_is_not_offered_and_an_empty_choice_are_refused(boss: Client, lipstick: Spu) -> None:
    foreign = grid(boss, lipstick, option_colour=["GREEN"])
    nothing = grid(boss, lipstick)

    assert set(foreign.context["form"].errors) == {"option_colour"}
    assert "Choose at least one option" in nothing.content.decode()
    assert not lipstick.skus.exists()


def test_a_product_without_such_attributes_says_what_to_do(boss: Client) -> None:
    page = boss.get(reverse("admin:products_spu_grid", args=[SpuFactory.create().pk])).content.decode()

    assert "give it one, or enter the SKUs one by one" in page


def test_the_page_of_a_sku_says_where_it_is_listed_and_what_it_is_called_there(boss: Client) -> None:
    listing = ListingFactory.create(sku__spu__name="Night cream", shop__name="Lumi on Tmall")
    ListingFactory.create(sku=listing.sku, title="夜间修护霜 官方正品")

    page = boss.get(reverse("admin:products_sku_change", args=[listing.sku.pk])).content.decode()

    panel = page.partition('id="listings-panel"')[2]
    assert ("Lumi on Tmall" in panel, "Night cream" in panel, "夜间修护霜 官方正品" in panel) == (
        True,
        True,
        True,
    )
