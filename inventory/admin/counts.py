"""Count sheets: what was counted against what the books said, and a person's word on the difference."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from inventory.admin.documents import DocumentAdmin
from inventory.admin.pasted import PastedLines
from inventory.models import CountLine, CountSheet, Location
from inventory.network.tally import (
    CountedLine,
    confirm_count_sheet,
    open_count_sheet,
    recount_sheet,
    reject_count_sheet,
    submit_count_sheet,
)
from omni.kernel.admin_base import Queue, column
from omni.kernel.display import Money, age_text
from omni.kernel.names import name_actors
from omni.kernel.sentences import read_sentence
from products.admin.scoped import choice_filter, visible_skus_of

STATE_COLOURS = {"open": "info", "submitted": "warning", "confirmed": "success", "rejected": ""}
QUEUES = {
    "to_confirm": Queue(
        "to_confirm",
        _("Counts to confirm"),
        _("Counted, and not yet in the books: look at the variances, then confirm or reject them."),
        Q(state=CountSheet.State.SUBMITTED),
        ("number", "location", "counted_at", "show_waiting", "note", "show_by"),
        "fact_check",
    )
}


class OpenForm(forms.Form):
    location = forms.ModelChoiceField(Location.objects.none(), label=_("Location"))
    counted_at = forms.DateTimeField(
        label=_("Counted at"),
        # To the second: what moved earlier in the same minute would count as moved since.
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"),
        help_text=_("The moment for which the counts hold; what moves afterwards is not counted again."),
    )
    note = forms.CharField(label=_("Note"), max_length=200, required=False)
    lines = PastedLines(units_min=0)

    def __init__(self, skus: QuerySet[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["location"].queryset = Location.objects.filter(is_active=True).order_by("priority", "code")
        fields["lines"].skus = skus


class RecountForm(forms.Form):
    lines = PastedLines(units_min=0)

    def __init__(self, skus: QuerySet[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["lines"].skus = skus


class DecideForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


@admin.register(CountSheet)
class CountSheetAdmin(DocumentAdmin):
    line_model = CountLine
    parent = "sheet"
    queues = QUEUES
    actors = ("created_by", "decided_by")
    list_display = ("number", "location", "show_state", "counted_at", "show_by", "show_decided", "reason")
    list_select_related = ("location",)
    list_filter = (choice_filter("state"),)
    search_fields = ("number__exact", "external_number__exact")
    search_help_text = _("A whole number, ours or the sender's")
    intro = _("What was counted at a location. The books change when a person has confirmed the variances.")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        return [path("<int:pk>/act/<slug:code>/", view, name="inventory_countsheet_act"), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.refuse_adding(request)
        initial = {"counted_at": timezone.localtime()}
        form = OpenForm(visible_skus_of(self, request), request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            said = form.cleaned_data
            made = self.attempt(
                request,
                lambda at, by: open_count_sheet(
                    location_id=said["location"].pk,
                    lines=_counted(said["lines"]),
                    counted_at=said["counted_at"],
                    note=said["note"],
                    at=at,
                    by=by,
                ),
            )
            if made:
                return redirect("admin:inventory_countsheet_change", made.pk)
        return self.show(
            request,
            "document_start.html",
            gettext("Enter a count"),
            form=form,
            button=gettext("Keep what was counted"),
        )

    def act_view(self, request: HttpRequest, pk: int, code: str) -> HttpResponse:
        sheet: CountSheet = self.operable_object(request, pk)
        acts: dict[str, Callable[[HttpRequest, CountSheet], HttpResponse | None]] = {
            "recount": self._recount,
            "submit": self._submit,
            "confirm": self._decide,
            "reject": self._decide,
        }
        done = acts[code](request, sheet) if code in acts else None
        return done or redirect("admin:inventory_countsheet_change", pk)

    def _recount(self, request: HttpRequest, sheet: CountSheet) -> HttpResponse | None:
        form = RecountForm(visible_skus_of(self, request), request.POST, auto_id="recount-%s")
        if not form.is_valid():
            return self.document_page(request, sheet, {"recount": form})
        lines = _counted(form.cleaned_data["lines"])
        self.attempt(request, lambda at, by: recount_sheet(sheet_id=sheet.pk, lines=lines, at=at, by=by))
        return None

    def _submit(self, request: HttpRequest, sheet: CountSheet) -> HttpResponse | None:
        self.attempt(request, lambda at, by: submit_count_sheet(sheet_id=sheet.pk, at=at, by=by))
        return None

    def _decide(self, request: HttpRequest, sheet: CountSheet) -> HttpResponse | None:
        is_confirming = request.path.rstrip("/").endswith("confirm")
        code = "confirm" if is_confirming else "reject"
        form = DecideForm(request.POST, auto_id=f"{code}-%s")
        if not form.is_valid():
            return self.document_page(request, sheet, {code: form})
        reason = form.cleaned_data["reason"]
        if not is_confirming:
            self.attempt(
                request, lambda at, by: reject_count_sheet(sheet_id=sheet.pk, reason=reason, at=at, by=by)
            )
            return None
        done = self.attempt(
            request, lambda at, by: confirm_count_sheet(sheet_id=sheet.pk, reason=reason, at=at, by=by)
        )
        if done and done.posted:
            text = ngettext("%d line is in the books.", "%d lines are in the books.", done.posted)
            messages.success(request, text % done.posted)
        if done and done.left:
            text = ngettext(
                "%d line was left: it says why.", "%d lines were left: they say why.", len(done.left)
            )
            messages.warning(request, text % len(done.left))
        return None

    def document_page(self, request: HttpRequest, row: Any, forms: dict[str, Any]) -> HttpResponse:
        sheet: CountSheet = row
        may = self.has_operate_permission(request)
        lines = list(sheet.lines.select_related("sku").order_by("pk"))
        names = name_actors((by for by in (sheet.created_by, sheet.decided_by) if by), request=request)
        is_open, is_submitted = sheet.state == "open", sheet.state == "submitted"
        values = [(line.sku.currency, _value(line)) for line in lines]
        totals: dict[str, Decimal] = {}
        for currency, value in values:
            if value is not None:
                totals[currency] = totals.get(currency, Decimal(0)) + value
        recount = decide = None
        if may and is_open:
            recount = forms.get("recount") or RecountForm(
                visible_skus_of(self, request), auto_id="recount-%s"
            )
        if may and (is_open or is_submitted):
            decide = {
                code: forms.get(code) or DecideForm(auto_id=f"{code}-%s") for code in ("confirm", "reject")
            }
        return self.show(
            request,
            "count_page.html",
            sheet.number,
            original=sheet,
            sheet=sheet,
            by=names.html(sheet.created_by),
            decided_by=names.html(sheet.decided_by) if sheet.decided_by else "",
            rows=[
                {
                    "line": line,
                    "grade": line.get_grade_display(),
                    "variance": None if line.booked is None else line.counted - line.booked,
                    "value": "–" if value is None else Money(value, currency).text(),
                    "reason": read_sentence(line.reason),
                }
                for line, (currency, value) in zip(lines, values, strict=True)
            ],
            differing=sum(line.booked is not None and line.counted != line.booked for line in lines),
            total=", ".join(Money(total, currency).text() for currency, total in totals.items()),
            is_open=is_open,
            is_submitted=is_submitted,
            recount_form=recount,
            confirm_form=decide["confirm"] if decide and is_submitted else None,
            reject_form=decide["reject"] if decide else None,
            open_act=next(iter(forms), ""),
        )

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("state"), label=STATE_COLOURS)
    def show_state(self, row: CountSheet) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, row: CountSheet) -> str:
        return age_text(row.created_at)

    @column(description=_("counted by"))
    def show_by(self, row: CountSheet) -> str:
        return self.who(row, row.created_by)

    @column(description=_("decided by"))
    def show_decided(self, row: CountSheet) -> str:
        return self.who(row, row.decided_by) if row.decided_by else "–"


def _counted(lines: list[Any]) -> list[CountedLine]:
    return [CountedLine(line.sku_id, line.units, line.grade) for line in lines]


def _value(line: CountLine) -> Decimal | None:
    """What the variance is worth at list price; None: nobody knows."""
    if line.booked is None or line.sku.list_price is None:
        return None
    return line.sku.list_price * (line.counted - line.booked)
