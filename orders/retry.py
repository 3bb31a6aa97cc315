"""Try parked orders again, after somebody has mended the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.retry import repeat_on_conflict
from omni.kernel.sql import execute, fetch_all
from orders.capture import Captured, capture_orders
from orders.draft_json import draft_from_json
from orders.models import ParkedOrder

# Nothing that it waits for is unknown any more, by the same rules as `orders/resolve.py`. What was parked before its
# unknown lines were kept is tried once: being parked again, it says them. Plan: parked_open_by_reason.
MAPPED = """
    SELECT p.id FROM orders_parkedorder p
    WHERE p.state = 'open' AND p.reason = 'unknown_sku' AND p.id > %(after)s
      AND (p.wants IS NULL OR (p.wants <> '[]' AND NOT EXISTS (
          SELECT FROM jsonb_to_recordset(p.wants) AS w(item text, sku text, code text)
          WHERE NOT EXISTS (
              SELECT FROM products_listing l
              WHERE l.shop_id = p.shop_id AND w.item <> '' AND l.outer_item_id = w.item AND l.outer_sku_id = w.sku)
            AND NOT EXISTS (SELECT FROM products_sku s WHERE w.code <> '' AND s.code = w.code))))
    ORDER BY p.id LIMIT %(limit)s
"""
STILL_SILENT = "UPDATE orders_parkedorder SET wants = '[]' WHERE id = ANY(%s) AND wants IS NULL"


class _Dismissed(Exception):
    """Somebody dismissed it while it was captured: the capture is taken back."""


def retry_parked(
    *, parked_ids: Sequence[int], at: datetime, by: str, changes: Mapping[str, Any] | None = None
) -> dict[int, Captured]:
    """Capture parked orders again, as they are or with `changes` to fields of their draft; one result each.

    What still cannot be taken stays parked, with its present reason. Each has a transaction of its own, or is a part
    of the one that is open.
    """
    results: dict[int, Captured] = {}
    for ident in sorted(set(parked_ids)):
        with suppress(_Dismissed):
            captured = repeat_on_conflict(partial(_retry, ident, at=at, by=by, changes=changes or {}))
            if captured is not None:
                results[ident] = captured
    return results


def retry_mapped_orders(*, after: int, limit: int, at: datetime, by: str) -> int | None:
    """Capture up to `limit` parked orders with ids above `after` whose every line is a known SKU by now.

    Returns the last id that was tried, to go on from there; None: there are no more.
    """
    found = [row[0] for row in fetch_all(MAPPED, {"after": after, "limit": limit})]
    if not found:
        return None
    retry_parked(parked_ids=found, at=at, by=by)
    # What cannot even be read was not parked again: it must not come round with every sweep.
    execute(STILL_SILENT, [found])
    return int(found[-1])


@transaction.atomic
def _retry(ident: int, *, at: datetime, by: str, changes: Mapping[str, Any]) -> Captured | None:
    """None: it is not open any more."""
    # Without a lock: a capture locks the channel order first and what is parked of it after that. Locked the other
    # way round, this and a pull of the same order would wait for one another.
    row = ParkedOrder.objects.filter(pk=ident, state=ParkedOrder.State.OPEN).select_related("shop").first()
    if row is None:
        return None
    try:
        draft = draft_from_json({**row.draft, **changes})
    except (KeyError, ValueError, TypeError, ArithmeticError):
        detail = _(
            "What the channel sent cannot be read as an order: have the channel send it again, or dismiss it."
        )
        return Captured(row.outer_id, "parked", None, "", row.reason, detail)
    captured = capture_orders(shop=row.shop, drafts=[draft], at=at, by=by, source="retry")[0]
    if captured.result in ("new", "changed", "unchanged", "stale"):
        row = ParkedOrder.objects.select_for_update(no_key=True).get(pk=ident)
        if row.state == ParkedOrder.State.DISMISSED:
            raise _Dismissed
        if row.state == ParkedOrder.State.OPEN:
            ParkedOrder.objects.filter(pk=ident).update(
                state=ParkedOrder.State.TAKEN, closed_at=at, closed_by=by
            )
    return captured
