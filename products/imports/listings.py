"""Listings as a table: what shops list or shall list, which items of their channels that is, and how they call it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from omni.kernel.audit import changes_by
from omni.kernel.imports.fields import Field
from omni.kernel.imports.refuse import refuse_row
from omni.kernel.imports.target import Conflict, Context, Obstacle, Row, Taken, Target, Verdict
from omni.kernel.references import find_references
from omni.kernel.sql import fetch_all
from products.assortment.holding import outside_pairs
from products.draft import draft_pairs, forget_drafts
from products.map import NamedItem, name_items, unname_items
from products.models import Listing, Shop, Sku
from products.update import TITLE_LENGTH, retitle_listings

TAKEN, REFUSED = "taken", "refused"
EXPORT_PAGE = 5_000
OPEN = ["new", "changed", "unchanged"]
# An item of a channel, or what a shop is going to list without one, named by more than one line. First what is named
# twice at all, mostly nothing.
SAID = """
    SELECT r.id, r.line_no, r.status, r."values" AS said, r."values"->>'shop' AS shop,
           coalesce(r."values"->>'outer_item_id', '') AS item,
           CASE WHEN r."values"->>'outer_item_id' IS NULL THEN r."values"->>'sku'
                ELSE coalesce(r."values"->>'outer_sku_id', '') END AS part
    FROM kernel_importrow r WHERE r.run_id = %(run)s AND r."values" IS NOT NULL
"""
TWICE = f"""
    SELECT s.shop, s.item, s.part, min(s.line_no) FROM ({SAID}) s GROUP BY 1, 2, 3 HAVING count(*) > 1
"""  # noqa: S608 - a constant
SAYING = f"""
    SELECT s.id, s.line_no, t.first, s.said FROM ({SAID}) s
    JOIN unnest(%(shops)s::text[], %(items)s::text[], %(parts)s::text[], %(firsts)s::int[])
        AS t(shop, item, part, first)
        ON (t.shop, t.item, t.part) = (s.shop, s.item, s.part)
    WHERE s.line_no > t.first AND s.status = ANY(%(open)s)
"""  # noqa: S608 - a constant
EXPORT = """
    SELECT l.id, s.code, k.code, l.outer_item_id, l.outer_sku_id, l.title
    FROM products_listing l JOIN products_shop s ON s.id = l.shop_id JOIN products_sku k ON k.id = l.sku_id
    JOIN products_spu u ON u.id = k.spu_id JOIN products_brand b ON b.id = u.brand_id
    WHERE l.id > %(after)s AND (%(shops)s::text[] IS NULL OR s.code = ANY(%(shops)s::text[]))
      AND (%(brands)s::text[] IS NULL OR b.code = ANY(%(brands)s::text[]))
    ORDER BY l.id LIMIT %(limit)s
"""


class Listings(Target):
    """`params`: `brands` and `shops` whose listings may be touched, by their codes; absent: all.

    With an outer item a row says which SKU that is; without one it drafts the SKU for the shop.
    """

    name = "products.listings"
    label = gettext_lazy("Listings")
    group_by = ""
    whole_groups = False
    chunk_rows = 2_000
    can_undo = True
    error_outcome = REFUSED
    permission = "products.change_listing"
    belongs_to = "offers"
    is_exported = True
    reasons: Mapping[str, Promise] = {
        "unknown_sku": gettext_lazy("unknown SKU"),
        "unknown_shop": gettext_lazy("unknown shop"),
        "item_missing": gettext_lazy("outer SKU without an item"),
        "mapped_otherwise": gettext_lazy("item of another SKU"),
        "inactive_sku": gettext_lazy("SKU not active"),
        "not_in_catalogue": gettext_lazy("not in the shop's catalogue"),
        "which_item": gettext_lazy("several items in this shop"),
        "named_twice": gettext_lazy("named twice in the file"),
    }
    fields = (
        Field("shop", gettext_lazy("Shop code"), "code", True, ("shop", "店铺", "门店"), 32),
        Field(
            "sku",
            gettext_lazy("SKU code"),
            "code",
            True,
            ("sku", "商家编码", "货号", "规格编码"),
            64,
            example="SERUM-30",
        ),
        Field(
            "outer_item_id",
            gettext_lazy("Outer item id"),
            "code",
            False,
            ("item id", "num_iid", "商品id", "宝贝id", "平台商品id"),
            64,
            note=gettext_lazy("Empty: the SKU is drafted for the shop, and has no item on its channel yet."),
            example="600000000001",
        ),
        Field(
            "outer_sku_id",
            gettext_lazy("Outer SKU id"),
            "code",
            False,
            ("sku id", "skuid", "平台sku id", "平台规格id"),
            64,
            note=gettext_lazy("Empty on channels without SKUs below their items."),
            example="700000000001",
        ),
        Field(
            "title",
            gettext_lazy("Shop's title"),
            "text",
            False,
            ("title", "标题", "商品标题", "宝贝标题"),
            TITLE_LENGTH,
            note=gettext_lazy("The shop's own. Empty: it stays as it is, at first the name of the product."),
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
        """Listings that are new, get an item or another title, are there already, or cannot be."""
        known = _Known(rows, context.run.params)
        return [_judge(row.values, known) for row in rows]

    def find_conflicts(self, context: Context) -> Sequence[Conflict]:
        """An item, or a draft, that an earlier line names already."""
        where = {"run": context.run.pk}
        twice = fetch_all(TWICE, where)
        if not twice:
            return ()
        shops, items, parts, firsts = (list(column) for column in zip(*twice, strict=True))
        named = {"shops": shops, "items": items, "parts": parts, "firsts": firsts, "open": OPEN}
        return [
            Conflict(
                row_id,
                _fault(
                    "named_twice", "sku", _("Line %d of the file names it already.") % first, json.loads(said)
                ),
            )
            for row_id, _line, first, said in fetch_all(SAYING, where | named)
        ]

    # --- taking them ------------------------------------------------------------------------------------------

    def prepare_commit(self, context: Context, *, at: datetime, by: str) -> Mapping[str, int]:
        return {}

    def commit(
        self, rows: Sequence[Row], context: Context, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        """Looked at once more: what somebody has mapped or drafted since is not done twice."""
        known = _Known(rows, context.run.params)
        verdicts = [_judge(row.values, known) for row in rows]
        wanted = [place for place, verdict in enumerate(verdicts) if verdict.status in ("new", "changed")]
        with changes_by(by):
            done = _take([rows[place].values for place in wanted], known, at=at, by=by)
        by_place = dict(zip(wanted, done, strict=True))
        results = [one["result"] for one in done]
        made = {
            "listings": results.count("new"),
            "listings_drafted": results.count("drafted"),
            "listings_adopted": results.count("adopted"),
            "listings_retitled": sum("title" in one for one in done),
        }
        return [_taken(verdict, by_place.get(place)) for place, verdict in enumerate(verdicts)], made

    # --- taking them back -------------------------------------------------------------------------------------

    def find_obstacles(self, rows: Sequence[Row], context: Context) -> Sequence[Obstacle]:
        """What was decided, told to its channel or sold by now."""
        listings = Listing.objects.select_for_update().in_bulk(sorted(row.undo["listing"] for row in rows))
        new = [row.undo["listing"] for row in rows if row.undo["result"] in ("new", "drafted")]
        used = find_references(Listing, new)
        obstacles = []
        for row in rows:
            listing = listings.get(row.undo["listing"])
            if listing is None:
                continue  # gone already
            what = used.get(listing.pk)
            if what is not None:
                detail = _("The listing is used by now (%s).") % what
                obstacles.append(Obstacle(row.line_no, "in_use", detail))
            elif row.undo["result"] == "drafted" and listing.state != Listing.State.DRAFT:
                detail = _("The draft is %s by now.") % listing.get_state_display()
                obstacles.append(Obstacle(row.line_no, "decided", detail))
            elif "title" in row.undo and listing.title != row.undo["title_now"]:
                obstacles.append(
                    Obstacle(row.line_no, "changed_since", _("The title was changed again since."))
                )
        return obstacles

    def undo(self, rows: Sequence[Row], context: Context, *, at: datetime, by: str) -> None:
        reason = _("The import was taken back.")
        titles = {row.undo["listing"]: row.undo["title"] for row in rows if "title" in row.undo}
        still = set(Listing.objects.filter(pk__in=titles).values_list("pk", flat=True))
        with changes_by(by):
            retitle_listings(
                titles={ident: title for ident, title in titles.items() if ident in still},
                reason=reason,
                at=at,
                by=by,
            )
            kinds: dict[str, list[int]] = {}
            for row in rows:
                kinds.setdefault(row.undo["result"], []).append(row.undo["listing"])
            unname_items(listing_ids=kinds.get("new", []), drafts=kinds.get("adopted", []), at=at, by=by)
            forget_drafts(listing_ids=kinds.get("drafted", []), reason=reason, at=at, by=by)

    # --- going out --------------------------------------------------------------------------------------------

    def offered(self, params: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        shops = Shop.objects.filter(is_active=True)
        if params.get("shops") is not None:
            shops = shops.filter(code__in=params["shops"])
        return {"shop": list(shops.order_by("code").values_list("code", flat=True))}

    def export(self, params: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        """Every listing and every draft of the shops and brands, in the order in which they came."""
        return _export(params)


LISTINGS = Listings()
LABELS = {field.name: field.label for field in LISTINGS.fields}


def _export(params: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    where = {"brands": params.get("brands"), "shops": params.get("shops"), "limit": EXPORT_PAGE}
    after = 0
    while page := fetch_all(EXPORT, {**where, "after": after}):
        for _id, *cells in page:
            yield cells
        after = page[-1][0]


# --- one row against what is known ----------------------------------------------------------------------------


class _Known:
    """What there is already of what a chunk names. Five statements."""

    def __init__(self, rows: Sequence[Row], params: Mapping[str, Any]) -> None:
        values = [row.values for row in rows]
        skus = Sku.objects.filter(code__in={each["sku"] for each in values})
        if params.get("brands") is not None:
            skus = skus.filter(spu__brand__code__in=params["brands"])
        self.skus = {sku.code: sku for sku in skus}
        shops = Shop.objects.filter(code__in={each["shop"] for each in values})
        if params.get("shops") is not None:
            shops = shops.filter(code__in=params["shops"])
        self.shops = {shop.code: shop for shop in shops}
        ids = [shop.pk for shop in self.shops.values()]
        items = {each["outer_item_id"] for each in values if each["outer_item_id"]}
        named = Listing.objects.filter(shop__in=ids, outer_item_id__in=items).select_related("sku")
        self.items = {(row.shop_id, row.outer_item_id, row.outer_sku_id): row for row in named}
        self.listings: dict[tuple[int, int], list[Listing]] = {}
        own = Listing.objects.filter(shop__in=ids, sku__in=[sku.pk for sku in self.skus.values()])
        for listing in own.order_by("pk"):
            self.listings.setdefault((listing.shop_id, listing.sku_id), []).append(listing)
        pairs = {
            self.pair(each) for each in values if each["shop"] in self.shops and each["sku"] in self.skus
        }
        self.outside = outside_pairs(sorted(pairs))

    def pair(self, values: Mapping[str, Any]) -> tuple[int, int]:
        return self.shops[values["shop"]].pk, self.skus[values["sku"]].pk

    def draft(self, pair: tuple[int, int]) -> Listing | None:
        return next((row for row in self.listings.get(pair, ()) if row.outer_item_id is None), None)


def _judge(values: Mapping[str, Any], known: _Known) -> Verdict:
    if values["shop"] not in known.shops:
        detail = _("There is no shop %s, or it is not yours.") % values["shop"]
        return _fault("unknown_shop", "shop", detail, values)
    if values["sku"] not in known.skus:
        detail = _("There is no SKU %s, or it is not yours.") % values["sku"]
        return _fault("unknown_sku", "sku", detail, values)
    if values["outer_item_id"] is None:
        if values["outer_sku_id"] is not None:
            detail = _("Say of which item this is a SKU.")
            return _fault("item_missing", "outer_item_id", detail, values)
        return _judge_draft(values, known)
    return _judge_item(values, known)


def _judge_item(values: Mapping[str, Any], known: _Known) -> Verdict:
    """A row that says which SKU an item of the channel is."""
    pair = known.pair(values)
    listing = known.items.get((pair[0], values["outer_item_id"], values["outer_sku_id"] or ""))
    if listing is None:
        if known.draft(pair) is None:
            return Verdict("new", TAKEN)
        return Verdict("changed", TAKEN, changes={"outer_item_id": [None, values["outer_item_id"]]})
    if listing.sku_id != pair[1]:
        detail = _("%(item)s is mapped to %(sku)s already: change its listing first.")
        return _fault(
            "mapped_otherwise", "outer_item_id", detail % {"item": listing, "sku": listing.sku.code}, values
        )
    return _judge_title(values, listing)


def _judge_draft(values: Mapping[str, Any], known: _Known) -> Verdict:
    """A row without an item: the SKU shall be in the shop."""
    pair = known.pair(values)
    there = known.listings.get(pair, [])
    if len(there) > 1 and values["title"] is not None:
        detail = _("The shop has %d items of this SKU: say which is meant.") % len(there)
        return _fault("which_item", "outer_item_id", detail, values)
    if there:
        return _judge_title(values, there[0])
    if not known.skus[values["sku"]].is_active:
        return _fault("inactive_sku", "sku", _("The SKU %s is not active.") % values["sku"], values)
    catalogue = known.outside.get(pair)
    if catalogue is not None:
        detail = _("The catalogue %(catalogue)s of the shop does not hold the SKU %(sku)s.")
        return _fault(
            "not_in_catalogue", "sku", detail % {"catalogue": catalogue.code, "sku": values["sku"]}, values
        )
    return Verdict("new", TAKEN)


def _judge_title(values: Mapping[str, Any], listing: Listing) -> Verdict:
    title = None if values["title"] is None else " ".join(values["title"].split())
    if title in (None, listing.title):
        return Verdict("unchanged", TAKEN, keep={"listing": listing.pk})
    return Verdict("changed", TAKEN, changes={"title": [listing.title, title]})


def _fault(reason: str, field: str, detail: str, values: Mapping[str, Any]) -> Verdict:
    return refuse_row(outcome=REFUSED, reason=reason, column=str(LABELS[field]), detail=detail, values=values)


# --- taking ---------------------------------------------------------------------------------------------------


def _taken(verdict: Verdict, done: Mapping[str, Any] | None) -> Taken:
    if done is not None:
        return Taken("done", TAKEN, {"listing": done["listing"]}, done)
    if verdict.status == "unchanged":
        return Taken("unchanged", TAKEN, verdict.keep)
    return Taken("error", REFUSED, reason=verdict.reason, column=verdict.column, detail=verdict.detail)


def _take(
    wanted: Sequence[Mapping[str, Any]], known: _Known, *, at: datetime, by: str
) -> list[dict[str, Any]]:
    """What became of each: its listing, and what it takes to take it back."""
    places = [place for place, values in enumerate(wanted) if values["outer_item_id"] is not None]
    items = [
        NamedItem(*_outer(wanted[place], known), sku_id=known.skus[wanted[place]["sku"]].pk)
        for place in places
    ]
    done: dict[int, dict[str, Any]] = {}
    for place, named in zip(places, name_items(items=items, at=at, by=by), strict=True):
        done[place] = {"listing": named.listing_id, "result": named.result}
    rest = [place for place in range(len(wanted)) if place not in done]
    pairs = {place: known.pair(wanted[place]) for place in rest}
    made = set(
        draft_pairs(pairs=sorted(set(pairs.values())), reason=_("Brought in as a file."), at=at, by=by)
    )
    there = Listing.objects.filter(shop__in={shop for shop, _sku in pairs.values()})
    ids: dict[tuple[int, int], int] = {}
    for listing in there.filter(sku__in={sku for _shop, sku in pairs.values()}).order_by("-pk"):
        ids[listing.shop_id, listing.sku_id] = listing.pk
    for place in rest:
        ident = ids[pairs[place]]
        done[place] = {"listing": ident, "result": "drafted" if ident in made else "unchanged"}
    _retitle(wanted, done, at=at, by=by)
    return [done[place] for place in range(len(wanted))]


def _outer(values: Mapping[str, Any], known: _Known) -> tuple[int, str, str]:
    return known.shops[values["shop"]].pk, values["outer_item_id"], values["outer_sku_id"] or ""


def _retitle(
    wanted: Sequence[Mapping[str, Any]], done: Mapping[int, dict[str, Any]], *, at: datetime, by: str
) -> None:
    """The shop's own titles, where they are other ones. Adds to `done` how each was called."""
    said = {done[place]["listing"]: values["title"] for place, values in enumerate(wanted) if values["title"]}
    before = dict(Listing.objects.filter(pk__in=said).values_list("pk", "title"))
    titles = {ident: " ".join(title.split()) for ident, title in said.items()}
    other = {ident: title for ident, title in titles.items() if before[ident] != title}
    retitle_listings(titles=other, reason=_("Brought in as a file."), at=at, by=by)
    for one in done.values():
        if one["listing"] in other:
            one |= {"title": before[one["listing"]], "title_now": other[one["listing"]]}
