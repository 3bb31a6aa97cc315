"""Try parked orders again, after a person has mended the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from orders.capture import Captured, capture_orders
from orders.draft_json import draft_from_json
from orders.models import ParkedOrder


@transaction.atomic
def retry_parked(
    *, parked_ids: Sequence[int], at: datetime, by: str, changes: Mapping[str, Any] | None = None
) -> dict[int, Captured]:
    """Capture parked orders again, as they are or with `changes` to fields of their draft; one result each.

    What still cannot be taken stays parked, with its present reason.
    """
    results: dict[int, Captured] = {}
    rows = ParkedOrder.objects.filter(pk__in=parked_ids, state=ParkedOrder.State.OPEN).select_related("shop")
    for row in rows.order_by("pk").select_for_update(of=("self",)):
        try:
            draft = draft_from_json({**row.draft, **(changes or {})})
        except (KeyError, ValueError, TypeError, ArithmeticError):
            detail = _(
                "What the channel sent cannot be read as an order: have the channel send it again, or dismiss it."
            )
            results[row.pk] = Captured(row.outer_id, "parked", None, "", row.reason, detail)
            continue
        captured = capture_orders(shop=row.shop, drafts=[draft], at=at, by=by, source="retry")[0]
        results[row.pk] = captured
        if captured.result in ("new", "changed", "unchanged", "stale"):
            ParkedOrder.objects.filter(pk=row.pk, state=ParkedOrder.State.OPEN).update(
                state=ParkedOrder.State.TAKEN, closed_at=at, closed_by=by
            )
    return results
