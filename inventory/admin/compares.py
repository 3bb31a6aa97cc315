"""Compares with warehouses and ERPs, and the queue of the differences that they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from inventory.models import Location, StockBasis, StockComparison, StockDifference
from inventory.network.causes import NONE_KNOWN, causes_of
from inventory.network.decide import Decided, book_theirs, explain_differences, take_differences
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import age_text
from omni.kernel.sentences import read_sentence
from products.admin.scoped import ScopedAdmin, choice_filter

State = StockDifference.State
# In a column there is no room for the sentence that each stands for.
BASES: Mapping[str, Any] = {
    StockBasis.GROSS: pgettext_lazy("stock basis", "gross"),
    StockBasis.NET: pgettext_lazy("stock basis", "net"),
}

DIFFERENCE_QUEUES = {
    "open": Queue(
        "open",
        _("Stock differences"),
        _(
            "A warehouse or an ERP says that something else lies there than our books. Look into it, book theirs, or "
            "say why it is no difference; it is over by itself when a later compare finds both equal."
        ),
        Q(state=State.OPEN),
        (
            "show_sku",
            "location",
            "show_grade",
            "ours",
            "theirs",
            "show_difference",
            "show_basis",
            "show_age",
            "times",
            "show_cause",
            "show_owner",
        ),
        "balance",
        "since",
        ("book", "explain", "take"),
    )
}


class LocationFilter(SimpleListFilter):
    title = _("location")
    parameter_name = "location"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        rows = Location.objects.order_by("code").values_list("pk", "name")[:200]
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        is_id = value.isascii() and value.isdigit() and len(value) < 19
        return queryset.filter(location_id=int(value)) if is_id else queryset


class AgeFilter(SimpleListFilter):
    title = _("age")
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("1", _("more than a day")), ("3", _("more than three days")), ("7", _("more than a week"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value not in ("1", "3", "7"):
            return queryset
        return queryset.filter(since__lt=timezone.now() - timedelta(days=int(value)))


class HandsFilter(SimpleListFilter):
    """Whose they are. For rows whose column of the owner is `path`."""

    title = _("in the hands of")
    parameter_name = "hands"
    path = "owner"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [
            ("me", pgettext_lazy("in the hands of", "me")),
            ("nobody", pgettext_lazy("in the hands of", "nobody")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {"me": user_actor(request.user), "nobody": ""}
        value = self.value() or ""
        return queryset.filter(**{self.path: wanted[value]}) if value in wanted else queryset


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


class TakeForm(forms.Form):
    person = forms.ModelChoiceField(
        User.objects.filter(is_active=True, is_staff=True).order_by("username"),
        label=_("In the hands of"),
        required=False,
        empty_label=_("me"),
    )
    note = forms.CharField(label=_("Note"), max_length=200, required=False)

    def owner(self) -> str:
        """An actor; empty: whoever asks."""
        person = self.cleaned_data.get("person")
        return user_actor(person) if person else ""


@admin.register(StockComparison)
class StockComparisonAdmin(ScopedAdmin):
    intro = _(
        "Each time somebody said what lies in a location: for which moment, what their figures mean, and how many of "
        "them were not ours."
    )
    is_house_wide = True
    actors = ("by",)
    list_display = (
        "show_number",
        "location",
        "source",
        "show_basis",
        "cut_off_at",
        "show_scope",
        "compared",
        "show_differing",
        "show_unknown_count",
        "show_by",
        "compared_at",
    )
    list_display_links = ("show_number",)
    list_select_related = ("location",)
    list_filter = (LocationFilter, choice_filter("basis"))
    search_fields = ("external_number__exact",)
    search_help_text = _("A whole external number")
    exclude = ("fingerprint",)
    shown_as: ClassVar[Mapping[str, str]] = {
        "by": "show_by",
        "unknown": "show_unknown",
        "differing": "show_differing",
    }

    @column(description=_("number"))
    def show_number(self, row: StockComparison) -> str:
        return row.external_number or str(row)

    @column(description=_("basis"))
    def show_basis(self, row: StockComparison) -> Any:
        return BASES.get(row.basis, row.basis)

    @column(description=_("names"), label={"all": "success", "part": ""})
    def show_scope(self, row: StockComparison) -> tuple[str, Any]:
        if row.is_complete:
            return "all", pgettext_lazy("stock compare", "all that lies there")
        return "part", pgettext_lazy("stock compare", "a part")

    @column(description=_("differing"))
    def show_differing(self, row: StockComparison) -> str:
        if not row.differing:
            return "0"
        url = reverse("admin:inventory_stockdifference_queue", args=["open"])
        return format_html(
            '<a class="omni-link" href="{}?location={}">{}</a>', url, row.location_id, row.differing
        )

    @column(description=_("not compared"))
    def show_unknown_count(self, row: StockComparison) -> int:
        return len(row.unknown)

    @column(description=_("not compared"))
    def show_unknown(self, row: StockComparison) -> str:
        lines = ((name, read_sentence(reason)) for name, reason in row.unknown)
        return format_html_join("", "<div>{}: {}</div>", lines) or "–"

    @column(description=_("by"))
    def show_by(self, row: StockComparison) -> str:
        return self.who(row, row.by)


@admin.register(StockDifference)
class StockDifferenceAdmin(ScopedAdmin):
    intro = _(
        "Per location, SKU and grade: what our books said for the cut-off and what somebody else's did, since when, "
        "and how it ended."
    )
    queues = DIFFERENCE_QUEUES
    brand_path = "sku__spu__brand_id"
    actors = ("owner", "closed_by")
    list_display = (
        "show_sku",
        "location",
        "show_grade",
        "ours",
        "theirs",
        "show_difference",
        "show_basis",
        "show_age",
        "times",
        "show_state",
        "reason",
        "show_owner",
    )
    list_display_links = ("show_sku",)
    list_select_related = ("sku", "location")
    list_filter = (LocationFilter, choice_filter("state"), choice_filter("grade"), AgeFilter, HandsFilter)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    shown_as: ClassVar[Mapping[str, str]] = {"owner": "show_owner", "closed_by": "show_closed_by"}
    actions = ("book", "explain", "take")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_fields(request, obj), "show_cause"] if obj else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), "show_cause"]

    def name_rows(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """With the likeliest cause of each that is open, in one statement for the page."""
        super().name_rows(request, rows)
        causes = causes_of([row.pk for row in rows if row.state == State.OPEN])
        for row in rows:
            row.cause = causes.get(row.pk, NONE_KNOWN)

    # --- buttons --------------------------------------------------------------------------------------------
    @admin.action(description=_("Book theirs"), permissions=["operate"])
    def book(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._decide(request, queryset, "book", _("Book theirs"), book_theirs)

    @admin.action(description=_("Explain"), permissions=["operate"])
    def explain(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._decide(request, queryset, "explain", _("Explain"), explain_differences)

    @admin.action(description=_("Take in hand"), permissions=["operate"])
    def take(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = TakeForm(request.POST if "asked" in request.POST else None)

        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            return self.operate(
                request,
                _("Take in hand"),
                lambda at, by: _results(
                    rows,
                    take_differences(
                        difference_ids=[row.pk for row in rows],
                        owner=form.owner(),
                        reason=answers["note"],
                        at=at,
                        by=by,
                    ),
                ),
            )

        return self.ask_first(
            request, _chosen(queryset), action="take", title=_("Take in hand"), form=form, run=carry_out
        )

    def _decide(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action: str,
        title: Any,
        operation: Callable[..., list[Decided]],
    ) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            ids = [row.pk for row in rows]
            return self.operate(
                request,
                title,
                lambda at, by: _results(
                    rows, operation(difference_ids=ids, reason=answers["reason"], at=at, by=by)
                ),
            )

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(
            request, _chosen(queryset), action=action, title=title, form=form, run=carry_out
        )

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("SKU"))
    def show_sku(self, row: StockDifference) -> str:
        return row.sku.code

    @column(description=_("grade"))
    def show_grade(self, row: StockDifference) -> str:
        return row.get_grade_display()

    @column(description=_("difference"), label={"more": "info", "less": "danger", "equal": ""})
    def show_difference(self, row: StockDifference) -> tuple[str, str]:
        units = row.theirs - row.ours
        return ("more" if units > 0 else "less" if units else "equal"), f"{units:+d}" if units else "0"

    @column(description=_("basis"))
    def show_basis(self, row: StockDifference) -> Any:
        return BASES.get(row.basis, row.basis)

    @column(description=_("age"))
    def show_age(self, row: StockDifference) -> str:
        return age_text(row.since, at=row.closed_at or timezone.now())

    @column(
        description=_("state"),
        label={"open": "danger", "gone": "success", "booked": "info", "explained": ""},
    )
    def show_state(self, row: StockDifference) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("likely cause"))
    def show_cause(self, row: Any) -> str:
        return read_sentence(row.cause.text) or "–"

    @column(description=_("in the hands of"))
    def show_owner(self, row: StockDifference) -> str:
        return self.who(row, row.owner)

    @column(description=_("closed by"))
    def show_closed_by(self, row: StockDifference) -> str:
        return self.who(row, row.closed_by)


def _chosen(queryset: QuerySet[Any]) -> QuerySet[Any]:
    return queryset.select_related("sku", "location").order_by("id")


def _results(rows: Sequence[StockDifference], decided: Sequence[Decided]) -> list[RowResult]:
    names = {row.pk: f"{row.sku.code} @ {row.location.name} · {row.get_grade_display()}" for row in rows}
    missing = gettext("It is not there any more.")
    return [RowResult(names.get(each.difference_id, missing), each.ok, each.detail) for each in decided]
