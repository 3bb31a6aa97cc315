"""A person brings a file in: uploads, maps, looks, takes, reads what was refused, takes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from python_calamine import CalamineWorkbook

from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Import, ImportMapping, ImportRow, Job
from omni.wiring import JOBS
from orders.models import SalesOrder
from products.imports.skus import SKUS
from products.models import Sku, StaffScope
from tests.factories.orders import House, make_house
from tests.factories.products import BrandFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O2")]

KINDS = ("csv", "xlsx")
PERMISSIONS = ("add_import", "view_import", "change_import")


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def clerk(house: House) -> Client:
    """Somebody who may import for one shop."""
    return login("clerk", house)


def login(name: str, house: House) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=PERMISSIONS))
    StaffScope.objects.create(user=user, shop=house.shop)
    client = Client()
    client.force_login(user)
    return client


def rows(house: House, *orders: str) -> bytes:
    text = "no,when,what,n,each\n" + "".join(f"{o},2026-05-04 19:00,{house.sku.code},1,10\n" for o in orders)
    return text.encode()


def upload(
    client: Client, data: bytes, shop: str, target: str = "orders.lines", name: str = "orders.csv"
) -> Any:
    answers = {"target": target, "shop": shop, "file": SimpleUploadedFile(name, data)}
    return client.post(reverse("admin:kernel_import_upload"), answers)


MAPPED = {
    "column-number": "no",
    "column-placed_at": "when",
    "column-sku": "what",
    "column-quantity": "n",
    "column-unit_price": "each",
    "encoding": "utf-8-sig",
    "separator": ",",
    "decimal": ".",
    "time_zone": "Asia/Shanghai",
}


def step(client: Client, run: Import, name: str) -> Any:
    return client.post(reverse("admin:kernel_import_step", args=[run.pk, name]), follow=True)


def work() -> None:
    while job := claim_job(at=datetime.now(UTC)):
        run_job(job=job, works=JOBS)


def page(client: Client, run: Import, query: str = "") -> str:
    answer = client.get(reverse("admin:kernel_import_change", args=[run.pk]) + query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_whole_way_of_a_file_through_the_pages(clerk: Client, house: House) -> None:
    answer = upload(clerk, rows(house, "A1", "A2") + b"A3,never,x,1,10\n", house.shop.code)
    run = Import.objects.get()
    assert answer.headers["Location"] == reverse("admin:kernel_import_change", args=[run.pk])
    assert "Which column is what?" in page(clerk, run)

    clerk.post(reverse("admin:kernel_import_map", args=[run.pk]), {**MAPPED, "mapping_name": "ERP"})
    assert "every 1s" in page(clerk, run)
    work()
    seen = page(clerk, run, "?status=error")
    assert "not a date and time" in seen
    assert "Take the good rows" in seen
    assert SalesOrder.objects.count() == 0

    step(clerk, run, "take")
    work()
    assert SalesOrder.objects.count() == 2
    assert ImportMapping.objects.get().name == "ERP"
    rejected = clerk.get(reverse("admin:kernel_import_rejected", args=[run.pk, "csv"]))
    assert b"A3,never" in rejected.getvalue()
    assert clerk.get(reverse("admin:kernel_import_rejected", args=[run.pk, "xlsx"])).content.startswith(b"PK")

    step(clerk, run, "undo")
    work()
    assert SalesOrder.objects.count() == 0
    assert "undone" in page(clerk, run)


def test_a_missing_column_is_said_on_the_page_and_nothing_starts(clerk: Client, house: House) -> None:
    upload(clerk, rows(house, "A1"), house.shop.code)
    run = Import.objects.get()

    answer = clerk.post(
        reverse("admin:kernel_import_map", args=[run.pk]), {**MAPPED, "column-sku": ""}, follow=True
    )

    assert "Say which column holds: SKU code." in answer.content.decode()
    assert Job.objects.count() == 0


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"%PDF-1.7", "PDF"), (b"a,b\n", "no rows"), (b"PK\x03\x04zip", "damaged"), (b"MZ\x90", "EXE")],
)
def test_a_file_that_cannot_be_read_is_answered_on_the_form(
    clerk: Client, house: House, data: bytes, word: str
) -> None:
    answer = upload(clerk, data, house.shop.code)

    assert answer.status_code == 200
    assert word in answer.content.decode()
    assert Import.objects.count() == 0


def test_what_the_file_says_is_shown_as_text(clerk: Client, house: House) -> None:
    data = b"no,when,what,n,each\n<script>alert(1)</script>,2026-05-04,{{7*7}},x,10\n"
    upload(clerk, data, house.shop.code, name="<b>.csv")
    run = Import.objects.get()
    clerk.post(reverse("admin:kernel_import_map", args=[run.pk]), MAPPED)
    work()

    seen = page(clerk, run)

    assert "<script>alert(1)" not in seen
    assert "&lt;script&gt;alert(1)" in seen
    assert "{{7*7}}" in seen


def test_a_person_imports_for_their_own_shops_only(clerk: Client, house: House) -> None:
    other = ShopFactory.create()

    answer = upload(clerk, rows(house, "A1"), other.code)
    without = upload(clerk, rows(house, "A1"), "")

    assert answer.status_code == without.status_code == 200
    assert Import.objects.count() == 0


def test_imports_of_other_shops_are_not_there(clerk: Client, house: House) -> None:
    upload(clerk, rows(house, "A1"), house.shop.code)
    run = Import.objects.get()
    stranger = login("stranger", make_house(stock=0))

    addresses: list[Callable[[], Any]] = [
        lambda: stranger.get(reverse("admin:kernel_import_change", args=[run.pk])),
        lambda: stranger.get(reverse("admin:kernel_import_progress", args=[run.pk])),
        lambda: stranger.get(reverse("admin:kernel_import_rejected", args=[run.pk, "csv"])),
        lambda: stranger.post(reverse("admin:kernel_import_map", args=[run.pk]), MAPPED),
        lambda: stranger.post(reverse("admin:kernel_import_step", args=[run.pk, "take"])),
    ]
    assert [ask().status_code for ask in addresses] == [404] * 5
    assert "orders.csv" not in stranger.get(reverse("admin:kernel_import_changelist")).content.decode()


def test_the_buttons_need_the_permission(clerk: Client, house: House) -> None:
    upload(clerk, rows(house, "A1"), house.shop.code)
    run = Import.objects.get()
    user = User.objects.get(username="clerk")
    user.user_permissions.set(Permission.objects.filter(codename="view_import"))

    refused = [
        clerk.post(reverse("admin:kernel_import_step", args=[run.pk, "take"])).status_code,
        clerk.get(reverse("admin:kernel_import_upload")).status_code,
        clerk.post(reverse("admin:kernel_import_map", args=[run.pk]), MAPPED).status_code,
    ]

    assert refused == [403, 403, 403]
    assert "Which column is what?" not in page(clerk, run)


def test_the_progress_is_told_until_it_is_over(clerk: Client, house: House) -> None:
    upload(clerk, rows(house, "A1"), house.shop.code)
    run = Import.objects.get()
    clerk.post(reverse("admin:kernel_import_map", args=[run.pk]), MAPPED)
    address = reverse("admin:kernel_import_progress", args=[run.pk])

    waiting = clerk.get(address)
    work()
    over = clerk.get(address)

    assert "Waiting for a worker" in waiting.content.decode()
    assert over.headers["HX-Refresh"] == "true"


def test_refused_rows_of_all_files_wait_in_one_list_and_can_be_dismissed(boss: Client) -> None:
    data = b"InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice\n900001,POST,1,2010-12-01 08:26,18\n"
    upload(boss, data, "", target="orders.online-retail", name="ledger.csv")
    run = Import.objects.get()
    answers = {
        **{f"column-{field}": heading for field, heading in run.columns.items()},
        **{name: MAPPED[name] for name in ("encoding", "separator", "decimal", "time_zone")},
    }
    boss.post(reverse("admin:kernel_import_map", args=[run.pk]), answers)
    work()
    step(boss, run, "take")
    work()
    queue = reverse("admin:kernel_importrow_queue", args=["open"])

    seen = boss.get(queue).content.decode()
    row = ImportRow.objects.get()
    chosen = {"action": "dismiss", "_selected_action": [row.pk]}
    boss.post(queue, {**chosen, "asked": "1", "note": "postage is no loss"})

    assert "ledger.csv" in seen
    assert "postage" in seen
    row.refresh_from_db()
    assert row.status == ImportRow.Status.DISMISSED


def test_templates_can_be_downloaded_and_read_again(clerk: Client, house: House) -> None:
    for kind in ("csv", "xlsx"):
        answer = clerk.get(reverse("admin:kernel_import_template", args=["orders.lines", kind]))
        uploaded = upload(clerk, answer.content, house.shop.code, name=f"t.{kind}")
        assert uploaded.status_code == 302

    first = Import.objects.order_by("id")[0]
    assert first.columns["number"] == "Order number"
    assert len(first.columns) == len(first.header)


@pytest.fixture
def keeper(house: House) -> Client:
    """Somebody who may keep the products of one brand."""
    client = login("keeper", house)
    user = User.objects.get(username="keeper")
    StaffScope.objects.create(user=user, brand=house.sku.spu.brand)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["change_sku", "change_listing"]))
    return client


PRODUCTS = "SKU code,SKU name,Brand code\n"


def take_products(client: Client, *rows: str) -> Import:
    upload(client, (PRODUCTS + "\n".join(rows) + "\n").encode(), "", target="products.skus")
    run = Import.objects.latest("id")
    columns = {f"column-{field}": heading for field, heading in run.columns.items()}
    client.post(reverse("admin:kernel_import_map", args=[run.pk]), {**MAPPED, **columns})
    work()
    step(client, run, "take")
    work()
    run.refresh_from_db()
    return run


@pytest.mark.capability("P6")
def test_products_come_in_for_the_brands_of_the_person_and_no_others(keeper: Client, house: House) -> None:
    brand, other = house.sku.spu.brand, BrandFactory.create(code="OTHER")

    run = take_products(keeper, f"N-1,New,{brand.code}", f"N-2,New,{other.code}")

    assert run.params == {"brands": [brand.code]}
    assert (run.done, run.error) == (1, 1)
    assert "unknown brand" in page(keeper, run)
    assert Sku.objects.get(code="N-1").spu.brand == brand
    assert not Sku.objects.filter(code="N-2").exists()


@pytest.mark.capability("P6")
def test_what_is_exported_is_what_the_person_may_see(keeper: Client, house: House) -> None:
    foreign = SkuFactory.create(code="FOREIGN")

    files = [
        keeper.get(reverse("admin:kernel_import_export", args=["products.skus", kind])) for kind in KINDS
    ]

    table = files[0].getvalue().decode("utf-8-sig")
    assert house.sku.code in table
    assert foreign.code not in table
    assert table.startswith("SKU code,SKU name")
    assert files[1].getvalue().startswith(b"PK")
    upload(keeper, table.encode(), "", target="products.skus")
    assert len(Import.objects.get().columns) == len(SKUS.fields)


@pytest.mark.capability("P6")
def test_products_are_none_of_the_business_of_who_may_only_import_orders(clerk: Client, house: House) -> None:
    refused = upload(clerk, PRODUCTS.encode() + b"A,B,C\n", house.shop.code, target="products.skus")
    addresses = [
        reverse("admin:kernel_import_export", args=["products.skus", "csv"]),
        reverse("admin:kernel_import_template", args=["products.skus", "xlsx"]),
    ]

    assert refused.status_code == 200
    assert Import.objects.count() == 0
    assert [clerk.get(address).status_code for address in addresses] == [404, 404]
    assert "Products and SKUs" not in clerk.get(reverse("admin:kernel_import_upload")).content.decode()


@pytest.mark.capability("P6")
def test_the_buttons_of_a_product_import_need_the_permission_for_products(
    keeper: Client, house: House
) -> None:
    run = take_products(keeper, f"N-1,New,{house.sku.spu.brand.code}")
    colleague = login("colleague", house)
    StaffScope.objects.create(user=User.objects.get(username="colleague"), brand=house.sku.spu.brand)

    seen = page(colleague, run)
    refused = colleague.post(reverse("admin:kernel_import_step", args=[run.pk, "undo"]))

    assert "Take the whole import back" not in seen
    assert refused.status_code == 403
    assert Sku.objects.filter(code="N-1").exists()


@pytest.mark.capability("P6")
@pytest.mark.parametrize(("language", "brand"), [("en", "Brand code"), ("zh-hans", "品牌编码")])
def test_the_template_of_products_speaks_the_language_of_the_reader(
    keeper: Client, house: House, language: str, brand: str
) -> None:
    keeper.cookies["django_language"] = language

    answer = keeper.get(reverse("admin:kernel_import_template", args=["products.skus", "xlsx"]))

    with CalamineWorkbook.from_filelike(BytesIO(answer.content)) as book:
        heading = book.get_sheet_by_index(0).to_python()[0]
        lists = book.get_sheet_by_index(2).to_python()
    assert brand in heading
    assert lists[0][0] == brand
    assert lists[1][0] == house.sku.spu.brand.code


def test_lists_need_a_fixed_number_of_queries(
    boss: Client, house: House, django_assert_max_num_queries: Any
) -> None:
    for number in range(3):
        upload(boss, rows(house, f"A{number}"), house.shop.code)

    # One for each queue of the sidebar that the viewer may see; they are kept for some seconds.
    with django_assert_max_num_queries(36):
        boss.get(reverse("admin:kernel_import_changelist"))
