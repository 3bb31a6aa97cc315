"""The admin of rows that belong to a shop or a brand: a person sees those of their scope, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import BaseAdmin
from products.models import Brand, Shop, Sku
from products.scope import Scope, scope_of, scope_of_brand


class BrandFilter(SimpleListFilter):
    """What somebody would see who was given one brand alone, offering only the brands that the viewer may see."""

    title = _("brand")
    parameter_name = "brand"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.model_admin = model_admin
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        brands, scope = Brand.objects.order_by("code"), scope_of(request.user)
        if not scope.is_everything:
            brands = brands.filter(pk__in=scope.brand_ids)
        return [(str(pk), name) for pk, name in brands.values_list("pk", "name")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not (value and value.isascii() and value.isdigit() and len(value) < 19):
            return queryset
        narrowed: QuerySet[Any] = self.model_admin.limit_to_scope(queryset, scope_of_brand(int(value)))
        return narrowed


class ScopedAdmin(BaseAdmin):
    """Every admin of the house says by one of these whose its rows are; one that says nothing shows nothing.

    `shop_path`, `brand_path`: the look-up from the row to the id of its shop or brand. `is_house_wide`: the
    rows belong to nobody in particular (warehouses, schedules); Django's permission alone decides.
    All others can be filtered by brand.
    """

    shop_path: ClassVar[str] = ""
    brand_path: ClassVar[str] = ""
    is_house_wide: ClassVar[bool] = False

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = super().get_list_filter(request)
        return filters if self.is_house_wide or self.model is Brand else (BrandFilter, *filters)

    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        scope = scope_of(request.user)
        if scope.is_everything or self.is_house_wide:
            return queryset
        return self.limit_to_scope(queryset, scope)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        if self.shop_path:
            return queryset.filter(**{f"{self.shop_path}__in": scope.shop_ids})
        if self.brand_path:
            return queryset.filter(**{f"{self.brand_path}__in": scope.brand_ids})
        return queryset.none()


class ShopFilter(SimpleListFilter):
    """By shop, offering only the shops that the viewer may see. Subclass for a row without `shop_id`."""

    title = _("shop")
    parameter_name = "shop"
    path = "shop_id"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        shops, scope = Shop.objects.order_by("code"), scope_of(request.user)
        if not scope.is_everything:
            shops = shops.filter(pk__in=scope.shop_ids)
        return [(str(pk), name) for pk, name in shops.values_list("pk", "name")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.path: int(value)}) if value and value.isdigit() else queryset


class UntoldFilter(SimpleListFilter):
    """Of values that channels are told: those that theirs has not acknowledged."""

    title = _("acknowledged")
    parameter_name = "drift"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("due", _("not yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "due":
            return queryset.filter(desired_version__gt=F("acked_version"))
        return queryset


class ChoiceFilter(SimpleListFilter):
    """By one column with fixed choices. Unknown values show everything."""

    field: str = ""

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.title = model._meta.get_field(self.field).verbose_name
        self.parameter_name = self.field
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterator[tuple[str, Any]]:
        yield from model_admin.model._meta.get_field(self.field).flatchoices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.field: value}) if value else queryset


def choice_filter(name: str) -> type[ChoiceFilter]:
    """A filter class for one column with choices."""
    return type(f"{name.title().replace('_', '')}Filter", (ChoiceFilter,), {"field": name})


def visible_skus_of(page: ScopedAdmin, request: HttpRequest) -> QuerySet[Sku]:
    """The SKUs that the viewer may see."""
    skus: Any = page.admin_site._registry[Sku]
    found: QuerySet[Sku] = skus.get_queryset(request)
    return found
