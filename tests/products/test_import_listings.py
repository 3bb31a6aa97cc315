"""Listings come as a file: drafted or mapped, titled, never twice, and taken back while nothing has come of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils.translation import override

from omni.kernel.imports.commit import start_commit
from omni.kernel.imports.export import csv_chunks, template_csv
from omni.kernel.imports.preview import start_preview
from omni.kernel.imports.undo import start_undo
from omni.kernel.imports.upload import upload_file
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import AuditEntry, Import, Job, OutboxEvent
from omni.wiring import JOBS
from products.draft import draft_listings, submit_listings
from products.events import ListingsChanged
from products.imports.listings import LISTINGS
from products.models import Listing, OuterItem, Shop, Sku, StaffScope
from products.observe import SeenItem, observe_items
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P6", "P15")]

HEADING = "Shop code,SKU code,Outer item id,Outer SKU id,Shop's title\n"


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create(code="TM")


@pytest.fixture
def sku() -> Sku:
    return SkuFactory.create(code="S-1")


def row(sku: str = "S-1", item: str = "", outer: str = "", title: str = "", *, shop: str = "TM") -> str:
    return ",".join([shop, sku, item, outer, title]) + "\n"


def work(job: Job) -> Job:
    claimed = claim_job(at=NOON, job_id=job.pk)
    assert claimed is not None
    return run_job(job=claimed, works=JOBS)


def preview(*rows: str, data: bytes = b"", **params: Any) -> Import:
    run = upload_file(
        target=LISTINGS,
        name="listings.csv",
        chunks=[data or (HEADING + "".join(rows)).encode()],
        params=params,
        at=NOON,
        by="user:1",
    )
    work(start_preview(run_id=run.pk, target=LISTINGS, at=NOON, by="user:1"))
    run.refresh_from_db()
    return run


def take(*rows: str, data: bytes = b"") -> Import:
    run = preview(*rows, data=data)
    work(start_commit(run_id=run.pk, at=NOON, by="user:1"))
    run.refresh_from_db()
    return run


def undo(run: Import) -> Job:
    job = work(start_undo(run_id=run.pk, target=LISTINGS, at=NOON, by="user:1"))
    run.refresh_from_db()
    return job


def faults(run: Import) -> list[tuple[int, str, str]]:
    """Line, reason and column of the rows that were refused."""
    found = run.rows.filter(status="error").order_by("line_no")
    return list(found.values_list("line_no", "reason", "column"))


def all_listings() -> list[tuple[str, str | None, str, str, str]]:
    rows = Listing.objects.order_by("pk").values_list(
        "sku__code", "outer_item_id", "outer_sku_id", "title", "state"
    )
    return list(rows)


# --- making and changing ------------------------------------------------------------------------------------------


def test_a_row_maps_an_item_or_drafts_the_sku_for_its_shop(shop: Shop, sku: Sku) -> None:
    SkuFactory.create(code="S-2")
    observe_items(shop_id=shop.pk, items=[SeenItem("600", "700", "Serum")], source="channel", at=NOON)

    run = take(row("S-1", "600", "700"), row("S-1", "601", "701"), row("S-2", title="Serum  two"))

    assert (run.lines, run.done, run.error) == (3, 3, 0), faults(run)
    assert run.summary == {"listings": 2, "listings_drafted": 1, "listings_retitled": 1}
    assert all_listings() == [
        ("S-1", "600", "700", "Serum", "listed"),  # as its channel calls it
        ("S-1", "601", "701", "", "listed"),
        ("S-2", None, "", "Serum two", "draft"),
    ]
    assert OuterItem.objects.get(outer_item_id="600").state == "mapped"
    [event] = OutboxEvent.objects.filter(kind=ListingsChanged.kind())
    assert event.payload == {"shop_id": shop.pk, "sku_ids": [sku.pk]}
    assert AuditEntry.objects.filter(action="listing.mapped", by="user:1").count() == 2


def test_what_was_drafted_gets_its_item_and_stays_one_listing(shop: Shop, sku: Sku) -> None:
    draft_listings(shop_ids=[shop.pk], sku_ids=[sku.pk], at=NOON, by="user:1")

    run = preview(row("S-1", "600", "700"))
    work(start_commit(run_id=run.pk, at=NOON, by="user:1"))

    assert run.rows.get().changes == {"outer_item_id": [None, "600"]}
    assert all_listings() == [("S-1", "600", "700", "", "draft")]


def test_the_same_file_again_changes_nothing_and_a_title_is_seen_beside_the_old_one(
    shop: Shop, sku: Sku
) -> None:
    SkuFactory.create(code="S-2")
    rows = [row("S-1", "600", "700", "Serum"), row("S-2")]
    take(*rows)

    again = take(*rows)
    renamed = preview(row("S-1", "600", "700", "Better serum"), row("S-1", title="Better"))

    assert (again.unchanged, again.done) == (2, 0)
    assert Listing.objects.count() == 2
    assert renamed.rows.get(line_no=2).changes == {"title": ["Serum", "Better serum"]}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_what_goes_out_comes_in_again_as_it_is_in_either_language(
    shop: Shop, sku: Sku, language: str
) -> None:
    take(row("S-1", "600", "700", "=Serum"), row(SkuFactory.create(code="S-2").code))

    with override(language):
        data = b"".join(
            csv_chunks([str(field.label) for field in LISTINGS.fields], list(LISTINGS.export({})))
        )
        template = template_csv(LISTINGS.fields).decode()
    run = preview(data=data)

    assert (run.lines, run.unchanged) == (2, 2), faults(run)
    assert ("店铺编码" in template) == (language == "zh-hans")


# --- what cannot be taken -----------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_taken_says_why_and_in_which_column(shop: Shop, sku: Sku) -> None:
    ListingFactory.create(shop=shop, outer_item_id="600", outer_sku_id="700")
    two = SkuFactory.create(code="TWO")
    for outer in ("1", "2"):
        ListingFactory.create(shop=shop, sku=two, outer_item_id="650", outer_sku_id=outer)
    SkuFactory.create(code="OLD", is_active=False)

    run = take(
        row("S-1", shop="NONE"),
        row("NONE"),
        row("S-1", "600", "700"),
        row("S-1", outer="700"),
        row("OLD"),
        row("TWO", title="Which?"),
        row("S-1", "610", "710"),
        row("S-1", "610", "710"),
        row("S-1", "620", "x" * 65),
    )

    assert faults(run) == [
        (2, "unknown_shop", "Shop code"),
        (3, "unknown_sku", "SKU code"),
        (4, "mapped_otherwise", "Outer item id"),
        (5, "item_missing", "Outer item id"),
        (6, "inactive_sku", "SKU code"),
        (7, "which_item", "Outer item id"),
        (9, "named_twice", "SKU code"),
        (10, "too_long", "Outer SKU id"),
    ]
    assert all(run.rows.filter(status="error").exclude(line_no=10).values_list("detail", flat=True))
    assert [one[:3] for one in all_listings() if one[0] == "S-1"] == [("S-1", "610", "710")]


def test_an_item_that_somebody_else_mapped_since_the_preview_costs_its_row_only(shop: Shop, sku: Sku) -> None:
    run = preview(row("S-1", "600", "700"), row("S-1", "601", "701"))
    ListingFactory.create(shop=shop, outer_item_id="600", outer_sku_id="700")

    work(start_commit(run_id=run.pk, at=NOON, by="user:1"))

    assert faults(run) == [(2, "mapped_otherwise", "Outer item id")]
    assert Listing.objects.filter(sku=sku).count() == 1


def test_shops_and_products_that_are_not_ones_own_are_not_touched(shop: Shop, sku: Sku) -> None:
    ShopFactory.create(code="OTHER")
    foreign = SkuFactory.create(code="F-1")

    run = preview(row(shop="OTHER"), row("F-1"), row(), shops=["TM"], brands=[sku.spu.brand.code])

    assert faults(run) == [(2, "unknown_shop", "Shop code"), (3, "unknown_sku", "SKU code")]
    assert run.new == 1
    assert foreign.spu.brand != sku.spu.brand


def test_a_person_takes_out_the_listings_of_their_shops_only(client: Client) -> None:
    brand = BrandFactory.create()
    mine, other = ShopFactory.create(code="MINE", brand=brand), ShopFactory.create(code="OTHER", brand=brand)
    sku = SkuFactory.create(spu__brand=brand)
    for each in (mine, other):
        ListingFactory.create(shop=each, sku=sku)
    clerk = User.objects.create_user("clerk", is_staff=True)
    codes = ["add_import", "view_import", "change_listing"]
    clerk.user_permissions.set(Permission.objects.filter(codename__in=codes))
    StaffScope.objects.create(user=clerk, shop=mine)
    client.force_login(clerk)

    answer: Any = client.get("/admin/kernel/import/export/products.listings.csv")
    text = b"".join(answer.streaming_content).decode()

    assert "MINE" in text
    assert "OTHER" not in text


# --- taking back --------------------------------------------------------------------------------------------------


def test_taken_back_items_are_unmapped_drafts_gone_and_adopted_ones_drafts_again(
    shop: Shop, sku: Sku
) -> None:
    SkuFactory.create(code="S-2")
    SkuFactory.create(code="S-3")
    observe_items(shop_id=shop.pk, items=[SeenItem("600", "700", "Serum")], source="channel", at=NOON)
    draft_listings(shop_ids=[shop.pk], sku_ids=[sku.pk], at=NOON, by="user:1")
    run = take(row("S-1", "600", "700"), row("S-2", "601", "701"), row("S-3", title="Third"))

    job = undo(run)

    assert job.state == Job.State.DONE, job.message
    assert all_listings() == [("S-1", None, "", "", "draft")]
    assert OuterItem.objects.get(outer_item_id="600").state == "unmapped"


def test_a_draft_that_was_submitted_meanwhile_keeps_everything_from_being_taken_back(
    shop: Shop, sku: Sku
) -> None:
    SkuFactory.create(code="S-2")
    run = take(row("S-1"), row("S-2", "601", "701"))
    draft = Listing.objects.get(sku=sku)
    submit_listings(listing_ids=[draft.pk], at=NOON, by="user:1")

    job = undo(run)

    assert job.state == Job.State.FAILED
    assert "line 2: The draft is submitted by now." in job.message
    assert Listing.objects.count() == 2
