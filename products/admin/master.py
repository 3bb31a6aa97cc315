"""Brands, categories, products and SKUs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from omni.kernel.admin_base import column
from omni.kernel.display import Money
from products.admin.catalogue_acts import HeldFilter, PickingActs
from products.admin.grid import GridPage
from products.admin.listing_acts import DraftingActs
from products.admin.operated import AttributeValues, OperatedAdmin, OperatedForm, Tags, read_flags
from products.admin.panels import PanelledAdmin, components_panel, listings_panel, pictures_panel, skus_panel
from products.admin.pictures import PicturesPage
from products.admin.price_acts import PricingActs
from products.admin.scoped import ScopedAdmin
from products.arrange import create_category, move_category, rename_category
from products.define import Defined, ProductDraft, SkuDraft, define_products
from products.label import take_off_barcode
from products.models import Barcode, Brand, Category, CategoryAttribute, Sku, Spu
from products.scope import Scope
from products.search import matching_skus, matching_spus
from products.template import template_of


@admin.register(Brand)
class BrandAdmin(ScopedAdmin):
    keyset = "code"
    brand_path = "pk"
    is_editable = True
    list_display = ("code", "name", "is_active")
    search_fields = ("code__startswith", "name__startswith")


class CategoryForm(OperatedForm):
    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> Category:
        parent = answers["parent"]
        parent_id = parent.pk if parent else None
        if "code" in answers:
            code, name = answers["code"], answers["name"]
            return create_category(code=code, name=name, parent_id=parent_id, at=at, by=by)
        with transaction.atomic():
            rename_category(category_id=self.instance.pk, name=answers["name"], at=at, by=by)
            move_category(category_id=self.instance.pk, parent_id=parent_id, at=at, by=by)
        return Category.objects.get(code=self.instance.code)


@admin.register(Category)
class CategoryAdmin(OperatedAdmin):
    form = CategoryForm
    intro = _(
        "A category lies below its parent and inherits its attributes. Moving it moves all that is below."
    )
    keyset = "path"
    is_house_wide = True
    list_display = ("path", "code", "name")
    list_display_links = ("path", "code")
    search_fields = ("code__startswith", "path__startswith", "name__startswith")
    autocomplete_fields = ("parent",)
    fields = ("code", "name", "parent", "path")
    readonly_fields = ("path",)
    fixed_fields = ("code",)


class SpuForm(OperatedForm):
    by_rule = ("code",)
    tags = Tags(required=False, label=_("tags"), help_text=_("Between commas."))
    attributes = AttributeValues(
        required=False,
        label=_("attributes"),
        help_text=_("One a line: code = value. The category says which."),
    )

    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> Spu:
        category = answers["category"]
        values = {
            "name": answers["name"],
            "brand_id": answers["brand"].pk,
            "category_id": category.pk if category else None,
            "season": answers["season"],
            "tags": answers["tags"],
            "description": answers["description"],
            "attributes": read_flags(answers["attributes"], flags_of(category.pk if category else None)),
        }
        code = answers.get("code") or self.instance.code
        defined = define_one(ProductDraft(code, values), at=at, by=by)
        if defined.spu_id is None:  # define_one raises where nothing came of it
            raise ValueError(f"nothing came of {code}")
        return Spu.objects.get(pk=defined.spu_id)


@admin.register(Spu)
class SpuAdmin(GridPage, PicturesPage, PanelledAdmin, OperatedAdmin):
    form = SpuForm
    panels = ("products/pictures_panel.html", "products/skus_panel.html")
    keyset = "code"
    brand_path = "brand_id"
    list_display = ("code", "name", "brand", "category", "season", "created_at")
    list_select_related = ("brand", "category")
    search_fields = ("name",)
    search_help_text = _("Part of a name, the beginning of a code, a tag, or a whole barcode")
    autocomplete_fields = ("brand", "category")
    fields = (
        "code",
        "name",
        "brand",
        "category",
        "season",
        "tags",
        "attributes",
        "description",
        "created_at",
    )
    readonly_fields = ("created_at",)
    fixed_fields = ("code",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(matching_spus(search_term)) if search_term else queryset), False

    def panel_context(self, request: HttpRequest, row: Spu) -> dict[str, Any]:
        return pictures_panel(request, row) | skus_panel(row) | {"may_grow": self.may_grow(request)}


class SkuForm(OperatedForm):
    by_rule = ("code",)
    attributes = AttributeValues(
        required=False, label=_("options"), help_text=_("One a line: code = value. The category says which.")
    )
    barcodes = forms.CharField(
        required=False,
        label=_("barcodes"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("One a line."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "barcodes" in self.fields:
            codes = self.instance.barcodes.order_by("pk").values_list("code", flat=True)
            self.fields["barcodes"].initial = "\n".join(codes)

    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> Sku:
        spu = answers.get("spu") or self.instance.spu
        plain = ("name", "list_price", "currency", "weight_grams", "is_active")
        values = {name: answers[name] for name in plain}
        values["attributes"] = read_flags(answers["attributes"], flags_of(spu.category_id))
        wanted = answers["barcodes"].split()
        code = answers.get("code") or self.instance.code
        with transaction.atomic():
            if self.instance.pk:
                for barcode in Barcode.objects.filter(sku=self.instance).exclude(code__in=wanted):
                    take_off_barcode(barcode_id=barcode.pk, at=at, by=by)
            result = define_one(ProductDraft(spu.code, {}, [SkuDraft(code, values, wanted)]), at=at, by=by)
        [(code, _told)] = result.skus
        return Sku.objects.get(code=code)


def define_one(draft: ProductDraft, *, at: datetime, by: str) -> Defined:
    """One draft, its refusal raised: a form names its fields without the `skus.` of a batch."""
    [result] = define_products(products=[draft], at=at, by=by)
    if result.refusal is not None:
        refusal = result.refusal
        refusal.fields = {
            name.removeprefix("skus.").partition(".")[0]: texts for name, texts in refusal.fields.items()
        }
        raise refusal
    return result


def flags_of(category_id: int | None) -> frozenset[str]:
    """The attributes of a category that are yes or no."""
    yes_no = CategoryAttribute.Kind.YES_NO
    return frozenset(row.code for row in template_of(category_id) if row.kind == yes_no)


@admin.register(Sku)
class SkuAdmin(DraftingActs, PickingActs, PricingActs, PicturesPage, PanelledAdmin, OperatedAdmin):
    form = SkuForm
    panels = (
        "products/pictures_panel.html",
        "products/components_panel.html",
        "products/listings_panel.html",
    )
    keyset = "code"
    brand_path = "spu__brand_id"
    list_display = ("code", "name", "show_brand", "show_price", "weight_grams", "is_active")
    list_select_related = ("spu__brand",)
    list_filter = (HeldFilter,)
    search_fields = ("name",)
    search_help_text = _("Part of a name, the beginning of a code, a tag, or a whole barcode")
    autocomplete_fields = ("spu",)
    fields = (
        "code",
        "spu",
        "name",
        "attributes",
        "barcodes",
        "list_price",
        "currency",
        "weight_grams",
        "is_active",
        "created_at",
    )
    readonly_fields = ("created_at",)
    fixed_fields = ("code", "spu")
    actions = ("draft_listings", "pick_for_catalogue", "change_prices")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(matching_skus(search_term)) if search_term else queryset), False

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return queryset.filter(spu__brand_id__in=scope.brand_ids)

    def panel_context(self, request: HttpRequest, row: Sku) -> dict[str, Any]:
        return pictures_panel(request, row) | components_panel(row) | listings_panel(request, row)

    @column(description=_("brand"))
    def show_brand(self, sku: Sku) -> str:
        return sku.spu.brand.name

    @column(description=_("list price"))
    def show_price(self, sku: Sku) -> str:
        return Money(sku.list_price, sku.currency).text() if sku.list_price is not None else "–"
