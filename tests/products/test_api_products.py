"""Machines make products, change them, and give them pictures; each within its own brands."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image as Picture

from omni.kernel.models import AuditEntry, OutboxEvent
from products.models import Barcode, Brand, Category, CategoryAttribute, Image, Shop, Sku, Spu
from tests.factories.api import Caller
from tests.factories.products import BrandFactory, CategoryFactory, ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P1")]

EAN13 = "6901234567892"


@pytest.fixture
def brand() -> Brand:
    return BrandFactory.create(code="lumi")


@pytest.fixture
def shop(brand: Brand) -> Shop:
    return ShopFactory.create(brand=brand)


@pytest.fixture
def caller(shop: Shop) -> Caller:
    return Caller(shop)


@pytest.fixture
def makeup() -> Category:
    category = CategoryFactory.create(code="makeup")
    colour = {"code": "colour", "name": "Colour", "kind": "choice", "is_variant": True}
    options = [{"code": "RD", "name": "red"}, {"code": "BL", "name": "blue"}]
    CategoryAttribute.objects.create(category=category, options=options, **colour)
    CategoryAttribute.objects.create(category=category, code="vegan", name="Vegan", kind="yes_no")
    return category


def lipstick(**changes: Any) -> dict[str, Any]:
    sku = {"code": "LIP-RD", "attributes": {"colour": "RD"}, "list_price": "59.90", "barcodes": [EAN13]}
    body = {"code": "LIP", "name": "Lipstick", "brand": "lumi", "category": "makeup", "season": "2026A"}
    return body | {"tags": ["new"], "attributes": {"vegan": True}, "skus": [sku]} | changes


@pytest.mark.usefixtures("makeup")
def test_a_product_is_made_with_its_skus_and_reading_it_shows_what_was_sent(caller: Caller) -> None:
    made = caller.post("spus", lipstick())

    assert (made.status_code, made.headers["Location"]) == (201, "/api/v1/spus/LIP")
    assert made.json() == {
        "code": "LIP",
        "result": "new",
        "skus": [{"code": "LIP-RD", "result": "new"}],
    }
    product, sku = caller.get("spus/LIP").json(), caller.get("skus/LIP-RD").json()
    assert (product["season"], product["tags"], product["attributes"]) == ("2026A", ["new"], {"vegan": True})
    assert (sku["name"], sku["list_price"], sku["barcodes"]) == ("Lipstick red", "59.9000", [EAN13])
    assert AuditEntry.objects.get(action="product.created").by.startswith("key:")


@pytest.mark.usefixtures("makeup")
def test_the_same_again_changes_nothing_and_what_is_not_said_stays(caller: Caller) -> None:
    caller.post("spus", lipstick())
    events = OutboxEvent.objects.count()

    again = caller.post("spus", lipstick())
    changed = caller.post("spus", {"code": "LIP", "name": "Lip stick", "skus": [{"code": "LIP-RD"}]})

    assert (again.status_code, again.json()["result"]) == (200, "unchanged")
    assert (changed.json()["result"], changed.json()["skus"]) == (
        "changed",
        [{"code": "LIP-RD", "result": "unchanged"}],
    )
    spu = Spu.objects.get()
    assert (spu.name, spu.season, spu.tags, str(spu.skus.get().list_price)) == (
        "Lip stick",
        "2026A",
        ["new"],
        "59.9000",
    )
    assert OutboxEvent.objects.count() == events + 1
    # Who did it stands in the history that the database keeps.
    before = spu.events.get()  # type: ignore[attr-defined]
    assert before.pgh_context.metadata["by"].startswith("key:")


@pytest.mark.usefixtures("makeup")
def test_many_are_taken_or_refused_each_for_itself(caller: Caller) -> None:
    foreign = SkuFactory.create(code="FOREIGN", spu__code="ELSEWHERE")
    products = [
        lipstick(),
        lipstick(code="BAD-OPTION", skus=[{"code": "X", "attributes": {"colour": "GREEN"}}]),
        lipstick(code="NO-CATEGORY", category="food", skus=[]),
        lipstick(code="NO-BRAND", brand=foreign.spu.brand.code, skus=[]),
        {"code": "ELSEWHERE", "name": "Mine now"},
        lipstick(code="OTHER-SKU", skus=[{"code": "FOREIGN", "name": "Mine now"}]),
        lipstick(
            code="SAME-BARCODE", skus=[{"code": "Y", "attributes": {"colour": "RD"}, "barcodes": [EAN13]}]
        ),
    ]

    answer = caller.post("spus/batch", {"products": products})

    assert answer.status_code == 200
    told = [(line["code"], line["status"], sorted(line["fields"])) for line in answer.json()["results"]]
    assert told == [
        ("LIP", 201, []),
        ("BAD-OPTION", 400, ["skus.attributes.colour"]),
        ("NO-CATEGORY", 400, ["category"]),
        ("NO-BRAND", 400, ["brand"]),
        ("ELSEWHERE", 400, ["code"]),
        ("OTHER-SKU", 409, []),
        ("SAME-BARCODE", 400, ["skus.barcodes"]),
    ]
    assert set(Spu.objects.values_list("code", flat=True)) == {"LIP", "ELSEWHERE"}
    foreign.refresh_from_db()
    assert foreign.name != "Mine now"
    assert Barcode.objects.count() == 1


def test_a_new_product_without_name_or_brand_says_what_is_missing(caller: Caller) -> None:
    answer = caller.post("spus", {"code": "LIP"})

    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"name", "brand"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": "A", "weight": 3}, "weight"),
        ({"code": " A"}, "code"),
        ({"code": "A", "skus": [{"list_price": -1}]}, "skus[0].list_price"),
        ({"code": "A", "skus": [{"weight_grams": "12"}]}, "skus[0].weight_grams"),
        ({"code": "A", "attributes": {"x": {"y": 1}}}, "attributes.x"),
    ],
)
def test_what_is_not_a_product_is_refused_at_its_field(caller: Caller, body: Any, field: str) -> None:
    answer = caller.post("spus", body)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])
    assert not Spu.objects.exists()


def test_a_key_that_may_only_read_writes_nothing(shop: Shop) -> None:
    reader = Caller(shop, scopes=frozenset({"products:read"}))

    assert reader.post("spus", {"code": "A", "name": "A", "brand": "lumi"}).status_code == 403
    assert reader.client.put(
        "/api/v1/spus/A/images", {"images": []}, content_type="application/json"
    ).status_code in (
        403,
        404,
    )


# --- pictures ------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "MEDIA_ROOT", tmp_path)
    return tmp_path


def picture(colour: Any = (200, 30, 40)) -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", (300, 200), colour).save(buffer, "PNG")
    return buffer.getvalue()


def upload(caller: Caller, data: bytes, brand: str = "lumi", name: str = "a.png") -> Any:
    return caller.client.post("/api/v1/images", {"brand": brand, "file": SimpleUploadedFile(name, data)})


def put(caller: Caller, path: str, *ids: int) -> Any:
    return caller.client.put(f"/api/v1/{path}/images", {"images": list(ids)}, content_type="application/json")


@pytest.mark.capability("P4")
def test_a_picture_is_uploaded_once_read_and_shown_on_product_sku_and_listing(
    caller: Caller, brand: Brand, shop: Shop
) -> None:
    listing = ListingFactory.create(shop=shop, sku__spu__brand=brand)
    first, again = upload(caller, picture()), upload(caller, picture(), name="b.png")
    other = upload(caller, picture((1, 2, 3))).json()["id"]
    ident = first.json()["id"]

    assert (first.status_code, again.status_code, again.json()["id"]) == (201, 200, ident)
    file = caller.get(f"images/{ident}/files/original")
    assert (file.status_code, file.headers["Content-Type"]) == (200, "image/png")
    assert Picture.open(io.BytesIO(file.getvalue())).size == (300, 200)
    for path in (f"spus/{listing.sku.spu.code}", f"skus/{listing.sku.code}"):
        assert put(caller, path, other, ident).json() == {"images": [other, ident]}
        assert caller.get(path).json()["images"] == [other, ident]
        assert put(caller, path, ident).json() == {"images": [ident]}
    assert AuditEntry.objects.filter(action="images.shown", by__startswith="key:").count() == 4


def test_files_that_are_no_pictures_and_brands_of_others_are_refused(caller: Caller) -> None:
    svg = upload(caller, b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", name="a.svg")
    stranger = upload(caller, picture(), brand=BrandFactory.create().code)
    nothing = caller.client.post("/api/v1/images", {"brand": "lumi"})

    assert (svg.status_code, svg.json()["code"], list(svg.json()["fields"])) == (
        400,
        "unusable_image",
        ["file"],
    )
    assert (stranger.status_code, list(stranger.json()["fields"])) == (400, ["brand"])
    assert (nothing.status_code, list(nothing.json()["fields"])) == (400, ["file"])
    assert not Image.objects.exists()


def test_pictures_of_other_brands_are_neither_seen_nor_shown(
    caller: Caller, brand: Brand, shop: Shop
) -> None:
    theirs = BrandFactory.create(code="theirs")
    foreign = upload(Caller(ShopFactory.create(brand=theirs)), picture(), brand="theirs").json()["id"]
    own = SkuFactory.create(spu__brand=brand)
    sold = ListingFactory.create(shop=shop, sku__spu__brand=theirs).sku

    assert caller.get(f"images/{foreign}").status_code == 404
    assert caller.get(f"images/{foreign}/files/original").status_code == 404
    assert put(caller, f"skus/{own.code}", foreign).status_code == 400
    # The shop sells it, and may read it: whose pictures it shows, its own brand says.
    assert caller.get(f"skus/{sold.code}").status_code == 200
    assert put(caller, f"skus/{sold.code}", foreign).status_code == 403
    assert not Sku.objects.filter(image_uses__isnull=False).exists()
