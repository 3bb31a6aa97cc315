"""Levels, pools, movements and the operations that made them: looked at, never edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from inventory.models import ShopPool, StockLevel, StockMovement, StockOperation, StockPool
from inventory.record import mark_shares_changed
from omni.kernel.admin_base import column
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter


@admin.register(StockLevel)
class StockLevelAdmin(ScopedAdmin):
    brand_path = "sku__spu__brand_id"
    list_display = ("show_sku", "location", "show_grade", "owner", "on_hand", "committed", "show_free")
    list_select_related = ("sku", "location")
    list_filter = (choice_filter("grade"),)
    search_fields = ("sku__code__exact", "location__code__exact")
    search_help_text = _("A whole SKU code or location code")

    @column(description=_("SKU"))
    def show_sku(self, row: StockLevel) -> str:
        return row.sku.code

    @column(description=_("grade"))
    def show_grade(self, row: StockLevel) -> str:
        return row.get_grade_display()

    @column(description=_("free"))
    def show_free(self, row: StockLevel) -> int:
        return row.on_hand - row.committed


@admin.register(StockPool)
class StockPoolAdmin(ScopedAdmin):
    intro = _(
        "Who may sell which units: base waits, safety is kept, shared is sold by every shop that lists it."
    )
    brand_path = "sku__spu__brand_id"
    list_display = ("show_sku", "group", "show_kind", "label", "granted", "reserved", "show_free", "target")
    list_select_related = ("sku", "group")
    list_filter = (choice_filter("kind"),)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")

    @column(description=_("SKU"))
    def show_sku(self, row: StockPool) -> str:
        return row.sku.code

    @column(description=_("kind"), label=True)
    def show_kind(self, row: StockPool) -> str:
        return row.get_kind_display()

    @column(description=_("free"))
    def show_free(self, row: StockPool) -> int:
        return row.granted - row.reserved


@admin.register(ShopPool)
class ShopPoolAdmin(ScopedAdmin):
    intro = _("From which pools a shop may sell, in which order, and which part of a shared pool it shows.")
    shop_path = "shop_id"
    is_editable = True
    list_display = (
        "shop",
        "group",
        "show_kind",
        "label",
        "show_sku",
        "position",
        "publish_ratio",
        "show_origin",
    )
    list_select_related = ("shop", "group", "sku")
    list_filter = (ShopFilter,)
    autocomplete_fields = ("shop", "group", "sku")
    # The rest is of rows that are derived from rules; those nobody edits.
    fields = ("shop", "group", "kind", "label", "sku", "position", "publish_ratio")

    def has_change_permission(self, request: HttpRequest, obj: ShopPool | None = None) -> bool:
        if obj is not None and obj.origin == ShopPool.Origin.RULE:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ShopPool | None = None) -> bool:
        if obj is not None and obj.origin == ShopPool.Origin.RULE:
            return False
        return super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: ShopPool, form: Any, change: bool) -> None:
        """What the shop shows changes with the row, for one SKU or for all that it lists."""
        super().save_model(request, obj, form, change)
        shop_ids, sku_ids = {obj.shop_id}, {obj.sku_id}
        if change:
            shop_ids.add(form.initial["shop"])
            sku_ids.add(form.initial["sku"])
        named = None if None in sku_ids else [sku_id for sku_id in sku_ids if sku_id]
        mark_shares_changed(shop_ids=shop_ids, sku_ids=named)

    @column(description=_("kind"), label=True)
    def show_kind(self, row: ShopPool) -> str:
        return row.get_kind_display()

    @column(description=_("set"))
    def show_origin(self, row: ShopPool) -> str:
        return row.get_origin_display()

    @column(description=_("SKU"))
    def show_sku(self, row: ShopPool) -> Any:
        return row.sku.code if row.sku else _("every SKU")


@admin.register(StockMovement)
class StockMovementAdmin(ScopedAdmin):
    intro = _(
        "The ledger: every unit that ever moved, from where to where, by which document. Nothing is changed."
    )
    actors = ("by",)
    shown_as: ClassVar[Mapping[str, str]] = {"by": "show_by"}
    brand_path = "sku__spu__brand_id"
    list_display = ("at", "show_sku", "show_kind", "quantity", "show_way", "document", "show_by")
    list_select_related = ("sku",)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")

    @column(description=_("SKU"))
    def show_sku(self, row: StockMovement) -> str:
        return row.sku.code

    @column(description=_("kind"), label=True)
    def show_kind(self, row: StockMovement) -> str:
        return row.get_kind_display()

    @column(description=_("from → to"))
    def show_way(self, row: StockMovement) -> str:
        return f"{row.get_from_account_display()} → {row.get_to_account_display()}"

    @column(description=_("by"))
    def show_by(self, row: StockMovement) -> str:
        return self.who(row, row.by)


@admin.register(StockOperation)
class StockOperationAdmin(ScopedAdmin):
    actors = ("by",)
    shown_as: ClassVar[Mapping[str, str]] = {"by": "show_by"}
    is_house_wide = True
    list_display = ("key", "show_kind", "reason", "show_by", "at")
    search_fields = ("key__startswith",)

    @column(description=_("kind"), label=True)
    def show_kind(self, row: StockOperation) -> str:
        return row.get_kind_display()

    @column(description=_("by"))
    def show_by(self, row: StockOperation) -> str:
        return self.who(row, row.by)
