"""Cancel some units of an order: of its lines as they were sold, so that of bundles only whole ones go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.errors import DomainError, NotFound
from omni.kernel.sql import execute
from orders.cancel import LOCK_ORDERS, CancelResult, LineCancel, cancel_lines
from orders.models import SalesOrder, SalesOrderLine
from orders.states import OVER


class NotCancellable(DomainError):
    """So many units of the line are not open any more, or there is no such line; nothing was changed."""

    code = "not_cancellable"


class UnknownOrder(NotFound):
    """There is no such order."""

    code = "unknown_order"


@dataclass(frozen=True, slots=True)
class UnitsCancel:
    """`quantity` units of a line as its channel names it: where it sells bundles, that many bundles."""

    outer_line_id: str
    quantity: int


@transaction.atomic
def cancel_units(
    *, order_id: int, units: Sequence[UnitsCancel], reason: str, at: datetime, by: str
) -> CancelResult:
    """Cancel these units, all of them or none; the rest of the order goes on.

    Of a bundle all components go together: one of which a part has left is whole no longer, and only the order's end
    settles what is open of it. Cancelling twice cancels twice. Raises NotCancellable, UnknownOrder.
    """
    execute(LOCK_ORDERS, [[order_id]])
    order = SalesOrder.objects.filter(pk=order_id).prefetch_related("lines").first()
    if order is None:
        raise UnknownOrder(_("There is no such order."))
    if order.stage in OVER:
        raise NotCancellable(_("It is over: %s.") % order.get_stage_display())
    sold: dict[str, list[SalesOrderLine]] = {}
    for line in order.lines.all():
        sold.setdefault(line.outer_line_id, []).append(line)
    cancels: list[LineCancel] = []
    seen: set[str] = set()
    for wanted in units:
        lines = sold.get(wanted.outer_line_id, [])
        possible = min((_whole(line) for line in lines), default=0)
        if wanted.outer_line_id in seen or not 0 < wanted.quantity <= possible:
            raise _refusal(wanted, lines, possible, is_repeated=wanted.outer_line_id in seen)
        seen.add(wanted.outer_line_id)
        # What a warehouse is asked to stop already is asked for again with it: the later word replaces the earlier.
        cancels += [
            LineCancel(line.pk, wanted.quantity * (line.bundle_units or 1) + line.cancel_wanted)
            for line in lines
        ]
    results = cancel_lines(cancels=cancels, reason=reason, at=at, by=by)
    outcome = "asked" if any(result.outcome == "asked" for result in results) else "cancelled"
    detail = next((result.detail for result in results if result.outcome == outcome), "")
    return CancelResult(order_id, outcome, detail)  # type: ignore[arg-type]


def _whole(line: SalesOrderLine) -> int:
    """Units of the line as it was sold that are open and of which nobody is asked to stop any."""
    is_open = line.quantity - line.cancelled_quantity - line.shipped_quantity - line.cancel_wanted
    return is_open // (line.bundle_units or 1)


def _refusal(
    wanted: UnitsCancel, lines: Sequence[SalesOrderLine], possible: int, *, is_repeated: bool
) -> NotCancellable:
    if is_repeated:
        text = _("Line %s stands there twice.") % wanted.outer_line_id
    elif not lines:
        text = _("It has no line %s.") % wanted.outer_line_id
    elif wanted.quantity <= 0:
        text = _("Line %s: cancel at least 1.") % wanted.outer_line_id
    elif lines[0].bundle_id is not None:
        text = _("Of line %(line)s only %(possible)d whole bundles are open.") % {
            "line": wanted.outer_line_id,
            "possible": possible,
        }
    else:
        text = _("Of line %(line)s only %(possible)d units are open.") % {
            "line": wanted.outer_line_id,
            "possible": possible,
        }
    return NotCancellable(text, fields={"lines": [text]})
