"""A barcode is what it says it is, and names one SKU however it is written."""

from __future__ import annotations

import importlib
from functools import partial

import pytest
from django.apps import apps
from stdnum import ean

from omni.kernel.models import AuditEntry, OutboxEvent
from products.barcodes import BadBarcode, has_its_check_digit, read_barcode, resolve_barcodes
from products.define import ProductDraft, SkuDraft, define_products
from products.label import Label, Labelled, label_by_rule, label_skus, take_off_barcode
from products.models import Barcode, Sku
from tests.factories.orders import NOON
from tests.factories.products import SkuFactory
from tests.inventory.races import run_together

pytestmark = pytest.mark.django_db

EAN13, UPC, UPC_AS_EAN13, EAN8, ITF14 = (
    "6901234567892",
    "036000291452",
    "0036000291452",
    "96385074",
    "16901234567899",
)


def label(*pairs: tuple[Sku, str]) -> list[Labelled]:
    labels = [Label(sku.pk, code) for sku, code in pairs]
    return label_skus(labels=labels, at=NOON, by="user:1")


def results(told: list[Labelled]) -> list[str]:
    return [row.result for row in told]


@pytest.mark.parametrize(
    "body", ["0000000", "9638507", "03600029145", "690123456789", "1690123456789", "999999999999"]
)
def test_the_check_digit_is_the_one_of_the_standard(body: str) -> None:
    right = ean.calc_check_digit(body)

    assert [digit for digit in "0123456789" if has_its_check_digit(body + digit)] == [right]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (EAN13, "ean13"),
        (UPC, "upc"),
        (EAN8, "ean8"),
        (ITF14, "itf14"),
        ("2100000000012", "internal"),
        ("LM-001", "internal"),
        ("12345", "internal"),
        (f" {EAN13} ", "ean13"),
    ],
)
def test_the_kind_follows_from_the_digits(code: str, kind: str) -> None:
    assert read_barcode(code) == (code.strip(), kind)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("6901234567893", ""),
        ("6901234567893", "internal"),
        (EAN13, "internal"),
        (EAN13, "upc"),
        ("12345", "ean13"),
        ("69012345678９2", ""),
        ("", ""),
        ("a\tb", ""),
        ("x" * 65, ""),
        (EAN13, "qr"),
    ],
)
def test_what_is_no_such_barcode_is_refused(code: str, kind: str) -> None:
    with pytest.raises(BadBarcode) as refusal:
        read_barcode(code, kind)

    assert list(refusal.value.fields) == ["barcode"]


def test_a_wrong_check_digit_is_told_with_the_right_one() -> None:
    with pytest.raises(BadBarcode, match="6901234567892"):
        read_barcode("6901234567893")


@pytest.mark.capability("P3")
def test_several_barcodes_name_one_sku() -> None:
    sku = SkuFactory.create()

    told = label((sku, EAN13), (sku, UPC), (sku, "OLD-1"))

    assert results(told) == ["new"] * 3
    found = resolve_barcodes([EAN13, UPC, UPC_AS_EAN13, "OLD-1", "old-1", "4006381333931"])
    assert found == dict.fromkeys([EAN13, UPC, UPC_AS_EAN13, "OLD-1"], sku.pk)
    assert AuditEntry.objects.get(action="barcode.added").detail["codes"] == [EAN13, UPC, "OLD-1"]
    event = OutboxEvent.objects.get(kind="products.ProductsChanged")
    assert event.payload == {"spu_ids": [], "sku_ids": [sku.pk]}


@pytest.mark.capability("P3")
def test_a_barcode_that_names_another_sku_is_refused_and_says_which() -> None:
    first, second = SkuFactory.create(), SkuFactory.create()
    label((first, UPC))

    told = label((second, UPC), (second, UPC_AS_EAN13), (second, EAN13))

    assert results(told) == ["refused", "refused", "new"]
    assert told[0].refusal is not None
    assert told[0].refusal.extra == {"sku": first.code}
    assert list(second.barcodes.values_list("code", flat=True)) == [EAN13]


def test_of_two_in_one_batch_the_first_has_it() -> None:
    first, second = SkuFactory.create(), SkuFactory.create()

    assert results(label((first, UPC), (second, UPC_AS_EAN13), (first, UPC_AS_EAN13))) == [
        "new",
        "refused",
        "unchanged",
    ]
    assert Barcode.objects.count() == 1


def test_saying_the_same_again_changes_nothing() -> None:
    sku = SkuFactory.create()
    label((sku, EAN13))

    assert results(label((sku, EAN13))) == ["unchanged"]
    assert OutboxEvent.objects.filter(kind="products.ProductsChanged").count() == 1


def test_a_faulty_one_does_not_stop_the_others() -> None:
    sku = SkuFactory.create()

    assert results(label((sku, "6901234567893"), (sku, EAN13))) == ["refused", "new"]


def test_internal_barcodes_come_from_the_rule_for_those_that_have_none() -> None:
    bare, labelled = SkuFactory.create(), SkuFactory.create()
    label((labelled, EAN13))

    given = label_by_rule(sku_ids=[bare.pk, labelled.pk], at=NOON, by="user:1")

    assert list(given) == [bare.pk]
    assert ean.is_valid(given[bare.pk])
    assert Barcode.objects.get(sku=bare).kind == "internal"
    assert label_by_rule(sku_ids=[bare.pk, labelled.pk], at=NOON, by="user:1") == {}


def test_what_is_taken_off_can_go_on_another() -> None:
    first, second = SkuFactory.create(), SkuFactory.create()
    label((first, EAN13))
    barcode = Barcode.objects.get()

    assert take_off_barcode(barcode_id=barcode.pk, at=NOON, by="user:1", reason="wrong box")
    assert not take_off_barcode(barcode_id=barcode.pk, at=NOON, by="user:1")

    assert results(label((second, EAN13))) == ["new"]
    assert AuditEntry.objects.get(action="barcode.removed").reason == "wrong box"


@pytest.mark.capability("P3")
def test_products_are_defined_with_their_barcodes_or_not_at_all() -> None:
    sku = SkuFactory.create(code="A-1")
    other = SkuFactory.create(code="B-1")

    def define(target: Sku, *barcodes: str) -> str:
        draft = ProductDraft(target.spu.code, {}, [SkuDraft(target.code, {"name": "new"}, barcodes)])
        [told] = define_products(products=[draft], at=NOON, by="key:1")
        return told.result

    assert [define(sku, EAN13), define(sku, EAN13), define(other, EAN8, EAN13)] == [
        "changed",
        "unchanged",
        "refused",
    ]
    other.refresh_from_db()
    assert other.name != "new"
    assert not other.barcodes.exists()
    assert OutboxEvent.objects.filter(kind="products.ProductsChanged").count() == 1


def test_barcodes_of_before_get_their_kinds() -> None:
    sku = SkuFactory.create()
    for code in (UPC, UPC_AS_EAN13, EAN13, "2100000000012", "6901234567893", "OLD"):
        Barcode.objects.create(code=code, sku=sku)

    importlib.import_module("products.migrations.0011_trade_numbers_are_known").say_kinds(apps, None)

    kinds = dict(Barcode.objects.values_list("code", "kind"))
    assert kinds == {
        UPC: "upc",
        UPC_AS_EAN13: "internal",
        EAN13: "ean13",
        "2100000000012": "internal",
        "6901234567893": "internal",
        "OLD": "internal",
    }


@pytest.mark.django_db(transaction=True)
def test_of_many_who_want_the_same_barcode_at_once_one_has_it() -> None:
    skus = [SkuFactory.create() for _ in range(8)]

    told = run_together([partial(label, (sku, code)) for sku in skus for code in (UPC, UPC_AS_EAN13)])

    owner = Barcode.objects.get().sku_id
    assert sum(row.result == "new" for [row] in told) == 1
    assert {row.result for [row] in told} == {"new", "unchanged", "refused"}
    assert resolve_barcodes([UPC]) == {UPC: owner}
