"""Say which of our SKUs a channel's item is, or that it is none of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import changes_by, record_act, record_acts
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.events import record_events
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all
from products.events import ListingsChanged
from products.models import Listing, OuterItem, Sku

# In id order, as everybody who takes more than one of them.
LOCK = "SELECT id FROM products_outeritem WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
# An item that its channel does not offer now is mapped all the same: what was sold of it finds its SKU. What it is
# called there is the shop's own title, unless it is the master's name: then it follows the master.
INSERT_LISTINGS = """
    INSERT INTO products_listing (shop_id, sku_id, outer_item_id, outer_sku_id, title, state, created_at)
    SELECT o.shop_id, w.sku_id, o.outer_item_id, o.outer_sku_id,
           CASE WHEN o.title = CASE WHEN o.outer_sku_id = '' THEN k.name ELSE u.name END THEN '' ELSE o.title END,
           CASE WHEN o.is_listed IS FALSE THEN 'delisted' ELSE 'listed' END, %s
    FROM unnest(%s::bigint[], %s::bigint[]) AS w(item_id, sku_id)
    JOIN products_outeritem o ON o.id = w.item_id
    JOIN products_sku k ON k.id = w.sku_id
    JOIN products_spu u ON u.id = k.spu_id
    ORDER BY o.shop_id, o.outer_item_id, o.outer_sku_id
    ON CONFLICT DO NOTHING
    RETURNING id, shop_id, sku_id
"""
# What the shop was going to list gets its item, and goes on where it stands in its way; what is approved and on sale
# there is listed. One draft has one item: a second item of the same SKU becomes a listing of its own.
ADOPT = """
    UPDATE products_listing l
    SET outer_item_id = w.outer_item_id, outer_sku_id = w.outer_sku_id,
        state = CASE WHEN l.state = 'approved' AND w.is_listed THEN 'listed' ELSE l.state END
    FROM (
        SELECT DISTINCT ON (d.id) d.id, o.outer_item_id, o.outer_sku_id, o.is_listed
        FROM unnest(%s::bigint[], %s::bigint[]) AS v(item_id, sku_id)
        JOIN products_outeritem o ON o.id = v.item_id
        JOIN products_listing d ON d.shop_id = o.shop_id AND d.sku_id = v.sku_id AND d.outer_item_id IS NULL
        WHERE NOT EXISTS (
            SELECT FROM products_listing t WHERE t.shop_id = o.shop_id AND t.outer_item_id = o.outer_item_id
              AND t.outer_sku_id = o.outer_sku_id)
        ORDER BY d.id, o.id
    ) w
    WHERE l.id = w.id
    RETURNING l.id, l.shop_id, l.sku_id
"""
FIND_LISTINGS = """
    SELECT o.id, l.sku_id, k.code FROM products_outeritem o
    JOIN products_listing l ON l.shop_id = o.shop_id AND l.outer_item_id = o.outer_item_id
        AND l.outer_sku_id = o.outer_sku_id
    JOIN products_sku k ON k.id = l.sku_id
    WHERE o.id = ANY(%s)
"""
# The same by the items' own ids, whether or not their channel has shown them to us. What is drafted there first.
WANTED = """
    unnest(%(shops)s::bigint[], %(items)s::text[], %(outer_skus)s::text[], %(skus)s::bigint[]) WITH ORDINALITY
        AS w(shop_id, outer_item_id, outer_sku_id, sku_id, place)
"""
ADOPT_NAMED = f"""
    UPDATE products_listing l SET outer_item_id = v.outer_item_id, outer_sku_id = v.outer_sku_id
    FROM (
        SELECT DISTINCT ON (d.id) d.id, w.outer_item_id, w.outer_sku_id FROM {WANTED}
        JOIN products_listing d ON d.shop_id = w.shop_id AND d.sku_id = w.sku_id AND d.outer_item_id IS NULL
        WHERE NOT EXISTS (
            SELECT FROM products_listing t WHERE t.shop_id = w.shop_id AND t.outer_item_id = w.outer_item_id
              AND t.outer_sku_id = w.outer_sku_id)
        ORDER BY d.id, w.place
    ) v
    WHERE l.id = v.id RETURNING l.id, l.shop_id, l.sku_id
"""  # noqa: S608 - put together from constants
INSERT_NAMED = f"""
    INSERT INTO products_listing (shop_id, sku_id, outer_item_id, outer_sku_id, title, state, created_at)
    SELECT v.shop_id, v.sku_id, v.outer_item_id, v.outer_sku_id,
           coalesce(nullif(coalesce(nullif(%(title)s, ''), o.title, ''),
                           CASE WHEN v.outer_sku_id = '' THEN k.name ELSE u.name END), ''),
           CASE WHEN o.is_listed IS FALSE THEN 'delisted' ELSE 'listed' END, %(at)s
    FROM (
        SELECT DISTINCT ON (w.shop_id, w.outer_item_id, w.outer_sku_id) w.* FROM {WANTED}
        ORDER BY w.shop_id, w.outer_item_id, w.outer_sku_id, w.place
    ) v
    JOIN products_sku k ON k.id = v.sku_id
    JOIN products_spu u ON u.id = k.spu_id
    LEFT JOIN products_outeritem o ON o.shop_id = v.shop_id AND o.outer_item_id = v.outer_item_id
        AND o.outer_sku_id = v.outer_sku_id
    ORDER BY v.shop_id, v.outer_item_id, v.outer_sku_id
    ON CONFLICT DO NOTHING RETURNING id, shop_id, sku_id
"""  # noqa: S608 - put together from constants
FIND_NAMED = f"""
    SELECT l.shop_id, l.outer_item_id, l.outer_sku_id, l.id, l.sku_id, k.code FROM {WANTED}
    JOIN products_listing l ON l.shop_id = w.shop_id AND l.outer_item_id = w.outer_item_id
        AND l.outer_sku_id = w.outer_sku_id
    JOIN products_sku k ON k.id = l.sku_id
"""  # noqa: S608 - put together from constants
NOTE_UNMAPPED = """
    UPDATE products_outeritem o SET state = 'unmapped'
    FROM products_listing l
    WHERE l.shop_id = o.shop_id AND l.outer_item_id = o.outer_item_id AND l.outer_sku_id = o.outer_sku_id
      AND l.id = ANY(%s) AND o.state = 'mapped'
"""
NOTE_MAPPED = """
    UPDATE products_outeritem o SET state = 'mapped', note = ''
    FROM products_listing l
    WHERE l.shop_id = o.shop_id AND l.outer_item_id = o.outer_item_id AND l.outer_sku_id = o.outer_sku_id
      AND l.id = ANY(%s) AND o.state <> 'mapped'
"""


class UnknownSkuCode(BadInput):
    """No SKU has this code."""

    code = "unknown_sku"


class MappedOtherwise(DomainError):
    """The channel's item is known as another SKU already: changing that is a decision of its own."""

    code = "mapped_otherwise"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What came of one item. `detail`: why not."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamedItem:
    """A channel's item, by its own ids, and the SKU that it is. The channel need not have shown it to us."""

    shop_id: int
    outer_item_id: str
    outer_sku_id: str
    sku_id: int


@dataclass(frozen=True, slots=True)
class Named:
    """What came of one item: `new`, `adopted` (what the shop was going to list has its item now), `unchanged` or
    `refused`, with why."""

    listing_id: int
    result: str
    detail: str = ""


def map_listing(
    *,
    shop_id: int,
    outer_item_id: str,
    outer_sku_id: str,
    sku_code: str,
    at: datetime,
    by: str,
    title: str = "",
) -> Listing:
    """Map an outer item (and outer SKU) of a shop to the SKU with this code. Saying the same again changes nothing.

    Raises UnknownSkuCode, MappedOtherwise.
    """
    sku = Sku.objects.filter(code=sku_code).first()
    if sku is None:
        raise UnknownSkuCode(_("There is no SKU %s.") % sku_code, fields={"sku_code": [_("Unknown SKU.")]})
    item = NamedItem(shop_id, outer_item_id, outer_sku_id, sku.pk)
    [named] = name_items(items=[item], at=at, by=by, title=title)
    if named.result == "refused":
        raise MappedOtherwise(named.detail)
    return Listing.objects.get(pk=named.listing_id)


@transaction.atomic
def name_items(*, items: Sequence[NamedItem], at: datetime, by: str, title: str = "") -> list[Named]:
    """Map channel items by their own ids; one that is another SKU already is refused and leaves the others alone.

    Saying the same again changes nothing. Who waits for these items hears of it. `title`: of those that are new.
    Returns one result for each, in the order given; of an item that is named twice the first counts.
    """
    columns: dict[str, Any] = {
        "shops": as_array(item.shop_id for item in items),
        "items": as_text_array(item.outer_item_id for item in items),
        "outer_skus": as_text_array(item.outer_sku_id for item in items),
        "skus": as_array(item.sku_id for item in items),
        "at": at,
        "title": title[:240],
    }
    adopted = fetch_all(ADOPT_NAMED, columns)
    made = fetch_all(INSERT_NAMED, columns)
    results = dict.fromkeys((row[0] for row in adopted), "adopted") | dict.fromkeys(
        (row[0] for row in made), "new"
    )
    changed: dict[int, set[int]] = {}
    for _id, shop_id, sku_id in (*adopted, *made):
        changed.setdefault(shop_id, set()).add(sku_id)
    found = {
        (shop, item, outer): (ident, sku, code)
        for shop, item, outer, ident, sku, code in fetch_all(FIND_NAMED, columns)
    }
    named = []
    for item in items:
        ident, sku_id, code = found[item.shop_id, item.outer_item_id, item.outer_sku_id]
        if sku_id == item.sku_id:
            named.append(Named(ident, results.pop(ident, "unchanged")))
            continue
        shown = "/".join(part for part in (item.outer_item_id, item.outer_sku_id) if part)
        detail = _("%(item)s is mapped to %(sku)s already: change its listing first.") % {
            "item": shown,
            "sku": code,
        }
        named.append(Named(ident, "refused", detail))
    record_events(
        *(ListingsChanged(shop_id, tuple(sorted(skus))) for shop_id, skus in sorted(changed.items()))
    )
    idents = [row[0] for row in (*adopted, *made)]
    record_acts(by=by, action="listing.mapped", kind=Listing, object_ids=idents, at=at)
    note_mapped(listing_ids=[one.listing_id for one in named if one.result != "refused"])
    return named


@transaction.atomic
def unname_items(*, listing_ids: Sequence[int], drafts: Sequence[int], at: datetime, by: str) -> None:
    """Take back what naming items did: listings that were new go, `drafts` have no item again.

    Nobody may refer to those that go: a protecting foreign key stops the whole.
    """
    with changes_by(by):
        idents = [*listing_ids, *drafts]
        execute(NOTE_UNMAPPED, [idents])
        Listing.objects.filter(pk__in=drafts).update(outer_item_id=None, outer_sku_id="")
        record_acts(by=by, action="listing.unmapped", kind=Listing, object_ids=idents, at=at)
        Listing.objects.filter(pk__in=listing_ids).delete()


@transaction.atomic
def map_items(*, sku_ids: Mapping[int, int], at: datetime, by: str) -> dict[int, Mapped]:
    """Map channel items to SKUs, by their ids; one that cannot be mapped leaves the others alone.

    Saying the same again is no fault. Who waits for these items (parked orders, stock to be shown) hears of it.
    Returns what came of each.
    """
    ids = sorted(sku_ids)
    known = {row[0] for row in fetch_all(LOCK, [ids])}
    wanted = [sku_ids[ident] for ident in ids]
    inserted = fetch_all(ADOPT, [ids, wanted]) + fetch_all(INSERT_LISTINGS, [at, ids, wanted])
    changed: dict[int, set[int]] = {}
    for _id, shop_id, sku_id in inserted:
        changed.setdefault(shop_id, set()).add(sku_id)
    results: dict[int, Mapped] = {}
    for item_id, sku_id, code in fetch_all(FIND_LISTINGS, [ids]):
        is_same = sku_id == sku_ids[item_id]
        detail = "" if is_same else _("It is mapped to %s already: change its listing first.") % code
        results[item_id] = Mapped(is_same, detail)
    for ident in ids:
        if ident not in known:
            results[ident] = Mapped(False, _("It is not there any more."))
    note_mapped(listing_ids=[row[0] for row in inserted])
    for listing in Listing.objects.filter(pk__in=[row[0] for row in inserted]).select_related("sku"):
        record_act(by=by, action="listing.mapped", subject=listing, detail={"sku": listing.sku.code})
    record_events(
        *(ListingsChanged(shop_id, tuple(sorted(skus))) for shop_id, skus in sorted(changed.items()))
    )
    return results


def note_mapped(*, listing_ids: Sequence[int]) -> None:
    """The channel items of these listings wait for nobody any more."""
    if listing_ids:
        execute(NOTE_MAPPED, [list(listing_ids)])


@transaction.atomic
def ignore_items(*, item_ids: Sequence[int], note: str, at: datetime, by: str) -> list[int]:
    """Say that these are none of ours, and why; they stay ignored when they are seen again.

    Returns the ids that were unmapped.
    """
    fetch_all(LOCK, [list(item_ids)])
    rows = OuterItem.objects.filter(pk__in=item_ids, state=OuterItem.State.UNMAPPED).order_by("pk")
    ignored = list(rows)
    rows.update(state=OuterItem.State.IGNORED, note=note)
    for item in ignored:
        record_act(by=by, action="outer_item.ignored", subject=item, reason=note)
    return [item.pk for item in ignored]
