"""Lists cost the same number of statements whatever their length; details carry an ETag; pages do not repeat."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import ListingDrift
from inventory.models import (
    PublishedStock,
    QuotaRule,
    ShopExposure,
    StockAlert,
    StockComparison,
    StockDifference,
)
from orders.confirm import ConfirmedParcel, confirm_shipment
from orders.models import FulfilmentOrder, ParcelLine, SalesOrder
from orders.release import ReleaseAnswer, claim_planned, record_release_answers
from orders.review import review_captured
from orders.source import source_orders
from products.models import (
    AssortmentRule,
    AssortmentRun,
    AssortmentShop,
    Barcode,
    Catalogue,
    Image,
    ImageUse,
    ShopCatalogue,
)
from products.observe import SeenItem, observe_items
from products.update import update_listings
from tests.factories.api import Caller
from tests.factories.inventory import make_documents
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft
from tests.factories.prices import asked
from tests.factories.products import ListingFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]

# The key, then the list itself; the others say what they are.
STATEMENTS = {
    "brands": 2,
    "categories": 2,
    "spus": 3,  # + pictures
    "skus": 5,  # + barcodes, pictures, components of bundles
    "images": 2,
    "shops": 2,
    "listings": 2,
    "listing-requests": 2,
    "outer-items": 4,  # + suggestions, those of them that the caller may see
    "drifts": 2,
    "price-requests": 2,
    "catalogues": 3,  # + their shops
    "assortment-rules": 3,  # + their shops
    "assortment-runs": 3,  # + their shops
    "locations": 2,
    "transfers": 3,  # + lines
    "count-sheets": 3,  # + lines
    "stock/levels": 2,
    "stock/published": 2,
    "stock/compares": 2,
    "stock/differences": 2,
    "stock/alerts": 2,
    "stock/exposures": 2,
    "quota-rules": 2,
    "orders": 2,
    "shipments": 3,  # + lines
    "parked-orders": 2,
}


def furnish(house: House) -> None:
    """One more row for each list."""
    Barcode.objects.create(code=f"690{Barcode.objects.count()}", sku=house.sku)
    about = {"name": "a", "kind": "png", "width": 1, "height": 1, "bytes": 1, "created_by": "user:1"}
    image = Image.objects.create(brand=house.sku.spu.brand, **about)
    ImageUse.objects.create(image=image, sku=house.sku, position=0)
    listing = ListingFactory.create(shop=house.shop, sku=house.sku)
    update_listings(listing_ids=[listing.pk], at=NOON, by="user:1")
    seen = SeenItem(f"new-{listing.pk}", "", outer_code=house.sku.code)
    observe_items(shop_id=house.shop.pk, items=[seen], source="channel", at=NOON)
    moments = dict.fromkeys(("since", "held_since", "seen_at"), NOON)
    told = {"what": "title", "ours": "a", "theirs": "b", "version": 1, "cause": "unsaid"}
    ListingDrift.objects.create(listing=listing, shop=house.shop, **told, **moments)
    PublishedStock.objects.create(listing=listing, shop=house.shop)
    said: dict[str, Any] = {"location": house.location, "basis": "gross", "cut_off_at": NOON}
    comparison = StockComparison.objects.create(source="ERP", by="user:1", **said)
    StockDifference.objects.create(
        sku=house.sku, ours=1, theirs=2, comparison=comparison, since=NOON, state="gone", **said
    )
    group = house.location.group
    StockAlert.objects.create(sku=house.sku, group=group, level=9, sellable=1, lowest=1, state="closed")
    asked(house.sku, 99, shop=house.shop)
    QuotaRule.objects.create(group=house.location.group, shop=house.shop)
    shown = {"units_per_hour": 1, "low_water": 2, "part_from": 0, "part_to": 1}
    ShopExposure.objects.create(group=house.location.group, shop=house.shop, sku=house.sku, **shown)
    number = Catalogue.objects.count()
    catalogue = Catalogue.objects.create(code=f"c{number}", name="c", brand=house.sku.spu.brand)
    ShopCatalogue.objects.get_or_create(shop=house.shop, defaults={"catalogue": catalogue})
    rule = AssortmentRule.objects.create(name=f"r{number}", brand=house.sku.spu.brand)
    rule.shops.set([house.shop])
    run = AssortmentRun.objects.create(source="person", judged_at=NOON, created_by="user:1")
    AssortmentShop.objects.create(run=run, shop=house.shop)
    make_documents(house)
    house.take(order_draft(line_draft(house.sku, sku_code="?")))
    ship(house, house.order())


def ship(house: House, order: SalesOrder) -> None:
    """Bring an order all the way to its parcel."""
    review_captured(limit=10, at=NOON)
    source_orders(limit=10, at=NOON, by="test")
    planned = claim_planned(location_id=house.location.pk, limit=10, at=NOON, by="test")
    answers = [ReleaseAnswer(row.fulfilment_id, "accepted", f"WMS-{row.number}", "") for row in planned]
    record_release_answers(answers=answers, at=NOON, by="test")
    for fulfilment in FulfilmentOrder.objects.filter(lines__order=order).distinct():
        parcel = ConfirmedParcel("SF", f"SF{fulfilment.pk}", [(house.sku.code, 1)], 500)
        confirm_shipment(
            location_id=house.location.pk,
            number=fulfilment.number,
            event_key=f"event-{fulfilment.pk}",
            parcels=[parcel],
            is_final=True,
            shipped_at=NOON,
            at=NOON,
            by="test",
        )


@pytest.mark.parametrize("path", STATEMENTS)
def test_a_list_costs_the_same_whatever_its_length(path: str) -> None:
    caller = Caller()
    caller.get("brands")
    furnish(make_house(stock=10))
    short = caller.get(path).json()["results"]
    for _ in range(3):
        furnish(make_house(stock=10))

    with CaptureQueriesContext(connection) as queries:
        answer = caller.get(path)

    rows = answer.json()["results"]
    assert len(rows) > len(short) or path == "categories"
    assert len(queries) == STATEMENTS[path]


def test_an_order_is_told_with_all_that_belongs_to_it_in_a_fixed_number_of_statements() -> None:
    house, caller = make_house(stock=10), Caller()
    caller.get("brands")
    order = house.order(line_draft(house.sku), line_draft(house.sku))
    other = house.order()
    ship(house, other)

    with CaptureQueriesContext(connection) as queries:
        answer = caller.get(f"orders/{other.number}")

    told = answer.json()
    assert (told["number"], told["stage"], told["total_amount"]) == (other.number, "shipped", "10.0000")
    assert [line["sku"] for line in told["lines"]] == [house.sku.code]
    assert [row["state"] for row in told["fulfilments"]] == ["shipped"]
    assert [(row["carrier_code"], row["lines"][0]["quantity"]) for row in told["parcels"]] == [("SF", 1)]
    assert told["timeline"][0]["kind"] == "captured"
    assert told["receiver"] == "张** *******8000 广东省 广州市"
    assert "13800138000" not in answer.content.decode()
    assert len(queries) <= 10
    assert len(caller.get(f"orders/{order.number}").json()["lines"]) == 2


def test_a_shipment_shows_only_lines_of_orders_that_the_caller_may_see() -> None:
    house, other = make_house(stock=10), make_house(stock=10)
    ship(house, house.order())
    ship(other, other.order())
    # One parcel with goods of both shops, as a merge would make it.
    ours, theirs = ParcelLine.objects.order_by("pk")
    ParcelLine.objects.filter(pk=theirs.pk).update(parcel=ours.parcel)

    rows = Caller(house.shop).get("shipments").json()["results"]

    assert [line["sku"] for row in rows for line in row["lines"]] == [house.sku.code]


def test_pages_cover_every_order_once() -> None:
    house, caller = make_house(stock=10), Caller()
    numbers = [house.order().number for _ in range(7)]
    seen: list[str] = []
    path: str | None = "orders?page_size=3"

    while path:
        page: Any = caller.get(path).json()
        seen += [row["number"] for row in page["results"]]
        path = page["next"].partition("/api/v1/")[2] if page["next"] else None

    assert seen == numbers[::-1]


def test_what_has_not_changed_is_not_sent_again() -> None:
    house, caller = make_house(stock=10), Caller()
    order = house.order()
    first = caller.get(f"orders/{order.number}")

    same = caller.get(f"orders/{order.number}", **{"If-None-Match": first["ETag"]})
    caller.post(f"orders/{order.number}/cancel", {"reason": "test"})
    other = caller.get(f"orders/{order.number}", **{"If-None-Match": first["ETag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert (other.status_code, other.json()["stage"]) == (200, "cancelled")
    assert "private" in first["Cache-Control"]


def test_orders_are_found_by_what_people_know_of_them() -> None:
    house, caller = make_house(stock=1), Caller()
    held = house.order(total_amount=Decimal(7))
    short = house.order(outer_id="web-1")

    def found(query: str) -> set[str]:
        return {row["number"] for row in caller.get(f"orders?{query}").json()["results"]}

    assert found(f"shop={house.shop.code}") == {held.number, short.number}
    assert found("outer_id=web-1") == found(f"number={short.number}") == {short.number}
    assert found("is_held=true") == {held.number}
    assert found("is_short=true") == {short.number}
    assert found("stage=cancelled") == set()
    assert found("captured_since=2026-05-04T20:00:00%2B08:00") == {held.number, short.number}
    assert found("captured_before=2026-05-04T20:00:00%2B08:00") == set()


def test_skus_are_found_by_barcode_and_by_change() -> None:
    house, caller = make_house(), Caller()
    Barcode.objects.create(code="6901234567892", sku=house.sku)
    row = caller.get("skus?barcode=6901234567892").json()["results"][0]

    assert (row["code"], row["barcodes"]) == (house.sku.code, ["6901234567892"])
    assert caller.get("skus?changed_since=2026-01-01T00:00:00Z").json()["results"]
    assert caller.get("skus?changed_since=2090-01-01T00:00:00Z").json()["results"] == []


def test_every_answer_names_its_request() -> None:
    caller = Caller()

    given = caller.get("orders", **{"X-Request-ID": "erp-4711"})
    forged = caller.get("orders", **{"X-Request-ID": "a b\tc" * 50})
    own = caller.get("orders")
    refused = caller.get("nowhere", **{"X-Request-ID": "erp-4712"})

    assert given["X-Request-ID"] == "erp-4711"
    assert refused["X-Request-ID"] == "erp-4712"
    assert len(own["X-Request-ID"]) == len(forged["X-Request-ID"]) == 36
