"""Keep what cannot be taken, with its reason, until a person has mended the cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from omni.kernel.crypto import encrypt_json
from omni.kernel.sql import as_text_array, execute, fetch_all
from products.models import Shop

PARK = """
    INSERT INTO orders_parkedorder (shop_id, outer_id, content_hash, reason, detail, draft, source, parked_at)
    SELECT %s, p.outer_id, p.hash, p.reason, p.detail, p.draft, %s, %s
    FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::text[], %s::bytea[])
        AS p(outer_id, hash, reason, detail, draft)
    ON CONFLICT (shop_id, outer_id, content_hash) DO UPDATE
    SET reason = EXCLUDED.reason, detail = EXCLUDED.detail, draft = EXCLUDED.draft,
        attempts = orders_parkedorder.attempts + 1
    WHERE orders_parkedorder.state = 'open'
"""
CLOSE = """
    UPDATE orders_parkedorder SET state = %s, note = %s, closed_at = %s, closed_by = %s
    WHERE id = ANY(%s) AND state = 'open' RETURNING id
"""
CLOSE_TAKEN = """
    UPDATE orders_parkedorder SET state = 'taken', closed_at = %s, closed_by = %s
    WHERE shop_id = %s AND outer_id = ANY(%s::text[]) AND state = 'open'
"""


@dataclass(frozen=True, slots=True)
class Parked:
    """`content_hash` tells different contents of one order apart; `draft`.

    All that is needed to try again (JSON).
    """

    outer_id: str
    content_hash: bytes
    reason: str
    detail: str
    draft: dict[str, Any]


@transaction.atomic
def park_orders(*, shop: Shop, parked: Sequence[Parked], at: datetime, by: str, source: str) -> None:
    """Park orders. The same content parked again is the same row.

    Its reason is renewed and its attempts are counted.
    """
    rows = {(row.outer_id[:64], row.content_hash): row for row in parked}
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
        ],
    )


@transaction.atomic
def dismiss_parked(*, parked_ids: Sequence[int], note: str, at: datetime, by: str) -> list[int]:
    """Say that these will never become orders, and why. Returns the ids that were open."""
    return [row[0] for row in fetch_all(CLOSE, ["dismissed", note, at, by, list(parked_ids)])]


def close_taken(*, shop_id: int, outer_ids: Sequence[str], at: datetime, by: str) -> None:
    """An order that has been taken is not parked any more, whatever content it was parked with."""
    execute(CLOSE_TAKEN, [at, by, shop_id, as_text_array(outer_ids)])
