"""Orders as any system exports them: one row per line, the rows of an order told by its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from omni.kernel.actors import actor
from omni.kernel.errors import BadInput
from omni.kernel.imports.fields import Field
from omni.kernel.imports.target import Context, Obstacle, Row, Taken, Target, Verdict
from omni.kernel.money import round_money, smallest_unit
from orders.capture import Captured, capture_orders
from orders.draft import ChannelState, LineDraft, OrderDraft, Receiver
from orders.draft_json import content_hash, draft_to_json
from orders.faults import find_faults
from orders.forget import find_in_use, forget_orders
from orders.models import ChannelOrder
from orders.resolve import SkuFinder
from products.models import Shop

TAKEN, PARKED = "taken", "parked"
# What is said once for an order: the first row that says it counts, and no other may contradict.
OF_THE_ORDER = (
    "placed_at",
    "paid_at",
    "currency",
    "freight",
    "total",
    "buyer",
    "buyer_message",
    "seller_memo",
    "name",
    "mobile",
    "province",
    "city",
    "district",
    "address",
    "postcode",
    "country",
)
# Moments that change whenever the file does; they are no news of their own.
NOT_NEWS = frozenset({"outer_modified_at", "payload"})


class OrderLines(Target):
    """`params`: `shop`, the code of the shop to which the orders belong. It must exist."""

    name = "orders.lines"
    label = gettext_lazy("Orders")
    group_by = "number"
    whole_groups = True  # an order without one of its lines is another order
    chunk_rows = 1_000
    can_undo = True
    error_outcome = PARKED
    reasons: Mapping[str, Promise] = {
        "contradiction": gettext_lazy("the order's rows contradict one another"),
        "unknown_sku": gettext_lazy("unknown SKU"),
        "future_time": gettext_lazy("time in the future"),
        "stale": gettext_lazy("older than what is known"),
    }
    fields = (
        Field(
            "number",
            gettext_lazy("Order number"),
            "code",
            True,
            ("order", "order no", "订单号", "订单编号"),
            64,
            example="A-1001",
        ),
        Field(
            "placed_at",
            gettext_lazy("Ordered at"),
            "moment",
            True,
            ("order time", "date", "下单时间"),
            example="2026-01-31 14:05",
        ),
        Field(
            "sku",
            gettext_lazy("SKU code"),
            "code",
            True,
            ("sku", "stock code", "商家编码", "货号"),
            64,
            example="SKU-001",
        ),
        Field(
            "quantity",
            gettext_lazy("Quantity"),
            "integer",
            True,
            ("qty", "数量"),
            minimum=1,
            maximum=1_000_000,
            example="2",
        ),
        Field(
            "unit_price",
            gettext_lazy("Unit price"),
            "decimal",
            True,
            ("price", "单价"),
            minimum=0,
            example="99.00",
        ),
        Field(
            "amount",
            gettext_lazy("Line amount"),
            "decimal",
            False,
            ("金额", "实付金额"),
            minimum=0,
            note=gettext_lazy("What is paid for the whole line; empty: unit price × quantity."),
            example="198.00",
        ),
        Field("line", gettext_lazy("Line id"), "code", False, ("子订单号",), 48, example="1"),
        Field(
            "title",
            gettext_lazy("Title"),
            "text",
            False,
            ("商品名称", "商品标题"),
            240,
            example="Serum 30 ml",
        ),
        Field(
            "name",
            gettext_lazy("Receiver"),
            "text",
            False,
            ("收货人", "收件人", "收货人姓名", "收件人姓名"),
            60,
            example="张伟",
        ),
        Field(
            "mobile",
            gettext_lazy("Mobile"),
            "code",
            False,
            ("phone", "手机", "手机号", "电话", "联系电话", "收货人手机"),
            32,
            example="13800138000",
        ),
        Field("province", gettext_lazy("Province"), "text", False, ("省", "省份"), 40, example="广东省"),
        Field("city", gettext_lazy("City"), "text", False, ("市", "城市"), 40, example="广州市"),
        Field("district", gettext_lazy("District"), "text", False, ("区", "区县"), 40, example="天河区"),
        Field(
            "address",
            gettext_lazy("Address"),
            "text",
            False,
            ("地址", "详细地址", "收货地址"),
            240,
            example="体育西路 1 号",
        ),
        Field("postcode", gettext_lazy("Postcode"), "code", False, ("zip", "邮编"), 16, example="510620"),
        Field("country", gettext_lazy("Country"), "text", False, ("国家",), 60),
        Field("buyer", gettext_lazy("Buyer"), "text", False, ("买家", "会员名"), 120),
        Field("buyer_message", gettext_lazy("Buyer's message"), "text", False, ("买家留言",), 500),
        Field("seller_memo", gettext_lazy("Seller's memo"), "text", False, ("卖家备注", "备注"), 500),
        Field(
            "paid_at",
            gettext_lazy("Paid at"),
            "moment",
            False,
            ("付款时间",),
            note=gettext_lazy("Empty: paid when ordered."),
        ),
        Field("freight", gettext_lazy("Freight"), "decimal", False, ("运费",), minimum=0, example="0"),
        Field(
            "total",
            gettext_lazy("Order total"),
            "decimal",
            False,
            ("订单金额", "应付金额"),
            minimum=0,
            note=gettext_lazy("Checked against lines and freight; an order that does not add up is held."),
        ),
        Field(
            "currency",
            gettext_lazy("Currency"),
            "code",
            False,
            ("币种",),
            3,
            note=gettext_lazy("Empty: the shop's."),
            example="CNY",
        ),
    )

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        code = str(params.get("shop") or "")
        if not Shop.objects.filter(code=code, is_active=True).exists():
            raise BadInput(
                _("Say to which shop the orders belong: there is no active shop “%s”.") % code[:40],
                fields={"shop": [code[:40]]},
            )
        return {"shop": code}

    # --- what each order would do -----------------------------------------------------------------------------

    def diff(self, rows: Sequence[Row], context: Context) -> Sequence[Verdict]:
        """Orders that are new, changed with what is, the same, or at fault with the line that is."""
        shop = _shop(context)
        verdicts: dict[int, Verdict] = {}
        drafts: dict[str, OrderDraft] = {}
        by_order = _by_order(rows)
        for number, order_rows in by_order.items():
            contradiction = _find_contradiction(order_rows)
            if contradiction is not None:
                verdicts |= contradiction
            else:
                drafts[number] = draft_of(number, order_rows, shop)
        finder = SkuFinder(shop_id=shop.pk, drafts=list(drafts.values()))
        known = _known_orders(shop, list(drafts))
        for number, draft in drafts.items():
            verdicts |= _judge(draft, by_order[number], finder, known.get(number))
        return [verdicts.get(row.ident, Verdict("new", TAKEN)) for row in rows]

    # --- taking them ------------------------------------------------------------------------------------------

    def prepare_commit(self, context: Context, *, at: datetime, by: str) -> Mapping[str, int]:
        return {}

    def commit(
        self, rows: Sequence[Row], context: Context, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        shop = _shop(context)
        drafts = [draft_of(number, order_rows, shop) for number, order_rows in _by_order(rows).items()]
        source = actor("import", context.run.pk)
        captured = {
            result.outer_id: result
            for result in capture_orders(shop=shop, drafts=drafts, at=at, by=by, source=source)
        }
        counts = Counter(result.result for result in captured.values())
        made = {"orders": counts["new"], "orders_changed": counts["changed"]}
        return [_taken_of(captured[row.values["number"]]) for row in rows], made

    # --- taking them back -------------------------------------------------------------------------------------

    def find_obstacles(self, rows: Sequence[Row], context: Context) -> Sequence[Obstacle]:
        """An order that this import only changed, or that a warehouse has by now, cannot be taken back."""
        obstacles = [
            Obstacle(
                row.line_no,
                "order_changed",
                _("Order %s was there before; its change stays.") % row.group_key,
            )
            for row in rows
            if not row.undo["is_new"]
        ]
        order_ids = sorted({row.undo["order"] for row in rows if row.undo["is_new"]})
        in_use = {found.order_id: found.detail for found in find_in_use(order_ids=order_ids)}
        return obstacles + [
            Obstacle(row.line_no, "order_in_use", in_use[row.undo["order"]])
            for row in rows
            if row.undo["order"] in in_use
        ]

    def undo(self, rows: Sequence[Row], context: Context, *, at: datetime, by: str) -> None:
        forget_orders(order_ids=sorted({row.undo["order"] for row in rows}), at=at, by=by)


ORDER_LINES = OrderLines()


# --- orders from rows -----------------------------------------------------------------------------------------


def _shop(context: Context) -> Shop:
    if "shop" not in context.memory:
        context.memory["shop"] = Shop.objects.get(code=context.run.params["shop"])
    shop: Shop = context.memory["shop"]
    return shop


def _by_order(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.values["number"], []).append(row)
    return found


def _find_contradiction(rows: Sequence[Row]) -> dict[int, Verdict] | None:
    """The first row that says something else of its order than a row before it."""
    said: dict[str, tuple[Any, int]] = {}
    for row in rows:
        for name in OF_THE_ORDER:
            value = row.values[name]
            if value is None:
                continue
            first, line_no = said.setdefault(name, (value, row.line_no))
            if first != value:
                return {
                    row.ident: _fault(
                        "contradiction",
                        name,
                        _("Line %(line)d says %(first)s for the same order, this one %(value)s.")
                        % {"line": line_no, "first": first, "value": value},
                    )
                }
    return None


def draft_of(number: str, rows: Sequence[Row], shop: Shop) -> OrderDraft:
    """The order that these rows tell of. The file knows no state: it is paid and waits to be shipped."""
    said = {
        name: next((row.values[name] for row in rows if row.values[name] is not None), None)
        for name in OF_THE_ORDER
    }
    placed_at = rows[0].values["placed_at"]  # required, and the same in all rows
    currency = (said["currency"] or shop.currency).upper()
    seen: Counter[str] = Counter()
    lines = []
    for row in rows:
        values = row.values
        line_id = values["line"] or values["sku"]
        seen[line_id] += 1
        amount = values["amount"]
        if amount is None:
            amount = round_money(values["unit_price"] * values["quantity"], unit=smallest_unit(currency))
        lines.append(
            LineDraft(
                outer_line_id=line_id if seen[line_id] == 1 else f"{line_id}#{seen[line_id]}",
                quantity=values["quantity"],
                unit_price=values["unit_price"],
                amount=amount,
                title=values["title"] or "",
                sku_code=values["sku"],
            )
        )
    freight = said["freight"] or Decimal(0)
    total = said["total"]
    return OrderDraft(
        outer_id=number,
        state=ChannelState.TO_SHIP,
        # A file has no version: the same content must be the same order whenever it is sent.
        outer_modified_at=placed_at,
        placed_at=placed_at,
        paid_at=said["paid_at"] or placed_at,
        currency=currency,
        total_amount=total if total is not None else sum((line.amount for line in lines), freight),
        freight_amount=freight,
        lines=lines,
        raw_state="imported",
        buyer=said["buyer"] or "",
        buyer_message=said["buyer_message"] or "",
        seller_memo=said["seller_memo"] or "",
        receiver=Receiver(
            name=said["name"] or "",
            mobile=said["mobile"] or "",
            country=said["country"] or "",
            province=said["province"] or "",
            city=said["city"] or "",
            district=said["district"] or "",
            address=said["address"] or "",
            postcode=said["postcode"] or "",
        ),
    )


def _known_orders(shop: Shop, numbers: Sequence[str]) -> dict[str, ChannelOrder]:
    found = ChannelOrder.objects.filter(shop=shop, outer_id__in=numbers)
    return {order.outer_id: order for order in found}


def _judge(
    draft: OrderDraft, rows: Sequence[Row], finder: SkuFinder, known: ChannelOrder | None
) -> dict[int, Verdict]:
    """The verdict on each row of an order. A row without one is new."""
    for row, line in zip(rows, draft.lines, strict=True):
        if finder.find(line) is None:
            detail = _("No SKU and no listing of the shop is called “%s”.") % line.sku_code
            return {row.ident: _fault("unknown_sku", "sku", detail)}
    faults = [fault for fault in find_faults(draft, at=timezone.now()) if fault.hold is None]
    if faults:
        return {rows[0].ident: _fault(faults[0].reason, "", faults[0].detail)}
    if known is None:
        return {}
    if bytes(known.content_hash) == content_hash(draft):
        return {row.ident: Verdict("unchanged", TAKEN) for row in rows}
    changes = _changes(known, draft)
    return {row.ident: Verdict("changed", TAKEN, changes=changes) for row in rows}


def _changes(known: ChannelOrder, draft: OrderDraft) -> dict[str, list[Any]]:
    """Field → [old, new], of the newest version that was applied. Personal data is told, not shown."""
    version = known.history.filter(content_hash=bytes(known.content_hash)).first()
    before = version.payload if version else {}
    after = draft_to_json(draft)
    return {
        name: ["…", "…"] if name == "receiver" else [before.get(name), after[name]]
        for name in after
        if name not in NOT_NEWS and before.get(name) != after[name]
    }


def _fault(reason: str, column: str, detail: str) -> Verdict:
    label = next((str(field.label) for field in ORDER_LINES.fields if field.name == column), column)
    return Verdict("error", PARKED, reason=reason, column=label, detail=detail)


def _taken_of(captured: Captured) -> Taken:
    if captured.result in ("new", "changed"):
        undo = {"order": captured.order_id, "is_new": captured.result == "new"}
        return Taken("done", TAKEN, {"order": captured.number}, undo)
    if captured.result == "unchanged":
        return Taken("unchanged", TAKEN, {"order": captured.number})
    reason = captured.reason or captured.result
    detail = captured.detail or _("An order of this number is known with newer content.")
    return Taken("error", PARKED, reason=reason, detail=detail)
