"""Pictures are kept once, cleaned, shown on many things, and handed out to those who may see them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from PIL import Image as Picture

from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import AuditEntry
from omni.wiring import JOBS
from products.images.keep import WIDTHS, ImageInUse, Kept, Sent, keep_images, remove_image
from products.images.show import ForeignImage, show_also, show_images
from products.images.shown import images_of_listings
from products.models import Brand, Image, ImageUse, StaffScope
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, ListingFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P4")]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "MEDIA_ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def brand() -> Brand:
    return BrandFactory.create()


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (300, 200), colour: Any = (200, 30, 40), **more: Any
) -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", size, colour).save(buffer, kind, **more)
    return buffer.getvalue()


def keep(brand: Brand, data: bytes, name: str = "a.jpg") -> Kept:
    [kept] = keep_images(brand=brand, files=[Sent(name, [data])], at=NOON, by="user:1")
    return kept


def kept_image(brand: Brand, colour: Any = (1, 2, 3)) -> Image:
    image = keep(brand, picture(colour=colour)).image
    assert image is not None
    return image


def work() -> None:
    while job := claim_job(at=datetime.now(UTC)):
        run_job(job=job, works=JOBS)


# --- keeping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [("JPEG", "a.jpg"), ("PNG", "a.PNG"), ("WEBP", "a.webp")])
def test_a_picture_is_kept_and_its_renditions_are_made(
    brand: Brand, files: Path, kind: str, name: str
) -> None:
    kept = keep(brand, picture(kind, (2000, 1000)), name)
    work()

    image = Image.objects.get()
    assert (kept.image, kept.is_new, kept.refusal) == (image, True, "")
    assert (image.kind, image.width, image.height, image.name) == (kind.lower(), 2000, 1000, name)
    assert image.widths == list(WIDTHS)
    for width in WIDTHS:
        with Picture.open(files / image.folder / f"{width}.webp") as made:
            assert (made.format, made.size) == ("WEBP", (width, width // 2))
    assert AuditEntry.objects.get().action == "image.kept"
    assert sorted(path.name for path in (files / image.folder).iterdir()) == [
        "1200.webp",
        "160.webp",
        "480.webp",
        f"original.{kind.lower()}",
    ]


def test_a_small_picture_is_not_blown_up(brand: Brand, files: Path) -> None:
    image = kept_image(brand)
    work()

    with Picture.open(files / image.folder / "1200.webp") as made:
        assert made.size == (300, 200)


def test_the_same_file_again_is_the_picture_that_is_there(brand: Brand, files: Path) -> None:
    data = picture()
    first = keep(brand, data)

    again = keep(brand, data, "another name.jpg")
    elsewhere = keep(BrandFactory.create(), data)

    assert (again.image, again.is_new) == (first.image, False)
    assert elsewhere.is_new
    assert Image.objects.count() == 2
    assert len(list((files / "images").iterdir())) == 2


def test_what_a_camera_writes_into_a_file_is_gone_and_the_picture_stands_upright(
    brand: Brand, files: Path
) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x013B] = "Somebody"
    exif.get_ifd(0x8825)[2] = (31.0, 13.0, 49.0)
    data = picture(exif=exif.tobytes(), comment=b"<?php phpinfo(); ?>")
    assert b"Somebody" in data

    image = keep(brand, data).image

    assert image is not None
    assert (image.width, image.height) == (200, 300)
    stored = (files / image.folder / "original.jpeg").read_bytes()
    assert b"Somebody" not in stored
    assert b"php" not in stored
    with Picture.open(io.BytesIO(stored)) as clean:
        assert not clean.getexif()


def test_a_thumbnail_within_a_picture_is_not_taken_for_its_end(brand: Brand) -> None:
    thumbnail = picture(size=(20, 20))
    segment = b"\xff\xed" + (len(thumbnail) + 12 + 2).to_bytes(2) + thumbnail + b"<script>PK\x03\x04"[:12]
    data = picture()

    kept = keep(brand, data[:2] + segment + data[2:])

    assert kept.refusal == ""


def test_the_picture_behind_that_of_a_telephone_is_left_out(brand: Brand, files: Path) -> None:
    buffer = io.BytesIO()
    front, behind = Picture.new("RGB", (60, 40), (200, 0, 0)), Picture.new("L", (30, 20), 99)
    front.save(buffer, "MPO", save_all=True, append_images=[behind.convert("RGB")])

    image = keep(brand, buffer.getvalue()).image

    assert image is not None
    assert (image.kind, image.width, image.height) == ("jpeg", 60, 40)


def test_transparency_stays(brand: Brand, files: Path) -> None:
    buffer = io.BytesIO()
    Picture.new("RGBA", (50, 50), (0, 0, 0, 0)).save(buffer, "PNG")

    image = keep(brand, buffer.getvalue(), "a.png").image
    work()

    assert image is not None
    with Picture.open(files / image.folder / "160.webp") as made:
        assert made.mode == "RGBA"
        assert made.getpixel((1, 1))[3] == 0  # type: ignore[index]


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and is next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
        + chunk(b"IEND", b"")
    )


def a_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.class", "evil")
    return buffer.getvalue()


def moving(kind: str) -> bytes:
    buffer = io.BytesIO()
    frames = [Picture.new("RGB", (20, 20), (n * 80, 0, 0)) for n in range(3)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


NOISE = bytes(range(256)) * 8
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HOSTILE = {
    "empty": (b"", "a.jpg", "empty"),
    "SVG": (SVG, "a.svg", "SVG"),
    "SVG that calls itself PNG": (SVG, "a.png", "SVG"),
    "web page": (b"<html><script>alert(1)</script></html>", "a.jpg", "no picture"),
    "GIF": (b"GIF89a" + NOISE, "a.gif", "GIF"),
    "HEIC": (b"\0\0\0\x18ftypheic" + NOISE, "a.heic", "HEIC"),
    "PDF": (b"%PDF-1.7" + NOISE, "a.jpg", "PDF"),
    "program": (b"MZ\x90\0" + NOISE, "a.jpg", "EXE"),
    "wrong ending": (picture("PNG"), "a.jpg", "PNG"),
    "no ending": (picture("PNG"), "picture", "PNG"),
    "cut off": (picture("PNG", (400, 400))[:-40], "a.png", "cut off"),
    "cut off JPEG": (picture(size=(800, 800))[:4000], "a.jpg", "cut off"),
    "noise behind a right beginning": (b"\xff\xd8\xff\xe0" + NOISE, "a.jpg", "damaged"),
    "bomb": (png_of(60_000, 60_000), "a.png", "pixels"),
    "long side": (png_of(20_000, 100), "a.png", "16,000"),
    "moving WebP": (moving("WEBP"), "a.webp", "moves"),
    "moving PNG": (moving("PNG"), "a.png", "moves"),
    "archive behind a JPEG": (picture() + a_zip(), "a.jpg", "something else"),
    "archive behind a PNG": (picture("PNG") + a_zip(), "a.png", "something else"),
    "page behind a PNG": (picture("PNG") + b"<SCRIPT>alert(1)</SCRIPT>", "a.png", "something else"),
    "PDF within a JPEG": (picture(comment=b"%PDF-1.4 obj"), "a.jpg", "something else"),
    "fifty megabytes": (picture() + b"\0" * 50_000_000, "a.jpg", "10 MB"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_sound_picture_is_refused_in_clear_words_and_leaves_nothing(
    brand: Brand, files: Path, what: str
) -> None:
    data, name, word = HOSTILE[what]

    kept = keep(brand, data, name)

    assert kept.image is None
    assert word in kept.refusal
    assert not Image.objects.exists()
    assert not any(path.is_file() for path in files.rglob("*"))


def test_one_bad_file_among_many_costs_itself_only(brand: Brand) -> None:
    sent = [Sent("a.jpg", [picture()]), Sent("b.svg", [SVG]), Sent("c.png", [picture("PNG")])]

    results = keep_images(brand=brand, files=sent, at=NOON, by="user:1")

    assert [bool(kept.refusal) for kept in results] == [False, True, False]
    assert Image.objects.count() == 2


def test_a_file_name_is_a_name_and_never_a_path(brand: Brand, files: Path) -> None:
    image = keep(brand, picture(), "../../etc/cron.d/x<b>.jpg").image

    assert image is not None
    assert image.name == "xb.jpg"
    assert [path.name for path in files.iterdir()] == ["images"]


# --- showing ---------------------------------------------------------------------------------------------------------


def test_a_picture_uploaded_once_is_shown_on_product_sku_and_listing(brand: Brand) -> None:
    listing = ListingFactory.create(sku__spu__brand=brand)
    other = ListingFactory.create(sku=listing.sku)
    front, back = kept_image(brand, (1, 1, 1)), kept_image(brand, (9, 9, 9))

    show_images(subject=listing.sku.spu, image_ids=[front.pk], at=NOON, by="user:1")
    assert images_of_listings([listing.pk]) == {listing.pk: [front.pk]}
    show_images(subject=listing.sku, image_ids=[back.pk, front.pk], at=NOON, by="user:1")
    assert images_of_listings([listing.pk]) == {listing.pk: [back.pk, front.pk]}
    show_images(subject=listing, image_ids=[front.pk], at=NOON, by="user:1")

    assert images_of_listings([listing.pk, other.pk]) == {
        listing.pk: [front.pk],
        other.pk: [back.pk, front.pk],
    }
    assert front.uses.count() == 3
    assert Image.objects.count() == 2


def test_pictures_have_an_order_that_can_be_changed(brand: Brand) -> None:
    sku = SkuFactory.create(spu__brand=brand)
    a, b, c = (kept_image(brand, (n, n, n)).pk for n in (1, 60, 120))

    show_images(subject=sku, image_ids=[a, b], at=NOON, by="user:1")
    show_also(subject=sku, image_ids=[c, a], at=NOON, by="user:1")
    order = list(sku.image_uses.order_by("position").values_list("image_id", flat=True))
    show_images(subject=sku, image_ids=[c, b], at=NOON, by="user:1")

    assert order == [a, b, c]
    assert list(sku.image_uses.order_by("position").values_list("image_id", "position")) == [(c, 0), (b, 1)]


def test_saying_the_same_again_is_no_act(brand: Brand) -> None:
    sku, image = SkuFactory.create(spu__brand=brand), kept_image(brand)
    show_images(subject=sku, image_ids=[image.pk], at=NOON, by="user:1")

    show_images(subject=sku, image_ids=[image.pk], at=NOON, by="user:1")

    assert AuditEntry.objects.filter(action="images.shown").count() == 1


def test_a_picture_of_another_brand_is_not_shown(brand: Brand) -> None:
    sku, foreign = SkuFactory.create(spu__brand=brand), kept_image(BrandFactory.create())

    with pytest.raises(ForeignImage):
        show_images(subject=sku, image_ids=[foreign.pk], at=NOON, by="user:1")

    assert not ImageUse.objects.exists()


def test_a_use_is_of_one_thing(brand: Brand) -> None:
    sku, image = SkuFactory.create(spu__brand=brand), kept_image(brand)

    with pytest.raises(IntegrityError), transaction.atomic():
        ImageUse.objects.create(image=image, sku=sku, spu=sku.spu, position=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        ImageUse.objects.create(image=image, position=0)


def test_a_picture_that_is_shown_is_not_removed(
    brand: Brand, files: Path, django_capture_on_commit_callbacks: Any
) -> None:
    sku, image = SkuFactory.create(spu__brand=brand), kept_image(brand)
    show_images(subject=sku, image_ids=[image.pk], at=NOON, by="user:1")
    with pytest.raises(ImageInUse):
        remove_image(image_id=image.pk, at=NOON, by="user:1")
    assert (files / image.folder).exists()
    show_images(subject=sku, image_ids=[], at=NOON, by="user:1")

    with django_capture_on_commit_callbacks(execute=True):
        remove_image(image_id=image.pk, at=NOON, by="user:1")

    assert not Image.objects.exists()
    assert not (files / image.folder).exists()


# --- pages -----------------------------------------------------------------------------------------------------------


def login(
    name: str, *brands: Brand, permissions: tuple[str, ...] = ("view_image", "add_image", "change_image")
) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    for brand in brands:
        StaffScope.objects.create(user=user, brand=brand)
    client = Client()
    client.force_login(user)
    return client


def upload(client: Client, brand: Brand, **files: bytes) -> Any:
    sent = [SimpleUploadedFile(name.replace("_", "."), data) for name, data in files.items()]
    return client.post(
        reverse("admin:products_image_upload"), {"brand": brand.pk, "images": sent}, follow=True
    )


def test_many_are_uploaded_at_once_and_each_refusal_is_told(brand: Brand) -> None:
    keeper = login("keeper", brand)

    answer = upload(keeper, brand, a_jpg=picture(), b_png=picture("PNG"), c_svg=SVG)

    assert answer.status_code == 200
    assert "SVG drawings" in answer.content.decode()
    assert Image.objects.count() == 2
    assert keeper.get(reverse("admin:products_image_changelist")).status_code == 200


def test_nobody_uploads_for_a_brand_that_is_not_theirs(brand: Brand) -> None:
    stranger = login("stranger", BrandFactory.create())

    upload(stranger, brand, a_jpg=picture())

    assert not Image.objects.exists()
    refused = login("reader", brand, permissions=("view_image",)).get(reverse("admin:products_image_upload"))
    assert refused.status_code == 403


def test_files_are_handed_out_to_be_kept_by_the_browser_and_run_by_nobody(brand: Brand) -> None:
    keeper, image = login("keeper", brand), kept_image(brand)
    work()

    for size, kind in (("original", "image/jpeg"), ("160", "image/webp")):
        answer = keeper.get(reverse("image_file", args=[image.pk, size]))
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
        assert "immutable" in answer.headers["Cache-Control"]
        assert "private" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert len(answer.getvalue()) > 50


def test_files_of_other_brands_and_sizes_that_do_not_exist_are_not_there(brand: Brand) -> None:
    image = kept_image(brand)
    address = reverse("image_file", args=[image.pk, "original"])

    answers = [
        login("stranger", BrandFactory.create()).get(address).status_code,
        login("nobody", brand, permissions=()).get(address).status_code,
        login("keeper", brand).get(reverse("image_file", args=[image.pk, "161"])).status_code,
        login("other", brand).get(reverse("image_file", args=[image.pk + 1, "original"])).status_code,
    ]

    assert answers == [404] * 4
    assert Client().get(address).status_code == 302


def test_chosen_pictures_are_shown_on_what_the_person_names(brand: Brand) -> None:
    keeper, image = login("keeper", brand), kept_image(brand)
    listing = ListingFactory.create(sku__spu__brand=brand, shop__brand=brand)
    own, foreign = listing.sku, SkuFactory.create()
    chosen = {"action": "show_on", "_selected_action": [image.pk], "asked": "1"}
    page = reverse("admin:products_image_changelist")
    named = f"{listing.shop.code} {listing.outer_item_id}/{listing.outer_sku_id}"

    refused = keeper.post(page, {**chosen, "sku": foreign.code})
    keeper.post(page, {**chosen, "sku": own.code})
    keeper.post(page, {**chosen, "listing": named})

    assert "not yours" in refused.content.decode()
    assert not foreign.image_uses.exists()
    assert [use.image for use in own.image_uses.all()] == [image]
    assert [use.image for use in listing.image_uses.all()] == [image]


def test_what_is_shown_can_be_put_first_and_shown_no_more(brand: Brand) -> None:
    keeper = login("keeper", brand, permissions=("view_imageuse", "change_imageuse"))
    sku = SkuFactory.create(spu__brand=brand)
    a, b = kept_image(brand, (1, 1, 1)).pk, kept_image(brand, (99, 99, 99)).pk
    show_images(subject=sku, image_ids=[a, b], at=NOON, by="user:1")
    page = reverse("admin:products_imageuse_changelist")

    keeper.post(page, {"action": "put_first", "_selected_action": [sku.image_uses.get(image=b).pk]})
    assert list(sku.image_uses.order_by("position").values_list("image_id", flat=True)) == [b, a]
    keeper.post(page, {"action": "show_no_more", "_selected_action": [sku.image_uses.get(image=b).pk]})

    assert list(sku.image_uses.values_list("image_id", "position")) == [(a, 0)]


def test_a_product_gets_its_pictures_on_a_page_of_its_own(brand: Brand) -> None:
    keeper = login("keeper", brand, permissions=("view_image", "add_image", "view_spu", "change_spu"))
    spu, known = SkuFactory.create(spu__brand=brand).spu, kept_image(brand).pk
    page = reverse("admin:products_spu_pictures", args=[spu.pk])
    sent = [
        SimpleUploadedFile("a.jpg", picture(colour=(9, 9, 9))),
        SimpleUploadedFile("b.svg", SVG),
    ]

    answer = keeper.post(page, {"images": sent, "upload": "1"}, follow=True)
    assert "SVG drawings" in answer.content.decode()
    uploaded = Image.objects.exclude(pk=known).get().pk
    keeper.post(page, {"image": [known], "add": "1"})
    keeper.post(page, {"first": known})

    assert shown_ids(spu) == [known, uploaded]
    keeper.post(page, {"drop": uploaded})
    assert shown_ids(spu) == [known]
    assert reverse("admin:products_spu_pictures", args=[spu.pk]) in (
        keeper.get(reverse("admin:products_spu_change", args=[spu.pk])).content.decode()
    )


def test_a_listing_without_pictures_says_whose_it_shows(brand: Brand) -> None:
    keeper = login("keeper", brand, permissions=("view_image", "view_listing", "change_listing"))
    listing = ListingFactory.create(sku__spu__brand=brand, shop__brand=brand)
    image = kept_image(brand)
    work()
    show_images(subject=listing.sku.spu, image_ids=[image.pk], at=NOON, by="user:1")

    page = keeper.get(reverse("admin:products_listing_pictures", args=[listing.pk])).content.decode()

    assert "and shows these" in page
    assert reverse("image_file", args=[image.pk, "160"]) in page


def test_pictures_are_arranged_by_nobody_who_may_not(brand: Brand) -> None:
    spu, image = SkuFactory.create(spu__brand=brand).spu, kept_image(brand).pk
    foreign = kept_image(BrandFactory.create()).pk
    page = reverse("admin:products_spu_pictures", args=[spu.pk])
    reader = login("reader", brand, permissions=("view_image", "view_spu"))
    changer = login("changer", brand, permissions=("view_image", "view_spu", "change_spu"))
    stranger = login("stranger", BrandFactory.create(), permissions=("view_image", "view_spu", "change_spu"))

    assert reader.get(page).status_code == 200
    assert reader.post(page, {"image": [image], "add": "1"}).status_code == 403
    assert stranger.get(page).status_code == 404
    file = SimpleUploadedFile("a.jpg", picture(colour=(9, 9, 9)))
    assert changer.post(page, {"images": [file], "upload": "1"}).status_code == 403
    assert (
        "not in the library"
        in changer.post(page, {"image": [foreign], "add": "1"}, follow=True).content.decode()
    )
    assert shown_ids(spu) == []


def shown_ids(spu: Any) -> list[int]:
    return list(spu.image_uses.order_by("position").values_list("image_id", flat=True))
