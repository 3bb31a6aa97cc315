"""The ledger of an online retailer: one line per product sold or brought back, with all its dirt (UCI Online Retail).

Invoices become completed orders, cancellations (`C…`) returns of the orders that they cancel where one fits. Whatever
is neither is parked with its reason: taken + returned + parked = lines read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from omni.kernel.actors import actor
from omni.kernel.errors import BadInput
from omni.kernel.imports.fields import Field
from omni.kernel.imports.target import Context, Obstacle, Row, Taken, Target, Verdict
from omni.kernel.money import round_money
from omni.kernel.sql import fetch_all
from orders.capture import Captured, capture_orders
from orders.draft import ChannelState, LineDraft, OrderDraft, Receiver
from orders.forget import find_in_use, forget_orders
from orders.take_back import ReturnDraft, TakenBack, forget_returns, recorded_returns, take_back_goods
from products.models import Shop
from products.register import NewSku, register_outside_shop, register_skus

CURRENCY = "GBP"
SALE = re.compile(r"\d{6}")
CANCELLATION = re.compile(r"C\d{6}")
BAD_DEBT = re.compile(r"A\d{6}")
# Five digits and up to two letters; DCGS… and PADS are products of the shop's own site.
PRODUCT = re.compile(r"\d{5}[A-Z]{0,2}|DCGS\w+|PADS")
NOT_PRODUCTS: Mapping[str, str] = {
    "POST": "postage",
    "DOT": "postage",
    "C2": "postage",
    "M": "manual_entry",
    "D": "discount",
    "S": "sample",
    "CRUK": "charity",
    "B": "bad_debt",
    "BANK CHARGES": "bank_charge",
    "AMAZONFEE": "marketplace_fee",
}
TAKEN, RETURNED, PARKED = "taken", "returned", "parked"

NAMES = """
    WITH named AS (
        SELECT upper("values"->>'stock_code') AS code, "values"->>'description' AS name, count(*) AS n
        FROM kernel_importrow WHERE run_id = %(run)s AND status = 'new' AND outcome = 'taken'
        GROUP BY 1, 2
    )
    SELECT DISTINCT ON (code) code, COALESCE(name, '') FROM named ORDER BY code, name IS NULL, n DESC, name
"""
KNOWN_LINES = """
    SELECT o.outer_id, l.outer_line_id FROM orders_salesorder o
    LEFT JOIN orders_salesorderline l ON l.order_id = o.id
    WHERE o.shop_id = %s AND o.outer_id = ANY(%s)
"""
FOREIGN_SKUS = """
    SELECT s.code FROM products_sku s JOIN products_spu p ON p.id = s.spu_id JOIN products_brand b ON b.id = p.brand_id
    WHERE s.code = ANY(%s) AND b.code <> %s
"""


def find_fault(values: Mapping[str, Any]) -> tuple[str, str]:
    """Why a line is neither a sale nor a cancellation of goods, as a stable word and a sentence; empty: it is one."""
    invoice, code = values["invoice"].upper(), values["stock_code"].upper()
    quantity, price = values["quantity"], values["unit_price"]
    if BAD_DEBT.fullmatch(invoice):
        return "bad_debt", _("An adjustment of bad debt, not goods.")
    is_cancellation = bool(CANCELLATION.fullmatch(invoice))
    if not (is_cancellation or SALE.fullmatch(invoice)):
        return "unknown_document", _("“%s” is neither an invoice nor a cancellation.") % values["invoice"]
    if quantity < 0 and not is_cancellation:
        if price:
            return "negative_quantity", _("A negative quantity, but not a cancellation.")
        return "stock_write_off", _(
            "A negative quantity without a price: stock was written off, nothing was sold."
        )
    if not PRODUCT.fullmatch(code):
        reason = "gift_voucher" if code.startswith("GIFT_") else NOT_PRODUCTS.get(code, "not_a_product")
        return reason, _("“%s” is not a product.") % values["stock_code"]
    if quantity == 0 or (is_cancellation and quantity > 0):
        return "bad_quantity", _("%d units can be neither sold nor brought back by this document.") % quantity
    if price < 0:
        return "negative_price", _("The price is negative.")
    if not is_cancellation and round_money(price * quantity) == 0:
        return "no_price", _("It was given away or found, not sold: the line comes to nothing.")
    return "", ""


def customer_of(values: Mapping[str, Any]) -> str:
    """The customer's number; the files write it as a decimal."""
    text: str = values["customer"] or ""
    return text.removesuffix(".0")


class OnlineRetail(Target):
    """`params`: `shop`, the code of the shop to which the orders belong; it is made when it does not exist."""

    name = "orders.online-retail"
    label = gettext_lazy("Online Retail ledger")
    group_by = "invoice"
    whole_groups = False  # a bad line is parked, the order is taken with its good ones
    chunk_rows = 4_000  # about 200 invoices
    can_undo = True
    error_outcome = PARKED
    reasons: Mapping[str, Promise] = {
        "postage": gettext_lazy("postage"),
        "manual_entry": gettext_lazy("manual entry"),
        "discount": gettext_lazy("discount"),
        "sample": gettext_lazy("sample"),
        "charity": gettext_lazy("donation"),
        "bad_debt": gettext_lazy("bad debt"),
        "bank_charge": gettext_lazy("bank charge"),
        "marketplace_fee": gettext_lazy("marketplace fee"),
        "gift_voucher": gettext_lazy("gift voucher"),
        "not_a_product": gettext_lazy("not a product"),
        "unknown_document": gettext_lazy("neither invoice nor cancellation"),
        "stock_write_off": gettext_lazy("stock written off"),
        "negative_quantity": gettext_lazy("negative quantity"),
        "negative_price": gettext_lazy("negative price"),
        "bad_quantity": gettext_lazy("impossible quantity"),
        "no_price": gettext_lazy("no price"),
        "foreign_sku": gettext_lazy("SKU of another brand"),
        "late_line": gettext_lazy("line came after its order was taken"),
        "buyer_unknown": gettext_lazy("cancellation without a customer"),
        "no_matching_order": gettext_lazy("no order that it cancels"),
        "more_than_bought": gettext_lazy("more than was bought"),
    }
    fields = (
        Field(
            "invoice", gettext_lazy("Invoice"), "code", True, ("InvoiceNo", "Invoice"), 20, example="536365"
        ),
        Field("stock_code", gettext_lazy("Stock code"), "code", True, ("StockCode",), 20, example="85123A"),
        Field("description", gettext_lazy("Description"), "text", False, (), 240, example="WHITE LANTERN"),
        Field(
            "quantity",
            gettext_lazy("Quantity"),
            "integer",
            True,
            minimum=-1_000_000,
            maximum=1_000_000,
            example="6",
        ),
        Field(
            "invoiced_at",
            gettext_lazy("Invoice date"),
            "moment",
            True,
            ("InvoiceDate",),
            example="2010-12-01 08:26",
        ),
        Field(
            "unit_price", gettext_lazy("Unit price"), "decimal", True, ("UnitPrice", "Price"), example="2.55"
        ),
        Field(
            "customer",
            gettext_lazy("Customer"),
            "code",
            False,
            ("CustomerID", "Customer ID"),
            20,
            example="17850",
        ),
        Field("country", gettext_lazy("Country"), "text", False, (), 60, example="United Kingdom"),
    )
    # Moments in the files are those of a shop in London.
    options: Mapping[str, Any] = {"time_zone": "Europe/London"}

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        code = str(params.get("shop") or "online-retail")
        if len(code) > 32 or not code.isprintable():
            raise BadInput(_("A shop's code has at most 32 characters."), fields={"shop": [code]})
        return {"shop": code}

    # --- what each line would do ------------------------------------------------------------------------------

    def diff(self, rows: Sequence[Row], context: Context) -> Sequence[Verdict]:
        """Lines of sales that are known are unchanged; a cancellation looks for its order when it is taken."""
        known = self._known_lines(rows, context)
        returned = self._returned_lines(rows, context)
        foreign = self._foreign_skus(rows, context)
        line_ids = line_ids_of(rows)
        return [
            self._verdict(row, line_id, known, returned, foreign, context)
            for row, line_id in zip(rows, line_ids, strict=True)
        ]

    def _verdict(
        self,
        row: Row,
        line_id: str,
        known: Mapping[str, set[str]],
        returned: Mapping[tuple[str, str], list[str]],
        foreign: set[str],
        context: Context,
    ) -> Verdict:
        values, invoice = row.values, row.values["invoice"].upper()
        key = content_key(context.run.params["shop"], values, line_id)
        reason, detail = find_fault(values)
        if not reason and values["stock_code"].upper() in foreign:
            reason = "foreign_sku"
            detail = _("“%s” is a SKU of another brand.") % values["stock_code"].upper()
        if reason:
            return Verdict("error", PARKED, row_key=key, reason=reason, detail=detail)
        if CANCELLATION.fullmatch(invoice):
            status = "unchanged" if (invoice, line_id) in returned else "new"
            return Verdict(status, RETURNED, phase=1, row_key=key, keep=line_id)  # type: ignore[arg-type]
        if invoice not in known:
            return Verdict("new", TAKEN, row_key=key, keep=line_id)
        if line_id in known[invoice]:
            return Verdict("unchanged", TAKEN, row_key=key)
        detail = _("Order %s was taken before without this line, and is completed.") % invoice
        return Verdict("error", PARKED, row_key=key, reason="late_line", detail=detail)

    def _known_lines(self, rows: Sequence[Row], context: Context) -> dict[str, set[str]]:
        """Invoice → ids of its lines, of those that are orders already."""
        known: dict[str, set[str]] = {}
        shop = self._shop(context)
        if shop is not None:
            for invoice, line_id in fetch_all(KNOWN_LINES, [shop.pk, invoices_of(rows, SALE)]):
                known.setdefault(invoice, set()).add(line_id)
        return known

    def _returned_lines(self, rows: Sequence[Row], context: Context) -> dict[tuple[str, str], list[str]]:
        shop, invoices = self._shop(context), invoices_of(rows, CANCELLATION)
        return recorded_returns(shop_id=shop.pk, outer_ids=invoices) if shop is not None and invoices else {}

    def _foreign_skus(self, rows: Sequence[Row], context: Context) -> set[str]:
        codes = sorted({row.values["stock_code"].upper() for row in rows})
        return {code for (code,) in fetch_all(FOREIGN_SKUS, [codes, context.run.params["shop"]])}

    def _shop(self, context: Context) -> Shop | None:
        if "shop" not in context.memory:
            shop = Shop.objects.filter(code=context.run.params["shop"]).first()
            if shop is None:
                return None
            context.memory["shop"] = shop
        found: Shop = context.memory["shop"]
        return found

    # --- taking them ------------------------------------------------------------------------------------------

    def prepare_commit(self, context: Context, *, at: datetime, by: str) -> Mapping[str, int]:
        """The shop, and a SKU for every code that is sold, named by its most frequent description in this file.

        A SKU that exists keeps its name. Of equally frequent descriptions the first in the alphabet is taken.
        """
        code = context.run.params["shop"]
        shop, is_new = register_outside_shop(
            code=code, name="Online Retail", channel="import", currency=CURRENCY, at=at, by=by
        )
        named = fetch_all(NAMES, {"run": context.run.pk})
        skus = [NewSku(code=sku, name=" ".join(name.split()) or sku) for sku, name in named]
        assert shop.brand is not None  # noqa: S101 - register_outside_shop promises it
        new = register_skus(brand=shop.brand, skus=skus, currency=CURRENCY, at=at, by=by)
        return {"shops": int(is_new), "skus": len(new)}

    def commit(
        self, rows: Sequence[Row], context: Context, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        shop = Shop.objects.get(code=context.run.params["shop"])
        source = actor("import", context.run.pk)
        if CANCELLATION.fullmatch(rows[0].values["invoice"].upper()):
            return self._take_back(shop, rows, source, at=at, by=by)
        return self._capture(shop, rows, source, at=at, by=by)

    def _capture(
        self, shop: Shop, rows: Sequence[Row], source: str, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        lines: dict[str, list[tuple[Row, str]]] = {}
        for row in rows:
            lines.setdefault(row.values["invoice"].upper(), []).append((row, row.result))
        drafts = [draft_of(invoice, pairs) for invoice, pairs in lines.items()]
        captured = {
            result.outer_id: result
            for result in capture_orders(shop=shop, drafts=drafts, at=at, by=by, source=source)
        }
        new = sum(result.result == "new" for result in captured.values())
        return [_taken_of(captured[row.values["invoice"].upper()]) for row in rows], {"orders": new}

    def _take_back(
        self, shop: Shop, rows: Sequence[Row], source: str, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        drafts = [
            ReturnDraft(
                outer_id=row.values["invoice"].upper(),
                outer_line_id=row.result,
                buyer=customer_of(row.values),
                sku_code=row.values["stock_code"].upper(),
                quantity=-row.values["quantity"],
                unit_price=row.values["unit_price"],
                returned_at=row.values["invoiced_at"],
            )
            for row in rows
        ]
        results = take_back_goods(shop=shop, drafts=drafts, at=at, by=by, source=source)
        made = {ident for result in results if result.result == "new" for ident in result.return_ids}
        return [_returned_of(result) for result in results], {"returns": len(made)}

    # --- taking them back -------------------------------------------------------------------------------------

    def find_obstacles(self, rows: Sequence[Row], context: Context) -> Sequence[Obstacle]:
        """An order of which goods came back with another import stays. Products stay in any case."""
        order_ids = sorted({row.undo["order"] for row in rows if "order" in row.undo})
        own = [
            ident
            for (ident,) in fetch_all(
                "SELECT id FROM orders_return WHERE order_id = ANY(%s) AND source = %s",
                [order_ids, actor("import", context.run.pk)],
            )
        ]
        in_use = {
            found.order_id: found.detail for found in find_in_use(order_ids=order_ids, besides_returns=own)
        }
        return [
            Obstacle(row.line_no, "order_in_use", in_use[row.undo["order"]])
            for row in rows
            if row.undo.get("order") in in_use
        ]

    def undo(self, rows: Sequence[Row], context: Context, *, at: datetime, by: str) -> None:
        forget_returns(
            return_ids=sorted({ident for row in rows for ident in row.undo.get("returns", ())}), at=at, by=by
        )
        forget_orders(
            order_ids=sorted({row.undo["order"] for row in rows if "order" in row.undo}), at=at, by=by
        )


ONLINE_RETAIL = OnlineRetail()


# --- lines ----------------------------------------------------------------------------------------------------


def invoices_of(rows: Sequence[Row], pattern: re.Pattern[str]) -> list[str]:
    found = {row.values["invoice"].upper() for row in rows}
    return sorted(invoice for invoice in found if pattern.fullmatch(invoice))


def line_ids_of(rows: Sequence[Row]) -> list[str]:
    """A name for each line that says what it sells, and counts equal ones.

    The files know no line numbers, and the same line stands in some invoices two or three times. The name does not
    depend on where in the file the line stands. All readable rows of an invoice must be there.
    """
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for row in rows:
        values = row.values
        name = f"{values['stock_code'].upper()}:{values['quantity']}x{values['unit_price']:f}"
        whole = (values["invoice"].upper(), name)
        seen[whole] += 1
        names.append(f"{name}:{seen[whole]}")
    return names


def content_key(shop: str, values: Mapping[str, Any], line_id: str) -> UUID:
    """The same for the same line in whatever file it comes again."""
    text = "\0".join(
        [ONLINE_RETAIL.name, shop, values["invoice"].upper(), line_id, str(values["invoiced_at"])]
    )
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())


def draft_of(invoice: str, pairs: Sequence[tuple[Row, str]]) -> OrderDraft:
    """The order of which these are the good lines."""
    ordered = sorted(pairs, key=lambda pair: pair[0].line_no)
    lines = [
        LineDraft(
            outer_line_id=line_id,
            quantity=row.values["quantity"],
            unit_price=row.values["unit_price"],
            amount=round_money(row.values["unit_price"] * row.values["quantity"]),
            title=" ".join((row.values["description"] or "").split()),
            outer_item_id="",
            sku_code=row.values["stock_code"].upper(),
        )
        for row, line_id in ordered
    ]
    first = pairs[0][0].values
    moments = [row.values["invoiced_at"] for row, _ in pairs]
    return OrderDraft(
        outer_id=invoice,
        state=ChannelState.COMPLETED,
        outer_modified_at=max(moments),
        placed_at=min(moments),
        paid_at=min(moments),
        currency=CURRENCY,
        total_amount=sum((line.amount for line in lines), Decimal(0)),
        lines=lines,
        raw_state="invoiced",
        buyer=customer_of(first),
        receiver=Receiver(country=first["country"] or ""),
        payload={
            "invoice": invoice,
            "customer": first["customer"],
            "country": first["country"],
            "columns": ["stock_code", "description", "quantity", "invoiced_at", "unit_price"],
            "lines": [
                [
                    row.values["stock_code"],
                    row.values["description"],
                    row.values["quantity"],
                    row.values["invoiced_at"].isoformat(),
                    str(row.values["unit_price"]),
                ]
                for row, _ in ordered
            ],
        },
    )


def _taken_of(captured: Captured) -> Taken:
    if captured.result in ("new", "changed"):
        return Taken("done", TAKEN, {"order": captured.number}, {"order": captured.order_id})
    if captured.result == "unchanged":
        return Taken("unchanged", TAKEN, {"order": captured.number})
    return Taken("error", PARKED, reason=captured.reason or captured.result, detail=captured.detail)


def _returned_of(result: TakenBack) -> Taken:
    if result.result == "new":
        return Taken("done", RETURNED, {"orders": list(result.orders)}, {"returns": list(result.return_ids)})
    if result.result == "unchanged":
        return Taken("unchanged", RETURNED, {"orders": list(result.orders)})
    return Taken("error", PARKED, reason=result.reason, detail=result.detail)
