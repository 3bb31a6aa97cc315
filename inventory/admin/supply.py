"""Alerts and their rules, and what should be ordered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from tempfile import TemporaryFile
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from inventory.admin.compares import HandsFilter, TakeForm
from inventory.models import AlertRule, LocationGroup, StockAlert, SupplyRule
from inventory.supply.suggestions import Suggestion, all_suggestions, suggest_supply
from inventory.supply.take import Taken, take_alerts
from inventory.supply.watch import watch_group_soon
from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import age_text
from omni.kernel.imports.export import csv_chunks, write_xlsx
from products.admin.scoped import ScopedAdmin, choice_filter
from products.models import Brand
from products.scope import Scope, scope_of

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ROWS_SHOWN = 200

ALERT_QUEUES = {
    "open": Queue(
        "open",
        _("Stock alerts"),
        _("Too little is left of these. An alert closes by itself when there is enough again."),
        Q(state=StockAlert.State.OPEN),
        (
            "show_sku",
            "show_name",
            "group",
            "show_shop",
            "sellable",
            "level",
            "lowest",
            "show_age",
            "show_owner",
            "note",
        ),
        "notifications_active",
        "opened_at",
        ("take",),
    )
}


class GroupFilter(admin.SimpleListFilter):
    title = _("location group")
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (str(pk), name) for pk, name in LocationGroup.objects.order_by("code").values_list("pk", "name")
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        is_id = value.isascii() and value.isdigit() and len(value) < 19
        return queryset.filter(group_id=int(value)) if is_id else queryset


class TakenFilter(HandsFilter):
    path = "taken_by"


@admin.register(StockAlert)
class StockAlertAdmin(ScopedAdmin):
    intro = _(
        "Each time that too little was left of a SKU in a group or shop, and the lowest number that was seen."
    )
    queues = ALERT_QUEUES
    brand_path = "sku__spu__brand_id"
    actors = ("taken_by",)
    list_display = (
        "show_sku",
        "group",
        "show_shop",
        "sellable",
        "level",
        "lowest",
        "show_state",
        "opened_at",
        "show_age",
        "show_owner",
        "note",
    )
    list_display_links = ("show_sku",)
    list_select_related = ("sku", "group", "shop")
    list_filter = (GroupFilter, choice_filter("state"), TakenFilter)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    shown_as: ClassVar[Mapping[str, str]] = {"taken_by": "show_owner"}
    actions = ("take",)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        """Those of groups by brand; those of shops only of one's own."""
        return (
            super()
            .limit_to_scope(queryset, scope)
            .filter(Q(shop__isnull=True) | Q(shop_id__in=scope.shop_ids))
        )

    @admin.action(description=_("Take in hand, or note"), permissions=["operate"])
    def take(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = TakeForm(request.POST if "asked" in request.POST else None)

        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            return self.operate(
                request,
                _("Take in hand"),
                lambda at, by: _results(
                    rows,
                    take_alerts(
                        alert_ids=[row.pk for row in rows],
                        owner=form.owner(),
                        note=answers["note"],
                        at=at,
                        by=by,
                    ),
                ),
            )

        chosen = queryset.select_related("sku", "group", "shop").order_by("id")
        return self.ask_first(
            request, chosen, action="take", title=_("Take in hand, or note"), form=form, run=carry_out
        )

    @column(description=_("SKU"))
    def show_sku(self, row: StockAlert) -> str:
        return row.sku.code

    @column(description=_("name"))
    def show_name(self, row: StockAlert) -> str:
        return row.sku.name

    @column(description=_("shop"))
    def show_shop(self, row: StockAlert) -> Any:
        return row.shop or _("all of the group")

    @column(description=_("age"))
    def show_age(self, row: StockAlert) -> str:
        return age_text(row.opened_at, at=row.closed_at or timezone.now())

    @column(description=_("state"), label={"open": "danger", "closed": "success"})
    def show_state(self, row: StockAlert) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("in the hands of"))
    def show_owner(self, row: StockAlert) -> str:
        return self.who(row, row.taken_by)


def _results(rows: Sequence[StockAlert], taken: Sequence[Taken]) -> list[RowResult]:
    names = {row.pk: f"{row.sku.code} @ {row.shop or row.group}" for row in rows}
    missing = gettext("It is not there any more.")
    return [RowResult(names.get(each.alert_id, missing), each.ok, each.detail) for each in taken]


class ScopeColumns(ScopedAdmin):
    """Rules that hold for a SKU, a category, a brand or all: plain configuration of the house."""

    is_house_wide = True
    is_editable = True
    list_select_related: Sequence[str] = ("group", "sku", "category", "brand")

    @column(description=_("holds for"))
    def show_scope(self, row: Any) -> Any:
        if row.sku_id:
            return row.sku.code
        if row.category_id:
            return _("category %s") % row.category
        return _("brand %s") % row.brand if row.brand_id else _("every SKU")


@admin.register(AlertRule)
class AlertRuleAdmin(ScopeColumns):
    intro = _(
        "Below how many units somebody is told: of what is free in a group, or of what one of its shops may sell. Of "
        "several rules the most specific holds: SKU, deepest category, brand, every SKU."
    )
    list_display = ("show_scope", "group", "show_shop", "units", "is_active")
    list_select_related = (*ScopeColumns.list_select_related, "shop")
    list_filter = (GroupFilter,)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    autocomplete_fields = ("group", "shop", "sku", "category", "brand")

    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        """What is too little now is told within the minute."""
        super().save_model(request, obj, form, change)
        groups = {obj.group_id, *([form.initial["group"]] if change else [])}
        for group_id in sorted(groups):
            watch_group_soon(group_id=group_id)

    @column(description=_("shop"))
    def show_shop(self, row: AlertRule) -> Any:
        return row.shop or _("all of the group")


@admin.register(SupplyRule)
class SupplyRuleAdmin(ScopeColumns):
    list_display = (
        "show_scope",
        "group",
        "lead_days",
        "cover_days",
        "pack_size",
        "order_minimum",
        "is_active",
    )
    list_filter = (GroupFilter,)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    autocomplete_fields = ("group", "sku", "category", "brand")

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        text = _(
            "How a SKU is replenished into a group: how long an order takes, how many days it should cover, in which "
            "packs. Of several rules the most specific holds."
        )
        link = {"url": reverse("admin:inventory_supplyrule_list"), "label": _("What should be ordered")}
        return {"text": text, "links": [link]}

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("replenishment/", wrap(self.list_view), name="inventory_supplyrule_list"),
            path("replenishment.<str:kind>", wrap(self.download_view), name="inventory_supplyrule_download"),
            *super().get_urls(),
        ]

    # --- what should be ordered -----------------------------------------------------------------------------
    def list_view(self, request: HttpRequest) -> HttpResponse:
        """The SKUs at or below their reorder point, with every number that led to what is suggested."""
        form, wanted = self._asked(request)
        found = suggest_supply(today=timezone.localdate(), limit=ROWS_SHOWN + 1, **wanted)
        request.current_app = self.admin_site.name
        query = request.GET.urlencode()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("What should be ordered"),
            "form": form,
            "rows": found[:ROWS_SHOWN],
            "is_cut": len(found) > ROWS_SHOWN,
            "shown_max": ROWS_SHOWN,
            "downloads": [
                (kind.upper(), reverse("admin:inventory_supplyrule_download", args=[kind]) + f"?{query}")
                for kind in ("csv", "xlsx")
            ],
        }
        return TemplateResponse(request, "inventory/replenishment_page.html", context)

    def download_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        if kind not in ("csv", "xlsx"):
            raise Http404
        _form, wanted = self._asked(request)
        header = _header()
        rows = _cells(all_suggestions(today=timezone.localdate(), **wanted))
        if kind == "csv":
            answer: HttpResponseBase = StreamingHttpResponse(
                csv_chunks(header, rows), content_type="text/csv; charset=utf-8"
            )
        else:
            file = TemporaryFile()  # noqa: SIM115 - closed with the answer
            write_xlsx(file, header, rows, title=gettext("What should be ordered"))
            file.seek(0)
            answer = FileResponse(file, content_type=XLSX)
        answer.headers["Content-Disposition"] = f'attachment; filename="replenishment.{kind}"'
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    def _asked(self, request: HttpRequest) -> tuple[ReplenishmentForm, dict[str, Any]]:
        """The filter, and what it says in the words of `suggest_supply`, within what the viewer may see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        scope = scope_of(request.user)
        form = ReplenishmentForm(request.GET, scope=scope)
        answers = form.cleaned_data if form.is_valid() else {}
        group, brand = answers.get("group"), answers.get("brand")
        brand_ids = [brand.pk] if brand else None if scope.is_everything else sorted(scope.brand_ids)
        return form, {"group_ids": [group.pk] if group else None, "brand_ids": brand_ids}


class ReplenishmentForm(forms.Form):
    group = forms.ModelChoiceField(
        LocationGroup.objects.none(), label=_("Location group"), required=False, empty_label=_("all")
    )
    brand = forms.ModelChoiceField(
        Brand.objects.none(), label=_("Brand"), required=False, empty_label=_("all")
    )

    def __init__(self, *args: Any, scope: Scope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups: Any = self.fields["group"]
        groups.queryset = LocationGroup.objects.order_by("code")
        brands: Any = self.fields["brand"]
        visible = Brand.objects.order_by("code")
        brands.queryset = visible if scope.is_everything else visible.filter(pk__in=scope.brand_ids)


def _header() -> list[str]:
    return [
        gettext("SKU"),
        gettext("name"),
        gettext("brand"),
        gettext("location group"),
        gettext("a day"),
        gettext("lead time in days"),
        gettext("days that an order should cover"),
        gettext("safety stock"),
        gettext("free"),
        gettext("owed"),
        gettext("in transit"),
        gettext("reorder point"),
        gettext("needed"),
        gettext("units in a pack"),
        gettext("fewest units of an order"),
        pgettext("replenishment", "suggested"),
    ]


def _cells(rows: Iterable[Suggestion]) -> Iterator[list[Any]]:
    for row in rows:
        yield [
            row.sku_code,
            row.sku_name,
            row.brand_name,
            row.group_name,
            row.per_day,
            row.lead_days,
            row.cover_days,
            row.safety,
            row.free,
            row.owed,
            row.in_transit,
            row.reorder_point,
            row.need,
            row.pack_size,
            row.order_minimum,
            row.suggested,
        ]
