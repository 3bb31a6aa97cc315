"""People find a SKU by what they know of it, and nothing that is not theirs."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from products.models import Barcode, Sku, Spu
from products.search import matching_skus, matching_spus
from tests.factories.api import Caller
from tests.factories.products import BrandFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def goods() -> None:
    serum = SpuFactory.create(code="LM-001", name="玻尿酸保湿精华 Hydra Serum", tags=["新品", "夏季"])
    sku = SkuFactory.create(code="LM-001-01", name="玻尿酸保湿精华 30ml", spu=serum)
    SkuFactory.create(code="LM-001-02", name="玻尿酸保湿精华 50ml", spu=serum)
    tent = SpuFactory.create(code="KY_100%", name="双人帐篷 Tent")
    SkuFactory.create(code="KY_100%-1", name="双人帐篷 石墨", spu=tent)
    Barcode.objects.create(code="036000291452", kind="upc", sku=sku)
    Barcode.objects.create(code="OLD-77", sku=sku)


def found(text: str) -> set[str]:
    return set(Sku.objects.filter(matching_skus(text)).values_list("code", flat=True))


BOTH, FIRST, TENT = {"LM-001-01", "LM-001-02"}, {"LM-001-01"}, {"KY_100%-1"}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("保湿", BOTH),
        ("精华", BOTH),
        ("华", BOTH),
        ("30ml 玻尿酸", FIRST),
        ("hydra SERUM", BOTH),
        ("lm-001", BOTH),
        ("LM-001-01", FIRST),
        ("M-001", set()),
        ("036000291452", FIRST),
        ("0036000291452", FIRST),
        ("36000291452", FIRST),
        ("03600029145", set()),
        ("OLD-77", FIRST),
        ("夏季", BOTH),
        ("KY_100%", TENT),
        ("%", set()),
        ("_", set()),
        ("  石墨   双人 ", TENT),
        ("\x00", set()),
        ("", set()),
        ("x" * 500, set()),
    ],
)
def test_skus_are_found_by_what_people_know(text: str, codes: set[str]) -> None:
    assert found(text) == codes


def test_products_are_found_by_themselves_and_by_their_skus() -> None:
    def spus(text: str) -> set[str]:
        return set(Spu.objects.filter(matching_spus(text)).values_list("code", flat=True))

    assert spus("hydra") == spus("036000291452") == spus("50ml") == {"LM-001"}
    assert spus("") == set()


def test_the_names_are_searched_by_their_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        statement = str(Sku.objects.filter(name__icontains="玻尿酸保湿").query).replace(
            "%玻尿酸保湿%", "'%玻尿酸保湿%'"
        )
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "sku_by_part_of_name" in plan


def test_the_api_searches_within_what_the_key_may_see() -> None:
    spu = Spu.objects.get(code="LM-001")
    ours = ShopFactory.create(brand=spu.brand)
    theirs = ShopFactory.create(brand=BrandFactory.create())

    mine = {row["code"] for row in Caller(ours).get("skus?search=保湿").json()["results"]}

    assert mine == BOTH
    assert Caller(theirs).get("skus?search=保湿").json()["results"] == []
    assert [row["code"] for row in Caller(ours).get("spus?search=hydra").json()["results"]] == ["LM-001"]
    assert Caller(ours).get("skus?search=" + "x" * 101).status_code == 400


def test_the_admin_searches_the_same_way() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))

    page = client.get(reverse("admin:products_sku_changelist"), {"q": "保湿 50ml"})

    assert [sku.code for sku in page.context["cl"].result_list] == ["LM-001-02"]
