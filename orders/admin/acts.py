"""The buttons of orders: each asks for its word, calls one operation and says what came of every row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget

from inventory.fill import fill_shortages
from omni.kernel.admin_base import RowResult
from orders.allow import allow_locations_again
from orders.cancel import cancel_orders
from orders.cancel_part import UnitsCancel, cancel_units
from orders.hold import NewHold, place_holds, resolve_holds
from orders.models import SalesOrder, SalesOrderLine
from orders.models.review import HoldKind
from orders.review import annotate_orders, approve_orders
from orders.ship_outside import confirm_outside_shipments
from orders.source import resource_orders
from orders.states import OVER, Stage


class NoteForm(forms.Form):
    note = forms.CharField(label=gettext_lazy("Note"), max_length=500, required=False)


class ReasonForm(forms.Form):
    note = forms.CharField(label=gettext_lazy("Reason"), max_length=500)


class RemarkForm(forms.Form):
    note = forms.CharField(label=gettext_lazy("Remark"), max_length=500)


class ResolveForm(forms.Form):
    kind = forms.ChoiceField(
        label=gettext_lazy("Which hold"),
        choices=lambda: [("", gettext_lazy("every open hold")), *HoldKind.choices],
        required=False,
    )
    note = forms.CharField(
        label=gettext_lazy("How it was settled"),
        max_length=500,
        help_text=gettext_lazy("Kept on the timeline."),
    )


class OutsideForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("Who shipped it, and how you know"),
        max_length=500,
        help_text=gettext_lazy("Kept on the timeline."),
    )
    lines = forms.CharField(
        label=gettext_lazy("Only these lines"),
        required=False,
        help_text=gettext_lazy(
            "Outer line ids, separated by commas; empty: all that is open. Its stock is promised to nobody any more:"
            " if it left one of our locations, count it there."
        ),
    )

    def clean_lines(self) -> list[str]:
        return [ident.strip() for ident in re.split("[,，]", self.cleaned_data["lines"]) if ident.strip()]


class UnitsForm(forms.Form):
    lines = forms.CharField(
        label=gettext_lazy("Which lines, and how many of each"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=gettext_lazy(
            "One a line: outer line id = number. Where a line sells bundles, the number of bundles."
        ),
    )
    note = forms.CharField(label=gettext_lazy("Reason"), max_length=500)

    def clean_lines(self) -> list[UnitsCancel]:
        found = []
        for line in self.cleaned_data["lines"].splitlines():
            outer, _sign, number = (part.strip() for part in line.replace("＝", "=").rpartition("="))
            if not line.strip():
                continue
            if not outer or not number.isdecimal():
                raise forms.ValidationError(
                    _("“%s” is not of the form: line id = number") % line.strip()[:80]
                )
            found.append(UnitsCancel(outer, int(number)))
        return found


Answers = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """One button. `form` None: nothing is asked. `run` gets the orders, the answers, the time and the actor."""

    code: str
    title: Any
    run: Callable[[Sequence[SalesOrder], Answers, datetime, str], list[RowResult]]
    form: type[forms.Form] | None = None
    icon: str = ""
    is_grave: bool = False
    is_possible: Callable[[SalesOrder], bool] = lambda order: True


def _ids(orders: Sequence[SalesOrder]) -> list[int]:
    return sorted(order.pk for order in orders)


def _from_refusals(orders: Sequence[SalesOrder], refusals: Mapping[int, str]) -> list[RowResult]:
    return [RowResult(order.number, order.pk not in refusals, refusals.get(order.pk, "")) for order in orders]


def _approve(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    refusals = approve_orders(order_ids=_ids(orders), note=answers.get("note", ""), at=at, by=by)
    return _from_refusals(orders, refusals)


def _hold(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    live = [order for order in orders if order.stage not in OVER]
    place_holds(holds=[NewHold(o.pk, HoldKind.MANUAL, answers["note"]) for o in live], at=at, by=by)
    refusals = {o.pk: _("It is over: %s.") % o.get_stage_display() for o in orders if o.stage in OVER}
    return _from_refusals(orders, refusals)


def _resolve(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    kinds = [HoldKind(answers["kind"])] if answers.get("kind") else list(HoldKind)
    results = []
    for order in orders:
        count = resolve_holds(order_ids=[order.pk], kinds=kinds, at=at, by=by, note=answers["note"])
        results.append(RowResult(order.number, bool(count), "" if count else _("It has no such open hold.")))
    return results


def _cancel(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    numbers = {order.pk: order.number for order in orders}
    done = cancel_orders(order_ids=_ids(orders), reason=answers["note"], at=at, by=by)
    return [RowResult(numbers[r.order_id], r.outcome != "refused", r.detail) for r in done]


def _cancel_units(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    """Of one order: line ids are its own."""
    [order] = orders
    done = cancel_units(order_id=order.pk, units=answers["lines"], reason=answers["note"], at=at, by=by)
    return [RowResult(order.number, True, done.detail)]


def _ship_outside(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    refusals = confirm_outside_shipments(
        order_ids=_ids(orders), note=answers["note"], outer_line_ids=answers["lines"], at=at, by=by
    )
    return _from_refusals(orders, refusals)


def _resource(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    return _from_refusals(orders, resource_orders(order_ids=_ids(orders), at=at, by=by))


def _allow(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    refusals = allow_locations_again(order_ids=_ids(orders), reason=answers["note"], at=at, by=by)
    return _from_refusals(orders, refusals)


def _fill(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    """Supply is given to the oldest line first, whoever asks: an order that asks may therefore stay short."""
    short = SalesOrderLine.objects.filter(order_id__in=_ids(orders), short_quantity__gt=0)
    wanted = dict(short.values_list("line_key", "order_id"))
    filled = set(fill_shortages(sku_ids=sorted(set(short.values_list("sku_id", flat=True))), at=at, by=by))
    still = {order_id for line_key, order_id in wanted.items() if line_key not in filled}
    return _from_refusals(orders, {pk: _("There is still not enough stock for it.") for pk in still})


def _note(orders: Sequence[SalesOrder], answers: Answers, at: datetime, by: str) -> list[RowResult]:
    annotate_orders(order_ids=_ids(orders), note=answers["note"], at=at, by=by)
    return [RowResult(order.number, True) for order in orders]


ACTS: Mapping[str, Act] = {
    act.code: act
    for act in (
        Act(
            "approve",
            gettext_lazy("Approve"),
            _approve,
            NoteForm,
            "check",
            is_possible=lambda order: order.stage == Stage.IN_REVIEW,
        ),
        Act(
            "resolve",
            gettext_lazy("Resolve holds"),
            _resolve,
            ResolveForm,
            "task_alt",
            is_possible=lambda order: order.open_holds > 0,
        ),
        Act(
            "outside",
            gettext_lazy("Confirm shipped elsewhere"),
            _ship_outside,
            OutsideForm,
            "outbound",
            is_grave=True,
            is_possible=lambda order: order.open_holds > 0 and order.stage != Stage.PENDING_PAYMENT,
        ),
        Act(
            "fill",
            gettext_lazy("Try to fill"),
            _fill,
            None,
            "autorenew",
            is_possible=lambda order: order.short_lines > 0,
        ),
        Act(
            "resource",
            gettext_lazy("Source again"),
            _resource,
            None,
            "alt_route",
            is_possible=lambda order: order.stage in (Stage.APPROVED, Stage.SOURCED),
        ),
        Act(
            "allow",
            gettext_lazy("Allow refused locations"),
            _allow,
            ReasonForm,
            "lock_open",
            is_possible=lambda order: order.stage == Stage.APPROVED,
        ),
        Act(
            "hold",
            gettext_lazy("Hold"),
            _hold,
            ReasonForm,
            "front_hand",
            is_possible=lambda order: order.stage not in OVER,
        ),
        Act(
            "units",
            gettext_lazy("Cancel units"),
            _cancel_units,
            UnitsForm,
            "remove_shopping_cart",
            is_grave=True,
            is_possible=lambda order: order.stage not in OVER,
        ),
        Act(
            "cancel",
            gettext_lazy("Cancel order"),
            _cancel,
            ReasonForm,
            "block",
            is_grave=True,
            is_possible=lambda order: order.stage not in OVER,
        ),
        Act("note", gettext_lazy("Add a remark"), _note, RemarkForm, "edit_note"),
    )
}
