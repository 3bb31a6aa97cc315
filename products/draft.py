"""Enter what shops are meant to list, and lead it through review: draft, submitted, approved or rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_acts
from omni.kernel.errors import BadInput
from omni.kernel.sql import execute, fetch_all
from products.assortment.holding import outside_pairs
from products.models import Listing
from products.states import NEXT

State = Listing.State

# A SKU that a shop lists already, or that is drafted there, is left alone. Sorted: two who draft the same wait for
# one another in the same order.
INSERT_DRAFTS = """
    INSERT INTO products_listing
        (shop_id, sku_id, outer_item_id, outer_sku_id, title, state, state_at, state_by, state_reason, created_at)
    SELECT w.shop_id, w.sku_id, NULL, '', '', 'draft', %(at)s, %(by)s, %(reason)s, %(at)s
    FROM unnest(%(shops)s::bigint[], %(skus)s::bigint[]) AS w(shop_id, sku_id)
    JOIN products_sku k ON k.id = w.sku_id AND k.is_active
    WHERE NOT EXISTS (SELECT FROM products_listing l WHERE l.shop_id = w.shop_id AND l.sku_id = w.sku_id)
    ORDER BY w.shop_id, w.sku_id
    ON CONFLICT DO NOTHING
    RETURNING id
"""
LOCK = "SELECT id, state FROM products_listing WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
MOVE = """
    UPDATE products_listing SET state = %s, state_at = %s, state_by = %s, state_reason = %s WHERE id = ANY(%s)
"""


class ReasonMissing(BadInput):
    """Whoever rejects a listing says why: the next person must be able to mend it."""

    code = "reason_missing"


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of one listing. `detail`: why it stayed as it was."""

    listing_id: int
    ok: bool
    detail: str = ""


@transaction.atomic
def draft_listings(
    *, shop_ids: Sequence[int], sku_ids: Sequence[int], reason: str = "", at: datetime, by: str
) -> list[int]:
    """Draft every SKU in every shop where it is neither listed nor drafted; inactive SKUs are left out, and those that
    the catalogue of the shop does not hold (`outside_pairs` says which).

    A draft is called as the master calls it, and has no item on the channel. Returns the ids of the new listings.
    """
    pairs = [(shop_id, sku_id) for shop_id in set(shop_ids) for sku_id in set(sku_ids)]
    return draft_pairs(pairs=pairs, reason=reason, at=at, by=by)


@transaction.atomic
def draft_pairs(*, pairs: Sequence[tuple[int, int]], reason: str, at: datetime, by: str) -> list[int]:
    """The same for (shop, SKU) pairs."""
    outside = outside_pairs(pairs)
    allowed = [pair for pair in pairs if pair not in outside]
    if not allowed:
        return []
    rows = fetch_all(
        INSERT_DRAFTS,
        {
            "shops": [shop_id for shop_id, _sku_id in allowed],
            "skus": [sku_id for _shop_id, sku_id in allowed],
            "at": at,
            "by": by,
            "reason": reason,
        },
    )
    made = [row[0] for row in rows]
    record_acts(by=by, action="listing.drafted", kind=Listing, object_ids=made, reason=reason, at=at)
    return made


@transaction.atomic
def forget_drafts(*, listing_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[int]:
    """Remove drafts that nobody has submitted. Returns those that are gone; what went further stays."""
    drafts = [ident for ident, state in fetch_all(LOCK, [list(listing_ids)]) if state == State.DRAFT]
    record_acts(by=by, action="listing.forgotten", kind=Listing, object_ids=drafts, reason=reason, at=at)
    Listing.objects.filter(pk__in=drafts, outer_item_id=None).delete()
    return drafts


def submit_listings(*, listing_ids: Sequence[int], at: datetime, by: str) -> list[Moved]:
    """Ask for approval of drafts and of what was rejected."""
    return _move(listing_ids, State.SUBMITTED, "", at, by)


def approve_listings(*, listing_ids: Sequence[int], reason: str = "", at: datetime, by: str) -> list[Moved]:
    """Say that these may go onto their channels."""
    return _move(listing_ids, State.APPROVED, reason, at, by)


def reject_listings(*, listing_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[Moved]:
    """Say that these may not, and why; the listing keeps the reason. Raises ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing(_("Say why."), fields={"reason": [_("Say why.")]})
    return _move(listing_ids, State.REJECTED, reason, at, by)


def take_back_listings(*, listing_ids: Sequence[int], at: datetime, by: str) -> list[Moved]:
    """Make drafts again of what was submitted, rejected or approved."""
    return _move(listing_ids, State.DRAFT, "", at, by)


@transaction.atomic
def _move(listing_ids: Sequence[int], to: State, reason: str, at: datetime, by: str) -> list[Moved]:
    """One result per listing, in the order given. The only writer of the steps that people take."""
    found = dict(fetch_all(LOCK, [list(listing_ids)]))
    movable = [ident for ident, state in found.items() if to in NEXT[state]]
    if movable:
        execute(MOVE, [to.value, at, by, reason, movable])
        record_acts(
            by=by,
            action="listing.moved",
            kind=Listing,
            object_ids=movable,
            reason=reason,
            detail={"to": to.value},
            at=at,
        )
    return [Moved(ident, ident in movable, _why_not(found.get(ident), to)) for ident in listing_ids]


def _why_not(state: str | None, to: State) -> str:
    if state is None:
        return _("It is not there any more.")
    if to in NEXT[state]:
        return ""
    return _("It is %(state)s: it cannot become %(to)s.") % {"state": State(state).label, "to": to.label}
