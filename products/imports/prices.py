"""Prices as a table: each row asks for one price, for a shop, a kind of channel or every shop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from omni.kernel.errors import DomainError
from omni.kernel.imports.export import moment_cell, yes_or_no
from omni.kernel.imports.fields import Field
from omni.kernel.imports.refuse import refuse_row
from omni.kernel.imports.target import Conflict, Context, Obstacle, Row, Taken, Target, Verdict
from omni.kernel.sql import fetch_all
from products.models import Price, Shop, Sku
from products.prices.ask import draft_prices, submit_prices
from products.prices.decide import withdraw_prices
from products.prices.faults import PriceDraft, foresee_refusals
from products.prices.lock import lock_prices, lock_skus
from products.prices.states import PriceState

TAKEN, REFUSED = "taken", "refused"
UNDECIDED = (PriceState.DRAFT, PriceState.SUBMITTED)
COUNTING = (*UNDECIDED, PriceState.APPROVED)
EXPORT_PAGE = 5_000
KIND_WORDS = {kind.value: kind.label for kind in Price.Kind}
# The field at which a refusal of the operation belongs.
FIELD_OF = {
    "bad_amount": "amount",
    "below_floor": "amount",
    "wrong_currency": "currency",
    "two_scopes": "channel",
    "no_end": "ends_at",
    "ends_before_start": "ends_at",
    "is_over": "ends_at",
    "overlaps": "starts_at",
}
# What only one row says of a scope cannot contradict anything.
SAID_AGAIN = """
    SELECT r.id, r.line_no, r.status, r."values" FROM kernel_importrow r
    JOIN (
        SELECT v."values"->>'sku' AS sku, v."values"->>'shop' AS shop, v."values"->>'channel' AS channel,
               coalesce(v."values"->>'kind', 'regular') AS kind
        FROM kernel_importrow v WHERE v.run_id = %(run)s AND v."values" IS NOT NULL
        GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
    ) s ON r."values"->>'sku' = s.sku AND r."values"->>'shop' IS NOT DISTINCT FROM s.shop
        AND r."values"->>'channel' IS NOT DISTINCT FROM s.channel
        AND coalesce(r."values"->>'kind', 'regular') = s.kind
    WHERE r.run_id = %(run)s AND r."values" IS NOT NULL ORDER BY r.line_no
"""
# What is over is of no use in a new file. Answered by the primary key, page by page.
EXPORT = """
    SELECT p.id, k.code, s.code, p.channel, p.kind, p.amount, p.currency, p.starts_at,
           CASE WHEN p.succeeded_by_id IS NULL THEN p.ends_at END, p.reason, p.state
    FROM products_price p JOIN products_sku k ON k.id = p.sku_id JOIN products_spu u ON u.id = k.spu_id
    JOIN products_brand b ON b.id = u.brand_id LEFT JOIN products_shop s ON s.id = p.shop_id
    WHERE p.id > %(after)s AND p.state IN ('draft', 'submitted', 'approved')
      AND (p.ends_at IS NULL OR p.ends_at > %(at)s)
      AND (%(brands)s::text[] IS NULL OR b.code = ANY(%(brands)s::text[]))
      AND (p.shop_id IS NULL OR %(shops)s::text[] IS NULL OR s.code = ANY(%(shops)s::text[]))
    ORDER BY p.id LIMIT %(limit)s
"""
OPEN = frozenset({"new", "changed", "unchanged"})


class Prices(Target):
    """`params`: `brands` and `shops` whose prices may be touched, and `whole_brands`, those of which prices for more
    than one shop may be asked for; by their codes. Absent: all.

    A row asks for a price. It is in force only when somebody has approved it.
    """

    name = "products.prices"
    label = gettext_lazy("Prices")
    group_by = ""
    whole_groups = False
    chunk_rows = 2_000
    can_undo = True
    error_outcome = REFUSED
    permission = "products.change_price"
    belongs_to = "offers"
    is_exported = True
    reasons: Mapping[str, Promise] = {
        "unknown_sku": gettext_lazy("unknown SKU"),
        "unknown_shop": gettext_lazy("unknown shop"),
        "unknown_channel": gettext_lazy("unknown channel"),
        "two_scopes": gettext_lazy("shop and channel at once"),
        "foreign_shops": gettext_lazy("concerns shops of others"),
        "wrong_currency": gettext_lazy("not the shop's currency"),
        "bad_amount": gettext_lazy("not an amount of its currency"),
        "no_end": gettext_lazy("a special price without an end"),
        "ends_before_start": gettext_lazy("ends before it starts"),
        "is_over": gettext_lazy("over already"),
        "below_floor": gettext_lazy("below the floor price"),
        "overlaps": gettext_lazy("overlaps with another price"),
        "asked_already": gettext_lazy("another amount is asked for already"),
        "overlaps_in_file": gettext_lazy("overlaps with another line of the file"),
    }
    fields = (
        Field(
            "sku",
            gettext_lazy("SKU code"),
            "code",
            True,
            ("商家编码", "货号", "规格编码"),
            64,
            example="SERUM-30",
        ),
        Field(
            "shop",
            gettext_lazy("Shop code"),
            "code",
            False,
            ("shop", "店铺", "门店"),
            32,
            note=gettext_lazy("Empty: not for one shop alone."),
        ),
        Field(
            "channel",
            gettext_lazy("Kind of channel"),
            "code",
            False,
            ("channel", "渠道", "平台"),
            32,
            note=gettext_lazy("Shop and channel empty: for every shop."),
        ),
        Field(
            "kind",
            gettext_lazy("Kind of price"),
            "choice",
            False,
            ("价格类型",),
            choices=tuple(KIND_WORDS),
            words=KIND_WORDS,
            note=gettext_lazy(
                "Empty: regular. A special price has an end, and beats the regular one meanwhile."
            ),
        ),
        Field(
            "amount",
            gettext_lazy("Price"),
            "decimal",
            True,
            ("amount", "售价", "销售价"),
            minimum=0,
            example="99.00",
        ),
        Field(
            "currency",
            gettext_lazy("Currency"),
            "code",
            False,
            ("币种",),
            3,
            note=gettext_lazy("Empty: the shop's, else the SKU's."),
            example="CNY",
        ),
        Field(
            "starts_at",
            gettext_lazy("Starts at"),
            "moment",
            False,
            ("start", "from", "开始时间", "生效时间"),
            note=gettext_lazy("Empty: as soon as it is approved."),
            example="2026-12-01 00:00",
        ),
        Field(
            "ends_at",
            gettext_lazy("Ends at"),
            "moment",
            False,
            ("end", "until", "结束时间", "失效时间"),
            note=gettext_lazy("Empty: until the next regular price."),
        ),
        Field("reason", gettext_lazy("Why"), "text", False, ("reason", "原因", "备注"), 200),
        Field(
            "is_submitted",
            gettext_lazy("Submit"),
            "boolean",
            False,
            ("submit", "提交"),
            note=gettext_lazy("No: it stays a draft. Empty: a new price goes to whoever approves."),
        ),
    )

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: sorted(str(code) for code in params[name])
            for name in ("brands", "shops", "whole_brands")
            if params.get(name) is not None
        }

    # --- what each row would do -------------------------------------------------------------------------------

    def diff(self, rows: Sequence[Row], context: Context) -> Sequence[Verdict]:
        """Prices that are new, changed against the regular one in force, asked for already, or at fault."""
        return [verdict for verdict, _draft in _judge(rows, context, at=timezone.now())]

    def find_conflicts(self, context: Context) -> Sequence[Conflict]:
        """Lines of one scope whose periods overlap: the first of them counts."""
        now = timezone.now()
        earlier: dict[tuple[Any, ...], list[tuple[int, _Period]]] = {}
        conflicts = []
        for row_id, line, status, said in fetch_all(SAID_AGAIN, {"run": context.run.pk}):
            values = json.loads(said)
            key = (
                values["sku"],
                values.get("shop"),
                values.get("channel"),
                values.get("kind") or Price.Kind.REGULAR,
            )
            period = _Period.of(values, now)
            before = earlier.setdefault(key, [])
            first = next((number for number, other in before if period.overlaps(other)), None)
            if first is None:
                if status in OPEN:
                    before.append((line, period))
            elif status in OPEN:
                detail = _("Line %d of the file has a price for the same time.") % first
                conflicts.append(Conflict(row_id, _fault("overlaps_in_file", "starts_at", detail, values)))
        return conflicts

    # --- taking them ------------------------------------------------------------------------------------------

    def prepare_commit(self, context: Context, *, at: datetime, by: str) -> Mapping[str, int]:
        return {}

    def commit(
        self, rows: Sequence[Row], context: Context, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        """Ask for the prices. What was approved, or forbidden by a floor, since the preview is looked at again."""
        codes = {row.values["sku"] for row in rows}
        lock_skus(sorted(Sku.objects.filter(code__in=codes).values_list("pk", flat=True)))
        judged = _judge(rows, context, at=at)
        wanted = [place for place, (_verdict, draft) in enumerate(judged) if draft is not None]
        ids = _ask([(judged[place][1], rows[place].values) for place in wanted], at=at, by=by)
        by_place = dict(zip(wanted, ids, strict=True))
        taken = [
            Taken("done", TAKEN, {"price": by_place[place]}, {"price": by_place[place]})
            if place in by_place
            else Taken("unchanged", TAKEN)
            if verdict.status == "unchanged"
            else Taken("error", REFUSED, reason=verdict.reason, column=verdict.column, detail=verdict.detail)
            for place, (verdict, _draft) in enumerate(judged)
        ]
        submitted = sum(rows[place].values["is_submitted"] is not False for place in wanted)
        return taken, {"prices": len(wanted), "prices_submitted": submitted}

    # --- taking them back -------------------------------------------------------------------------------------

    def find_obstacles(self, rows: Sequence[Row], context: Context) -> Sequence[Obstacle]:
        """What was approved meanwhile is taken back by a decision of its own."""
        prices = lock_prices([row.undo["price"] for row in rows])
        return [
            Obstacle(
                row.line_no,
                "approved",
                _("Price #%d was approved meanwhile: withdraw it on its own page.") % row.undo["price"],
            )
            for row in rows
            if row.undo["price"] in prices and prices[row.undo["price"]].state == PriceState.APPROVED
        ]

    def undo(self, rows: Sequence[Row], context: Context, *, at: datetime, by: str) -> None:
        prices = lock_prices([row.undo["price"] for row in rows])
        undecided = [price.pk for price in prices.values() if price.state in UNDECIDED]
        withdraw_prices(price_ids=undecided, reason=_("The import was taken back."), at=at, by=by)

    # --- going out --------------------------------------------------------------------------------------------

    def offered(self, params: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        shops = Shop.objects.filter(is_active=True)
        if params.get("shops") is not None:
            shops = shops.filter(code__in=params["shops"])
        return {
            "shop": list(shops.order_by("code").values_list("code", flat=True)),
            "channel": sorted(set(shops.values_list("channel", flat=True))),
        }

    def export(self, params: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        """Every price that is not over, withdrawn or rejected, in the order in which they were asked for."""
        # The words now: an answer is streamed after the middleware has put the reader's language away.
        words = {True: yes_or_no(True), False: yes_or_no(False)}
        kinds = {kind: str(word) for kind, word in KIND_WORDS.items()}
        return _export(params, words, kinds)


PRICES = Prices()
LABELS = {field.name: field.label for field in PRICES.fields}


def _export(
    params: Mapping[str, Any], words: Mapping[bool, str], kinds: Mapping[str, str]
) -> Iterator[Sequence[Any]]:
    where = {
        "brands": params.get("brands"),
        "shops": params.get("shops"),
        "at": timezone.now(),
        "limit": EXPORT_PAGE,
    }
    after = 0
    while page := fetch_all(EXPORT, {**where, "after": after}):
        for _id, sku, shop, channel, kind, amount, currency, starts_at, ends_at, reason, state in page:
            is_submitted = words[state != PriceState.DRAFT]
            yield [
                sku,
                shop,
                channel or None,
                kinds[kind],
                amount.normalize(),
                currency,
                moment_cell(starts_at),
                moment_cell(ends_at),
                reason,
                is_submitted,
            ]
        after = page[-1][0]


# --- one row against what is known ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Period:
    """`is_of_the_line`: a regular price that ends when the next one starts."""

    starts_at: datetime
    ends_at: datetime | None
    is_of_the_line: bool

    @classmethod
    def of(cls, values: Mapping[str, Any], now: datetime) -> _Period:
        starts_at, ends_at = (
            datetime.fromisoformat(values[name]) if values.get(name) else None
            for name in ("starts_at", "ends_at")
        )
        is_regular = (values.get("kind") or Price.Kind.REGULAR) == Price.Kind.REGULAR
        return cls(max(starts_at or now, now), ends_at, is_regular and ends_at is None)

    def overlaps(self, other: _Period) -> bool:
        if self.is_of_the_line and other.is_of_the_line:
            return self.starts_at == other.starts_at
        is_before = self.ends_at is not None and self.ends_at <= other.starts_at
        is_after = other.ends_at is not None and other.ends_at <= self.starts_at
        return not (is_before or is_after)


class _Known:
    """What there is already of what a chunk names."""

    def __init__(self, rows: Sequence[Row], params: Mapping[str, Any], at: datetime) -> None:
        codes = {row.values["sku"] for row in rows}
        skus = Sku.objects.filter(code__in=codes)
        if params.get("brands") is not None:
            skus = skus.filter(spu__brand__code__in=params["brands"])
        self.skus = {sku.code: sku for sku in skus.select_related("spu__brand")}
        shops = (
            Shop.objects.all()
            if params.get("shops") is None
            else Shop.objects.filter(code__in=params["shops"])
        )
        self.shops = {shop.code: shop for shop in shops}
        self.channels = frozenset(Shop.objects.values_list("channel", flat=True).distinct())
        whole = params.get("whole_brands")
        self.whole_brands = None if whole is None else frozenset(whole)
        self._prices: dict[tuple[Any, ...], list[Price]] = {}
        ids = [sku.pk for sku in self.skus.values()]
        found = Price.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), sku_id__in=ids, state__in=COUNTING)
        for price in found.order_by("starts_at", "pk"):
            self._prices.setdefault(_scope_of(price), []).append(price)

    def beside(self, draft: PriceDraft, currency: str) -> list[Price]:
        """The prices of its scope, kind and currency that are asked for or approved, and not over."""
        return self._prices.get((draft.sku_id, draft.shop_id, draft.channel, str(draft.kind), currency), [])


def _scope_of(price: Price) -> tuple[Any, ...]:
    return price.sku_id, price.shop_id, price.channel, price.kind, price.currency


def _judge(rows: Sequence[Row], context: Context, *, at: datetime) -> list[tuple[Verdict, PriceDraft | None]]:
    """What each row would do, and the draft where it asks for something that is not asked for yet."""
    known = _Known(rows, context.run.params, at)
    judged: list[tuple[Verdict, PriceDraft | None]] = []
    asking: list[int] = []
    for place, row in enumerate(rows):
        fault = _find_fault(row.values, known)
        if fault is not None:
            judged.append((_fault(*fault, row.values), None))
            continue
        draft = _draft_of(row.values, known, at)
        verdict = _compare(row.values, draft, known, at)
        judged.append((verdict, draft if verdict.status in ("new", "changed") else None))
        if verdict.status in ("new", "changed"):
            asking.append(place)
    drafts = [draft for _verdict, draft in judged if draft is not None]
    for place, refusal in zip(asking, foresee_refusals(drafts=drafts, at=at), strict=True):
        if refusal is not None:
            code, detail = refusal
            judged[place] = _fault(code, FIELD_OF.get(code, "sku"), detail, rows[place].values), None
    return judged


def _find_fault(values: Mapping[str, Any], known: _Known) -> tuple[str, str, str] | None:
    """What is wrong with a row before it is a price at all: reason, field and a sentence."""
    sku, shop, channel = known.skus.get(values["sku"]), values["shop"], values["channel"]
    if sku is None:
        return "unknown_sku", "sku", _("There is no SKU %s, or it is not yours.") % values["sku"]
    if shop is not None and shop not in known.shops:
        return "unknown_shop", "shop", _("There is no shop %s, or it is not yours.") % shop
    if channel is not None and channel not in known.channels:
        return "unknown_channel", "channel", _("No shop is of the channel %s.") % channel
    if shop is None and known.whole_brands is not None and sku.spu.brand.code not in known.whole_brands:
        return (
            "foreign_shops",
            "shop",
            _("Name a shop: a price for every shop concerns also those of others."),
        )
    return None


def _draft_of(values: Mapping[str, Any], known: _Known, at: datetime) -> PriceDraft:
    shop = known.shops[values["shop"]] if values["shop"] else None
    return PriceDraft(
        known.skus[values["sku"]].pk,
        values["amount"],
        values["starts_at"] or at,
        ends_at=values["ends_at"],
        shop_id=shop.pk if shop else None,
        channel=values["channel"] or "",
        kind=values["kind"] or Price.Kind.REGULAR,
        currency=values["currency"] or (shop.currency if shop else known.skus[values["sku"]].currency),
    )


def _compare(values: Mapping[str, Any], draft: PriceDraft, known: _Known, at: datetime) -> Verdict:
    """New, changed against the price of the scope that is in force when it starts, or there already."""
    replaced: Price | None = None
    for price in known.beside(draft, draft.currency):
        is_same_time = _starts_alike(price, values["starts_at"], at) and _ends_alike(price, draft)
        if is_same_time and price.amount == draft.amount:
            return Verdict("unchanged", TAKEN, keep={"price": price.pk})
        if is_same_time and price.state in UNDECIDED:
            detail = _(
                "Price #%(id)d asks for %(amount)s at the same time: decide or withdraw that one first."
            )
            return _fault(
                "asked_already", "amount", detail % {"id": price.pk, "amount": _shown(price.amount)}, values
            )
        if price.state == PriceState.APPROVED and price.starts_at <= max(draft.starts_at, at):
            replaced = price
    if replaced is None:
        return Verdict("new", TAKEN)
    return Verdict("changed", TAKEN, changes={"amount": [_shown(replaced.amount), _shown(draft.amount)]})


def _starts_alike(price: Price, said: datetime | None, at: datetime) -> bool:
    """Nothing is approved for the past: what should have started before its approval started then."""
    if said is None:
        return price.starts_at <= at
    is_drawn_in = price.state == PriceState.APPROVED and price.starts_at == price.decided_at
    return price.starts_at == said or (is_drawn_in and said < price.starts_at)


def _ends_alike(price: Price, draft: PriceDraft) -> bool:
    return price.ends_at == draft.ends_at or (draft.ends_at is None and price.succeeded_by_id is not None)


def _shown(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _fault(reason: str, field: str, detail: str, values: Mapping[str, Any]) -> Verdict:
    return refuse_row(outcome=REFUSED, reason=reason, column=str(LABELS[field]), detail=detail, values=values)


# --- asking ---------------------------------------------------------------------------------------------------


class NotTaken(DomainError):
    """A price was refused that a moment before was not."""

    code = "not_taken"


def _ask(wanted: Sequence[tuple[Any, Mapping[str, Any]]], *, at: datetime, by: str) -> list[int]:
    """The ids of the prices, in the order given. Those of one reason and one fate together. Raises NotTaken."""
    ids: dict[int, int] = {}
    kinds: dict[tuple[str, bool], list[int]] = {}
    for place, (_draft, values) in enumerate(wanted):
        kinds.setdefault((values["reason"] or "", values["is_submitted"] is not False), []).append(place)
    for (reason, is_submitted), places in kinds.items():
        outcomes = draft_prices(drafts=[wanted[place][0] for place in places], reason=reason, at=at, by=by)
        asked = [outcome.price_id for outcome in outcomes if outcome.price_id is not None]
        if is_submitted:
            outcomes = [*outcomes, *submit_prices(price_ids=asked, at=at, by=by)]
        refused = next((outcome for outcome in outcomes if not outcome.ok), None)
        if refused is not None:
            raise NotTaken(refused.detail)
        ids |= dict(zip(places, asked, strict=True))
    return [ids[place] for place in range(len(wanted))]
