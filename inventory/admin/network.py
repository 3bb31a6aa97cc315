"""The places where stock lies."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from inventory.models import Location, LocationGroup
from omni.kernel.admin_base import column
from products.admin.scoped import ScopedAdmin, choice_filter


@admin.register(LocationGroup)
class LocationGroupAdmin(ScopedAdmin):
    intro = _(
        "Locations that sell as one: stock is promised from the group, and taken from a location by sourcing."
    )
    keyset = "code"
    is_house_wide = True
    is_editable = True
    list_display = ("code", "name", "new_stock_goes_to")
    search_fields = ("code__startswith",)


@admin.register(Location)
class LocationAdmin(ScopedAdmin):
    keyset = "code"
    is_house_wide = True
    is_editable = True
    list_display = (
        "code",
        "name",
        "show_kind",
        "group",
        "province",
        "city",
        "priority",
        "ships_online",
        "is_active",
    )
    list_select_related = ("group",)
    list_filter = (choice_filter("kind"),)
    search_fields = ("code__startswith",)
    autocomplete_fields = ("group",)

    @column(description=_("kind"))
    def show_kind(self, location: Location) -> str:
        return location.get_kind_display()
