"""Ask channels to put listings on sale or take them off, at once or at a planned moment, with a result per line."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel import doorbell
from omni.kernel.answers import Answer, wait_after
from omni.kernel.audit import record_acts
from omni.kernel.errors import BadInput
from omni.kernel.events import record_events
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute, fetch_all
from products.assortment.conditions import HOLDS
from products.assortment.holding import CATALOGUES, GOODS, PICK, CatalogueName, outside_pairs
from products.events import ListingsChanged
from products.models import Listing, ListingRequest
from products.states import PUBLISHABLE, WITHDRAWABLE
from products.titles import TITLE

Act = ListingRequest.Act
PUSH = "integrations.tasks.push_due_listings"

# A call that was not answered for so long is taken as lost, and its request is due again.
ANSWER_WITHIN = timedelta(seconds=120)

LOCK = """
    SELECT id, shop_id, sku_id, state, outer_item_id IS NOT NULL FROM products_listing
    WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
ASK = """
    INSERT INTO products_listingrequest
        (listing_id, shop_id, batch, act, state, scheduled_at, not_before, reason, requested_by, requested_at)
    SELECT l.id, l.shop_id, %(batch)s, %(act)s, 'due', %(when)s, %(when)s, %(reason)s, %(by)s, %(at)s
    FROM products_listing l WHERE l.id = ANY(%(ids)s) ORDER BY l.id
    ON CONFLICT (listing_id, act) WHERE state = 'due' DO NOTHING
    RETURNING listing_id
"""

# What was planned and cannot be any more: the listing went another way meanwhile. What waits for an earlier act of the
# same listing is not judged before that one is answered.
GIVE_UP = """
    UPDATE products_listingrequest r SET state = 'refused', answered_at = %(at)s, answer = %(answer)s
    FROM products_listing l
    WHERE l.id = r.listing_id AND r.shop_id = %(shop)s AND r.state = 'due' AND r.not_before <= %(at)s
      AND (r.act = 'publish' AND l.state NOT IN ('approved', 'delisted', 'listed')
           OR r.act = 'withdraw' AND l.state NOT IN ('listed', 'delisted')
           OR r.act = 'update' AND l.outer_item_id IS NULL)
      AND NOT EXISTS (
        SELECT FROM products_listingrequest e WHERE e.listing_id = r.listing_id AND e.state = 'due'
          AND (e.scheduled_at, e.id) < (r.scheduled_at, r.id))
"""
# The catalogue of the shop may have changed since this was planned.
GIVE_UP_OUTSIDE = f"""
    UPDATE products_listingrequest r SET state = 'refused', answered_at = %(at)s, answer = %(answer)s
    FROM products_listing l
    JOIN products_shopcatalogue s ON s.shop_id = l.shop_id
    JOIN ({CATALOGUES}) w ON w.id = s.catalogue_id AND w.is_active
    JOIN ({GOODS}) ON k.id = l.sku_id
    LEFT JOIN {PICK}
    WHERE l.id = r.listing_id AND r.shop_id = %(shop)s AND r.state = 'due' AND r.act = 'publish'
      AND r.not_before <= %(at)s AND NOT {HOLDS}
"""  # noqa: S608 - constants
# Of one listing the earlier planned act goes first, and the later one waits for its answer. Plan: listing_request_due.
CLAIM = f"""
    UPDATE products_listingrequest r
    SET attempts = r.attempts + 1, not_before = %(until)s, is_overtaken = false,
        content = CASE WHEN r.act = 'update' THEN due.title ELSE r.content END
    FROM (
        SELECT d.id, l.outer_item_id, l.outer_sku_id, l.sku_id, k.code, {TITLE} AS title
        FROM products_listingrequest d
        JOIN products_listing l ON l.id = d.listing_id
        JOIN products_sku k ON k.id = l.sku_id
        JOIN products_spu u ON u.id = k.spu_id
        WHERE d.shop_id = %(shop)s AND d.state = 'due' AND d.not_before <= %(at)s AND NOT EXISTS (
            SELECT FROM products_listingrequest e WHERE e.listing_id = d.listing_id AND e.state = 'due'
              AND (e.scheduled_at, e.id) < (d.scheduled_at, d.id))
        ORDER BY l.outer_item_id, d.id LIMIT %(limit)s FOR NO KEY UPDATE OF d SKIP LOCKED
    ) due
    WHERE r.id = due.id
    RETURNING r.id, r.listing_id, r.act, due.outer_item_id, due.outer_sku_id, due.sku_id, due.code, due.title
"""  # noqa: S608 - put together from constants
# An item is taken off as a whole only if nothing of it stays on sale: no other listing of ours, and nothing that the
# channel shows and nobody has mapped.
STAYING = """
    SELECT DISTINCT w.item FROM unnest(%(items)s::text[]) AS w(item)
    WHERE EXISTS (
        SELECT FROM products_listing l WHERE l.shop_id = %(shop)s AND l.outer_item_id = w.item
          AND l.state = 'listed' AND l.id <> ALL(%(leaving)s))
       OR EXISTS (
        SELECT FROM products_outeritem o WHERE o.shop_id = %(shop)s AND o.outer_item_id = w.item
          AND o.state <> 'mapped' AND o.is_listed)
"""
LOCK_ANSWERED = """
    SELECT r.id, r.listing_id, r.act, r.attempts FROM products_listingrequest r
    WHERE r.id = ANY(%s) AND r.state = 'due' ORDER BY r.id FOR NO KEY UPDATE
"""
LOCK_LISTINGS = "SELECT id FROM products_listing WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
# What was asked for anew while the call was under way goes once more: the answer was to the older content.
CLOSE = """
    UPDATE products_listingrequest r
    SET state = CASE WHEN r.is_overtaken THEN 'due' ELSE v.state END, answer = v.answer,
        answered_at = CASE WHEN r.is_overtaken THEN NULL ELSE %(at)s::timestamptz END,
        not_before = CASE WHEN r.is_overtaken THEN %(at)s ELSE r.not_before END
    FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(answers)s::text[]) AS v(id, state, answer)
    WHERE r.id = v.id
"""
POSTPONE = """
    UPDATE products_listingrequest r SET answer = v.answer, not_before = v.moment
    FROM unnest(%(ids)s::bigint[], %(answers)s::text[], %(moments)s::timestamptz[]) AS v(id, answer, moment)
    WHERE r.id = v.id
"""
MOVE = """
    UPDATE products_listing l SET state = v.state, state_at = %(at)s, state_by = r.requested_by, state_reason = r.reason
    FROM unnest(%(requests)s::bigint[], %(states)s::text[]) AS v(id, state)
    JOIN products_listingrequest r ON r.id = v.id
    WHERE l.id = r.listing_id AND l.state <> v.state
    RETURNING l.shop_id, l.sku_id, l.state
"""
FOLLOW = """
    UPDATE products_listing l
    SET state = v.state, state_at = %(at)s, state_by = %(by)s, state_reason = %(reason)s
    FROM unnest(%(ids)s::bigint[], %(states)s::text[]) AS v(id, state)
    WHERE l.id = v.id AND l.state <> v.state AND l.state IN ('listed', 'delisted')
    RETURNING l.id, l.shop_id, l.sku_id, l.state
"""
CANCEL = """
    UPDATE products_listingrequest SET state = 'cancelled', answered_at = %s, answer = %s
    WHERE id = ANY(%s) AND state = 'due' AND attempts = 0 RETURNING id
"""
AGAIN = """
    UPDATE products_listingrequest r SET state = 'due', attempts = 0, not_before = %s, answered_at = NULL
    WHERE id = ANY(%s) AND state = 'refused' AND NOT EXISTS (
        SELECT FROM products_listingrequest o WHERE o.listing_id = r.listing_id AND o.act = r.act AND o.id > r.id)
    RETURNING id
"""


class EndsBeforeItStarts(BadInput):
    """A listing window ends at or before its start, or lies in the past."""

    code = "ends_before_it_starts"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one line of a request. `detail`: why the channel will not be asked."""

    listing_id: int
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DueRequest:
    """One line that a channel is to be asked now. `is_whole_item`: nothing else of its item stays on sale.

    `title`: what its item is called.
    """

    request_id: int
    listing_id: int
    act: str
    outer_item_id: str
    outer_sku_id: str
    sku_id: int
    sku_code: str
    title: str
    is_whole_item: bool


def publish_listings(
    *,
    listing_ids: Sequence[int],
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    is_again: bool = False,
    reason: str = "",
    at: datetime,
    by: str,
) -> tuple[uuid.UUID, list[Asked]]:
    """Have the channels put listings on sale, now or from `starts_at`; with `ends_at`, take them off again then.

    Only what is approved, or was on sale before, has an item on its channel, and stands in the catalogue of its shop if
    that has one. `is_again`: also what is on sale with us already, because its channel took it off by itself. Returns
    the batch by which the requests are found, and one result per line, in the order given. Raises EndsBeforeItStarts.
    """
    start = starts_at or at
    if start < at:
        raise EndsBeforeItStarts(
            _("The beginning lies in the past."), fields={"starts_at": [_("In the past.")]}
        )
    if ends_at is not None and ends_at <= start:
        raise EndsBeforeItStarts(
            _("The window ends before it begins."), fields={"ends_at": [_("Not after the beginning.")]}
        )
    return _request(Act.PUBLISH, listing_ids, start, ends_at, is_again, reason, at, by)


def withdraw_listings(
    *,
    listing_ids: Sequence[int],
    starts_at: datetime | None = None,
    is_again: bool = False,
    reason: str = "",
    at: datetime,
    by: str,
) -> tuple[uuid.UUID, list[Asked]]:
    """Have the channels take listings off sale, now or at a moment. As `publish_listings`."""
    if starts_at is not None and starts_at < at:
        raise EndsBeforeItStarts(_("The moment lies in the past."), fields={"starts_at": [_("In the past.")]})
    return _request(Act.WITHDRAW, listing_ids, starts_at or at, None, is_again, reason, at, by)


@transaction.atomic
def _request(
    act: Act,
    listing_ids: Sequence[int],
    when: datetime,
    ends_at: datetime | None,
    is_again: bool,
    reason: str,
    at: datetime,
    by: str,
) -> tuple[uuid.UUID, list[Asked]]:
    batch = uuid.uuid4()
    rows = fetch_all(LOCK, [list(listing_ids)])
    found = {ident: (state, has_item) for ident, _shop, _sku, state, has_item in rows}
    refused = {ident: _why_not(act, found.get(ident), is_again) for ident in listing_ids}
    if act == Act.PUBLISH:
        outside = outside_pairs([(shop, sku) for _id, shop, sku, _state, _has_item in rows])
        for ident, shop, sku, _state, _has_item in rows:
            refused[ident] = refused[ident] or _not_held(outside.get((shop, sku)))
    wanted = [ident for ident, why in refused.items() if not why]
    asked = _ask(act, wanted, when, batch, reason, at, by)
    if ends_at is not None:
        _ask(Act.WITHDRAW, sorted(asked), ends_at, batch, reason, at, by)
    again = _("It has been asked for already.")
    results = [
        Asked(ident, ident in asked, refused[ident] or ("" if ident in asked else again))
        for ident in listing_ids
    ]
    record_acts(
        by=by,
        action="listing_request.asked",
        kind=Listing,
        object_ids=sorted(asked),
        reason=reason,
        detail={"act": act.value, "at": when.isoformat()},
        at=at,
    )
    doorbell.ring_after_commit(PUSH)
    return batch, results


def _ask(
    act: Act, ids: Sequence[int], when: datetime, batch: uuid.UUID, reason: str, at: datetime, by: str
) -> set[int]:
    if not ids:
        return set()
    params = {
        "batch": batch,
        "act": act.value,
        "when": when,
        "reason": reason,
        "by": by,
        "at": at,
        "ids": list(ids),
    }
    return {row[0] for row in fetch_all(ASK, params)}


def _why_not(act: Act, found: tuple[str, bool] | None, is_again: bool) -> str:
    if found is None:
        return _("It is not there any more.")
    state, has_item = found
    if is_again and state == (Listing.State.LISTED if act == Act.PUBLISH else Listing.State.DELISTED):
        return ""
    if act == Act.PUBLISH:
        if state == Listing.State.LISTED:
            return _("It is on sale already.")
        if state not in PUBLISHABLE:
            return _("It is %s: only what is approved goes onto a channel.") % Listing.State(state).label
        if not has_item:
            return _("The channel has no item for it yet: enter it there, then map it to this SKU.")
        return ""
    if state not in WITHDRAWABLE:
        return _("It is %s: only what is on sale can be taken off.") % Listing.State(state).label
    return ""


def _not_held(catalogue: CatalogueName | None) -> str:
    return _("The catalogue %s of its shop does not hold it.") % catalogue.name if catalogue else ""


@transaction.atomic
def claim_due_requests(*, shop_id: int, limit: int, at: datetime) -> list[DueRequest]:
    """Take up to `limit` lines that the shop's channel is to be asked now.

    They are nobody else's until they are answered or ANSWER_WITHIN has passed. Call it outside a transaction: it must
    be committed before the channel is called.
    """
    gone = sentence("The listing has gone another way since this was planned.")
    execute(GIVE_UP, {"shop": shop_id, "at": at, "answer": gone})
    outside = sentence("The catalogue of its shop does not hold it any more.")
    execute(GIVE_UP_OUTSIDE, {"shop": shop_id, "at": at, "answer": outside})
    rows = fetch_all(CLAIM, {"shop": shop_id, "limit": limit, "at": at, "until": at + ANSWER_WITHIN})
    leaving = [row[1] for row in rows if row[2] == Act.WITHDRAW]
    items = sorted({row[3] for row in rows if row[2] == Act.WITHDRAW})
    staying = {row[0] for row in fetch_all(STAYING, {"shop": shop_id, "items": items, "leaving": leaving})}
    due = [DueRequest(*(*row, row[3] not in staying)) for row in rows]
    return sorted(due, key=lambda line: (line.act, line.outer_item_id, line.request_id))


@transaction.atomic
def record_request_answers(*, answers: Sequence[Answer], at: datetime) -> None:
    """Note what the channel said, and move the listings that it said yes to. An answer counts once.

    Whoever tells stock hears of what is on sale now. A line that was not answered is due again after
    `wait_after`; one that was refused for good waits for a person.
    """
    ids = [answer.key for answer in answers]
    # Listings before requests, as those who ask lock them; then whoever was first has the answer.
    listing_ids = ListingRequest.objects.filter(pk__in=ids).values_list("listing_id", flat=True)
    fetch_all(LOCK_LISTINGS, [list(listing_ids)])
    rows = {row[0]: row for row in fetch_all(LOCK_ANSWERED, [ids])}
    live = [answer for answer in answers if answer.key in rows]
    _close([answer for answer in live if answer.ok or answer.is_final], at)
    later = [answer for answer in live if not (answer.ok or answer.is_final)]
    if later:
        moments = [at + wait_after(answer, attempts=rows[answer.key][3]) for answer in later]
        execute(
            POSTPONE,
            {
                "ids": [answer.key for answer in later],
                "answers": [answer.detail[:2000] for answer in later],
                "moments": moments,
            },
        )
    taken = [(answer.key, rows[answer.key][2]) for answer in live if answer.ok]
    _move([(ident, act) for ident, act in taken if act != Act.UPDATE], at)


def _close(answers: Sequence[Answer], at: datetime) -> None:
    if answers:
        execute(
            CLOSE,
            {
                "ids": [answer.key for answer in answers],
                "states": ["done" if answer.ok else "refused" for answer in answers],
                "answers": [answer.detail[:2000] for answer in answers],
                "at": at,
            },
        )


def _move(taken: Sequence[tuple[int, str]], at: datetime) -> None:
    """The writer of the steps onto a channel and off it that we asked for."""
    if not taken:
        return
    states = ["listed" if act == Act.PUBLISH else "delisted" for _id, act in taken]
    moved = fetch_all(MOVE, {"requests": [ident for ident, _act in taken], "states": states, "at": at})
    _tell_listed(moved)


def _tell_listed(moved: Sequence[tuple[int, int, str]]) -> None:
    """Whoever tells stock and prices hears of what is on sale now: (shop, SKU, state)."""
    listed: dict[int, set[int]] = {}
    for shop_id, sku_id, state in moved:
        if state == "listed":
            listed.setdefault(shop_id, set()).add(sku_id)
    record_events(
        *(ListingsChanged(shop_id, tuple(sorted(skus))) for shop_id, skus in sorted(listed.items()))
    )


@transaction.atomic
def follow_channels(*, states: Mapping[int, str], reason: str = "", at: datetime, by: str) -> set[int]:
    """Take the channels' word for it that listings are on sale (`listed`) or not (`delisted`), by their ids.

    What is not on a channel at all stays as it is. Returns the listings that changed.
    """
    fetch_all(LOCK_LISTINGS, [list(states)])
    params = {"ids": list(states), "states": list(states.values()), "reason": reason, "by": by, "at": at}
    moved = fetch_all(FOLLOW, params)
    record_acts(
        by=by,
        action="listing.followed",
        kind=Listing,
        object_ids=[row[0] for row in moved],
        reason=reason,
        at=at,
    )
    _tell_listed([row[1:] for row in moved])
    return {row[0] for row in moved}


@transaction.atomic
def cancel_requests(*, request_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[int]:
    """Call off what waits for its moment and was never tried. Returns the ids that were called off."""
    done = [row[0] for row in fetch_all(CANCEL, [at, reason, list(request_ids)])]
    record_acts(
        by=by, action="listing_request.cancelled", kind=ListingRequest, object_ids=done, reason=reason, at=at
    )
    return done


@transaction.atomic
def repeat_requests(*, request_ids: Sequence[int], at: datetime, by: str) -> list[int]:
    """Ask again what a channel refused, unless it was asked for anew since. Returns the ids that are due again."""
    done = [row[0] for row in fetch_all(AGAIN, [at, list(request_ids)])]
    record_acts(by=by, action="listing_request.repeated", kind=ListingRequest, object_ids=done, at=at)
    doorbell.ring_after_commit(PUSH)
    return done
