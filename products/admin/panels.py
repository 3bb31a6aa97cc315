"""What stands below the form of a product, a SKU or a listing: its pictures, and what hangs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import BaseAdmin
from omni.kernel.display import Money
from products.models import Listing, OuterItem, Sku, Spu
from products.scope import visible_shop_ids
from products.template import of_sku, say_values, template_of
from products.titles import shown_title

ROWS_MAX = 200
PICTURES_MAX = 12


class PanelledAdmin(BaseAdmin):
    """Shows the templates of `panels` below its form, each with what `panel_context` says."""

    change_form_outer_after_template = "products/panels.html"
    panels: ClassVar[tuple[str, ...]] = ()

    def panel_context(self, request: HttpRequest, row: Any) -> Mapping[str, Any]:
        """What the panels of one row show."""
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            context |= {"panels": self.panels, **self.panel_context(request, obj)}
        answer: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return answer


def acts_panel(
    page: BaseAdmin,
    request: HttpRequest,
    row: Any,
    names: Sequence[str],
    facts: Sequence[tuple[Any, Any]] = (),
) -> dict[str, Any]:
    """The buttons of the list for this one row: those of `names` that the viewer has. They are pressed there, so that
    one row is asked and answered as many are.
    """
    offered = page.get_actions(request)
    return {
        "acts": [(name, offered[name][2]) for name in names if name in offered],
        "acts_page": reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist"),
        "acts_row": row.pk,
        "facts": facts,
    }


def pictures_panel(request: HttpRequest, row: Any) -> dict[str, Any]:
    """The pictures of its own, for people who may see the library."""
    if not request.user.has_perm("products.view_image"):
        return {"pictures": None}
    uses = row.image_uses.select_related("image").order_by("position")[:PICTURES_MAX]
    page = reverse(f"admin:products_{row._meta.model_name}_pictures", args=[row.pk])
    return {"pictures": [use.image for use in uses], "pictures_page": page}


def skus_panel(spu: Spu) -> dict[str, Any]:
    """The SKUs of a product with what tells them apart, in the order of their codes."""
    template = of_sku(template_of(spu.category_id))
    skus = list(Sku.objects.filter(spu=spu).order_by("code")[: ROWS_MAX + 1])
    rows = [
        (
            sku,
            ", ".join(said for _label, said in say_values(template, sku.attributes)),
            Money(sku.list_price, sku.currency).text() if sku.list_price is not None else "–",
        )
        for sku in skus[:ROWS_MAX]
    ]
    return {"skus": rows, "has_more_skus": len(skus) > ROWS_MAX}


def components_panel(sku: Sku) -> dict[str, Any]:
    """What lies in a bundle, and the bundles in which a plain SKU lies. It is said on a page of its own, because stock
    and orders have a word in it.
    """
    holders = sku.part_of.select_related("bundle").order_by("bundle__code")
    return {
        "components": list(sku.components.select_related("component").order_by("pk")),
        "holders": list(holders[:ROWS_MAX]),
        "components_page": reverse("admin:products_bundle_change", args=[sku.pk]),
    }


def listings_panel(request: HttpRequest, sku: Sku) -> dict[str, Any]:
    """Where a SKU is listed, in the shops of whoever looks."""
    if not request.user.has_perm("products.view_listing"):
        return {"listings": None}
    listings = Listing.objects.filter(sku=sku).select_related("shop", "published_price", "sku__spu")
    shops = visible_shop_ids(request.user)
    if shops is not None:
        listings = listings.filter(shop__in=shops)
    rows = [
        (listing, title_of_listing(listing), _price_of(listing))
        for listing in listings.order_by("shop__code", "pk")[:ROWS_MAX]
    ]
    return {"listings": rows}


def channel_panel(request: HttpRequest, listing: Listing) -> dict[str, Any]:
    """What we say of a listing beside what its channel showed in the last survey."""
    if not listing.outer_item_id:
        return {"on_channel": None}
    seen = OuterItem.objects.filter(
        shop=listing.shop_id,
        outer_item_id=listing.outer_item_id,
        outer_sku_id=listing.outer_sku_id,
        source=OuterItem.Source.CHANNEL,
    ).first()
    currency = (seen.currency if seen else "") or listing.shop.currency
    is_there = seen is not None and seen.is_listed is not None
    state = Listing.State.LISTED if seen and seen.is_listed else Listing.State.DELISTED
    rows = [
        (_("title"), title_of_listing(listing), seen.title if seen else "–"),
        (
            _("price"),
            _price_of(listing),
            Money(seen.price, currency).text() if seen and seen.price is not None else "–",
        ),
        (_("quantity"), "–", seen.quantity if seen and seen.quantity is not None else "–"),
        (_("state"), listing.get_state_display(), state.label if is_there else "–"),
    ]
    # The attic's own page: this room knows its address and nothing else of it.
    may_see = request.user.has_perm("integrations.view_listingdrift")
    page = reverse("admin:integrations_listingdrift_changelist") + f"?q={listing.outer_item_id}"
    return {
        "on_channel": rows,
        "seen_at": seen.seen_at if seen else None,
        "differences_page": page if may_see else "",
    }


def title_of_listing(listing: Listing) -> str:
    return shown_title(
        own=listing.title,
        has_skus=bool(listing.outer_sku_id),
        sku_name=listing.sku.name,
        product_name=listing.sku.spu.name,
    )


def _price_of(listing: Listing) -> str:
    """What its channel should show; before Omni keeps its price, what was written down of it."""
    told = getattr(listing, "published_price", None)
    if told is not None:
        return Money(told.desired_amount, told.currency).text()
    return Money(listing.price, listing.shop.currency).text() if listing.price is not None else "–"
