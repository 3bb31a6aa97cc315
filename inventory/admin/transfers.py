"""Transfers: planned, sent, received in parts, and every unit accounted for."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inventory.admin.documents import DocumentAdmin
from inventory.admin.pasted import PastedLines
from inventory.models import Location, StockLevel, Transfer, TransferLine
from inventory.models.stock import Grade
from inventory.network.transfer import (
    Arrival,
    TransferItem,
    cancel_transfer,
    close_transfer,
    plan_transfer,
    receive_transfer,
    ship_transfer,
)
from omni.kernel.admin_base import Queue, column
from omni.kernel.display import age_text
from omni.kernel.names import name_actors
from products.admin.scoped import choice_filter, visible_skus_of

STATE_COLOURS = {"draft": "", "shipped": "info", "closed": "success", "cancelled": ""}
QUEUES = {
    "in_transit": Queue(
        "in_transit",
        _("Transfers in transit"),
        _(
            "What has left one location and not arrived at the other: receive what comes, and say what is lost."
        ),
        Q(state=Transfer.State.SHIPPED),
        ("number", "source", "destination", "show_under_way", "show_waiting", "expected_at"),
        "local_shipping",
        "shipped_at",
    )
}


def _moment(label: Any) -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label, required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )


class PlanForm(forms.Form):
    source = forms.ModelChoiceField(Location.objects.none(), label=_("From location"))
    destination = forms.ModelChoiceField(Location.objects.none(), label=_("To location"))
    expected_at = _moment(_("Expected at"))
    note = forms.CharField(label=_("Note"), max_length=200, required=False)
    lines = PastedLines(units_min=1)

    def __init__(self, skus: QuerySet[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = Location.objects.order_by("priority", "code")
        fields: Any = self.fields
        fields["source"].queryset = places
        fields["destination"].queryset = places.filter(is_active=True)
        fields["lines"].skus = skus


def _units(label: str, most: int, initial: int) -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"class": "omni-input", "aria-label": label, "inputmode": "numeric"})
    return forms.IntegerField(min_value=0, max_value=most, initial=initial, required=False, widget=widget)


class ShipForm(forms.Form):
    """One number per line: what really leaves."""

    def __init__(self, lines: list[TransferLine], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lines = lines
        for line in lines:
            label = gettext("Units of %s that leave") % line.sku.code
            self.fields[f"units-{line.pk}"] = _units(label, line.quantity, line.quantity)

    def quantities(self) -> dict[int, int]:
        return {line.pk: self.cleaned_data[f"units-{line.pk}"] or 0 for line in self.lines}


class ReceiveForm(forms.Form):
    """Per line: what came, what of it is damaged, what is lost, and why. `key`: the same form counts once."""

    key = forms.CharField(max_length=80, widget=forms.HiddenInput)

    def __init__(self, lines: list[TransferLine], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lines = lines
        for line in lines:
            code, most = line.sku.code, line.shipped - line.received - line.lost
            self.fields[f"received-{line.pk}"] = _units(gettext("Units of %s that came") % code, most, most)
            self.fields[f"damaged-{line.pk}"] = _units(gettext("Of these damaged: %s") % code, most, 0)
            self.fields[f"lost-{line.pk}"] = _units(gettext("Units of %s that are lost") % code, most, 0)
            self.fields[f"reason-{line.pk}"] = forms.ChoiceField(
                choices=[("", "–"), *TransferLine.Discrepancy.choices],
                required=False,
                widget=forms.Select(attrs={"class": "omni-input", "aria-label": gettext("Why: %s") % code}),
            )

    def arrivals(self) -> list[Arrival]:
        said = self.cleaned_data
        found = [
            Arrival(
                line.pk,
                said[f"received-{line.pk}"] or 0,
                damaged=said[f"damaged-{line.pk}"] or 0,
                lost=said[f"lost-{line.pk}"] or 0,
                reason=said[f"reason-{line.pk}"],
                damaged_grade=Grade.DEFECTIVE if line.grade != Grade.DEFECTIVE else Grade.INSPECTION,
            )
            for line in self.lines
        ]
        return [arrival for arrival in found if arrival.received or arrival.lost]


class CloseForm(forms.Form):
    reason = forms.ChoiceField(
        label=_("Why the rest did not arrive"), choices=TransferLine.Discrepancy.choices
    )
    note = forms.CharField(label=_("Note"), max_length=200, required=False)


class CancelForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


@admin.register(Transfer)
class TransferAdmin(DocumentAdmin):
    line_model = TransferLine
    parent = "transfer"
    queues = QUEUES
    actors = ("created_by",)
    list_display = (
        "number",
        "source",
        "destination",
        "show_state",
        "show_under_way",
        "created_at",
        "shipped_at",
        "closed_at",
        "show_by",
    )
    list_select_related = ("source", "destination")
    list_filter = (choice_filter("state"),)
    search_fields = ("number__exact", "external_number__exact")
    search_help_text = _("A whole number, ours or the sender's")
    intro = _("Goods that go from one location to another. On the way they are nobody's to sell.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        lines = TransferLine.objects.filter(transfer=OuterRef("pk")).order_by().values("transfer")
        under_way = lines.annotate(n=Sum(F("shipped") - F("received") - F("lost"))).values("n")
        rows: QuerySet[Any] = (
            super().get_queryset(request).annotate(n_under_way=Coalesce(Subquery(under_way), 0))
        )
        return rows

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        return [path("<int:pk>/act/<slug:code>/", view, name="inventory_transfer_act"), *super().get_urls()]

    # --- making one -----------------------------------------------------------------------------------------
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.refuse_adding(request)
        form = PlanForm(visible_skus_of(self, request), request.POST or None)
        if request.method == "POST" and form.is_valid():
            said = form.cleaned_data
            items = [TransferItem(line.sku_id, line.units, line.grade) for line in said["lines"]]
            made = self.attempt(
                request,
                lambda at, by: plan_transfer(
                    source_id=said["source"].pk,
                    destination_id=said["destination"].pk,
                    items=items,
                    note=said["note"],
                    expected_at=said["expected_at"],
                    at=at,
                    by=by,
                ),
            )
            if made:
                return redirect("admin:inventory_transfer_change", made.pk)
        return self.show(
            request,
            "document_start.html",
            gettext("Plan a transfer"),
            form=form,
            button=gettext("Make a draft"),
        )

    # --- its page and buttons -------------------------------------------------------------------------------
    def act_view(self, request: HttpRequest, pk: int, code: str) -> HttpResponse:
        transfer: Transfer = self.operable_object(request, pk)
        acts = {"ship": self._ship, "receive": self._receive, "close": self._close, "cancel": self._cancel}
        if code not in acts:
            return redirect("admin:inventory_transfer_change", pk)
        return acts[code](request, transfer) or redirect("admin:inventory_transfer_change", pk)

    def _ship(self, request: HttpRequest, transfer: Transfer) -> HttpResponse | None:
        form = ShipForm(_lines(transfer), request.POST)
        if not form.is_valid():
            return self.document_page(request, transfer, {"ship": form})
        done = self.attempt(
            request,
            lambda at, by: ship_transfer(transfer_id=transfer.pk, quantities=form.quantities(), at=at, by=by),
        )
        if done is None:
            return self.document_page(request, transfer, {"ship": form})
        messages.success(request, gettext("The goods are on their way."))
        return None

    def _receive(self, request: HttpRequest, transfer: Transfer) -> HttpResponse | None:
        form = ReceiveForm(_open_lines(transfer), request.POST)
        if not form.is_valid():
            return self.document_page(request, transfer, {"receive": form})
        key = f"admin.transfer:{form.cleaned_data['key']}"
        done = self.attempt(
            request,
            lambda at, by: receive_transfer(
                key=key, transfer_id=transfer.pk, arrivals=form.arrivals(), at=at, by=by
            ),
        )
        if done is None:
            return self.document_page(request, transfer, {"receive": form})
        again = gettext("It was done before; nothing has changed.")
        messages.success(request, gettext("What came is on hand.") if done else again)
        return None

    def _close(self, request: HttpRequest, transfer: Transfer) -> HttpResponse | None:
        form = CloseForm(request.POST, auto_id="close-%s")
        if not form.is_valid():
            return self.document_page(request, transfer, {"close": form})
        lost = self.attempt(
            request, lambda at, by: close_transfer(transfer_id=transfer.pk, at=at, by=by, **form.cleaned_data)
        )
        if lost is not None:
            messages.success(request, gettext("Closed; %d units are lost.") % lost)
        return None

    def _cancel(self, request: HttpRequest, transfer: Transfer) -> HttpResponse | None:
        form = CancelForm(request.POST, auto_id="cancel-%s")
        if not form.is_valid():
            return self.document_page(request, transfer, {"cancel": form})
        self.attempt(
            request,
            lambda at, by: cancel_transfer(transfer_id=transfer.pk, at=at, by=by, **form.cleaned_data),
        )
        return None

    def document_page(self, request: HttpRequest, row: Any, forms: dict[str, Any]) -> HttpResponse:
        transfer: Transfer = row
        lines, may = _lines(transfer), self.has_operate_permission(request)
        names = name_actors([transfer.created_by], request=request)
        is_draft, is_shipped = transfer.state == "draft", transfer.state == "shipped"
        ship = (forms.get("ship") or ShipForm(lines)) if may and is_draft else None
        receive = None
        if may and is_shipped:
            receive = forms.get("receive") or ReceiveForm(_open_lines(transfer), initial={"key": uuid4().hex})
        free = _free_at_source(transfer, lines) if is_draft else {}
        return self.show(
            request,
            "transfer_page.html",
            transfer.number,
            original=transfer,
            transfer=transfer,
            by=names.html(transfer.created_by),
            rows=[
                {
                    "line": line,
                    "grade": line.get_grade_display(),
                    "reason": line.get_reason_display() if line.reason else "",
                    "under_way": line.shipped - line.received - line.lost,
                    "free": free.get((line.sku_id, line.grade, line.owner), 0),
                    "units": ship[f"units-{line.pk}"] if ship else None,
                    "fields": _arrival_fields(receive, line),
                }
                for line in lines
            ],
            ship_form=ship,
            receive_form=receive,
            close_form=(forms.get("close") or CloseForm(auto_id="close-%s")) if may and is_shipped else None,
            cancel_form=(forms.get("cancel") or CancelForm(auto_id="cancel-%s"))
            if may and is_draft
            else None,
            open_act=next(iter(forms), ""),
        )

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("state"), label=STATE_COLOURS)
    def show_state(self, row: Transfer) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("units under way"))
    def show_under_way(self, row: Any) -> int:
        return int(row.n_under_way)

    @column(description=_("under way for"))
    def show_waiting(self, row: Transfer) -> str:
        return age_text(row.shipped_at) if row.shipped_at else "–"

    @column(description=_("by"))
    def show_by(self, row: Transfer) -> str:
        return self.who(row, row.created_by)


def _lines(transfer: Transfer) -> list[TransferLine]:
    return list(transfer.lines.select_related("sku").order_by("pk"))


def _open_lines(transfer: Transfer) -> list[TransferLine]:
    return [line for line in _lines(transfer) if line.shipped > line.received + line.lost]


def _arrival_fields(form: ReceiveForm | None, line: TransferLine) -> list[Any]:
    names = [f"{name}-{line.pk}" for name in ("received", "damaged", "lost", "reason")]
    return [form[name] for name in names] if form and names[0] in form.fields else []


def _free_at_source(transfer: Transfer, lines: list[TransferLine]) -> dict[tuple[int, str, str], int]:
    levels = StockLevel.objects.filter(location=transfer.source, sku__in=[line.sku_id for line in lines])
    return {(v.sku_id, v.grade, v.owner): v.on_hand - v.committed for v in levels}
