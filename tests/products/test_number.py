"""Codes come from a rule, and no number is used twice, however many ask at once."""

from __future__ import annotations

import pytest
from django.db import transaction
from stdnum import ean

from omni.kernel.models import AuditEntry
from products import number
from products.codes import BadPattern, CannotMakeCode, check_pattern, stem_of
from products.models import Barcode, CodeCounter, CodeRule
from products.models.coding import CodeKind
from products.number import CodeTaken, Nameless, give_codes, set_code_rule
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, SkuFactory, SpuFactory
from tests.inventory.races import must_break, run_together

pytestmark = pytest.mark.django_db


def rule(kind: CodeKind, pattern: str, brand_id: int | None = None) -> CodeRule:
    return set_code_rule(kind=kind, brand_id=brand_id, pattern=pattern, at=NOON, by="user:1")


def give(kind: CodeKind, count: int = 1, brand_id: int = 0, **values: str) -> list[str]:
    with transaction.atomic():
        return give_codes(kind=kind, things=[Nameless(brand_id, values)] * count)


@pytest.mark.capability("P3")
def test_codes_are_counted_up_by_the_rule() -> None:
    rule(CodeKind.SPU, "{brand}-{category}-{number:06}")

    first = give(CodeKind.SPU, 2, brand="LM", category="serum")
    other = give(CodeKind.SPU, 1, brand="NH", category="serum")
    later = give(CodeKind.SPU, 1, brand="LM", category="serum")

    assert [*first, *other, *later] == [
        "LM-serum-000001",
        "LM-serum-000002",
        "NH-serum-000001",
        "LM-serum-000003",
    ]


def test_the_rule_of_a_brand_goes_before_that_of_all() -> None:
    brand = BrandFactory.create()
    rule(CodeKind.SPU, "A{number:03}")
    rule(CodeKind.SPU, "B{number:03}", brand.pk)

    assert give(CodeKind.SPU, brand_id=brand.pk) == ["B001"]
    assert give(CodeKind.SPU) == ["A001"]


def test_without_a_rule_there_is_a_usual_one() -> None:
    assert give(CodeKind.SPU, brand="LM") == ["LM-000001"]
    assert give(CodeKind.SKU, spu="LM-000001") == ["LM-000001-01"]
    [barcode] = give(CodeKind.BARCODE)
    assert barcode.startswith("210000000001")
    assert ean.is_valid(barcode)


def test_a_rule_that_is_taken_up_again_goes_on_where_it_ended() -> None:
    rule(CodeKind.SPU, "A{number:03}")
    give(CodeKind.SPU, 5)
    rule(CodeKind.SPU, "B{number:03}")
    give(CodeKind.SPU)

    rule(CodeKind.SPU, "A{number:03}")

    assert give(CodeKind.SPU) == ["A006"]
    assert AuditEntry.objects.filter(action="code_rule.set").count() == 3
    assert CodeRule.objects.count() == 1


def test_codes_that_somebody_typed_in_are_passed_over() -> None:
    for typed in range(1, 8):
        SpuFactory.create(code=f"A{typed:03}")
    rule(CodeKind.SPU, "A{number:03}")

    codes = give(CodeKind.SPU, 3)

    assert len(set(codes)) == 3
    assert not set(codes) & {f"A{typed:03}" for typed in range(1, 8)}


def test_internal_barcodes_pass_over_those_that_exist() -> None:
    [first] = give(CodeKind.BARCODE)
    CodeCounter.objects.all().delete()
    Barcode.objects.create(code=first, sku=SkuFactory.create())

    assert give(CodeKind.BARCODE) != [first]


def test_codes_of_options_have_no_number_and_are_refused_when_they_are_taken() -> None:
    rule(CodeKind.SKU, "{spu}-{options}")
    SkuFactory.create(code="P1-RD-S")

    assert give(CodeKind.SKU, spu="P1", options="RD-M") == ["P1-RD-M"]
    with pytest.raises(CodeTaken):
        give(CodeKind.SKU, spu="P1", options="RD-S")
    with pytest.raises(CodeTaken):
        give(CodeKind.SKU, 2, spu="P1", options="RD-L")


def test_a_rule_does_not_leave_out_what_a_product_has_not() -> None:
    with pytest.raises(CannotMakeCode, match="category"):
        stem_of("{brand}-{category}-{number}", {"brand": "LM", "category": ""})
    with pytest.raises(CannotMakeCode):
        stem_of("{brand}-{number:06}", {"brand": "L" * 60})


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("spu", ""),
        ("spu", "{brand}"),
        ("spu", "{spu}-{number}"),
        ("spu", "{brand}-{number"),
        ("spu", "{number}{number}"),
        ("spu", "{number:x}"),
        ("spu", "{number:99}"),
        ("spu", "{brand!r}{number}"),
        ("spu", "{brand.name}{number}"),
        ("spu", "款{number}"),
        ("spu", "{brand:10}{number}"),
        ("sku", "{options}"),
        ("barcode", "{number:12}"),
        ("barcode", "A{number:011}{check}"),
        ("barcode", "2{number:09}{check}"),
        ("barcode", "{check}2{number:011}"),
    ],
)
def test_patterns_that_cannot_work_are_refused(kind: str, pattern: str) -> None:
    with pytest.raises(BadPattern) as refusal:
        rule(CodeKind(kind), pattern)

    assert "pattern" in refusal.value.fields
    assert not CodeRule.objects.exists()


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("spu", "{season}/{number}"),
        ("sku", "{spu}-{options}"),
        ("sku", "{year}{number:08}"),
        ("barcode", "2{number:06}{check}"),
    ],
)
def test_patterns_that_work_are_taken(kind: str, pattern: str) -> None:
    check_pattern(kind, pattern)


def test_a_barcode_does_not_outgrow_its_digits() -> None:
    rule(CodeKind.BARCODE, "2{number:06}{check}")
    CodeCounter.objects.create(kind="barcode", stem="2#", last_number=999_998)

    assert give(CodeKind.BARCODE)[0].startswith("2999999")
    with pytest.raises(CannotMakeCode):
        give(CodeKind.BARCODE)


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_no_number_is_used_twice_when_many_ask_at_once(self) -> None:
        self.ask_together()

    def test_without_the_lock_on_the_counter_some_would_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            number,
            "TAKE_NUMBERS",
            """
            WITH gone AS MATERIALIZED (SELECT stem, last_number FROM products_codecounter WHERE kind = %s),
                slept AS MATERIALIZED (SELECT pg_sleep(0.01)),
                kept AS (
                INSERT INTO products_codecounter AS c (kind, stem, last_number)
                SELECT 'spu', n.stem, coalesce(gone.last_number, 0) + count
                FROM slept, unnest(%s::text[], %s::bigint[]) AS n(stem, count) LEFT JOIN gone USING (stem)
                ON CONFLICT (kind, stem) DO UPDATE SET last_number = excluded.last_number
                RETURNING stem, last_number)
            SELECT stem, last_number FROM kept
            """,
        )

        must_break(self.ask_together)

    def ask_together(self) -> None:
        asked = run_together([lambda: give(CodeKind.SPU, 3, brand="LM") for _ in range(24)])

        codes = [code for codes in asked for code in codes]
        assert len(set(codes)) == len(codes) == 72
