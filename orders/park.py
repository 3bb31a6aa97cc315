"""Keep what cannot be taken, with its reason, until a person has mended the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from omni.kernel.canonical import dump_json
from omni.kernel.crypto import encrypt_json
from omni.kernel.sql import as_text_array, execute, fetch_all
from orders.models import ParkedOrder
from products.models import Shop

PARK = """
    INSERT INTO orders_parkedorder (shop_id, outer_id, content_hash, reason, detail, draft, wants, source, parked_at)
    SELECT %s, p.outer_id, p.hash, p.reason, p.detail, p.draft, p.wants::jsonb, %s, %s
    FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::text[], %s::bytea[], %s::text[])
        AS p(outer_id, hash, reason, detail, draft, wants)
    ON CONFLICT (shop_id, outer_id, content_hash) DO UPDATE
    SET reason = EXCLUDED.reason, detail = EXCLUDED.detail, draft = EXCLUDED.draft, wants = EXCLUDED.wants,
        attempts = orders_parkedorder.attempts + 1, state = 'open', closed_at = NULL, closed_by = ''
    WHERE orders_parkedorder.state <> 'dismissed'
"""
CLOSE = """
    UPDATE orders_parkedorder SET state = %s, note = %s, closed_at = %s, closed_by = %s
    WHERE id = ANY(%s) AND state = 'open' RETURNING id
"""
FIND_OPEN = (
    "SELECT id FROM orders_parkedorder WHERE shop_id = %s AND outer_id = ANY(%s::text[]) AND state = 'open'"
)


@dataclass(frozen=True, slots=True)
class Parked:
    """`content_hash` tells different contents of one order apart; `draft`.

    All that is needed to try again (JSON). `wants`: the lines that no SKU is known for, see `ParkedOrder`.
    """

    outer_id: str
    content_hash: bytes
    reason: str
    detail: str
    draft: dict[str, Any]
    wants: Sequence[Mapping[str, str]] = ()


@transaction.atomic
def park_orders(*, shop: Shop, parked: Sequence[Parked], at: datetime, by: str, source: str) -> None:
    """Park orders. The same content parked again is the same row.

    Its reason is renewed and its attempts are counted.
    """
    # Sorted: two who park the same orders wait for one another in the same order.
    latest = {(row.outer_id[:64], row.content_hash): row for row in parked}
    rows = {key: latest[key] for key in sorted(latest)}
    if not rows:
        return
    execute(
        PARK,
        [
            shop.pk,
            source,
            at,
            [outer_id for outer_id, _ in rows],
            [content for _, content in rows],
            [row.reason[:40] for row in rows.values()],
            [row.detail for row in rows.values()],
            [encrypt_json(row.draft, purpose="orders.parked_order.draft") for row in rows.values()],
            [dump_json(list(row.wants)).decode() for row in rows.values()],
        ],
    )


@transaction.atomic
def dismiss_parked(*, parked_ids: Sequence[int], note: str, at: datetime, by: str) -> list[int]:
    """Say that these will never become orders, and why. Returns the ids that were open."""
    return [row[0] for row in fetch_all(CLOSE, ["dismissed", note, at, by, list(parked_ids)])]


def close_taken(*, shop_id: int, taken: Mapping[str, datetime], at: datetime, by: str) -> None:
    """Orders that have been taken, with the moment of what was taken, are not parked any more.

    What the platform said later than that stays parked: it is still to be mended.
    """
    idents = [row[0] for row in fetch_all(FIND_OPEN, [shop_id, as_text_array(taken)])]
    if not idents:
        return
    rows = ParkedOrder.objects.filter(pk__in=idents)
    over = [row.pk for row in rows if not _is_later(row.draft, taken[row.outer_id])]
    execute(CLOSE, ["taken", "", at, by, sorted(over)])


def _is_later(draft: Any, moment: datetime) -> bool:
    """What could not even be read as a draft says no moment; it is taken as old."""
    try:
        return datetime.fromisoformat(draft["outer_modified_at"]) > moment
    except (KeyError, TypeError, ValueError):
        return False
