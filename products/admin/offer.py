"""Shops, what they list, and who may see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import column
from omni.kernel.display import Money, age_text
from omni.kernel.events import record_events
from products.admin.listing_acts import LISTING_ACTS, LISTING_QUEUES, ListingActs
from products.admin.panels import PanelledAdmin, acts_panel, channel_panel, pictures_panel, title_of_listing
from products.admin.pictures import PicturesPage
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter
from products.events import ListingsChanged
from products.map import note_mapped
from products.models import Listing, Shop, StaffScope
from products.update import retitle_listings

# Which of our SKUs an item of the channel is, and whether it is offered: with any of them the item's number changes.
IDENTITY = frozenset({"sku", "outer_item_id", "outer_sku_id", "state"})


@admin.register(Shop)
class ShopAdmin(ScopedAdmin):
    keyset = "code"
    shop_path = "pk"
    is_editable = True
    list_display = (
        "code",
        "name",
        "channel",
        "brand",
        "currency",
        "order_policy",
        "fulfilled_by",
        "is_active",
    )
    list_select_related = ("brand",)
    search_fields = ("code__startswith", "name__startswith")
    autocomplete_fields = ("brand",)


@admin.register(Listing)
class ListingAdmin(ListingActs, PicturesPage, PanelledAdmin, ScopedAdmin):
    panels = ("products/acts_panel.html", "products/channel_panel.html", "products/pictures_panel.html")
    intro = _(
        "What a channel calls one of our SKUs. An order line finds its SKU here, and stock is pushed to every "
        "listed row."
    )
    queues = LISTING_QUEUES
    shop_path = "shop_id"
    is_editable = True
    actors = ("state_by",)
    list_display = ("show_listing", "shop", "show_sku", "show_title", "show_price", "show_state")
    list_select_related = ("shop", "sku__spu")
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("outer_item_id__exact", "outer_sku_id__exact", "sku__code__exact")
    search_help_text = _("A whole outer item id, outer SKU id or SKU code")
    autocomplete_fields = ("shop", "sku")
    readonly_fields = ("state_at", "show_by", "state_reason", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Listing | None = None) -> Sequence[str]:
        """A listing stays in its shop: what that shop's channel was told hangs on it. Another shop has its own."""
        if obj is None:
            return self.readonly_fields
        # What is on its way through review is moved by its buttons.
        is_outside = obj.state in (Listing.State.LISTED, Listing.State.DELISTED)
        # What it costs is asked for and approved (docs/prices.md); here stands only what was written down of it before.
        return ("shop", "price", *(() if is_outside else ("state",)), *self.readonly_fields)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """By hand a person says only what a channel does already: it is offered there, or it is not."""
        if db_field.name == "state":
            kwargs["choices"] = [
                (state.value, state.label) for state in (Listing.State.LISTED, Listing.State.DELISTED)
            ]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Listing, form: Any, change: bool) -> None:
        if not change or "state" in form.changed_data:
            obj.state_at, obj.state_by = timezone.now(), user_actor(request.user)
        # An item's title is told to its channel: that is an operation of its own.
        title, has_title = obj.title, change and "title" in form.changed_data
        if has_title:
            obj.title = form.initial.get("title", "")
        super().save_model(request, obj, form, change)
        if has_title:
            retitle_listings(titles={obj.pk: title}, at=timezone.now(), by=user_actor(request.user))
        if obj.outer_item_id:
            note_mapped(listing_ids=[obj.pk])
        if obj.state == Listing.State.LISTED and (not change or set(form.changed_data) & IDENTITY):
            record_events(ListingsChanged(obj.shop_id, (obj.sku_id,)))

    @column(description=_("SKU"))
    def show_sku(self, listing: Listing) -> str:
        return listing.sku.code

    @column(description=_("title"))
    def show_title(self, listing: Listing) -> str:
        return title_of_listing(listing)

    @column(description=_("price"))
    def show_price(self, listing: Listing) -> str:
        return Money(listing.price, listing.shop.currency).text() if listing.price is not None else "–"

    @column(description=_("outer item / SKU"))
    def show_listing(self, listing: Listing) -> str:
        return str(listing) if listing.outer_item_id else "–"

    @column(description=_("by"))
    def show_by(self, listing: Listing) -> str:
        return self.who(listing, listing.state_by)

    @column(description=_("sales catalogue"))
    def show_catalogue(self, listing: Listing) -> str:
        return listing.outside.catalogue.name

    @column(description=_("waiting for"))
    def show_outside_since(self, listing: Listing) -> str:
        return age_text(listing.outside.since)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Listing]:
        queryset: QuerySet[Listing] = super().get_queryset(request)
        queue = self.queue_of(request)
        is_outside = queue is not None and queue.code == "outside"
        return queryset.select_related("outside__catalogue") if is_outside else queryset

    @column(
        description=_("state"),
        label={
            "draft": "",
            "submitted": "info",
            "rejected": "danger",
            "approved": "warning",
            "listed": "success",
            "delisted": "",
        },
    )
    def show_state(self, listing: Listing) -> tuple[str, str]:
        return listing.state, listing.get_state_display()

    def panel_context(self, request: HttpRequest, row: Listing) -> dict[str, Any]:
        acts = acts_panel(self, request, row, LISTING_ACTS.get(row.state, ()))
        return {**acts, **channel_panel(request, row), **pictures_panel(request, row)}


@admin.register(StaffScope)
class StaffScopeAdmin(ScopedAdmin):
    """Who may see what is for those with the permission to say so, for the whole house."""

    intro = _("Staff who are not superusers see the rows of these brands and shops, and nothing else.")
    is_house_wide = True
    is_editable = True
    list_display = ("user", "brand", "shop")
    list_select_related = ("user", "brand", "shop")
    autocomplete_fields = ("user", "brand", "shop")

    def has_delete_permission(self, request, obj=None):  # type: ignore[no-untyped-def]
        return request.user.has_perm("products.delete_staffscope")
