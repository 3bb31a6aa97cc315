"""Have channels call their items as the shops and the master call them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel import doorbell
from omni.kernel.audit import record_acts
from omni.kernel.errors import BadInput
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute, fetch_all
from products.models import Listing
from products.request import PUSH, Asked
from products.titles import LEADS, TITLE

TITLE_LENGTH = 240

# With all listings of their items, in id order, as everybody who takes more than one.
LOCK = """
    SELECT id FROM products_listing WHERE id IN (
        SELECT unnest(%(ids)s::bigint[]) UNION
        SELECT e.id FROM products_listing l
        JOIN products_listing e ON e.shop_id = l.shop_id AND e.outer_item_id = l.outer_item_id
        WHERE l.id = ANY(%(ids)s)
    ) ORDER BY id FOR NO KEY UPDATE
"""
# The item of each listing by its first listing, which stands for it.
FIRSTS = """
    SELECT l.id, coalesce(f.id, l.id), l.outer_item_id IS NOT NULL
    FROM products_listing l
    LEFT JOIN LATERAL (
        SELECT e.id FROM products_listing e
        WHERE e.shop_id = l.shop_id AND e.outer_item_id = l.outer_item_id ORDER BY e.id LIMIT 1) f ON true
    WHERE l.id = ANY(%s)
"""
# All listings of an item say the same, or none could tell what the item is called.
RETITLE = """
    UPDATE products_listing t SET title = v.title
    FROM (
        SELECT DISTINCT ON (e.id) e.id, w.title
        FROM unnest(%s::bigint[], %s::text[]) AS w(id, title)
        JOIN products_listing l ON l.id = w.id
        JOIN products_listing e
          ON e.id = l.id OR (e.shop_id = l.shop_id AND e.outer_item_id = l.outer_item_id)
        ORDER BY e.id
    ) v
    WHERE t.id = v.id AND t.title <> v.title
    RETURNING t.id
"""
# A title that waits is read when it goes out, so one row per item is enough; one that is under way goes once more.
ASK = """
    INSERT INTO products_listingrequest AS r
        (listing_id, shop_id, batch, act, state, scheduled_at, not_before, reason, requested_by, requested_at)
    SELECT l.id, l.shop_id, %(batch)s, 'update', 'due', %(at)s, %(at)s, %(reason)s, %(by)s, %(at)s
    FROM products_listing l WHERE l.id = ANY(%(ids)s) ORDER BY l.id
    ON CONFLICT (listing_id, act) WHERE state = 'due' DO UPDATE SET
        batch = EXCLUDED.batch, reason = EXCLUDED.reason, requested_by = EXCLUDED.requested_by,
        requested_at = EXCLUDED.requested_at, is_overtaken = r.attempts > 0
    RETURNING listing_id
"""
# Which items are called otherwise than their channel was last told, or showed. A shop's own title stays; what no
# channel ever showed us is not told behind its back: the first survey will find the difference.
RENAMED = f"""
    SELECT n.id FROM (
        SELECT l.id, l.shop_id, l.outer_item_id, l.outer_sku_id, {TITLE} AS title
        FROM products_listing l
        JOIN products_sku k ON k.id = l.sku_id
        JOIN products_spu u ON u.id = k.spu_id
        WHERE l.sku_id IN (SELECT id FROM products_sku WHERE spu_id = ANY(%(spus)s)
                           UNION SELECT unnest(%(skus)s::bigint[]))
          AND l.outer_item_id IS NOT NULL AND l.title = '' AND l.state IN ('approved', 'listed', 'delisted') AND {LEADS}
    ) n
    LEFT JOIN LATERAL (
        SELECT r.content FROM products_listingrequest r
        WHERE r.listing_id = n.id AND r.act = 'update' AND r.content <> '' ORDER BY r.id DESC LIMIT 1) told ON true
    JOIN products_outeritem o ON o.shop_id = n.shop_id AND o.outer_item_id = n.outer_item_id
        AND o.outer_sku_id = n.outer_sku_id AND o.source = 'channel'
    WHERE n.title <> coalesce(told.content, o.title)
    ORDER BY n.id
"""  # noqa: S608 - put together from constants


class TitleTooLong(BadInput):
    """No channel has room for such a title."""

    code = "title_too_long"


@dataclass(frozen=True, slots=True)
class Retitled:
    """What came of one listing. `detail`: why it is called as before."""

    ok: bool
    detail: str = ""


@transaction.atomic
def retitle_listings(
    *, titles: Mapping[int, str], is_theirs: bool = False, reason: str = "", at: datetime, by: str
) -> dict[int, Retitled]:
    """Say what shops call their items; an empty title is the master's name, today's and every later one.

    The title is the item's: its other listings in the shop get it too, and its channel is told, unless it `is_theirs`.
    Saying the same again tells nobody. Raises TitleTooLong.
    """
    wanted = {ident: " ".join(title.split()) for ident, title in titles.items()}
    if too_long := [title for title in wanted.values() if len(title) > TITLE_LENGTH]:
        detail = _("“%s…” has more than 240 letters.") % too_long[0][:40]
        raise TitleTooLong(detail, fields={"title": [detail]})
    ids = sorted(wanted)
    found = _hold(ids)
    changed = [row[0] for row in fetch_all(RETITLE, [list(found), [wanted[ident] for ident in found]])]
    record_acts(by=by, action="listing.retitled", kind=Listing, object_ids=changed, reason=reason, at=at)
    moved = set(changed)
    firsts = {first for ident, (first, has_item) in found.items() if has_item and {ident, first} & moved}
    _ask([] if is_theirs else sorted(firsts), reason, at, by)
    gone = Retitled(False, _("It is not there any more."))
    return {ident: Retitled(True) if ident in found else gone for ident in titles}


@transaction.atomic
def update_listings(
    *, listing_ids: Sequence[int], reason: str = "", at: datetime, by: str
) -> tuple[uuid.UUID, list[Asked]]:
    """Have the channels call the items of these listings as we do, also where they said that they do.

    Returns the batch by which the requests are found, and one result per listing, in the order given.
    """
    found = _hold(listing_ids)
    refused = {ident: _why_not(found.get(ident)) for ident in listing_ids}
    firsts = sorted({found[ident][0] for ident, why in refused.items() if not why})
    batch = _ask(firsts, reason, at, by)
    record_acts(
        by=by,
        action="listing_request.asked",
        kind=Listing,
        object_ids=firsts,
        reason=reason,
        detail={"act": "update"},
        at=at,
    )
    return batch, [Asked(ident, not refused[ident], refused[ident]) for ident in listing_ids]


@transaction.atomic
def update_changed_products(
    *, spu_ids: Sequence[int], sku_ids: Sequence[int], at: datetime, by: str = "system"
) -> int:
    """Tell the channels the names of these products and SKUs where their items bear them. Returns how many are told.

    An item with a title of its shop's own keeps it, and one that is called so already is left in peace.
    """
    renamed = [row[0] for row in fetch_all(RENAMED, {"spus": list(spu_ids), "skus": list(sku_ids)})]
    _ask(renamed, sentence("The product was changed."), at, by)
    return len(renamed)


def _hold(listing_ids: Sequence[int]) -> dict[int, tuple[int, bool]]:
    """By listing: the first listing of its item, and whether it has an item at all. Theirs are all locked."""
    fetch_all(LOCK, {"ids": list(listing_ids)})
    return {ident: (first, has_item) for ident, first, has_item in fetch_all(FIRSTS, [list(listing_ids)])}


def _ask(listing_ids: Sequence[int], reason: str, at: datetime, by: str) -> uuid.UUID:
    """One request per item, named by its first listing."""
    batch = uuid.uuid4()
    if listing_ids:
        params = {"batch": batch, "ids": list(listing_ids), "reason": str(reason), "by": by, "at": at}
        execute(ASK, params)
        doorbell.ring_after_commit(PUSH)
    return batch


def _why_not(found: tuple[int, bool] | None) -> str:
    if found is None:
        return _("It is not there any more.")
    if not found[1]:
        return _("The channel has no item for it yet: enter it there, then map it to this SKU.")
    return ""
