"""The way of a listing onto its channel and off it, as a table of allowed steps."""

from __future__ import annotations

from collections.abc import Mapping

from products.models import Listing

State = Listing.State

# Onto the channel and off it a listing comes by the channel's own yes (`request.py`); the rest is people's work.
NEXT: Mapping[str, frozenset[str]] = {
    State.DRAFT: frozenset({State.SUBMITTED}),
    State.SUBMITTED: frozenset({State.APPROVED, State.REJECTED, State.DRAFT}),
    State.REJECTED: frozenset({State.SUBMITTED, State.DRAFT}),
    State.APPROVED: frozenset({State.DRAFT, State.LISTED}),
    State.LISTED: frozenset({State.DELISTED}),
    State.DELISTED: frozenset({State.LISTED}),
}
# From where a listing may be asked onto its channel, and off it.
PUBLISHABLE = frozenset({State.APPROVED, State.DELISTED})
WITHDRAWABLE = frozenset({State.LISTED})
