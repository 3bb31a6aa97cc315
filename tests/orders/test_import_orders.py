"""A real retailer's ledger comes in: every line is accounted for, and the same file again changes nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from omni.kernel.imports.rejects import outcomes
from omni.kernel.models import Import, ImportRow, OutboxEvent
from orders.models import ChannelOrder, ChannelOrderVersion, ParkedOrder, Return, ReturnLine, SalesOrder
from orders.models.sales import SalesOrderLine
from orders.states import Stage
from products.models import Brand, Shop, Sku
from tests.factories.products import BrandFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O2")]

SAMPLES = Path(__file__).parent / "samples"
DAY_ONE = SAMPLES / "online_retail_day_one.csv"
DAY_TWO = SAMPLES / "online_retail_day_two.csv"
REAL = Path(os.environ.get("ONLINE_RETAIL", Path(__file__).parents[2].parent / "shared/data/online-retail"))
HEADING = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def import_orders(*args: Any, **options: Any) -> dict[str, Any]:
    """Run the command; its account, of which every line must be somewhere."""
    out = io.StringIO()
    call_command("import_orders", *args, json=True, stdout=out, **options)
    account: dict[str, Any] = json.loads(out.getvalue())
    assert account["taken"] + account["returned"] + account["parked"] == account["lines"]
    return account


def online_retail(path: Path, **options: Any) -> dict[str, Any]:
    return import_orders(str(path), mapping="online-retail", **options)


def written(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "ledger.csv"
    path.write_text(HEADING + "".join(f"{row}\n" for row in rows))
    return path


def reasons_of(run_id: int) -> dict[int, str]:
    rows = ImportRow.objects.filter(run_id=run_id, status="error").order_by("line_no")
    return dict(rows.values_list("line_no", "reason"))


def test_every_line_of_a_ledger_is_taken_returned_or_parked_with_its_reason() -> None:
    account = online_retail(DAY_ONE)

    assert {name: account[name] for name in ("lines", "taken", "returned", "parked", "unchanged")} == {
        "lines": 23,
        "taken": 9,
        "returned": 1,
        "parked": 13,
        "unchanged": 0,
    }
    assert account["created_by_kind"] == {"shops": 1, "skus": 5, "orders": 4, "returns": 1}
    assert account["created"] == 11
    assert reasons_of(account["run"]) == {
        5: "postage",
        10: "no_price",
        11: "stock_write_off",
        12: "manual_entry",
        15: "discount",
        16: "buyer_unknown",
        17: "more_than_bought",
        18: "no_matching_order",
        19: "bad_debt",
        20: "gift_voucher",
        21: "negative_quantity",
        22: "bad_number",
        24: "no_price",
    }
    assert sum(account["reasons"].values()) == 13


def test_an_order_is_taken_with_its_good_lines_wherever_in_the_file_they_stand() -> None:
    online_retail(DAY_ONE)

    order = SalesOrder.objects.get(outer_id="900001")
    assert (order.stage, order.fulfilled_by, order.currency, order.buyer) == (
        Stage.COMPLETED,
        "outside",
        "GBP",
        "10001",
    )
    assert order.total_amount == Decimal("79.53")
    assert sorted(order.lines.values_list("outer_line_id", "quantity", "shipped_quantity", "amount")) == [
        ("11111A:6x2.55:1", 6, 6, Decimal("15.3000")),
        ("11112:8x3.39:1", 8, 8, Decimal("27.1200")),
        ("11112:8x3.39:2", 8, 8, Decimal("27.1200")),
        ("11115:1x9.99:1", 1, 1, Decimal("9.9900")),
    ]
    assert order.placed_at.isoformat() == "2010-12-01T08:26:00+00:00"
    version = ChannelOrderVersion.objects.get(channel_order__outer_id="900001")
    assert version.payload["lines"][0] == [
        "11111A",
        "BLUE TIN LANTERN",
        6,
        "2010-12-01T08:26:00+00:00",
        "2.55",
    ]


def test_a_code_is_one_sku_named_by_its_most_frequent_description() -> None:
    online_retail(DAY_ONE)

    names = dict(Sku.objects.values_list("code", "name"))
    assert names == {
        "11111A": "BLUE TIN LANTERN",
        "11112": "RED WOODEN BIRD",
        "11113": 'GREEN PAPER "STAR" SET',
        "11115": "LATE IN THE FILE",
        "DCGS0001": "DCGS0001",
    }
    assert Brand.objects.get().code == "online-retail"
    assert Sku.objects.values_list("currency", flat=True).distinct().get() == "GBP"


def test_equally_frequent_descriptions_are_decided_by_the_alphabet(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "900001,11111,ZEBRA,1,2010-12-01 08:00:00,1.0,1.0,UK",
        "900001,11111,APE,2,2010-12-01 08:00:00,1.0,1.0,UK",
        "900001,11111,,3,2010-12-01 08:00:00,1.0,1.0,UK",
        "900001,11111,,4,2010-12-01 08:00:00,1.0,1.0,UK",
    )

    online_retail(path)

    assert Sku.objects.get().name == "APE"


def test_a_cancellation_becomes_a_return_over_as_many_lines_as_it_takes() -> None:
    online_retail(DAY_ONE)

    back = Return.objects.get()
    assert (back.outer_id, back.order.outer_id) == ("C900006", "900001")
    assert sorted(ReturnLine.objects.values_list("quantity", "amount")) == [
        (2, Decimal("6.7800")),
        (8, Decimal("27.1200")),
    ]
    returned = SalesOrderLine.objects.filter(sku__code="11112").order_by("outer_line_id")
    assert sorted(returned.values_list("returned_quantity", flat=True)) == [0, 2, 8]
    assert back.order.events.filter(kind="returned").get().detail == {"return": "C900006", "units": 10}


def test_the_latest_orders_are_cancelled_first_and_never_more_than_was_bought() -> None:
    online_retail(DAY_ONE)

    account = online_retail(DAY_TWO)

    assert account["returned"] == 3
    parts = ReturnLine.objects.filter(outer_line_id="11112:-5x3.5:1").order_by(
        "-order_line__order__placed_at"
    )
    assert list(parts.values_list("order_line__order__outer_id", "quantity")) == [
        ("900020", 3),
        ("900014", 1),
        ("900001", 1),
    ]
    assert ReturnLine.objects.filter(outer_line_id__startswith="11112:-1x3.5").count() == 2
    for line in SalesOrderLine.objects.all():
        assert line.returned_quantity <= line.shipped_quantity


def test_the_same_files_again_change_nothing() -> None:
    first = [online_retail(DAY_ONE), online_retail(DAY_TWO)]
    before = _everything()

    again = [online_retail(DAY_ONE), online_retail(DAY_TWO)]

    assert [account["unchanged"] for account in again] == [account["lines"] for account in again]
    assert [account["created"] for account in again] == [0, 0]
    for name in ("taken", "returned", "parked", "reasons"):
        assert [account[name] for account in again] == [account[name] for account in first]
    assert _everything() == before


def _everything() -> dict[str, Any]:
    models = (
        ChannelOrder,
        ChannelOrderVersion,
        SalesOrder,
        SalesOrderLine,
        Return,
        ReturnLine,
        Sku,
        ParkedOrder,
    )
    counts = {model.__name__: model._default_manager.count() for model in models}
    waiting = ImportRow.objects.filter(status="error", run__state="done").count()
    return {**counts, "returned": _returned(), "waiting": waiting}


def _returned() -> int:
    return sum(SalesOrderLine.objects.values_list("returned_quantity", flat=True))


def test_the_same_lines_in_another_order_are_the_same_lines(tmp_path: Path) -> None:
    online_retail(DAY_ONE)
    heading, *rows = DAY_ONE.read_text().splitlines()
    path = tmp_path / "shuffled.csv"
    path.write_text("\n".join([heading, *reversed(rows)]) + "\n")

    account = online_retail(path)

    assert account["unchanged"] == account["lines"]
    assert account["created"] == 0


def test_a_cancellation_finds_its_order_when_that_comes_later(tmp_path: Path) -> None:
    cancellation = "C900002,11111,LANTERN,-2,2010-12-03 08:00:00,1.0,7.0,UK"
    early = online_retail(written(tmp_path, cancellation))
    assert early["reasons"] == {"no_matching_order": 1}
    online_retail(written(tmp_path, "900001,11111,LANTERN,2,2010-12-01 08:00:00,1.0,7.0,UK"))

    account = import_orders(retry=early["run"])

    assert (account["returned"], account["parked"], account["reasons"]) == (1, 0, {})
    assert Return.objects.get().order.outer_id == "900001"


def test_a_parked_cancellation_is_settled_by_importing_its_file_again(tmp_path: Path) -> None:
    cancellation = "C900002,11111,LANTERN,-2,2010-12-03 08:00:00,1.0,7.0,UK"
    early = online_retail(written(tmp_path, cancellation))
    online_retail(written(tmp_path, "900001,11111,LANTERN,2,2010-12-01 08:00:00,1.0,7.0,UK"))

    account = online_retail(written(tmp_path, cancellation))

    assert (account["returned"], account["unchanged"], account["created"]) == (1, 0, 1)
    assert ImportRow.objects.get(run_id=early["run"]).status == "settled"


def test_one_of_two_equal_cancellations_may_wait_and_be_taken_later(tmp_path: Path) -> None:
    sale = "900001,11111,LANTERN,1,2010-12-01 08:00:00,1.0,7.0,UK"
    cancellation = "C900002,11111,LANTERN,-1,2010-12-03 08:00:00,1.0,7.0,UK"
    first = online_retail(written(tmp_path, sale, cancellation, cancellation))
    assert (first["returned"], first["parked"]) == (1, 1)
    online_retail(written(tmp_path, "900003,11111,LANTERN,1,2010-12-02 08:00:00,1.0,7.0,UK"))

    account = import_orders(retry=first["run"])

    assert (account["returned"], account["parked"]) == (2, 0)
    assert set(ReturnLine.objects.values_list("outer_line_id", flat=True)) == {"11111:-1x1:1", "11111:-1x1:2"}


def test_a_line_that_comes_after_its_order_was_taken_is_parked(tmp_path: Path) -> None:
    sale = "900001,11111,LANTERN,1,2010-12-01 08:00:00,1.0,7.0,UK"
    online_retail(written(tmp_path, sale))

    account = online_retail(written(tmp_path, sale, "900001,11112,BIRD,1,2010-12-01 08:00:00,1.0,7.0,UK"))

    assert (account["taken"], account["unchanged"], account["reasons"]) == (1, 1, {"late_line": 1})
    assert SalesOrderLine.objects.count() == 1


def test_a_code_of_another_brand_is_not_sold_as_ours(tmp_path: Path) -> None:
    foreign = SkuFactory.create(code="11111", spu=SpuFactory.create(brand=BrandFactory.create(code="other")))

    account = online_retail(written(tmp_path, "900001,11111,LANTERN,1,2010-12-01 08:00:00,1.0,7.0,UK"))

    assert account["reasons"] == {"foreign_sku": 1}
    assert SalesOrder.objects.count() == 0
    assert list(Sku.objects.all()) == [foreign]


def test_a_dry_run_takes_nothing() -> None:
    account = online_retail(DAY_ONE, dry_run=True)

    assert (account["lines"], account["created"]) == (23, 0)
    assert SalesOrder.objects.count() == Sku.objects.count() == Shop.objects.count() == 0
    assert Import.objects.get().state == Import.State.PREVIEWED


def test_a_whole_import_is_taken_back_and_can_come_again() -> None:
    first = online_retail(DAY_ONE)

    import_orders_undone(first["run"])

    assert SalesOrder.objects.count() == ChannelOrder.objects.count() == Return.objects.count() == 0
    assert Import.objects.get(pk=first["run"]).state == Import.State.UNDONE
    again = online_retail(DAY_ONE)
    assert (again["taken"], again["returned"], again["parked"]) == (9, 1, 13)
    assert again["unchanged"] == 0


def import_orders_undone(run_id: int) -> None:
    call_command("import_orders", undo=run_id, json=True, stdout=io.StringIO())


def test_an_import_whose_goods_came_back_with_another_file_stays() -> None:
    first = online_retail(DAY_ONE)
    online_retail(DAY_TWO)
    before = _everything()

    with pytest.raises(CommandError, match="C900021"):
        import_orders_undone(first["run"])

    assert _everything() == before
    assert Import.objects.get(pk=first["run"]).state == Import.State.DONE


def test_the_later_import_goes_first_and_gives_back_what_it_cancelled() -> None:
    first = online_retail(DAY_ONE)
    before = _everything()
    second = online_retail(DAY_TWO)

    import_orders_undone(second["run"])
    undone = _everything()
    import_orders_undone(first["run"])

    assert undone == {**before, "Sku": before["Sku"] + 1}
    assert SalesOrder.objects.count() == 0


def test_a_packed_file_is_taken_too(tmp_path: Path) -> None:
    path = tmp_path / "day.csv.gz"
    path.write_bytes(gzip.compress(DAY_ONE.read_bytes()))

    assert online_retail(path)["taken"] == 9


def test_wrong_words_are_answered_and_nothing_is_written(tmp_path: Path) -> None:
    ShopFactory.create(code="online-retail")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "Name a file"),
        ({"file": DAY_ONE}, "Name a file"),
        ({"file": tmp_path / "none.csv", "mapping": "online-retail"}, "no file"),
        ({"file": DAY_ONE, "mapping": "nobody"}, "online-retail"),
        ({"retry": 99}, "no import 99"),
        ({"file": DAY_ONE, "mapping": "online-retail"}, "exists, but"),
    ]
    for options, word in wrong:
        with pytest.raises(CommandError, match=word):
            call_command("import_orders", **options)

    assert SalesOrder.objects.count() == 0
    assert Sku.objects.count() == 0


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_text("InvoiceNo,StockCode,Quantity,InvoiceDate\n900001,11111,1,2010-12-01 08:00:00\n")

    with pytest.raises(CommandError, match="Unit price"):
        online_retail(path)

    assert ImportRow.objects.count() == 0


def test_the_news_of_an_import_is_handed_on_without_a_worker() -> None:
    online_retail(DAY_ONE)

    assert set(OutboxEvent.objects.values_list("kind", "state")) == {("orders.OrdersCaptured", "done")}


def test_outcomes_and_rows_agree() -> None:
    account = online_retail(DAY_ONE)

    assert outcomes(account["run"]) == {"taken": 9, "returned": 1, "parked": 13}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not REAL.exists(), reason="the real files are not part of the project")
def test_the_six_real_files_come_in_with_every_line_accounted_for_and_again_change_nothing() -> None:
    files = sorted(REAL.glob("*.csv.gz"))

    first = [online_retail(path) for path in files]
    before = _everything()
    again = [online_retail(path) for path in files]

    assert sum(account["lines"] for account in first) == 209_029
    assert [account["unchanged"] for account in again] == [account["lines"] for account in first]
    assert sum(account["created"] for account in again) == 0
    assert _everything() == before
