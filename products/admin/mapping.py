"""What the channels show, and the desk where items that nobody knows are mapped to SKUs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import Money, age_text
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter
from products.map import ignore_items, map_items
from products.models import Listing, OuterItem, Sku
from products.scope import scope_of
from products.suggestions import Suggestion, suggest_by_title, suggest_skus

REASON_TEXTS = {
    "code": _("same code"),
    "barcode": _("same barcode"),
    "code_case": _("same code in other letters"),
    "title": _("similar name"),
}

ITEM_QUEUES = {
    "unmapped": Queue(
        "unmapped",
        _("Items without a SKU"),
        _(
            "Shown by a channel or sold there, and nobody has said which SKU they are: their stock is not told, and "
            "their orders wait. Map what is certain in one go, the rest one by one."
        ),
        Q(state=OuterItem.State.UNMAPPED),
        (
            "show_item",
            "shop",
            "title",
            "outer_code",
            "barcode",
            "show_suggestion",
            "show_source",
            "show_waiting",
        ),
        "link_off",
        "first_seen_at",
        ("map_certain", "ignore"),
        (ShopFilter, choice_filter("source")),
    )
}


class IgnoreForm(forms.Form):
    note = forms.CharField(label=_("Why it is none of ours"), max_length=500)


class MapForm(forms.Form):
    sku_code = forms.CharField(label=_("SKU code"), max_length=64)


@admin.register(OuterItem)
class OuterItemAdmin(ScopedAdmin):
    intro = _("Every item as its channel last showed it, mapped or not.")
    queues = ITEM_QUEUES
    shop_path = "shop_id"
    list_display = (
        "show_item",
        "shop",
        "title",
        "outer_code",
        "show_price",
        "quantity",
        "show_listed",
        "show_state",
        "seen_at",
    )
    list_select_related = ("shop",)
    list_filter = (ShopFilter, choice_filter("state"), choice_filter("source"))
    search_fields = ("outer_item_id__exact", "outer_sku_id__exact")
    search_help_text = _("A whole outer item id or outer SKU id")
    actions = ("map_certain", "ignore")

    # --- buttons --------------------------------------------------------------------------------------------
    @admin.action(description=_("Map to the SKU that is certain"), permissions=["operate"])
    def map_certain(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("id"))
        return self.operate(
            request, _("Map to the SKU that is certain"), lambda at, by: _map_certain(rows, at, by)
        )

    @admin.action(description=_("Ignore"), permissions=["operate"])
    def ignore(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            return self.operate(request, _("Ignore"), lambda at, by: _ignore(rows, answers["note"], at, by))

        form = IgnoreForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(
            request, queryset.order_by("id"), action="ignore", title=_("Ignore"), form=form, run=carry_out
        )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/map/", wrap(self.map_view), name="products_outeritem_map"),
            *super().get_urls(),
        ]

    def map_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Map one item to the SKU whose code was typed or pressed, if the viewer may see that SKU."""
        item = self.operable_object(request, pk)
        form = MapForm(request.POST)
        sku = self._visible_skus(request).filter(code=request.POST.get("sku_code", "").strip()).first()
        if not form.is_valid() or sku is None:
            messages.error(request, gettext("There is no SKU %s.") % request.POST.get("sku_code", ""))
            return redirect("admin:products_outeritem_change", item.pk)
        self.operate(
            request,
            _("Map"),
            lambda at, by: _results([item], map_items(sku_ids={item.pk: sku.pk}, at=at, by=by)),
        )
        return redirect("admin:products_outeritem_change", item.pk)

    # --- the page -------------------------------------------------------------------------------------------
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        item: OuterItem = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        request.current_app = self.admin_site.name
        listing = (
            Listing.objects.filter(
                shop_id=item.shop_id, outer_item_id=item.outer_item_id, outer_sku_id=item.outer_sku_id
            )
            .select_related("sku")
            .first()
        )
        suggestions = [] if listing else self._suggestions(item)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": item,
            "title": str(item),
            "item": item,
            "price": self.show_price(item),
            "listing": listing,
            "suggestions": [(each, REASON_TEXTS[each.reason]) for each in suggestions],
            "may_operate": self.has_operate_permission(request),
        }
        return TemplateResponse(request, "products/outer_item_page.html", context)

    def _suggestions(self, item: OuterItem) -> list[Suggestion]:
        exact = suggest_skus([item]).get(item.pk, [])
        known = {each.sku_id for each in exact}
        return [*exact, *(each for each in suggest_by_title(item) if each.sku_id not in known)]

    def _visible_skus(self, request: HttpRequest) -> QuerySet[Sku]:
        scope = scope_of(request.user)
        skus = Sku.objects.all()
        return skus if scope.is_everything else skus.filter(spu__brand_id__in=scope.brand_ids)

    # --- columns --------------------------------------------------------------------------------------------
    def name_rows(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        super().name_rows(request, rows)
        if self.queue_of(request):
            found = suggest_skus(rows)
            for row in rows:
                row.suggested = found.get(row.pk, [])

    @column(description=_("item"))
    def show_item(self, item: OuterItem) -> str:
        return str(item)

    @column(description=_("suggestion"), label={"certain": "success", "perhaps": "warning", "none": ""})
    def show_suggestion(self, item: OuterItem) -> tuple[str, Any]:
        suggested: list[Suggestion] = getattr(item, "suggested", [])
        if not suggested:
            return "none", "–"
        first = suggested[0]
        text = f"{first.code} ({REASON_TEXTS[first.reason]})"
        return ("certain", text) if first.is_certain else ("perhaps", f"{text} …")

    @column(description=_("price"))
    def show_price(self, item: OuterItem) -> str:
        return Money(item.price, item.shop.currency).text() if item.price is not None else "–"

    @column(description=_("listed on the channel"))
    def show_listed(self, item: OuterItem) -> Any:
        return "–" if item.is_listed is None else _("yes") if item.is_listed else _("no")

    @column(description=_("told by"))
    def show_source(self, item: OuterItem) -> str:
        return item.get_source_display()

    @column(description=_("state"), label={"unmapped": "warning", "mapped": "success", "ignored": ""})
    def show_state(self, item: OuterItem) -> tuple[str, str]:
        return item.state, item.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, item: OuterItem) -> str:
        return age_text(item.first_seen_at)


def _results(rows: Sequence[Any], mapped: Any) -> list[RowResult]:
    return [RowResult(str(row), mapped[row.pk].ok, mapped[row.pk].detail) for row in rows]


def _map_certain(rows: list[Any], at: datetime, by: str) -> list[RowResult]:
    found = suggest_skus(rows)
    certain = {
        row.pk: found[row.pk][0].sku_id for row in rows if row.pk in found and found[row.pk][0].is_certain
    }
    mapped = map_items(sku_ids=certain, at=at, by=by)
    vague = gettext("No SKU has just this code or barcode: map it by hand.")
    return [
        RowResult(str(row), mapped[row.pk].ok, mapped[row.pk].detail)
        if row.pk in mapped
        else RowResult(str(row), False, vague)
        for row in rows
    ]


def _ignore(rows: list[Any], note: str, at: datetime, by: str) -> list[RowResult]:
    ignored = set(ignore_items(item_ids=[row.pk for row in rows], note=note, at=at, by=by))
    no = gettext("It is mapped or ignored already.")
    return [RowResult(str(row), row.pk in ignored, "" if row.pk in ignored else no) for row in rows]
