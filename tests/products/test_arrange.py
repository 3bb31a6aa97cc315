"""The tree stays a tree, and a template never loses the meaning of what products say."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from omni.kernel.models import AuditEntry
from products import arrange
from products.arrange import (
    AttributeDraft,
    AttributeInUse,
    AttributeTaken,
    BadAttribute,
    BadCategory,
    CategoryCircle,
    change_attribute,
    create_category,
    define_attribute,
    drop_attribute,
    move_category,
    rename_category,
)
from products.models import Category, CategoryAttribute
from products.template import (
    AttributesDoNotFit,
    hold_templates,
    of_sku,
    read_values,
    say_values,
    template_of,
    templates_of,
)
from tests.factories.orders import NOON
from tests.factories.products import SkuFactory, SpuFactory
from tests.inventory.races import must_break, run_together

pytestmark = pytest.mark.django_db

COLOUR = AttributeDraft(
    "colour", "颜色", "choice", is_required=True, is_variant=True, options=[("RD", "红色"), ("BL", "蓝色")]
)
SIZE = AttributeDraft("size", "尺码", "choice", is_variant=True, options=[("S", "S"), ("M", "M")])
WEIGHT = AttributeDraft("net", "净含量", "number", unit="ml")
ORIGIN = AttributeDraft("origin", "产地", "text")


def make(code: str, parent: Category | None = None) -> Category:
    return create_category(
        code=code, name=code.title(), parent_id=parent.pk if parent else None, at=NOON, by="user:1"
    )


def define(category: Category, draft: AttributeDraft) -> CategoryAttribute:
    return define_attribute(category_id=category.pk, draft=draft, at=NOON, by="user:1")


def move(category: Category, parent: Category | None) -> bool:
    return move_category(
        category_id=category.pk, parent_id=parent.pk if parent else None, at=NOON, by="user:1", reason="tidy"
    )


def paths() -> dict[str, str]:
    return dict(Category.objects.values_list("code", "path"))


class TestTree:
    def test_a_category_lies_below_its_parent(self) -> None:
        beauty = make("beauty")
        serum = make("serum", make("skincare", beauty))

        assert serum.path == "beauty/skincare/serum/"
        assert AuditEntry.objects.filter(action="category.created", by="user:1").count() == 3

    @pytest.mark.parametrize("code", ["", "a/b", "a b", "-a", "a" * 33, "护肤"])
    def test_a_code_that_would_break_the_path_is_refused(self, code: str) -> None:
        with pytest.raises(BadCategory) as refusal:
            make(code)

        assert "code" in refusal.value.fields
        assert not Category.objects.exists()

    def test_a_code_is_given_once(self) -> None:
        make("beauty")

        with pytest.raises(BadCategory, match="beauty"):
            make("beauty")

    def test_a_branch_moves_with_all_that_is_below_it(self) -> None:
        beauty, home = make("beauty"), make("home")
        make("serum", make("skincare", beauty))
        make("skin", beauty)  # begins alike, lies beside

        assert move(Category.objects.get(code="skincare"), home)

        assert paths() == {
            "beauty": "beauty/",
            "home": "home/",
            "skincare": "home/skincare/",
            "serum": "home/skincare/serum/",
            "skin": "beauty/skin/",
        }
        act = AuditEntry.objects.get(action="category.moved")
        assert (act.by, act.reason, act.detail["from"]) == ("user:1", "tidy", "beauty/skincare/")

    def test_a_branch_becomes_a_root(self) -> None:
        skincare = make("skincare", make("beauty"))
        make("serum", skincare)

        move(skincare, None)

        assert paths()["serum"] == "skincare/serum/"

    def test_moving_to_where_it_is_changes_nothing(self) -> None:
        beauty = make("beauty")
        skincare = make("skincare", beauty)

        assert not move(skincare, beauty)
        assert not AuditEntry.objects.filter(action="category.moved").exists()

    def test_a_category_cannot_come_to_lie_below_itself(self) -> None:
        beauty = make("beauty")
        serum = make("serum", make("skincare", beauty))
        before = paths()

        for place in (beauty, serum):
            with pytest.raises(CategoryCircle):
                move(beauty, place)

        assert paths() == before

    def test_a_tree_that_would_be_too_deep_is_refused(self) -> None:
        branch = make("a" * 32)
        for number in range(11):
            branch = make(f"{number:02}" + "b" * 30, branch)
        other = make("c" * 32, make("d" * 32))
        before = paths()

        with pytest.raises(BadCategory, match="deep"):
            move(Category.objects.get(code="d" * 32), branch)

        assert other.path == "d" * 32 + "/" + "c" * 32 + "/"
        assert paths() == before

    def test_a_name_changes_and_the_code_stays(self) -> None:
        beauty = make("beauty")

        assert rename_category(category_id=beauty.pk, name="美妆", at=NOON, by="user:1")
        assert not rename_category(category_id=beauty.pk, name="美妆", at=NOON, by="user:1")

        beauty.refresh_from_db()
        assert (beauty.code, beauty.name) == ("beauty", "美妆")


class TestTemplates:
    @pytest.mark.capability("P2")
    def test_a_category_inherits_what_is_defined_above_it_and_nothing_beside(self) -> None:
        beauty, home = make("beauty"), make("home")
        skincare, skin = make("skincare", beauty), make("skin", beauty)
        define(skincare, WEIGHT)
        define(beauty, COLOUR)
        define(home, SIZE)
        define(skin, ORIGIN)

        serum = make("serum", skincare)

        assert [row.code for row in template_of(serum.pk)] == ["colour", "net"]
        assert [row.code for row in of_sku(template_of(serum.pk))] == ["colour"]
        both = templates_of([serum.pk, home.pk, None])
        assert [row.code for row in both[home.pk]] == ["size"]
        assert both[None] == []

    def test_a_code_means_one_thing_on_a_path(self) -> None:
        beauty = make("beauty")
        skincare, makeup = make("skincare", beauty), make("makeup", beauty)
        define(skincare, ORIGIN)
        define(makeup, ORIGIN)  # beside one another they do not meet

        with pytest.raises(AttributeTaken, match="origin"):
            define(beauty, ORIGIN)
        with pytest.raises(AttributeTaken):
            define(make("serum", skincare), ORIGIN)

    def test_a_branch_does_not_move_below_a_template_with_the_same_code(self) -> None:
        beauty, home = make("beauty"), make("home")
        skincare = make("skincare", beauty)
        define(skincare, ORIGIN)
        define(home, ORIGIN)

        with pytest.raises(AttributeTaken):
            move(skincare, home)

        assert paths()["skincare"] == "beauty/skincare/"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"code": "a b"}, "code"),
            ({"name": " "}, "name"),
            ({"kind": "colour"}, "kind"),
            ({"kind": "text", "options": []}, "is_variant"),
            ({"options": []}, "options"),
            ({"options": [("RD", "红"), ("RD", "赤")]}, "options"),
            ({"options": [("R/D", "红")]}, "options"),
            ({"options": [("RD", "")]}, "options"),
            ({"kind": "number", "is_variant": False}, "options"),
        ],
    )
    def test_a_line_that_contradicts_itself_is_refused(self, changes: dict[str, Any], field: str) -> None:
        values = {name: getattr(COLOUR, name) for name in COLOUR.__slots__}

        with pytest.raises(BadAttribute) as refusal:
            define(make("beauty"), AttributeDraft(**{**values, **changes}))

        assert field in refusal.value.fields
        assert not CategoryAttribute.objects.exists()


class TestValues:
    @pytest.fixture
    def template(self) -> list[CategoryAttribute]:
        beauty = make("beauty")
        for draft in (COLOUR, WEIGHT, ORIGIN, AttributeDraft("vegan", "纯素", "yes_no")):
            define(beauty, draft)
        return template_of(beauty.pk)

    def test_what_fits_is_stored_in_one_form(self, template: list[CategoryAttribute]) -> None:
        said = {"colour": "RD", "net": 30.50, "origin": " 杭州 ", "vegan": False}

        read = read_values(template, said)

        assert read == {"colour": "RD", "net": "30.5", "origin": "杭州", "vegan": False}
        assert read_values(template, {"colour": "RD", "net": "030.500"})["net"] == "30.5"
        assert say_values(template, read) == [
            ("颜色", "红色"),
            ("净含量", "30.5 ml"),
            ("产地", "杭州"),
            ("纯素", "no"),
        ]

    def test_what_is_empty_is_not_said(self, template: list[CategoryAttribute]) -> None:
        assert read_values(template, {"colour": "RD", "net": None, "origin": "  "}) == {"colour": "RD"}

    @pytest.mark.capability("P2")
    def test_what_is_outside_the_template_is_refused_all_at_once(
        self, template: list[CategoryAttribute]
    ) -> None:
        said = {"colour": "GR", "net": "1e3", "origin": "x" * 201, "vegan": 1, "smell": "rose"}

        with pytest.raises(AttributesDoNotFit) as refusal:
            read_values(template, said)

        assert set(refusal.value.fields) == {f"attributes.{code}" for code in said}

    def test_what_is_required_has_to_be_said(self, template: list[CategoryAttribute]) -> None:
        with pytest.raises(AttributesDoNotFit) as refusal:
            read_values(template, {"net": 3})

        assert list(refusal.value.fields) == ["attributes.colour"]

    def test_without_a_category_nothing_can_be_said(self) -> None:
        assert read_values(template_of(None), {}) == {}
        with pytest.raises(AttributesDoNotFit):
            read_values(template_of(None), {"colour": "RD"})


class TestInUse:
    @pytest.fixture
    def skincare(self) -> Category:
        """A category whose parent defines a colour and an origin, with one product that is red and from 杭州."""
        beauty = make("beauty")
        skincare = make("skincare", beauty)
        define(beauty, COLOUR)
        define(beauty, ORIGIN)
        spu = SpuFactory.create(category=skincare, attributes={"origin": "杭州"})
        SkuFactory.create(spu=spu, attributes={"colour": "RD"})
        return skincare

    def change(self, code: str, **changes: Any) -> bool:
        row = CategoryAttribute.objects.get(code=code)
        draft = {"colour": COLOUR, "origin": ORIGIN}[code]
        values = {name: getattr(draft, name) for name in draft.__slots__}
        return change_attribute(
            attribute_id=row.pk, draft=AttributeDraft(**{**values, **changes}), at=NOON, by="user:1"
        )

    def test_names_positions_and_more_options_change_freely(self, skincare: Category) -> None:
        more = [("RD", "正红"), ("BL", "蓝色"), ("GR", "绿色")]

        assert self.change("colour", name="色号", options=more)
        assert not self.change("colour", name="色号", options=more)

        assert say_values(template_of(skincare.pk), {"colour": "RD"}) == [("色号", "正红")]

    def test_an_option_that_nobody_chose_may_go(self, skincare: Category) -> None:
        assert self.change("colour", options=[("RD", "红色")])

    @pytest.mark.parametrize(
        ("code", "changes"),
        [
            ("colour", {"options": [("BL", "蓝色")]}),
            ("colour", {"is_variant": False}),
            ("origin", {"kind": "number"}),
        ],
    )
    def test_what_products_say_does_not_lose_its_meaning(
        self, skincare: Category, code: str, changes: dict[str, Any]
    ) -> None:
        before = CategoryAttribute.objects.filter(code=code).values().get()

        with pytest.raises(AttributeInUse) as refusal:
            self.change(code, **changes)

        assert sum(refusal.value.extra["uses"].values()) == 1
        assert CategoryAttribute.objects.filter(code=code).values().get() == before

    def test_a_line_is_dropped_when_nobody_says_it(self, skincare: Category) -> None:
        origin = CategoryAttribute.objects.get(code="origin")
        with pytest.raises(AttributeInUse):
            drop_attribute(attribute_id=origin.pk, at=NOON, by="user:1")
        skincare.spus.update(attributes={})

        assert drop_attribute(attribute_id=origin.pk, at=NOON, by="user:1", reason="never filled in")
        assert not drop_attribute(attribute_id=origin.pk, at=NOON, by="user:1")

        assert AuditEntry.objects.get(action="attribute.dropped").detail["code"] == "origin"

    def test_a_branch_does_not_leave_the_template_of_its_products(self, skincare: Category) -> None:
        home = make("home")
        define(home, COLOUR)

        with pytest.raises(AttributeInUse) as refusal:
            move(skincare, home)
        assert list(refusal.value.extra["uses"]) == ["origin"]
        define(home, ORIGIN)
        assert move(skincare, home)

    def test_nor_for_one_that_knows_fewer_of_its_options(self, skincare: Category) -> None:
        home = make("home")
        define(home, ORIGIN)
        define(home, AttributeDraft("colour", "颜色", "choice", is_variant=True, options=[("BL", "蓝色")]))

        with pytest.raises(AttributeInUse) as refusal:
            move(skincare, home)

        assert refusal.value.extra["uses"] == {"colour = RD": 1}


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_two_moves_at_once_never_make_a_circle(self) -> None:
        self.cross_moves("a")

    def test_without_the_lock_they_would(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(arrange, "LOCK_TREE", "SELECT 1")
        names = iter("bcdefg")

        must_break(lambda: self.cross_moves(next(names)))

    def cross_moves(self, name: str) -> None:
        def try_move(category: Category, parent: Category) -> bool:
            try:
                return move(category, parent)
            except CategoryCircle:
                return False

        for number in range(8):
            left, right = make(f"left-{name}{number}"), make(f"right-{name}{number}")

            done = run_together([partial(try_move, left, right), partial(try_move, right, left)])

            assert sorted(done) == [False, True]
            tops = [path for path in paths().values() if path in (f"{left.code}/", f"{right.code}/")]
            assert len(tops) == 1

    def test_a_template_waits_for_whoever_is_writing_values(self) -> None:
        attribute = define(make("beauty"), ORIGIN)
        outcomes: list[str] = []

        def drop() -> None:
            try:
                drop_attribute(attribute_id=attribute.pk, at=NOON, by="user:1")
                outcomes.append("dropped")
            except AttributeInUse:
                outcomes.append("in use")
            finally:
                connection.close()

        rival = threading.Thread(target=drop)
        with transaction.atomic():
            hold_templates()
            rival.start()
            rival.join(0.3)
            assert outcomes == []
            SpuFactory.create(category=attribute.category, attributes={"origin": "杭州"})
        rival.join(10)

        assert outcomes == ["in use"]
