"""Orders from any file: mapped once, previewed as a diff, whole orders or nothing, taken back while they can be."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command

from inventory.models import Reservation, StockPool
from omni.kernel.errors import BadInput
from omni.kernel.imports.commit import start_commit
from omni.kernel.imports.map_columns import save_mapping
from omni.kernel.imports.preview import start_preview
from omni.kernel.imports.undo import start_undo
from omni.kernel.imports.upload import upload_file
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Import, Job
from omni.wiring import JOBS
from orders.imports.order_lines import ORDER_LINES
from orders.models import ParkedOrder, SalesOrder
from orders.states import Stage
from products.models import Shop
from tests.factories.orders import NOON, House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O2")]

HEADING = "订单号,下单时间,商家编码,数量,单价,收货人,手机,省份,城市,地址,运费,订单金额\n"


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def order(
    house: House, number: str = "A1", quantity: int | str = 2, price: str = "10.00", **changes: str
) -> str:
    """One row of the file."""
    cells = {
        "number": number,
        "at": "2026-05-04 19:00",
        "sku": house.sku.code,
        "quantity": str(quantity),
        "price": price,
        "name": "张伟",
        "mobile": "13800138000",
        "province": "广东省",
        "city": "广州市",
        "address": "体育西路 1 号",
        "freight": "",
        "total": "",
    } | changes
    return ",".join(cells.values()) + "\n"


def work(job: Job) -> Job:
    claimed = claim_job(at=NOON, job_id=job.pk)
    assert claimed is not None
    return run_job(job=claimed, works=JOBS)


def preview(house: House, *rows: str, encoding: str = "gb18030") -> Import:
    data = (HEADING + "".join(rows)).encode(encoding)
    run = upload_file(
        target=ORDER_LINES,
        name="订单.csv",
        chunks=[data],
        params={"shop": house.shop.code},
        at=NOON,
        by="user:1",
    )
    work(start_preview(run_id=run.pk, target=ORDER_LINES, at=NOON, by="user:1"))
    run.refresh_from_db()
    return run


def take(house: House, *rows: str) -> Import:
    run = preview(house, *rows)
    work(start_commit(run_id=run.pk, at=NOON, by="user:1"))
    run.refresh_from_db()
    return run


def undo(run: Import) -> Job:
    return work(start_undo(run_id=run.pk, target=ORDER_LINES, at=NOON, by="user:1"))


def reserved(house: House) -> int:
    return sum(StockPool.objects.filter(sku=house.sku).values_list("reserved", flat=True))


def statuses(run: Import) -> list[tuple[str, str]]:
    return list(run.rows.order_by("line_no").values_list("status", "reason"))


def test_chinese_headings_of_an_excel_file_are_understood_and_the_order_is_taken(house: House) -> None:
    run = take(
        house, order(house), order(house, "A1", 1, "5.50"), order(house, "A2", 3, freight="6", total="36")
    )

    assert (run.done, run.error, run.summary) == (3, 0, {"orders": 2})
    first = SalesOrder.objects.get(outer_id="A1")
    assert (first.stage, first.total_amount, first.currency) == (Stage.CAPTURED, Decimal("25.5000"), "CNY")
    assert first.placed_at.isoformat() == "2026-05-04T11:00:00+00:00"
    assert first.receiver["name"] == "张伟"
    assert list(first.lines.order_by("id").values_list("outer_line_id", "quantity")) == [
        (house.sku.code, 2),
        (f"{house.sku.code}#2", 1),
    ]
    assert SalesOrder.objects.get(outer_id="A2").freight_amount == 6
    assert reserved(house) == 6


def test_the_same_file_again_changes_nothing(house: House) -> None:
    rows = [order(house), order(house, "A2")]
    take(house, *rows)

    again = take(house, *rows)

    assert (again.unchanged, again.done, again.summary) == (2, 0, {})
    assert SalesOrder.objects.count() == 2
    assert reserved(house) == 4


def test_a_changed_order_is_shown_with_what_changes_before_it_does(house: House) -> None:
    take(house, order(house))

    run = preview(house, order(house, address="体育东路 9 号"), order(house, "A2"))

    changed = run.rows.get(status="changed")
    assert (run.changed, run.new) == (1, 1)
    assert changed.changes == {"receiver": ["…", "…"]}
    assert SalesOrder.objects.get(outer_id="A1").receiver["address"] == "体育西路 1 号"
    work(start_commit(run_id=run.pk, at=NOON, by="user:1"))
    assert SalesOrder.objects.get(outer_id="A1").receiver["address"] == "体育东路 9 号"


def test_one_bad_line_keeps_back_its_whole_order_and_no_other(house: House) -> None:
    run = take(
        house,
        order(house, "A1"),
        order(house, "A2"),
        order(house, "A1", sku="nobody"),
        order(house, "A3", at="2099-01-01"),
        order(house, "A4", quantity="x"),
        order(house, "A4"),
        order(house, "A5"),
        order(house, "A5", name="李娜"),
    )

    assert statuses(run) == [
        ("error", "group_incomplete"),
        ("done", ""),
        ("error", "unknown_sku"),
        ("error", "future_time"),
        ("error", "bad_number"),
        ("error", "group_incomplete"),
        ("error", "group_incomplete"),
        ("error", "contradiction"),
    ]
    assert run.rows.get(line_no=4).column == "SKU code"
    assert list(SalesOrder.objects.values_list("outer_id", flat=True)) == ["A2"]
    assert ParkedOrder.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": "0"}, "out_of_range"),
        ({"quantity": "-1"}, "out_of_range"),
        ({"quantity": "1.5"}, "bad_number"),
        ({"quantity": "1000000000000"}, "out_of_range"),
        ({"quantity": "１"}, "bad_number"),
        ({"price": "-0.01"}, "out_of_range"),
        ({"price": "1e-9"}, "bad_number"),
        ({"price": "1000000000000000000"}, "out_of_range"),
        ({"at": "1969-01-01"}, "out_of_range"),
        ({"sku": ""}, "missing_value"),
        ({"number": ""}, "missing_value"),
        ({"number": "x" * 65}, "too_long"),
    ],
)
def test_bad_input_is_answered_by_row_and_column(house: House, changes: dict[str, str], reason: str) -> None:
    cells = order(house).strip().split(",")
    places = ["number", "at", "sku", "quantity", "price"]
    for name, value in changes.items():
        cells[places.index(name)] = value

    run = take(house, ",".join(cells) + "\n", order(house, "A2"))

    assert statuses(run) == [("error", reason), ("done", "")]
    assert run.rows.get(line_no=2).column == HEADING.split(",")[places.index(next(iter(changes)))]
    assert SalesOrder.objects.get().outer_id == "A2"


def test_an_order_that_does_not_add_up_or_lacks_its_address_is_taken_and_held(house: House) -> None:
    take(house, order(house, "A1", total="99"), order(house, "A2", address=""))

    held = SalesOrder.objects.filter(open_holds=1).values_list("outer_id", flat=True)
    assert sorted(held) == ["A1", "A2"]


def test_an_import_is_taken_back_and_its_stock_is_free_again(house: House) -> None:
    run = take(house, order(house), order(house, "A2", 20))
    assert reserved(house) == 2

    job = undo(run)

    assert job.state == Job.State.DONE
    assert SalesOrder.objects.count() == 0
    assert reserved(house) == 0
    assert not Reservation.objects.filter(state__in=["held", "committed"]).exists()
    assert take(house, order(house)).summary == {"orders": 1}


def test_an_import_of_which_an_order_is_at_a_warehouse_is_not_taken_back(house: House) -> None:
    run = take(house, order(house), order(house, "A2"))
    SalesOrder.objects.filter(outer_id="A2").update(stage=Stage.APPROVED)
    SalesOrder.objects.filter(outer_id="A2").update(stage=Stage.SOURCED)

    job = undo(run)

    assert job.state == Job.State.FAILED
    assert "line 3" in job.message
    assert SalesOrder.objects.count() == 2
    assert reserved(house) == 4


def test_a_change_of_an_older_order_is_not_taken_back(house: House) -> None:
    take(house, order(house))
    run = take(house, order(house, address="体育东路 9 号"))

    job = undo(run)

    assert job.state == Job.State.FAILED
    assert "was there before" in job.message


def test_the_shop_must_exist(house: House) -> None:
    Shop.objects.filter(pk=house.shop.pk).update(is_active=False)

    with pytest.raises(BadInput, match="no active shop"):
        preview(house, order(house))

    assert Import.objects.count() == 0


def test_the_command_takes_a_file_by_a_saved_mapping(house: House, tmp_path: Any) -> None:
    columns = {"number": "no", "placed_at": "when", "sku": "what", "quantity": "n", "unit_price": "each"}
    save_mapping(
        target=ORDER_LINES, name="erp", columns=columns, options={"separator": ";"}, at=NOON, by="user:1"
    )
    path = tmp_path / "erp.csv"
    path.write_text(f"no;when;what;n;each\nA1;2026-05-04 19:00;{house.sku.code};2;10\n")
    out = io.StringIO()

    call_command("import_orders", str(path), mapping="erp", shop=house.shop.code, json=True, stdout=out)

    account = json.loads(out.getvalue())
    assert (account["lines"], account["taken"], account["created"]) == (1, 1, 1)
    assert SalesOrder.objects.get().outer_id == "A1"
