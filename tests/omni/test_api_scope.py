"""A caller sees its own shops and nothing of any other, whatever it asks for."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from integrations.models import ListingDrift
from inventory.holds.hold import (
    hold_stock,
)
from inventory.models import (
    AllocationLine,
    AllocationRun,
    CountSheet,
    PromotionLock,
    PublishedStock,
    QuotaRule,
    Revocation,
    ShopExposure,
    StockAlert,
    StockComparison,
    StockDifference,
    Transfer,
)
from inventory.models.holds import (
    StockHold,
)
from orders.models import ParkedOrder, SalesOrder
from products.models import (
    AssortmentRule,
    AssortmentRun,
    AssortmentShop,
    Brand,
    Catalogue,
    Image,
    Listing,
    ListingRequest,
    OuterItem,
    Price,
    ShopCatalogue,
    StaffScope,
)
from products.observe import SeenItem, observe_items
from products.update import retitle_listings
from tests.factories.api import Caller, order_body
from tests.factories.inventory import make_documents
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft
from tests.factories.prices import asked
from tests.factories.products import ListingFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]

# Every list, and how a row of it is asked for alone.
LISTS = {
    "brands": "code",
    "categories": "code",
    "spus": "code",
    "skus": "code",
    "images": "id",
    "shops": "code",
    "listings": "id",
    "listing-requests": "id",
    "outer-items": "id",
    "drifts": "id",
    "price-requests": "id",
    "catalogues": "code",
    "assortment-rules": "id",
    "assortment-runs": "id",
    "allocation-runs": "id",
    "promotion-locks": "code",
    "revocations": "id",
    "locations": "code",
    "transfers": "number",
    "count-sheets": "number",
    "stock/levels": "",
    "stock/published": "",
    "stock/holds": "key",
    "stock/compares": "id",
    "stock/differences": "id",
    "stock/alerts": "id",
    "stock/exposures": "",
    "quota-rules": "id",
    "orders": "number",
    "shipments": "id",
    "parked-orders": "id",
}
LISTING_ACTS = (
    "submit",
    "approve",
    "reject",
    "take-back",
    "publish",
    "withdraw",
    "update",
    "retitle",
)
TRANSFER_ACTS = ("ship", "receipts", "close", "cancel")
SHEET_ACTS = ("submit", "confirm", "reject")
# Shared by all: where goods lie and what kinds there are is no shop's secret.
COMMON = {"categories", "locations"}
# Nothing of these yet, or nothing for a caller of one shop: a compare concerns every brand of its location.
EMPTY = {"shipments", "stock/compares"}


def furnish(name: str) -> House:
    """A house with something in every list, all of it named after the house."""
    house = make_house(stock=10)
    brand = Brand.objects.create(code=f"{name}-brand", name=f"{name} brand")
    for row in (house.sku, house.sku.spu, house.shop):
        row.code = f"{name}-{row._meta.model_name}"
    house.sku.spu.brand = house.shop.brand = brand
    for changed in (house.sku, house.sku.spu, house.shop):
        changed.save()
    listing = ListingFactory.create(shop=house.shop, sku=house.sku, outer_item_id=f"{name}-item")
    PublishedStock.objects.create(listing=listing, shop=house.shop, desired_quantity=10)
    hold_stock(
        shop_id=house.shop.pk,
        key=f"{name}-cart",
        buyer=f"{name}-buyer",
        lines=[(house.sku.pk, 1)],
        at=NOON,
        by="user:1",
    )
    said: dict[str, Any] = {"location": house.location, "basis": "gross", "cut_off_at": NOON}
    comparison = StockComparison.objects.create(source=f"{name} ERP", by="user:1", **said)
    StockDifference.objects.create(
        sku=house.sku, ours=10, theirs=9, since=NOON, comparison=comparison, **said
    )
    StockAlert.objects.create(
        sku=house.sku, group=house.location.group, shop=house.shop, level=20, sellable=10, lowest=10
    )
    retitle_listings(titles={listing.pk: f"{name} title"}, at=NOON, by="user:1")
    seen = [SeenItem(f"{name}-item", listing.outer_sku_id, "x"), SeenItem(f"{name}-new", "", "y", "ours-sku")]
    observe_items(shop_id=house.shop.pk, items=seen, source="channel", at=NOON)
    ListingDrift.objects.create(
        listing=listing,
        shop=house.shop,
        what="title",
        ours=f"{name} title",
        theirs="x",
        version=1,
        cause="unsaid",
        since=NOON,
        held_since=NOON,
        seen_at=NOON,
    )
    asked(house.sku, 99, shop=house.shop)
    make_documents(house)
    Image.objects.create(
        brand=brand, name=f"{name}-image", kind="png", width=1, height=1, bytes=1, created_by="user:1"
    )
    catalogue = Catalogue.objects.create(code=f"{name}-catalogue", name=f"{name} catalogue", brand=brand)
    ShopCatalogue.objects.create(shop=house.shop, catalogue=catalogue)
    rule = AssortmentRule.objects.create(name=f"{name} rule", brand=brand)
    rule.shops.set([house.shop])
    run = AssortmentRun.objects.create(
        state="planned", source="person", judged_at=NOON, created_by=f"{name} person"
    )
    AssortmentShop.objects.create(run=run, shop=house.shop, state="planned")
    _allocate(house, name)
    QuotaRule.objects.create(group=house.location.group, shop=house.shop, note=f"{name} rule")
    shown = {"units_per_hour": 1, "low_water": 2, "part_from": 0, "part_to": 1}
    ShopExposure.objects.create(group=house.location.group, shop=house.shop, sku=house.sku, **shown)
    house.order(line_draft(house.sku), outer_id=f"{name}-order")
    house.take(order_draft(line_draft(house.sku, sku_code="?"), outer_id=f"{name}-parked"))
    return house


def _allocate(house: House, name: str) -> None:
    """A run with a line of the shop, a promotion, and a unit that is being taken back from it."""
    group, by = house.location.group, f"{name} person"
    allocation = AllocationRun.objects.create(group=group, method="hand", trigger="person", created_by=by)
    AllocationLine.objects.create(
        run=allocation, sku=house.sku, shop=house.shop, kind="quota", label=house.shop.code, before=0, after=1
    )
    lock = PromotionLock.objects.create(
        code=f"{name}-lock",
        name=name,
        group=group,
        starts_at=NOON,
        ends_at=NOON + timedelta(days=1),
        created_by=by,
    )
    lock.shops.set([house.shop])
    Revocation.objects.create(
        group=group,
        sku=house.sku,
        shop=house.shop,
        quantity=1,
        from_kind="quota",
        to_kind="shared",
        started_at=NOON,
        by=by,
    )


@pytest.fixture
def ours() -> House:
    return furnish("ours")


@pytest.fixture
def theirs() -> House:
    return furnish("theirs")


def staff(house: House) -> Client:
    """A member of the staff who may do everything, in this shop."""
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    StaffScope.objects.create(user=user, shop=house.shop)
    client = Client()
    client.force_login(user)
    return client


def detail_paths(house: House) -> list[str]:
    order = SalesOrder.objects.get(shop=house.shop)
    return [
        f"brands/{house.sku.spu.brand.code}",
        f"spus/{house.sku.spu.code}",
        f"skus/{house.sku.code}",
        f"images/{Image.objects.get(brand=house.shop.brand).pk}",
        f"shops/{house.shop.code}",
        f"listings/{Listing.objects.get(shop=house.shop).pk}",
        f"listing-requests/{ListingRequest.objects.get(shop=house.shop).pk}",
        f"outer-items/{OuterItem.objects.get(shop=house.shop, state='unmapped').pk}",
        f"drifts/{ListingDrift.objects.get(shop=house.shop).pk}",
        f"price-requests/{Price.objects.get(shop=house.shop).pk}",
        f"catalogues/{Catalogue.objects.get(brand=house.shop.brand).code}",
        f"assortment-rules/{AssortmentRule.objects.get(shops=house.shop).pk}",
        f"assortment-runs/{AssortmentRun.objects.get(shops__shop=house.shop).pk}",
        f"stock/holds/{StockHold.objects.get(shop=house.shop).key}",
        f"stock/differences/{StockDifference.objects.get(sku=house.sku).pk}",
        f"stock/alerts/{StockAlert.objects.get(sku=house.sku).pk}",
        f"allocation-runs/{AllocationLine.objects.get(shop=house.shop).run_id}",
        f"promotion-locks/{PromotionLock.objects.get(shops=house.shop).code}",
        f"revocations/{Revocation.objects.get(shop=house.shop).pk}",
        f"orders/{order.number}",
        f"parked-orders/{ParkedOrder.objects.get(shop=house.shop).pk}",
    ]


@pytest.mark.parametrize("who", ["key", "staff"])
def test_no_list_shows_a_row_of_another_shop(ours: House, theirs: House, who: str) -> None:
    client = Caller(ours.shop).client if who == "key" else staff(ours)

    for path in LISTS:
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, path
        assert not re.search(rb"theirs[- ]", answer.content), path  # a field is called “theirs”
        assert path in COMMON | EMPTY or b"ours" in answer.content, path


@pytest.mark.parametrize("who", ["key", "staff"])
def test_what_belongs_to_another_shop_is_not_found(ours: House, theirs: House, who: str) -> None:
    client = Caller(ours.shop).client if who == "key" else staff(ours)

    for own, foreign in zip(detail_paths(ours), detail_paths(theirs), strict=True):
        assert client.get(f"/api/v1/{own}").status_code == 200, own
        answer = client.get(f"/api/v1/{foreign}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), foreign


def test_filters_by_what_belongs_to_others_find_nothing(ours: House, theirs: House) -> None:
    caller = Caller(ours.shop)

    for path in (
        "orders?shop=theirs-shop",
        "orders?outer_id=theirs-order",
        "listings?sku=theirs-sku",
        "skus?code=theirs-sku",
        "price-requests?sku=theirs-sku",
        "stock/levels?sku=theirs-sku",
        "stock/published?shop=theirs-shop",
        "parked-orders?outer_id=theirs-parked",
        "shipments?order=" + SalesOrder.objects.get(shop=theirs.shop).number,
    ):
        assert caller.get(path).json()["results"] == [], path


def test_acts_on_what_belongs_to_others_are_not_found_and_change_nothing(ours: House, theirs: House) -> None:
    caller = Caller(ours.shop)
    order = SalesOrder.objects.get(shop=theirs.shop)
    parked = ParkedOrder.objects.get(shop=theirs.shop)
    line = {"location": theirs.location.code, "sku": theirs.sku.code, "quantity": 5}

    answers = {
        404: [
            caller.post("orders", {"shop": theirs.shop.code, **order_body(theirs.sku)}),
            caller.post("orders/batch", {"shop": theirs.shop.code, "orders": [order_body(theirs.sku)]}),
            caller.post(f"orders/{order.number}/cancel", {"reason": "mine"}),
            caller.post(f"parked-orders/{parked.pk}/retry", None),
        ],
        # Named inside a body, it is a fault of the body.
        400: [
            caller.post("stock/receipts", {"number": "R1", "lines": [line]}),
            caller.post("availability", {"items": [{"sku": theirs.sku.code, "shop": ours.shop.code}]}),
            caller.post("availability", {"items": [{"sku": ours.sku.code, "shop": theirs.shop.code}]}),
            caller.get(f"stock/sellable?sku={ours.sku.code}&shop={theirs.shop.code}"),
        ],
    }

    for status, given in answers.items():
        assert [answer.status_code for answer in given] == [status] * 4
    order.refresh_from_db()
    assert order.stage == "captured"
    assert SalesOrder.objects.count() == 2


def test_acts_on_rows_of_others_say_no_more_than_acts_on_rows_that_are_not_there(
    ours: House, theirs: House
) -> None:
    caller = Caller(ours.shop)
    listing = Listing.objects.get(shop=theirs.shop)
    item = OuterItem.objects.get(shop=theirs.shop, state="unmapped")
    drift = ListingDrift.objects.get(shop=theirs.shop)
    difference = StockDifference.objects.get(sku=theirs.sku)
    before = Listing.objects.values().get(pk=listing.pk)

    for path, foreign in (
        *((f"listings/{act}", listing.pk) for act in LISTING_ACTS),
        ("outer-items/map", item.pk),
        ("outer-items/ignore", item.pk),
        ("drifts/push", drift.pk),
        ("drifts/accept", drift.pk),
        *((f"stock/differences/{act}", difference.pk) for act in ("book", "explain", "take")),
    ):
        said = []
        for ident in (foreign, 999_999):
            bodies: dict[str, Any] = {
                "listings/retitle": {"titles": [{"id": ident, "title": "mine"}]},
                "outer-items/map": {"items": [{"id": ident, "sku": ours.sku.code}]},
            }
            answer = caller.post(path, bodies.get(path, {"ids": [ident], "reason": "mine"}))
            assert answer.status_code == 200, path
            said.append(answer.json()["results"][0] | {"id": 0})
        assert said[0] == said[1], path
        assert not said[0]["ok"]

    assert Listing.objects.values().get(pk=listing.pk) == before
    item.refresh_from_db()
    drift.refresh_from_db()
    difference.refresh_from_db()
    assert (difference.state, difference.owner) == ("open", "")
    assert (item.state, drift.pushed_at, drift.closed_at) == ("unmapped", None, None)
    draft = {"shops": [theirs.shop.code], "skus": [ours.sku.code]}
    assert caller.post("listings", draft).status_code == 400


def test_documents_of_others_are_neither_shipped_nor_received_nor_counted(ours: House, theirs: House) -> None:
    caller = Caller(ours.shop)
    transfer = Transfer.objects.get(lines__sku=theirs.sku)
    sheet = CountSheet.objects.get(lines__sku=theirs.sku)
    line = {"sku": theirs.sku.code, "received": 1}
    bodies: dict[str, Any] = {
        "ship": {},
        "receipts": {"number": "R1", "lines": [line]},
        "close": {"reason": "lost"},
        "submit": {},
    }

    for path in (
        *(f"transfers/{transfer.number}/{act}" for act in TRANSFER_ACTS),
        *(f"count-sheets/{sheet.number}/{act}" for act in SHEET_ACTS),
    ):
        answer = caller.post(path, bodies.get(path.rsplit("/", 1)[1], {"reason": "mine"}))
        assert answer.status_code == 404, path

    assert caller.get(f"stock/in-transit?sku={theirs.sku.code}").status_code == 400
    transfer.refresh_from_db()
    sheet.refresh_from_db()
    assert (transfer.state, sheet.state) == ("shipped", "open")


def test_the_sellable_stock_of_other_shops_is_not_told(ours: House, theirs: House) -> None:
    ListingFactory.create(shop=ours.shop, sku=theirs.sku)

    answer = Caller(ours.shop).get(f"stock/sellable?sku={theirs.sku.code}")

    assert answer.status_code == 200
    assert "theirs-shop" not in answer.content.decode()


def test_a_key_for_every_shop_sees_them_all(ours: House, theirs: House) -> None:
    numbers = {row["shop"] for row in Caller().get("orders").json()["results"]}

    assert numbers == {ours.shop.code, theirs.shop.code}


def test_staff_without_a_scope_see_nothing(ours: House) -> None:
    client = staff(ours)
    StaffScope.objects.all().delete()

    assert client.get("/api/v1/orders").json()["results"] == []


def test_staff_need_the_permission_and_visitors_see_nothing(ours: House) -> None:
    client = staff(ours)
    User.objects.get().user_permissions.clear()

    for path in LISTS:
        assert client.get(f"/api/v1/{path}").status_code == 403, path
        assert Client().get(f"/api/v1/{path}").status_code == 401, path


def test_a_key_needs_the_scope_of_each_endpoint(ours: House) -> None:
    number = SalesOrder.objects.get().number
    reader = Caller(scopes=frozenset({"orders:read"}))

    assert reader.get("orders").status_code == 200
    assert reader.get("skus").status_code == 403
    assert reader.get("stock/levels").status_code == 403
    assert reader.get("shipments").status_code == 403
    for path in ("orders", "orders/batch", f"orders/{number}/cancel", "stock/receipts", "stock/counts"):
        assert reader.post(path, {}).status_code == 403, path


def test_every_endpoint_is_in_this_walk(ours: House) -> None:
    acts = {
        "spus/batch",
        "spus/<one>/images",
        "skus/<one>/images",
        "images/<one>/files/<one>",
        *(f"listings/{act}" for act in LISTING_ACTS),
        "outer-items/map",
        "outer-items/ignore",
        "drifts/push",
        "drifts/accept",
        "comparisons",
        "comparisons/<one>",
        "stock/holds/<one>/release",
        "prices",
        "price-requests/submit",
        "price-requests/approve",
        "price-requests/reject",
        "price-requests/withdraw",
        *(f"assortment-runs/<one>/{act}" for act in ("lines", "apply", "drop")),
        *(f"allocation-runs/<one>/{act}" for act in ("lines", "apply", "drop", "undo")),
        "promotion-locks/<one>/lines",
        "promotion-locks/<code>/cancel",
        "revocations/<one>/force",
        "orders/batch",
        "orders/<number>/cancel",
        "parked-orders/<pk>/retry",
        "stock/sellable",
        "stock/<str:sku>/why",
        "quota-rules/<one>/end",
        "availability",
        "stock/receipts",
        "stock/counts",
        "stock/adjustments",
        *(f"stock/differences/{act}" for act in ("book", "explain", "take")),
        "stock/suggestions",
        "stock/regrades",
        "stock/in-transit",
        "locations/<one>/switch",
        *(f"transfers/<one>/{act}" for act in TRANSFER_ACTS if act != "cancel"),
        "transfers/<number>/cancel",
        *(f"count-sheets/<one>/{act}" for act in SHEET_ACTS),
    }
    known = set(LISTS) | {f"{path}/<one>" for path, field in LISTS.items() if field} | acts

    assert {path for path in _addresses() if not path.startswith("webhooks/")} == known


def _addresses() -> set[str]:
    """Every address below /api/v1/, as a plain text."""
    found = set()

    def walk(patterns: Any, before: str) -> None:
        for pattern in patterns:
            text = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, text)
            elif isinstance(pattern, URLPattern):
                found.add(text)

    walk(get_resolver().url_patterns, "")
    plain = set()
    for text in found:
        if not text.startswith("api/v1/"):
            continue
        path = text.removeprefix("api/v1/").replace("^", "").replace("\\Z", "").rstrip("$")
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", path)
        path = path if path.endswith(("cancel", "retry")) else re.sub(r"<\w+>", "<one>", path)
        plain.add(path)
    return plain


def test_a_key_for_a_shop_without_a_brand_sees_every_product(ours: House, theirs: House) -> None:
    own_shop = make_house(stock=0).shop

    caller = Caller(own_shop)

    codes = {row["code"] for row in caller.get("skus").json()["results"]}
    assert {ours.sku.code, theirs.sku.code} <= codes
    assert [row["code"] for row in caller.get("shops").json()["results"]] == [own_shop.code]
