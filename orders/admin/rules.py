"""What asks for a person: the rules of the automatic review, and the holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import column
from omni.kernel.display import age_text
from orders.models import OrderHold, ReviewRule
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter
from products.scope import Scope


@admin.register(ReviewRule)
class ReviewRuleAdmin(ScopedAdmin):
    intro = _(
        "Every rule that matches is recorded with the order. One that asks for a person wins over those that "
        "approve."
    )
    keyset = "name"
    is_editable = True
    list_display = ("name", "show_shop", "show_action", "position", "is_active")
    list_select_related = ("shop",)
    search_fields = ("name__startswith",)
    autocomplete_fields = ("shop",)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        # A rule without a shop is every shop's: seen by all, changed by those who see every shop.
        return queryset.filter(Q(shop_id__in=scope.shop_ids) | Q(shop__isnull=True))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.shop_id is None and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    @column(description=_("shop"))
    def show_shop(self, rule: ReviewRule) -> str:
        return rule.shop.name if rule.shop else str(_("every shop"))

    @column(description=_("action"), label={"hold": "warning", "approve": "success"})
    def show_action(self, rule: ReviewRule) -> tuple[str, str]:
        return rule.action, rule.get_action_display()


class HoldShopFilter(ShopFilter):
    path = "order__shop_id"


@admin.register(OrderHold)
class OrderHoldAdmin(ScopedAdmin):
    shop_path = "order__shop_id"
    actors = ("placed_by", "resolved_by")
    shown_as: ClassVar[Mapping[str, str]] = {
        "placed_by": "show_placed_by",
        "resolved_by": "show_resolved_by",
        "reason": "show_reason",
        "note": "show_note",
    }
    list_display = (
        "show_order",
        "show_kind",
        "show_state",
        "show_reason",
        "show_placed_by",
        "placed_at",
        "show_waiting",
        "show_resolved_by",
        "resolved_at",
    )
    list_select_related = ("order",)
    list_filter = (HoldShopFilter, choice_filter("kind"), choice_filter("state"))
    search_fields = ("order__number__exact",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("order__receiver")

    @column(description=_("order"))
    def show_order(self, hold: OrderHold) -> str:
        return hold.order.number

    @column(description=_("kind"), label=True)
    def show_kind(self, hold: OrderHold) -> str:
        return hold.get_kind_display()

    @column(description=_("state"), label={"open": "warning", "resolved": "success"})
    def show_state(self, hold: OrderHold) -> tuple[str, str]:
        return hold.state, hold.get_state_display()

    @column(description=_("reason"))
    def show_reason(self, hold: OrderHold) -> str:
        return hold.reason_said

    @column(description=_("note"))
    def show_note(self, hold: OrderHold) -> str:
        return hold.note_said or "–"

    @column(description=_("placed by"))
    def show_placed_by(self, hold: OrderHold) -> str:
        return self.who(hold, hold.placed_by)

    @column(description=_("resolved by"))
    def show_resolved_by(self, hold: OrderHold) -> str:
        return self.who(hold, hold.resolved_by)

    @column(description=_("waiting for"))
    def show_waiting(self, hold: OrderHold) -> str:
        return age_text(hold.placed_at) if hold.state == OrderHold.State.OPEN else "–"
