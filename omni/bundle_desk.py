"""The page of what lies in a bundle: on the roof, because stock and orders are asked before a SKU becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
)

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import column
from omni.kernel.display import Money
from omni.wiring import BUNDLE_OBJECTIONS
from products.admin.master import SkuAdmin
from products.admin.operated import OperatedAdmin, OperatedForm
from products.compose import UNITS_MAX, BundleDraft, ComponentDraft, define_bundles
from products.models import BundleComponent, Sku
from products.models.bundles import Bundle
from products.scope import Scope
from products.search import matching_skus


class ComponentForm(forms.ModelForm):  # type: ignore[type-arg]
    units = forms.IntegerField(
        label=_("units in each bundle"),
        min_value=1,
        max_value=UNITS_MAX,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    weight = forms.DecimalField(
        label=_("share of the price"),
        required=False,
        min_value=0,
        max_digits=20,
        decimal_places=4,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=_("In any measure; empty in all rows: by list price."),
    )

    class Meta:
        model = BundleComponent
        fields = ("component", "units", "weight")

    def _post_clean(self) -> None:
        # What a constraint would say by its name, the operation says in words.
        self.instance.validate_constraints = lambda exclude=None: None
        super()._post_clean()  # type: ignore[misc]


class ComponentFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """All that lies in the bundle; the operation takes or refuses it while it is being checked."""

    by: ClassVar[str] = ""

    def validate_unique(self) -> None:
        """The operation says it."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        rows = [form.cleaned_data for form in self.forms if form.cleaned_data.get("component")]
        components = [
            ComponentDraft(row["component"].pk, row["units"], row["weight"])
            for row in rows
            if not row.get("DELETE")
        ]
        [composed] = define_bundles(
            bundles=[BundleDraft(self.instance.pk, components)],
            objections=BUNDLE_OBJECTIONS,
            reason=str(self.data.get("reason", ""))[:200],
            at=timezone.now(),
            by=self.by,
        )
        if composed.refusal is not None:
            raise ValidationError(composed.refusal.detail)

    def save(self, commit: bool = True) -> list[Any]:
        """The operation has written it."""
        self.new_objects: list[Any] = []
        self.changed_objects: list[Any] = []
        self.deleted_objects: list[Any] = []
        return []


class ComponentInline(TabularInline):  # type: ignore[misc]
    model = BundleComponent
    fk_name = "bundle"
    form = ComponentForm
    formset = ComponentFormSet
    hide_title = True
    autocomplete_fields = ("component",)
    extra = 1
    ordering = ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).select_related("component")
        return found

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.by = user_actor(request.user)
        return formset

    # Whoever may change SKUs says what lies in them.
    def _may_change(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("products.change_sku"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.view_sku"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request)


class BundleForm(OperatedForm):
    """The SKU itself is edited on its own page."""

    reason = forms.CharField(
        label=_("reason"), max_length=200, required=False, widget=UnfoldAdminTextInputWidget
    )

    def run(self, answers: dict[str, Any], *, at: Any, by: str) -> Any:
        return self.instance


@admin.register(Bundle)
class BundleAdmin(OperatedAdmin):
    """The list shows the bundles; the page opens for every SKU, so that any can become one."""

    # A SKU is what is changed here, and made elsewhere.
    is_editable = False
    form = BundleForm
    inlines = (ComponentInline,)
    intro = _(
        "A bundle has no stock of its own: it is sold as often as its scarcest component goes into it. To make one,"
        " open its SKU and follow “Components”."
    )
    keyset = "code"
    brand_path = "spu__brand_id"
    list_display = ("code", "name", "show_brand", "show_price", "show_components", "is_active")
    list_select_related = ("spu__brand",)
    search_fields = ("name",)
    search_help_text = _("Part of a name, the beginning of a code, a tag, or a whole barcode")
    fields = ("code", "name", "show_price", "reason")
    readonly_fields = ("code", "name", "show_price")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        if match and not (match.url_name or "").endswith("_changelist"):
            return queryset
        inside = BundleComponent.objects.select_related("component").order_by("pk")
        bundles = queryset.filter(Exists(BundleComponent.objects.filter(bundle=OuterRef("pk"))))
        found: QuerySet[Any] = bundles.prefetch_related(Prefetch("components", inside, to_attr="inside"))
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(matching_skus(search_term)) if search_term else queryset), False

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return queryset.filter(spu__brand_id__in=scope.brand_ids)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.change_sku"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.view_sku"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return self.readonly_fields

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """It is the SKU's, on which the acts are written down."""
        page: SkuAdmin = self.admin_site._registry[Sku]
        return page.history_view(request, object_id, extra_context)

    @column(description=_("brand"))
    def show_brand(self, bundle: Bundle) -> str:
        return bundle.spu.brand.name

    @column(description=_("list price"))
    def show_price(self, bundle: Bundle) -> str:
        return Money(bundle.list_price, bundle.currency).text() if bundle.list_price is not None else "–"

    @column(description=_("components"))
    def show_components(self, bundle: Any) -> str:
        return ", ".join(f"{part.component.code} × {part.units}" for part in bundle.inside)
