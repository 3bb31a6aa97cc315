"""Products come as a file: made or changed by code, with the reason where they cannot be, and taken back whole."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils.translation import override
from python_calamine import CalamineWorkbook

from omni.kernel.history import history_of
from omni.kernel.imports.commit import start_commit, start_retry
from omni.kernel.imports.export import csv_chunks, template_csv, write_template, write_xlsx
from omni.kernel.imports.preview import start_preview
from omni.kernel.imports.undo import start_undo
from omni.kernel.imports.upload import upload_file
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Import, Job, OutboxEvent
from omni.kernel.sql import fetch_all
from omni.wiring import JOBS
from products.events import ProductsChanged
from products.imports.skus import BARCODE_TWICE, OPEN, SAYING_BARCODES, SAYING_CODES, SKUS, TORN, TWICE
from products.models import Barcode, Brand, Category, CategoryAttribute, Sku, Spu
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, ListingFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P6")]

HEADING = "SKU code,SKU name,Product code (SPU),Product name,Brand code,Category code,Barcodes,Weight (g),List price\n"
GTIN = "6901234567892"


@pytest.fixture
def brand() -> Brand:
    return BrandFactory.create(code="ACME")


@pytest.fixture
def serums() -> Category:
    return Category.objects.create(code="serum", name="Serum", path="serum/")


def row(code: str = "S-1", **cells: str) -> str:
    said = {
        "name": f"Serum {code}",
        "spu": "SERUM",
        "spu_name": "",
        "brand": "ACME",
        "category": "",
        "barcodes": "",
        "weight": "",
        "price": "",
    } | cells
    return ",".join([code, *said.values()]) + "\n"


def work(job: Job) -> Job:
    claimed = claim_job(at=NOON, job_id=job.pk)
    assert claimed is not None
    return run_job(job=claimed, works=JOBS)


def preview(*rows: str, brands: Sequence[str] | None = None, by: str = "user:1", data: bytes = b"") -> Import:
    run = upload_file(
        target=SKUS,
        name="products.csv",
        chunks=[data or (HEADING + "".join(rows)).encode()],
        params={"brands": brands},
        at=NOON,
        by=by,
    )
    work(start_preview(run_id=run.pk, target=SKUS, at=NOON, by=by))
    run.refresh_from_db()
    return run


def take(*rows: str, by: str = "user:1", data: bytes = b"") -> Import:
    run = preview(*rows, by=by, data=data)
    work(start_commit(run_id=run.pk, at=NOON, by=by))
    run.refresh_from_db()
    return run


def undo(run: Import) -> Job:
    job = work(start_undo(run_id=run.pk, target=SKUS, at=NOON, by="user:1"))
    run.refresh_from_db()
    return job


def faults(run: Import) -> list[tuple[int, str, str]]:
    """Line, reason and column of the rows that were refused."""
    found = run.rows.filter(status="error").order_by("line_no")
    return list(found.values_list("line_no", "reason", "column"))


# --- making and changing ------------------------------------------------------------------------------------------


def test_a_file_makes_skus_with_their_products_and_barcodes(brand: Brand, serums: Category) -> None:
    run = take(
        row("S-1", spu_name="Serum", category="serum", barcodes=f"{GTIN} A-77", weight="120", price="129.5"),
        row("S-2"),
        row("ALONE", spu=""),
    )

    assert (run.lines, run.done, run.error) == (3, 3, 0)
    assert run.summary == {"skus": 3, "products": 2, "barcodes": 2}
    first = Sku.objects.get(code="S-1")
    assert (first.name, first.weight_grams, first.list_price) == ("Serum S-1", 120, Decimal("129.5"))
    assert (first.currency, first.is_active) == ("CNY", True)
    assert (first.spu.code, first.spu.name, first.spu.brand, first.spu.category) == (
        "SERUM",
        "Serum",
        brand,
        serums,
    )
    assert set(first.barcodes.values_list("code", flat=True)) == {GTIN, "A-77"}
    assert Sku.objects.get(code="S-2").spu == first.spu
    assert Sku.objects.get(code="ALONE").spu.code == "ALONE"


def test_the_preview_shows_what_would_change_and_changes_nothing(brand: Brand, serums: Category) -> None:
    take(row("S-1", price="100", barcodes=GTIN))

    run = preview(
        row(
            "S-1", price="99.90", category="serum", barcodes=f"{GTIN};B-2", name="Serum, new".replace(",", "")
        )
    )

    assert (run.new, run.changed, run.unchanged) == (0, 1, 0)
    assert run.rows.get().changes == {
        "name": ["Serum S-1", "Serum new"],
        "list_price": ["100", "99.9"],
        "category": [None, "serum"],
        "barcodes": ["", "B-2"],
    }
    assert Sku.objects.get().list_price == 100


def test_uploading_again_changes_by_code_and_never_doubles(brand: Brand, serums: Category) -> None:
    rows = [row("S-1", price="100", barcodes=GTIN), row("S-2", category="serum")]
    take(*rows)

    again = take(*rows)
    changed = take(row("S-1", price="90"), row("S-2", spu_name="Better serum"))

    assert (again.new, again.changed, again.unchanged) == (0, 0, 2)
    assert changed.done == 2
    assert changed.summary == {"skus_changed": 1, "products_changed": 1}
    assert Sku.objects.get(code="S-1").list_price == 90
    assert Spu.objects.get().name == "Better serum"
    assert (Sku.objects.count(), Spu.objects.count(), Barcode.objects.count()) == (2, 1, 1)


def test_season_and_tags_are_said_of_the_product_and_taken_back_with_the_file(brand: Brand) -> None:
    heading = "SKU code,SKU name,Product code (SPU),Brand code,Season,Tags\n"
    first = heading + 'S-1,One,SERUM,ACME,2026AW,"new，gift, new"\nS-2,Two,SERUM,ACME,,\n'
    take(data=first.encode())
    made = (Spu.objects.get().season, Spu.objects.get().tags)

    again = preview(data=first.encode())
    change = (heading + "S-1,,,,2027SS,gift\n").encode()
    preview_of_change = preview(data=change)
    run = take(data=change)
    changed = (Spu.objects.get().season, Spu.objects.get().tags)
    undo(run)

    assert made == ("2026AW", ["gift", "new"])
    assert again.unchanged == 2
    assert preview_of_change.rows.get().changes == {
        "season": ["2026AW", "2027SS"],
        "tags": ["gift, new", "gift"],
    }
    assert changed == ("2027SS", ["gift"])
    assert (Spu.objects.get().season, Spu.objects.get().tags) == made


def test_tags_that_are_too_long_and_lines_that_disagree_about_a_season_are_refused(brand: Brand) -> None:
    heading = "SKU code,SKU name,Product code (SPU),Brand code,Season,Tags\n"
    rows = ["S-1,One,SERUM,ACME,A,", "S-2,Two,SERUM,ACME,B,", f"S-3,Three,TONIC,ACME,,{'x' * 33}"]

    run = preview(data=(heading + "\n".join(rows) + "\n").encode())

    assert faults(run) == [(3, "contradiction", "Season"), (4, "bad_tags", "Tags")]


def test_an_empty_cell_leaves_what_is_known(brand: Brand, serums: Category) -> None:
    take(row("S-1", price="100", barcodes=GTIN, category="serum", weight="50", spu_name="Serum"))

    run = take(row("S-1", name="", spu="", brand=""))

    assert run.unchanged == 1
    sku = Sku.objects.get()
    assert (sku.name, sku.spu.name) == ("Serum S-1", "Serum")
    assert (sku.list_price, sku.weight_grams) == (Decimal(100), 50)
    assert sku.barcodes.count() == 1


def test_a_sku_whose_product_is_not_said_stays_in_its_product(brand: Brand) -> None:
    take(row("S-1"))

    run = take(row("S-1", spu="", price="5"))

    assert run.summary == {"skus_changed": 1}
    assert (Sku.objects.get().spu.code, Spu.objects.count()) == ("SERUM", 1)


def test_who_changed_it_stands_in_its_history(brand: Brand, rf: Any) -> None:
    boss = User.objects.create_superuser("boss")
    take(row("S-1", price="100"))

    take(row("S-1", price="90"), by=f"user:{boss.pk}")

    request = rf.get("/")
    request.user = boss
    entries = history_of(Sku.objects.get(), request=request)
    assert any("boss" in str(entry) for entry in entries)


# --- what cannot be taken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reason", "column"),
    [
        ({"brand": "NOBODY"}, "unknown_brand", "Brand code"),
        ({"brand": ""}, "missing_value", "Brand code"),
        ({"name": ""}, "missing_value", "SKU name"),
        ({"category": "nowhere"}, "unknown_category", "Category code"),
        ({"price": "a lot"}, "bad_number", "List price"),
        ({"price": "-1"}, "out_of_range", "List price"),
        ({"weight": "1.5"}, "bad_number", "Weight (g)"),
        ({"barcodes": "6901234567893"}, "bad_barcode", "Barcodes"),
        ({"barcodes": "96385075"}, "bad_barcode", "Barcodes"),
        ({"barcodes": "TAKEN"}, "foreign_barcode", "Barcodes"),
    ],
)
def test_a_row_that_cannot_be_taken_says_why_and_in_which_column(
    brand: Brand, cells: dict[str, str], reason: str, column: str
) -> None:
    other = SkuFactory.create()
    Barcode.objects.create(code="TAKEN", sku=other)

    run = take(row("GOOD"), row("S-1", **({"spu": "NEW"} | cells)))

    assert faults(run) == [(3, reason, column)]
    assert run.rows.get(line_no=3).detail
    assert Sku.objects.filter(code="GOOD").exists()
    assert not Sku.objects.filter(code="S-1").exists()


def test_what_an_earlier_line_names_already_is_refused(brand: Brand) -> None:
    run = take(
        row("S-1", barcodes=GTIN),
        row("S-2", barcodes=GTIN),
        row("S-1", price="5"),
        row("S-3", barcodes="X-1 X-2"),
        row("S-4", barcodes="X-2"),
    )

    assert faults(run) == [
        (3, "duplicate_barcode", "Barcodes"),
        (4, "duplicate_sku", "SKU code"),
        (6, "duplicate_barcode", "Barcodes"),
    ]
    assert "Line 2" in run.rows.get(line_no=3).detail
    assert (run.done, run.error) == (2, 3)
    assert set(Sku.objects.values_list("code", flat=True)) == {"S-1", "S-3"}
    assert Sku.objects.get(code="S-1").list_price is None


def test_duplicates_are_found_across_the_whole_file_and_not_only_side_by_side(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni.kernel.imports.preview.READ_CHUNK", 2)

    run = take(row("S-1"), row("S-2"), row("S-3"), row("S-1"))

    assert faults(run) == [(5, "duplicate_sku", "SKU code")]


def _rows_touched(plan: dict[str, Any]) -> int:
    """How many rows all steps of an executed plan gave or threw away, every time that they ran."""
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    own = sum(plan.get(name, 0) for name in names) * plan["Actual Loops"]
    return int(own) + sum(_rows_touched(below) for below in plan.get("Plans", ()))


def test_looking_for_what_is_named_twice_costs_as_much_more_as_the_file_is_longer(brand: Brand) -> None:
    touched = []
    for count in (200, 800):
        # Nothing is named twice but by the last line, and nobody has told the planner anything of these rows.
        rows = [row(f"S-{n}", barcodes=f"B-{n}") for n in range(count)]
        run = preview(*rows, row("S-0", barcodes="B-1"), data=b"")
        where = {"run": run.pk, "open": OPEN, "keys": ["S-0", "B-1"]}
        plans = [
            fetch_all(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", where)[0][0][0]["Plan"]
            for statement in (TWICE, SAYING_CODES, BARCODE_TWICE, SAYING_BARCODES, TORN)
        ]
        touched.append(sum(_rows_touched(plan) for plan in plans))
        assert faults(run) == [(count + 2, "duplicate_sku", "SKU code")]

    # Compared one with another it would be sixteen times as much.
    assert touched[1] < 5 * touched[0]


def test_lines_that_contradict_one_another_about_their_product_are_refused(
    brand: Brand, serums: Category
) -> None:
    run = take(
        row("S-1", spu_name="Serum"),
        row("S-2", spu_name=""),
        row("S-3", spu_name="Cream"),
        row("S-4", category="serum"),
    )

    assert faults(run) == [(4, "contradiction", "Product name")]
    assert Spu.objects.get().name == "Serum"
    assert Spu.objects.get().category == serums
    assert Sku.objects.count() == 3


def test_a_sku_stays_in_its_product_and_a_product_in_its_brand(brand: Brand) -> None:
    BrandFactory.create(code="OTHER")
    take(row("S-1"), row("T-1", spu="TONIC"))

    run = take(row("S-1", spu="TONIC"), row("T-1", spu="TONIC", brand="OTHER"))

    assert faults(run) == [
        (2, "other_product", "Product code (SPU)"),
        (3, "other_brand", "Brand code"),
    ]


def test_products_of_brands_that_are_not_ones_own_are_neither_made_nor_changed(brand: Brand) -> None:
    foreign = SkuFactory.create(code="F-1")
    code = foreign.spu.brand.code

    run = preview(
        row("N-1", spu="", brand=code),
        row("F-1", spu="", brand="", price="1"),
        row("S-1", spu=foreign.spu.code, brand=""),
        row("OWN", spu=""),
        brands=["ACME"],
    )

    assert faults(run) == [
        (2, "unknown_brand", "Brand code"),
        (3, "other_brand", "Brand code"),
        (4, "other_brand", "Brand code"),
    ]
    assert run.new == 1


def test_what_a_category_wants_to_know_cannot_be_left_unsaid_by_a_file(
    brand: Brand, serums: Category
) -> None:
    wants_of_skus = Category.objects.create(code="shirts", name="Shirts", path="shirts/")
    CategoryAttribute.objects.create(category=serums, code="skin", name="Skin", kind="text", is_required=True)
    CategoryAttribute.objects.create(
        category=wants_of_skus,
        code="size",
        name="Size",
        kind="choice",
        options=[{"code": "S", "name": "S"}],
        is_required=True,
        is_variant=True,
    )
    SkuFactory.create(code="OLD", spu__code="SHIRT", spu__brand=brand, spu__category=wants_of_skus)

    run = take(
        row("S-1", category="serum"),
        row("T-1", spu="SHIRT"),
        row("U-1", spu="TEE", category="shirts"),
        row("OLD", spu="SHIRT", price="9"),
    )

    assert [(line, reason) for line, reason, _column in faults(run)] == [
        (2, "attributes_wanted"),
        (3, "attributes_wanted"),
        (4, "attributes_wanted"),
    ]
    assert "Skin" in run.rows.get(line_no=2).detail
    assert Sku.objects.get().list_price == 9


def test_a_product_of_which_attributes_are_said_is_not_moved_by_a_file(
    brand: Brand, serums: Category
) -> None:
    sku = SkuFactory.create(code="S-1", spu__code="SERUM", spu__brand=brand, attributes={"size": "S"})

    run = take(row("S-1", category="serum"))

    assert faults(run) == [(2, "attributes_wanted", "Category code")]
    assert Spu.objects.get(pk=sku.spu_id).category is None


def test_a_template_that_changed_since_the_preview_is_obeyed(brand: Brand, serums: Category) -> None:
    run = preview(row("S-1", category="serum"))
    CategoryAttribute.objects.create(category=serums, code="skin", name="Skin", kind="text", is_required=True)

    work(start_commit(run_id=run.pk, at=NOON, by="user:1"))

    assert [reason for _line, reason, _column in faults(run)] == ["changed_meanwhile"]
    assert not Sku.objects.exists()


def test_one_event_tells_of_all_that_a_batch_has_changed(brand: Brand) -> None:
    take(row("S-1"), row("S-2"))
    OutboxEvent.objects.all().delete()

    take(row("S-1", price="5"), row("S-2"), row("T-1", spu="TONIC"))

    [event] = OutboxEvent.objects.filter(kind=ProductsChanged.kind())
    skus = Sku.objects.filter(code__in=["S-1", "T-1"]).order_by("pk").values_list("pk", flat=True)
    assert event.payload == {"spu_ids": [Spu.objects.get(code="TONIC").pk], "sku_ids": list(skus)}


def test_rows_can_be_tried_again_when_their_cause_is_gone(brand: Brand) -> None:
    run = take(row("S-1", category="serum"), row("S-2"), row("S-2"))
    assert faults(run) == [(2, "unknown_category", "Category code"), (4, "duplicate_sku", "SKU code")]
    Category.objects.create(code="serum", name="Serum", path="serum/")

    work(start_retry(run_id=run.pk, at=NOON, by="user:1"))

    assert faults(run) == [(4, "duplicate_sku", "SKU code")]
    assert set(Sku.objects.values_list("code", flat=True)) == {"S-1", "S-2"}


def test_what_somebody_else_changed_since_the_preview_costs_its_row_only(brand: Brand) -> None:
    run = preview(row("S-1", barcodes="X-1"), row("S-2"), row("T-1", spu="TONIC"))
    other = SkuFactory.create()
    Barcode.objects.create(code="X-1", sku=other)
    SkuFactory.create(spu__code="TONIC")

    work(start_commit(run_id=run.pk, at=NOON, by="user:1"))

    assert [(line, reason) for line, reason, _column in faults(run)] == [
        (2, "changed_meanwhile"),
        (4, "changed_meanwhile"),
    ]
    assert Sku.objects.filter(code="S-2").exists()
    assert not Sku.objects.filter(code__in=["S-1", "T-1"]).exists()


# --- taking back ---------------------------------------------------------------------------------------------------


def test_an_import_is_taken_back_as_if_it_had_not_been(brand: Brand, serums: Category) -> None:
    take(row("S-1", price="100", spu_name="Serum"))
    run = take(
        row("S-1", price="90", barcodes=GTIN, spu_name="Better", category="serum"),
        row("S-2"),
        row("T-1", spu="TONIC", barcodes="X-1"),
        row("T-2", spu="TONIC"),
    )

    undo(run)

    assert run.state == Import.State.UNDONE
    sku = Sku.objects.get()
    assert (sku.code, sku.spu.name, sku.spu.category_id) == ("S-1", "Serum", None)
    assert sku.list_price == Decimal(100)
    assert (Spu.objects.count(), Barcode.objects.count()) == (1, 0)


def test_an_import_goes_back_even_where_its_products_are_spread_over_many_chunks(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SKUS.__class__, "chunk_rows", 2)
    run = take(*[row(f"S-{number}") for number in range(7)])
    assert Sku.objects.count() == 7

    undo(run)

    assert (Sku.objects.count(), Spu.objects.count()) == (0, 0)


def test_nothing_is_taken_back_once_one_row_is_in_use(brand: Brand) -> None:
    run = take(row("S-1"), row("S-2"))
    ListingFactory.create(sku=Sku.objects.get(code="S-2"))

    job = undo(run)

    assert job.state == Job.State.FAILED
    assert "line 3" in run.message
    assert "S-2" in run.message
    assert (run.state, Sku.objects.count()) == (Import.State.DONE, 2)


@pytest.mark.parametrize("what", ["sku", "spu", "barcode", "sku of the product"])
def test_what_somebody_changed_since_is_not_overwritten(brand: Brand, what: str) -> None:
    take(row("S-1", price="100", spu_name="Serum"))
    run = take(row("S-1", price="90", spu_name="Better"), row("T-1", spu="TONIC"))
    tonic = Sku.objects.get(code="T-1")
    if what == "sku":
        Sku.objects.filter(code="S-1").update(list_price=80)
    elif what == "spu":
        Spu.objects.filter(code="SERUM").update(name="Best")
    elif what == "barcode":
        Barcode.objects.create(code="LATER", sku=tonic)
    else:
        SkuFactory.create(spu=tonic.spu)

    job = undo(run)

    assert job.state == Job.State.FAILED
    assert run.state == Import.State.DONE
    assert Sku.objects.filter(code="T-1").exists()


# --- templates and the way out --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_template_in_either_language_is_understood_in_the_other(brand: Brand, language: str) -> None:
    with override(language):
        filled = template_csv(SKUS.fields).replace(b"SERUM,Serum,,", b"SERUM,Serum,ACME,")
    with override("en" if language == "zh-hans" else "zh-hans"):
        run = take(data=filled)

    assert len(run.columns) == len(SKUS.fields)
    assert run.done == 1
    assert Sku.objects.get().code == "SERUM-30"


def test_a_templates_lists_offer_the_brands_and_categories_that_there_are(
    brand: Brand, serums: Category, tmp_path: Path
) -> None:
    BrandFactory.create(code="OTHER")
    file = tmp_path / "t.xlsx"

    write_template(file, SKUS.fields, title="Products", offered=SKUS.offered({"brands": ["ACME"]}))

    with CalamineWorkbook.from_path(file) as book:
        assert book.sheet_names == ["Products", "Notes", "Lists"]
        assert book.get_sheet_by_name("Lists").to_python() == [
            ["Brand code", "Category code"],
            ["ACME", "serum"],
        ]
    assert len(SKUS.offered({})["brand"]) == 2


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_what_is_exported_can_be_imported_and_changes_nothing(
    brand: Brand, serums: Category, kind: str, language: str
) -> None:
    take(
        row("S-1", spu_name="=Serum", category="serum", barcodes=f"{GTIN} A-7", weight="120", price="129.5"),
        row("S-2", name="精华"),
    )
    Sku.objects.filter(code="S-2").update(is_active=False)
    Spu.objects.update(season="2026AW", tags=["gift", "new"])
    SkuFactory.create(code="FOREIGN")

    with override(language):
        header = [str(field.label) for field in SKUS.fields]
        rows = SKUS.export({"brands": ["ACME"]})
        assert rows is not None
        if kind == "csv":
            data = b"".join(csv_chunks(header, rows))
        else:
            buffer = io.BytesIO()
            write_xlsx(buffer, header, rows, title=str(SKUS.label))
            data = buffer.getvalue()
    run = preview(data=data)

    assert (run.lines, run.unchanged) == (2, 2), list(run.rows.values_list("changes", "detail"))
    assert len(run.columns) == len(SKUS.fields)


def test_a_long_export_is_read_page_by_page_and_complete(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("products.imports.skus.EXPORT_PAGE", 2)
    take(*[row(f"S-{number}") for number in range(5)])

    rows = SKUS.export({})

    assert rows is not None
    assert [exported[0] for exported in rows] == [f"S-{number}" for number in range(5)]


def test_a_barcode_with_other_zeros_before_it_is_the_same_one(brand: Brand, serums: Category) -> None:
    upc, as_ean13 = "036000291452", "0036000291452"
    take(row("S-1", category="serum", barcodes=upc))

    again = preview(row("S-1", category="serum", barcodes=as_ean13))
    foreign = preview(row("S-2", category="serum", barcodes=as_ean13))

    assert Barcode.objects.get().kind == "upc"
    assert again.rows.get().status == "unchanged"
    assert [fault[1] for fault in faults(foreign)] == ["foreign_barcode"]
