"""Products are made and changed whole; options make a grid, and the same grid is made once."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from omni.kernel.models import AuditEntry, OutboxEvent
from products.arrange import AttributeDraft, define_attribute
from products.define import Defined, ProductDraft, SkuDraft, define_products, grow_grid
from products.grid import BadGrid, plan_grid
from products.models import Brand, Category, Sku, Spu
from products.models.coding import CodeKind
from products.number import set_code_rule
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, CategoryFactory, SkuFactory, SpuFactory
from tests.inventory.races import run_together

pytestmark = pytest.mark.django_db

COLOUR = AttributeDraft(
    "colour",
    "颜色",
    "choice",
    is_required=True,
    is_variant=True,
    options=[("RD", "红色"), ("BL", "蓝色"), ("GR", "绿色")],
)
SIZE = AttributeDraft("size", "尺码", "choice", is_variant=True, options=[("S", "S"), ("M", "M")])
ORIGIN = AttributeDraft("origin", "产地", "text")


@pytest.fixture
def brand() -> Brand:
    return BrandFactory.create(code="LM")


@pytest.fixture
def category() -> Category:
    category = CategoryFactory.create(code="makeup")
    for draft in (COLOUR, SIZE, ORIGIN):
        define_attribute(category_id=category.pk, draft=draft, at=NOON, by="user:1")
    return category


@pytest.fixture
def spu(brand: Brand, category: Category) -> Spu:
    return SpuFactory.create(code="P1", name="口红", brand=brand, category=category)


def define(*drafts: ProductDraft) -> list[Defined]:
    return define_products(products=drafts, at=NOON, by="key:1")


def one(code: str, *skus: SkuDraft, **values: Any) -> Defined:
    [result] = define(ProductDraft(code, values, skus))
    return result


def refused(result: Defined) -> set[str]:
    assert result.result == "refused"
    assert result.refusal is not None
    return set(result.refusal.fields) or {result.refusal.code}


def told() -> list[dict[str, Any]]:
    return list(OutboxEvent.objects.filter(kind="products.ProductsChanged").values_list("payload", flat=True))


class TestProducts:
    @pytest.mark.capability("P1", "P2")
    def test_a_product_is_made_with_its_skus_and_told_once(self, brand: Brand, category: Category) -> None:
        red = SkuDraft(
            "P1-R", {"attributes": {"colour": "RD"}, "list_price": Decimal(99), "weight_grams": 30}
        )
        blue = SkuDraft("", {"attributes": {"colour": "BL"}, "list_price": Decimal(109), "weight_grams": 35})

        result = one(
            "P1",
            red,
            blue,
            name="丝绒口红",
            brand_id=brand.pk,
            category_id=category.pk,
            season="2026 春",
            tags=["新品", "唇妆", "新品"],
            attributes={"origin": "杭州"},
        )

        assert (result.result, result.skus) == ("new", [("P1-R", "new"), ("P1-01", "new")])
        spu = Spu.objects.get(code="P1")
        assert (spu.season, spu.tags, spu.attributes) == ("2026 春", ["唇妆", "新品"], {"origin": "杭州"})
        rows = Sku.objects.order_by("pk").values_list("name", "list_price", "weight_grams")
        assert list(rows) == [
            ("丝绒口红 红色", Decimal(99), 30),
            ("丝绒口红 蓝色", Decimal(109), 35),
        ]
        assert told() == [{"spu_ids": [spu.pk], "sku_ids": sorted(Sku.objects.values_list("pk", flat=True))}]
        assert AuditEntry.objects.get(action="product.created").by == "key:1"

    def test_saying_the_same_again_changes_nothing(self, spu: Spu) -> None:
        sku = SkuDraft("P1-R", {"attributes": {"colour": "RD"}})
        one("P1", sku, attributes={"origin": "杭州"})
        before = len(told())

        again = one("P1", sku, attributes={"origin": " 杭州"})

        assert (again.result, again.skus) == ("unchanged", [("P1-R", "unchanged")])
        assert len(told()) == before

    @pytest.mark.capability("P1")
    def test_what_is_not_named_stays_and_a_change_is_told(self, spu: Spu) -> None:
        sku = SkuFactory.create(spu=spu, code="P1-R", list_price=99)

        changed = one("P1", SkuDraft("P1-R", {"weight_grams": 40}))

        sku.refresh_from_db()
        assert (changed.result, sku.weight_grams, sku.list_price) == ("changed", 40, Decimal(99))
        assert told() == [{"spu_ids": [], "sku_ids": [sku.pk]}]
        assert one("P1", name="新口红").result == "changed"
        assert told()[-1] == {"spu_ids": [spu.pk], "sku_ids": []}

    def test_one_that_is_refused_leaves_no_trace_and_the_others_go_on(
        self, brand: Brand, category: Category
    ) -> None:
        good = {"name": "A", "brand_id": brand.pk, "category_id": category.pk}
        bad = SkuDraft("BAD-2", {"attributes": {"colour": "XX"}})
        fine = SkuDraft("BAD-1", {"attributes": {"colour": "RD"}})

        results = define(ProductDraft("B", good, [fine, bad]), ProductDraft("A", good))

        assert [row.result for row in results] == ["refused", "new"]
        assert refused(results[0]) == {"skus.attributes.colour"}
        assert list(Spu.objects.values_list("code", flat=True)) == ["A"]
        assert not Sku.objects.exists()
        assert told() == [{"spu_ids": [results[1].spu_id], "sku_ids": []}]

    def test_values_outside_the_template_are_refused(self, spu: Spu) -> None:
        assert refused(one("P1", attributes={"smell": "rose"})) == {"attributes.smell"}
        assert refused(one("P1", attributes={"colour": "RD"})) == {"attributes.colour"}
        assert refused(one("P1", SkuDraft("P1-R", {"attributes": {}}))) == {"skus.attributes.colour"}
        assert refused(one("P1", SkuDraft("P1-R"))) == {"skus.attributes.colour"}
        spu.refresh_from_db()
        assert spu.attributes == {}

    def test_two_skus_of_a_product_do_not_have_the_same_options(self, spu: Spu) -> None:
        one("P1", SkuDraft("P1-R", {"attributes": {"size": "S", "colour": "RD"}}))

        assert refused(one("P1", SkuDraft("P1-X", {"attributes": {"colour": "RD", "size": "S"}}))) == {
            "same_options"
        }
        assert one("P1", SkuDraft("P1-X", {"attributes": {"colour": "RD"}})).result == "changed"
        assert refused(one("P1", SkuDraft("P1-X", {"attributes": {"colour": "RD", "size": "S"}}))) == {
            "same_options"
        }

    def test_a_sku_stays_with_its_product(self, spu: Spu, brand: Brand) -> None:
        other = SkuFactory.create(code="OTHER")

        assert refused(one("P1", SkuDraft("OTHER", {"name": "mine"}))) == {"sku_elsewhere"}

        assert Sku.objects.get(pk=other.pk).name == other.name

    def test_another_category_must_know_what_is_said_already(self, spu: Spu) -> None:
        one("P1", SkuDraft("P1-R", {"attributes": {"colour": "RD"}}), attributes={"origin": "杭州"})
        elsewhere = CategoryFactory.create()

        assert refused(one("P1", category_id=elsewhere.pk)) == {"attributes.origin"}
        assert refused(one("P1", category_id=elsewhere.pk, attributes={})) == {"category"}
        define_attribute(category_id=elsewhere.pk, draft=COLOUR, at=NOON, by="user:1")
        assert one("P1", category_id=elsewhere.pk, attributes={}).result == "changed"

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"brand_id": None}, "brand"),
            ({"season": "x" * 33}, "season"),
            ({"tags": ["x" * 33]}, "tags"),
            ({"tags": [str(number) for number in range(51)]}, "tags"),
        ],
    )
    def test_bad_values_are_refused_by_field(self, spu: Spu, values: dict[str, Any], field: str) -> None:
        assert refused(one("P1", **values)) == {field}

    @pytest.mark.parametrize(
        "values",
        [{"name": " "}, {"list_price": Decimal(-1)}, {"weight_grams": -1}, {"currency": "rmb"}],
    )
    def test_bad_values_of_a_sku_are_refused_by_field(self, spu: Spu, values: dict[str, Any]) -> None:
        draft = SkuDraft("P1-R", {"attributes": {"colour": "RD"}, **values})

        assert refused(one("P1", draft)) == {f"skus.{next(iter(values))}"}
        assert not Sku.objects.exists()

    def test_a_new_product_is_named_by_rule(self, brand: Brand) -> None:
        first, second = define(*[ProductDraft("", {"name": "X", "brand_id": brand.pk})] * 2)

        assert [first.code, second.code] == ["LM-000001", "LM-000002"]

    def test_a_new_product_needs_a_name_and_a_brand(self) -> None:
        assert refused(one("P1")) == {"name", "brand"}


class TestGrid:
    def test_a_grid_is_every_combination_in_the_order_of_the_template(self, spu: Spu) -> None:
        SkuFactory.create(spu=spu, attributes={"size": "S", "colour": "BL"}, code="OLD")

        cells = plan_grid(spu=spu, choices={"size": ["M", "S"], "colour": ["BL", "RD"]})

        assert [cell.options for cell in cells] == [
            ("红色", "S"),
            ("红色", "M"),
            ("蓝色", "S"),
            ("蓝色", "M"),
        ]
        assert [cell.sku.code if cell.sku else None for cell in cells] == [None, None, "OLD", None]
        assert Sku.objects.count() == 1

    @pytest.mark.capability("P2")
    def test_the_skus_of_a_grid_are_made_once(self, spu: Spu) -> None:
        choices = {"size": ["S", "M"], "colour": ["BL", "RD"]}

        first = grow_grid(
            spu_id=spu.pk, choices=choices, values={"list_price": Decimal(99)}, at=NOON, by="user:1"
        )
        again = grow_grid(spu_id=spu.pk, choices=choices, at=NOON, by="user:1")
        more = grow_grid(
            spu_id=spu.pk, choices={"size": ["S", "M"], "colour": ["GR", "RD"]}, at=NOON, by="user:1"
        )

        assert [sku.code for sku in first.made] == ["P1-01", "P1-02", "P1-03", "P1-04"]
        assert {sku.list_price for sku in first.made} == {Decimal(99)}
        assert first.made[0].name == "口红 红色 S"
        assert (len(again.made), again.there) == (0, 4)
        assert (len(more.made), more.there) == (2, 2)
        assert Sku.objects.filter(spu=spu).count() == 6
        assert [set(event["sku_ids"]) for event in told()] == [
            {sku.pk for sku in first.made},
            {sku.pk for sku in more.made},
        ]

    def test_codes_of_a_grid_may_be_made_of_its_options(self, spu: Spu) -> None:
        set_code_rule(kind=CodeKind.SKU, brand_id=None, pattern="{spu}-{options}", at=NOON, by="user:1")

        made = grow_grid(
            spu_id=spu.pk, choices={"size": ["S"], "colour": ["BL", "RD"]}, at=NOON, by="user:1"
        ).made

        assert [sku.code for sku in made] == ["P1-RD-S", "P1-BL-S"]

    @pytest.mark.parametrize(
        ("choices", "field"),
        [
            ({"colour": ["XX"]}, "colour"),
            ({"size": ["S"]}, "colour"),
            ({"colour": ["RD"], "origin": ["x"]}, "origin"),
            ({"colour": ["RD"], "smell": ["x"]}, "smell"),
        ],
    )
    def test_options_that_are_not_there_make_no_grid(
        self, spu: Spu, choices: dict[str, list[str]], field: str
    ) -> None:
        with pytest.raises(BadGrid) as refusal:
            grow_grid(spu_id=spu.pk, choices=choices, at=NOON, by="user:1")

        assert list(refusal.value.fields) == [field]
        assert not Sku.objects.exists()

    def test_a_grid_of_too_many_is_refused_before_it_is_made(self, spu: Spu) -> None:
        for number in range(4):
            options = [(f"{place}", f"{place}") for place in range(10)]
            draft = AttributeDraft(f"a{number}", "A", "choice", is_variant=True, options=options)
            assert spu.category_id is not None
            define_attribute(category_id=spu.category_id, draft=draft, at=NOON, by="user:1")
        everything = {f"a{number}": [f"{place}" for place in range(10)] for number in range(4)}

        with pytest.raises(BadGrid, match="1000"):
            plan_grid(spu=spu, choices={"colour": ["RD"], **everything})

    @pytest.mark.django_db(transaction=True)
    def test_two_who_make_the_same_grid_at_once_make_it_once(self, spu: Spu) -> None:
        choices = {"colour": ["BL", "RD", "GR"], "size": ["S", "M"]}
        grow = partial(grow_grid, spu_id=spu.pk, choices=choices, at=NOON, by="user:1")

        grown = run_together([grow] * 8)

        assert sorted(len(row.made) for row in grown) == [0] * 7 + [6]
        assert Sku.objects.filter(spu=spu).count() == 6
