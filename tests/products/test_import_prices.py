"""Prices come as a file: each row asks for one, the same file again for nothing, and all of it can be taken back."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import override
from time_machine import travel

from omni.kernel.imports.commit import start_commit
from omni.kernel.imports.export import csv_chunks, write_template
from omni.kernel.imports.preview import start_preview
from omni.kernel.imports.undo import start_undo
from omni.kernel.imports.upload import upload_file
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Import, Job
from omni.wiring import JOBS
from products.imports.prices import PRICES
from products.models import Price, Shop, Sku, StaffScope
from products.prices.decide import approve_prices
from tests.factories.prices import BOSS, BUYER, DAY, NOON, approved, asked, put_floor
from tests.factories.products import ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P6")]

HEADING = "SKU code,Shop code,Kind of channel,Kind of price,Price,Starts at,Ends at,Why,Submit\n"


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with travel(NOON, tick=False):
        yield


@pytest.fixture
def sku() -> Sku:
    return SkuFactory.create(code="S-1", list_price=Decimal(120))


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create(code="TM")


def row(sku: str = "S-1", amount: str = "99", **cells: str) -> str:
    said = {"shop": "", "channel": "", "kind": ""} | {"amount": amount}
    said |= {"starts": "", "ends": "", "why": "", "submit": ""} | cells
    return ",".join([sku, *said.values()]) + "\n"


def work(job: Job) -> Job:
    claimed = claim_job(at=NOON, job_id=job.pk)
    assert claimed is not None
    return run_job(job=claimed, works=JOBS)


def preview(*rows: str, data: bytes = b"", **params: Any) -> Import:
    run = upload_file(
        target=PRICES,
        name="prices.csv",
        chunks=[data or (HEADING + "".join(rows)).encode()],
        params=params,
        at=NOON,
        by=BUYER,
    )
    work(start_preview(run_id=run.pk, target=PRICES, at=NOON, by=BUYER))
    run.refresh_from_db()
    return run


def take(*rows: str, data: bytes = b"", **params: Any) -> Import:
    run = preview(*rows, data=data, **params)
    work(start_commit(run_id=run.pk, at=NOON, by=BUYER))
    run.refresh_from_db()
    return run


def undo(run: Import) -> Job:
    job = work(start_undo(run_id=run.pk, target=PRICES, at=NOON, by=BUYER))
    run.refresh_from_db()
    return job


def faults(run: Import) -> list[tuple[int, str, str]]:
    """Line, reason and column of the rows that were refused."""
    found = run.rows.filter(status="error").order_by("line_no")
    return list(found.values_list("line_no", "reason", "column"))


def approve_all() -> None:
    ids = list(Price.objects.filter(state="submitted").values_list("pk", flat=True))
    outcomes = approve_prices(price_ids=ids, may_approve_own=False, at=NOON, by=BOSS)
    assert all(outcome.ok for outcome in outcomes), outcomes


# --- asking -------------------------------------------------------------------------------------------------------


def test_each_row_asks_for_a_price_in_its_scope(sku: Sku, shop: Shop) -> None:
    run = take(
        row(amount="99"),
        row(amount="95", shop="TM", why="opening"),
        row(amount="79", channel="top", kind="special", starts="2026-12-01 00:00", ends="2026-12-03 00:00"),
        row(amount="90", shop="TM", starts="2027-01-01 00:00", submit="no"),
    )

    assert (run.lines, run.done, run.error) == (4, 4, 0)
    assert run.summary == {"prices": 4, "prices_submitted": 3}
    everywhere, own, draft, special = Price.objects.order_by("-amount")
    assert (everywhere.amount, everywhere.shop, everywhere.channel, everywhere.state) == (
        Decimal(99),
        None,
        "",
        "submitted",
    )
    assert (own.amount, own.shop, own.reason, own.starts_at) == (Decimal(95), shop, "opening", NOON)
    assert (special.kind, special.channel) == ("special", "top")
    assert special.ends_at is not None
    assert special.ends_at - special.starts_at == 2 * DAY
    assert (draft.state, draft.requested_by) == ("draft", BUYER)


def test_the_preview_shows_the_old_price_beside_the_new_and_asks_for_nothing(sku: Sku, shop: Shop) -> None:
    approved(sku, 100, shop=shop, at=NOON - DAY, starts_at=NOON - DAY)

    run = preview(row(amount="89.90", shop="TM"), row(amount="80"))

    assert (run.changed, run.new) == (1, 1)
    assert run.rows.get(line_no=2).changes == {"amount": ["100", "89.9"]}
    assert Price.objects.count() == 1


def test_the_same_file_again_asks_for_nothing_before_and_after_the_approval(sku: Sku, shop: Shop) -> None:
    rows = [
        row(amount="99"),
        row(amount="98", starts="2026-12-01 00:00"),
        row(amount="79", shop="TM", kind="special", starts="2026-12-01 00:00", ends="2026-12-03 00:00"),
        row(amount="97", shop="TM", starts="2026-11-01 00:00"),
    ]
    take(*rows)

    before = take(*rows)
    approve_all()
    after = take(*rows)

    assert (before.unchanged, before.done) == (4, 0)
    assert (after.unchanged, after.done) == (4, 0)
    assert Price.objects.count() == 4


def test_what_goes_out_comes_in_again_as_it_is(sku: Sku, shop: Shop) -> None:
    approved(sku, 100)
    approved(sku, 90, starts_at=NOON + 30 * DAY)
    asked(sku, 70, shop=shop, kind="special", starts_at=NOON + DAY, ends_at=NOON + 3 * DAY)
    with override("zh-hans"):
        data = b"".join(csv_chunks([str(field.label) for field in PRICES.fields], list(PRICES.export({}))))

    run = preview(data=data)

    assert "特价".encode() in data or "促销".encode() in data
    assert (run.lines, run.unchanged) == (3, 3), faults(run)


# --- what cannot be asked for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reason", "column"),
    [
        ({"sku": "NONE"}, "unknown_sku", "SKU code"),
        ({"shop": "NONE"}, "unknown_shop", "Shop code"),
        ({"channel": "fax"}, "unknown_channel", "Kind of channel"),
        ({"shop": "TM", "channel": "top"}, "two_scopes", "Kind of channel"),
        ({"amount": "much"}, "bad_number", "Price"),
        ({"amount": "0"}, "bad_amount", "Price"),
        ({"amount": "9.999"}, "bad_amount", "Price"),
        ({"amount": "49"}, "below_floor", "Price"),
        ({"kind": "special"}, "no_end", "Ends at"),
        ({"kind": "cheap"}, "bad_choice", "Kind of price"),
        ({"starts": "2026-12-02 00:00", "ends": "2026-12-01 00:00"}, "ends_before_start", "Ends at"),
        ({"starts": "2026-10-01 00:00", "ends": "2026-11-01 00:00"}, "is_over", "Ends at"),
        ({"shop": "TM", "ends": "2026-12-24 00:00"}, "overlaps", "Starts at"),
        ({"starts": "2027-02-01 00:00"}, "asked_already", "Price"),
    ],
)
def test_a_row_that_cannot_be_asked_for_says_why_and_in_which_column(
    sku: Sku, shop: Shop, cells: dict[str, str], reason: str, column: str
) -> None:
    put_floor(sku, 50)
    approved(sku, 100, shop=shop)
    asked(sku, 88, starts_at=NOON.replace(year=2027, month=1, day=31, hour=16))
    SkuFactory.create(code="GOOD")
    count = Price.objects.count()

    run = take(row("GOOD"), row(**({"amount": "99"} | cells)))

    assert faults(run) == [(3, reason, column)]
    assert run.rows.get(line_no=3).detail
    assert Price.objects.count() == count + 1


def test_lines_of_one_scope_that_overlap_are_refused_and_a_line_of_prices_is_not(
    sku: Sku, shop: Shop
) -> None:
    run = take(
        row(amount="99"),
        row(amount="95"),
        row(amount="90", starts="2026-12-01 00:00"),
        row(amount="80", shop="TM", kind="special", starts="2026-12-01 00:00", ends="2026-12-05 00:00"),
        row(amount="81", shop="TM", kind="special", starts="2026-12-04 00:00", ends="2026-12-08 00:00"),
        row(amount="82", shop="TM", kind="special", starts="2026-12-05 00:00", ends="2026-12-08 00:00"),
        row(amount="83", starts="2026-12-10 00:00", ends="2026-12-11 00:00"),
    )

    assert faults(run) == [
        (3, "overlaps_in_file", "Starts at"),
        (6, "overlaps_in_file", "Starts at"),
        (8, "overlaps_in_file", "Starts at"),
    ]
    assert "Line 2" in run.rows.get(line_no=3).detail
    assert list(Price.objects.order_by("pk").values_list("amount", flat=True)) == [99, 90, 80, 82]


def test_a_floor_that_was_raised_after_the_preview_costs_its_row_only(sku: Sku) -> None:
    SkuFactory.create(code="GOOD")
    run = preview(row(amount="60"), row("GOOD"))
    put_floor(sku, 70)

    work(start_commit(run_id=run.pk, at=NOON, by=BUYER))

    assert faults(run) == [(2, "below_floor", "Price")]
    assert [price.sku.code for price in Price.objects.all()] == ["GOOD"]


def test_prices_of_shops_and_brands_that_are_not_ones_own_cannot_be_asked_for(sku: Sku, shop: Shop) -> None:
    other, foreign = ShopFactory.create(code="OTHER"), SkuFactory.create(code="F-1")
    brand = sku.spu.brand.code

    run = preview(
        row(shop="OTHER"),
        row("F-1", shop="TM"),
        row(),
        row(shop="TM"),
        shops=["TM"],
        brands=[brand],
        whole_brands=[],
    )
    whole = preview(row(), shops=["TM"], brands=[brand], whole_brands=[brand])

    assert faults(run) == [
        (2, "unknown_shop", "Shop code"),
        (3, "unknown_sku", "SKU code"),
        (4, "foreign_shops", "Shop code"),
    ]
    assert (whole.new, whole.error) == (1, 0)
    assert (other.code, foreign.code) == ("OTHER", "F-1")


# --- taking back --------------------------------------------------------------------------------------------------


def test_taken_back_the_undecided_are_withdrawn(sku: Sku, shop: Shop) -> None:
    run = take(row(), row(shop="TM", submit="no"))

    job = undo(run)

    assert job.state == Job.State.DONE
    assert set(Price.objects.values_list("state", flat=True)) == {"withdrawn"}
    assert take(row()).done == 1


def test_what_was_approved_meanwhile_is_named_and_nothing_is_taken_back(sku: Sku, shop: Shop) -> None:
    run = take(row(), row(shop="TM"))
    price = Price.objects.get(shop=shop)
    approve_prices(price_ids=[price.pk], may_approve_own=False, at=NOON + timedelta(hours=1), by=BOSS)

    job = undo(run)

    assert job.state == Job.State.FAILED
    assert f"line 3: Price #{price.pk} was approved meanwhile" in job.message
    assert set(Price.objects.values_list("state", flat=True)) == {"submitted", "approved"}


# --- templates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "special"), [("en", "special"), ("zh-hans", "特价")])
def test_the_template_offers_shops_channels_and_kinds_in_the_readers_language(
    sku: Sku, shop: Shop, language: str, special: str
) -> None:
    file = io.BytesIO()
    with override(language):
        write_template(file, PRICES.fields, title="Prices", offered=PRICES.offered({}))
    with zipfile.ZipFile(file) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        strings = (
            book.read("xl/sharedStrings.xml").decode() if "xl/sharedStrings.xml" in book.namelist() else ""
        )
        lists = book.read("xl/worksheets/sheet3.xml").decode() + strings

    run = preview(row(amount="70", kind=special, ends="2026-12-01 00:00"))

    validations = sheet[sheet.index("<dataValidations") :]
    assert special in validations
    assert validations.count('type="list"') == 4  # shop, channel, kind, yes or no
    assert ">TM<" in lists
    assert (run.new, run.error) == (1, 0)


def test_a_person_brings_in_and_takes_out_the_prices_of_their_shops_only(
    sku: Sku, shop: Shop, client: Client
) -> None:
    from django.contrib.auth.models import Permission

    approved(sku, 100, shop=shop)
    approved(sku, 77, shop=ShopFactory.create(code="OTHER"))
    approved(sku, 66)
    clerk = User.objects.create_user("clerk", is_staff=True)
    codes = ["add_import", "change_import", "view_import", "change_price"]
    clerk.user_permissions.set(Permission.objects.filter(codename__in=codes))
    sku.spu.brand.shops.add(shop)
    StaffScope.objects.create(user=clerk, shop=shop)
    client.force_login(clerk)

    answer: Any = client.get("/admin/kernel/import/export/products.prices.csv")
    text = b"".join(answer.streaming_content).decode()

    assert answer.status_code == 200
    assert "TM" in text
    assert "OTHER" not in text
