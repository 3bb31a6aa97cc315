"""Sales catalogues: what they hold, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from omni.kernel.admin_base import RowResult, column
from products.admin.catalogue_acts import visible_catalogues
from products.admin.operated import OperatedAdmin, OperatedForm, Tags
from products.admin.scoped import ScopedAdmin
from products.assortment.conditions import Wish
from products.assortment.select import CatalogueDraft, define_catalogue, pick_skus
from products.models import Catalogue, CataloguePick, Shop, ShopCatalogue
from products.scope import Scope, scope_of

CONDITIONS = ("brand", "category", "tags", "seasons", "price_from", "price_to", "currency")


class ConditionsForm(OperatedForm):
    """Conditions, and the shops for which they are said. `is_wholly_mine`: see ConditionsAdmin."""

    tags = Tags(required=False, label=_("tags"), help_text=_("Between commas; one of them is enough."))
    seasons = Tags(required=False, label=_("seasons"), help_text=_("Between commas; one of them is enough."))
    shops = forms.ModelMultipleChoiceField(
        Shop.objects.none(), required=False, label=_("Shops"), widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    def wish(self, answers: dict[str, Any]) -> Wish:
        brand, category = answers["brand"], answers["category"]
        return Wish(
            brand_id=brand.pk if brand else None,
            category_id=category.pk if category else None,
            tags=answers["tags"],
            seasons=answers["seasons"],
            price_from=answers["price_from"],
            price_to=answers["price_to"],
            currency=answers["currency"],
        )

    def shop_ids(self, answers: dict[str, Any]) -> list[int]:
        return [shop.pk for shop in answers["shops"]]


class ConditionsAdmin(OperatedAdmin):
    """What is said for some shops. Whoever sees one of them, or has the brand, may look; all of them, may change it."""

    autocomplete_fields = ("brand", "category")

    def shop_ids_of(self, row: Any) -> list[int]:
        """The shops for which the row is said."""
        raise NotImplementedError

    def is_wholly_mine(self, request: HttpRequest, row: Any) -> bool:
        scope = scope_of(request.user)
        if scope.is_everything:
            return True
        shop_ids = self.shop_ids_of(row)
        has_brand = row.brand_id in scope.brand_ids or (row.brand_id is None and bool(shop_ids))
        return has_brand and scope.shop_ids.issuperset(shop_ids)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or self.is_wholly_mine(request, obj))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "shops" in form.base_fields:
            shops, scope = Shop.objects.filter(is_active=True).order_by("code"), scope_of(request.user)
            mine = shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids)
            form.base_fields["shops"].queryset = mine
            form.base_fields["shops"].initial = self.shop_ids_of(obj) if obj else []
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        may = self.has_change_permission(request, obj) if obj else True
        return [name if name != "shops" or may else "show_shops" for name in fields if name != "show_shops"]

    @column(description=_("shops"))
    def show_shops(self, row: Any) -> str:
        names = Shop.objects.filter(pk__in=self.shop_ids_of(row)).order_by("code")
        return ", ".join(names.values_list("name", flat=True)) or "–"


class CatalogueForm(ConditionsForm):
    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> Catalogue:
        draft = CatalogueDraft(
            code=answers.get("code"),
            name=answers["name"],
            note=answers["note"],
            is_active=answers["is_active"],
            wish=self.wish(answers),
            shop_ids=self.shop_ids(answers),
        )
        return define_catalogue(draft=draft, catalogue_id=self.instance.pk, at=at, by=by)


@admin.register(Catalogue)
class CatalogueAdmin(ConditionsAdmin):
    form = CatalogueForm
    intro = _(
        "What a shop may sell of the master: whatever fits the conditions, and what was picked by hand. A shop without "
        "a catalogue may sell everything."
    )
    keyset = "code"
    history_ignores = ("version",)
    list_display = ("code", "name", "brand", "category", "is_active", "show_held")
    list_select_related = ("brand", "category")
    search_fields = ("code__startswith", "name__startswith")
    fields = ("code", "name", "shops", *CONDITIONS, "is_active", "note", "show_held", "show_shops")
    readonly_fields = ("show_held", "show_shops")
    fixed_fields = ("code",)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        own = ShopCatalogue.objects.filter(catalogue=OuterRef("pk"), shop__in=scope.shop_ids)
        return queryset.filter(Q(brand_id__in=scope.brand_ids) | Q(Exists(own)))

    def shop_ids_of(self, row: Catalogue) -> list[int]:
        return list(row.shop_catalogues.values_list("shop_id", flat=True))

    @column(description=pgettext_lazy("catalogue", "holds"))
    def show_held(self, row: Catalogue) -> str:
        skus = reverse("admin:products_sku_changelist")
        picks = reverse("admin:products_cataloguepick_changelist")
        return format_html(
            '<a class="omni-link" href="{}?catalogue={}">{}</a> · <a class="omni-link" href="{}?catalogue={}">{}</a>',
            skus,
            row.pk,
            gettext("SKUs"),
            picks,
            row.pk,
            gettext("by hand"),
        )


class CatalogueFilter(admin.SimpleListFilter):
    """By catalogue, offering only those that the viewer may see."""

    title = _("sales catalogue")
    parameter_name = "catalogue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in visible_catalogues(request).values_list("pk", "name")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(catalogue_id=int(value)) if value and value.isdigit() else queryset


@admin.register(CataloguePick)
class CataloguePickAdmin(ScopedAdmin):
    intro = _(
        "SKUs that stand in a catalogue, or stay out of it, whatever its conditions say. Pick them in the list of SKUs."
    )
    actors = ("picked_by",)
    list_display = ("show_sku", "catalogue", "show_how", "reason", "show_by", "picked_at")
    list_display_links = ("show_sku",)
    list_select_related = ("sku", "catalogue")
    list_filter = (CatalogueFilter,)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    shown_as = {"picked_by": "show_by"}
    actions = ("let_conditions_decide",)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        own = ShopCatalogue.objects.filter(catalogue=OuterRef("catalogue_id"), shop__in=scope.shop_ids)
        return queryset.filter(Q(catalogue__brand_id__in=scope.brand_ids) | Q(Exists(own)))

    @admin.action(description=_("Let the conditions decide"), permissions=["operate"])
    def let_conditions_decide(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.select_related("sku", "catalogue").order_by("catalogue_id", "sku_id"))
        return self.operate(
            request, _("Let the conditions decide"), lambda at, by: self._unpick(request, rows, at, by)
        )

    def _unpick(
        self, request: HttpRequest, rows: Sequence[CataloguePick], at: datetime, by: str
    ) -> list[RowResult]:
        page: Any = self.admin_site._registry[Catalogue]
        results: list[RowResult] = []
        for catalogue in {row.catalogue_id: row.catalogue for row in rows}.values():
            names = {row.sku_id: f"{catalogue.code}: {row.sku}" for row in rows if row.catalogue == catalogue}
            if not page.is_wholly_mine(request, catalogue):
                text = gettext("It concerns shops that you do not see.")
                results += [RowResult(name, False, text) for name in names.values()]
                continue
            picked = pick_skus(catalogue_id=catalogue.pk, sku_ids=list(names), is_in=None, at=at, by=by)
            results += [RowResult(names[each.sku_id], each.ok, each.detail) for each in picked]
        return results

    @column(description=_("SKU"))
    def show_sku(self, row: CataloguePick) -> str:
        return row.sku.code

    @column(description=_("by hand"), label={"in": "success", "out": "danger"})
    def show_how(self, row: CataloguePick) -> tuple[str, Any]:
        return ("in", _("picked")) if row.is_in else ("out", _("kept out"))

    @column(description=_("by"))
    def show_by(self, row: CataloguePick) -> str:
        return self.who(row, row.picked_by)
