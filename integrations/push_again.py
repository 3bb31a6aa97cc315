"""Settle differences between a channel and us: tell it our word once more, or take its word for ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from integrations.models import ListingDrift
from inventory.publish import push_stock_again
from omni.kernel import doorbell
from omni.kernel.audit import record_acts
from omni.kernel.sentences import read_sentence
from omni.kernel.sql import execute
from products.models import Listing, PublishedPrice
from products.prices.publish import push_prices_again
from products.request import Asked, follow_channels, publish_listings, withdraw_listings
from products.update import retitle_listings, update_listings

What = ListingDrift.What
Cause = ListingDrift.Cause
GONE = "gone"
PUSH_PRICES = "integrations.tasks.push_due_prices"

NOTE_PUSHED = """
    UPDATE integrations_listingdrift SET pushed_at = %s, pushed_by = %s WHERE id = ANY(%s)
"""
NOTE_ACCEPTED = """
    UPDATE integrations_listingdrift SET closed_at = %s, ending = 'accepted' WHERE id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one difference. `detail`: why nothing was done, or what the channel said the last time."""

    drift_id: int
    ok: bool
    detail: str = ""


@transaction.atomic
def push_drifts_again(*, drift_ids: Sequence[int], reason: str = "", at: datetime, by: str) -> list[Settled]:
    """Tell the channels once more what we say now: stock, price, title, or whether it is on sale.

    One result per difference, in the order given; one that cannot be pushed leaves the others alone. It stays open
    until a survey finds that both sides agree.
    """
    drifts, refused = _hold(drift_ids)
    for drift in drifts:
        if drift.theirs == GONE:
            refused[drift.pk] = _(
                "The channel does not show the item any more: enter it there and map it, or take the channel's word."
            )
    refused |= _push({drift.pk: drift for drift in drifts if drift.pk not in refused}, reason, at, by)
    pushed = [drift.pk for drift in drifts if drift.pk not in refused]
    execute(NOTE_PUSHED, [at, by, pushed])
    record_acts(
        by=by, action="drift.pushed_again", kind=ListingDrift, object_ids=pushed, reason=reason, at=at
    )
    words = {drift.pk: _last_words(drift) for drift in drifts}
    return [
        Settled(ident, ident not in refused, refused.get(ident, words.get(ident, ""))) for ident in drift_ids
    ]


def _push(drifts: Mapping[int, ListingDrift], reason: str, at: datetime, by: str) -> dict[int, str]:
    """Hand each kind to the room that tells it. Returns why not, by the ids of those that are not told."""
    of_what = {
        what: {drift.listing_id: drift for drift in drifts.values() if drift.what == what} for what in What
    }
    because: dict[str, Any] = {"reason": reason, "at": at, "by": by}
    refused: dict[int, str] = {}

    def ask(
        rows: Mapping[int, ListingDrift], act: Callable[..., tuple[object, list[Asked]]], **how: bool
    ) -> None:
        if rows:
            _batch, asked = act(listing_ids=list(rows), **how, **because)
            refused.update({rows[line.listing_id].pk: line.detail for line in asked if not line.ok})

    ask(of_what[What.TITLE], update_listings)
    on_sale = {
        ident: drift for ident, drift in of_what[What.STATE].items() if drift.ours == Listing.State.LISTED
    }
    off_sale = {ident: drift for ident, drift in of_what[What.STATE].items() if ident not in on_sale}
    ask(on_sale, publish_listings, is_again=True)
    ask(off_sale, withdraw_listings, is_again=True)

    nothing = _("There is nothing of ours to tell any more.")
    if prices := of_what[What.PRICE]:
        told = dict(PublishedPrice.objects.filter(listing__in=prices).values_list("pk", "listing_id"))
        again = {told[ident] for ident in push_prices_again(published_ids=list(told), at=at, by=by)}
        refused |= {drift.pk: nothing for ident, drift in prices.items() if ident not in again}
        doorbell.ring_after_commit(PUSH_PRICES)
    if stock := of_what[What.STOCK]:
        shown = {ident: int(drift.theirs) for ident, drift in stock.items()}
        retold = push_stock_again(shown=shown, **because)
        refused |= {drift.pk: nothing for ident, drift in stock.items() if ident not in retold}
    return refused


@transaction.atomic
def accept_drifts(*, drift_ids: Sequence[int], reason: str = "", at: datetime, by: str) -> list[Settled]:
    """Take the channels' word: their title becomes the shop's own, what they took off sale is off sale with us too.

    A price is asked for and approved, and stock is what lies on the shelves: no channel decides on these. One result
    per difference, in the order given.
    """
    drifts, refused = _hold(drift_ids)
    for drift in drifts:
        if drift.what == What.PRICE:
            refused[drift.pk] = _("A price needs an approval: ask for it, or push ours again.")
        elif drift.what == What.STOCK:
            refused[drift.pk] = _("Stock is what lies on the shelves: count it, or push ours again.")
    taken = [drift for drift in drifts if drift.pk not in refused]
    titles = {drift.listing_id: drift.theirs for drift in taken if drift.what == What.TITLE}
    states = {
        drift.listing_id: Listing.State.LISTED.value
        if drift.theirs == Listing.State.LISTED
        else Listing.State.DELISTED.value
        for drift in taken
        if drift.what == What.STATE
    }
    if titles:
        retitle_listings(titles=titles, is_theirs=True, reason=reason, at=at, by=by)
    if states:
        follow_channels(states=states, reason=reason, at=at, by=by)
    idents = [drift.pk for drift in taken]
    execute(NOTE_ACCEPTED, [at, idents])
    record_acts(by=by, action="drift.accepted", kind=ListingDrift, object_ids=idents, reason=reason, at=at)
    return [Settled(ident, ident not in refused, refused.get(ident, "")) for ident in drift_ids]


def _hold(drift_ids: Sequence[int]) -> tuple[list[ListingDrift], dict[int, str]]:
    """The open ones, locked by id as surveys lock them, and why the others cannot be settled."""
    rows = ListingDrift.objects.select_for_update(no_key=True).filter(pk__in=drift_ids).order_by("pk")
    found = {drift.pk: drift for drift in rows}
    refused = {}
    for ident in drift_ids:
        if ident not in found:
            refused[ident] = _("It is not there any more.")
        elif found[ident].closed_at is not None:
            refused[ident] = _("It is over: %s.") % found[ident].get_ending_display()
    return [drift for drift in found.values() if drift.pk not in refused], refused


def _last_words(drift: ListingDrift) -> str:
    if drift.cause != Cause.REFUSED:
        return ""
    return _("Asked again. The channel refused it the last time: %s") % read_sentence(drift.detail)
