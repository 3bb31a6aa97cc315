"""What is set aside for buyers at this moment, and how much of it one may have."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import ForeignKey, Q, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from inventory.holds.end import give_back_hold
from inventory.models.holds import HoldLimit, StockHold
from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import age_text
from omni.kernel.errors import DomainError
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter
from products.scope import scope_of

HELD = StockHold.State.HELD
HOLD_QUEUES = {
    "held": Queue(
        "held",
        _("Held at this moment"),
        _("Units that nobody else can have, until an order takes them over or their time is over."),
        Q(state=HELD),
        ("key", "shop", "buyer", "show_goods", "show_left", "created_at"),
        "hourglass_top",
        "created_at",
        ("give_back",),
        (ShopFilter,),
    )
}


class GiveBackForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


@admin.register(StockHold)
class StockHoldAdmin(ScopedAdmin):
    intro = _(
        "Units promised to a buyer for some minutes, before there is an order. What expires is given back by itself "
        "within seconds."
    )
    queues = HOLD_QUEUES
    shop_path = "shop_id"
    actors = ("created_by",)
    list_display = ("key", "shop", "buyer", "show_state", "show_goods", "show_left", "show_who", "created_at")
    list_select_related = ("shop",)
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("key__exact", "buyer__exact")
    search_help_text = _("A whole key or buyer")
    fields = (
        "key",
        "shop",
        "buyer",
        "state",
        "show_goods",
        "show_left",
        "expires_at",
        "created_at",
        "show_who",
        "ended_at",
    )
    actions = ("give_back",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StockHold]:
        return super().get_queryset(request).prefetch_related("lines__sku")

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        intro = super().get_intro(request)
        if self.queue_of(request) is None and intro is not None:
            url = reverse("admin:inventory_stockhold_queue", args=["held"])
            intro = {**intro, "links": [{"url": url, "label": _("Held at this moment")}]}
        return intro

    # --- the button -----------------------------------------------------------------------------------------
    @admin.action(description=_("Give back"), permissions=["operate"])
    def give_back(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        title = _("Give back")

        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            return self.operate(
                request, title, lambda at, by: [_give_back(row, answers["reason"], at, by) for row in rows]
            )

        form = GiveBackForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(request, queryset, action="give_back", title=title, form=form, run=carry_out)

    # --- columns --------------------------------------------------------------------------------------------
    @column(
        description=_("state"),
        label={"held": "info", "taken": "success", "released": "", "expired": "warning"},
    )
    def show_state(self, hold: StockHold) -> tuple[str, str]:
        return hold.state, hold.get_state_display()

    @column(description=_("goods"))
    def show_goods(self, hold: StockHold) -> str:
        return ", ".join(f"{line.sku.code} × {line.quantity}" for line in hold.lines.all())

    @column(description=_("expires in"))
    def show_left(self, hold: StockHold) -> str:
        if hold.state != HELD:
            return "–"
        now = timezone.now()
        return age_text(now, at=hold.expires_at) if hold.expires_at > now else gettext("at once")

    @column(description=_("made by"))
    def show_who(self, hold: StockHold) -> str:
        return self.who(hold, hold.created_by)


def _give_back(hold: StockHold, reason: str, at: Any, by: str) -> RowResult:
    try:
        given = give_back_hold(shop_id=hold.shop_id, key=hold.key, at=at, by=by, reason=reason)
    except DomainError as refusal:
        return RowResult(hold.key, False, refusal.detail)
    if given.state == StockHold.State.RELEASED and hold.state == HELD:
        return RowResult(hold.key, True)
    return RowResult(hold.key, False, gettext("It is over already: %s.") % given.get_state_display())


@admin.register(HoldLimit)
class HoldLimitAdmin(ScopedAdmin):
    intro = _(
        "A shop without limits of its own has those of “every other shop”; without that row too: 15 minutes, 10 units "
        "per buyer and SKU, 5 holds per buyer."
    )
    keyset = "id"
    shop_path = "shop_id"
    is_editable = True
    list_display = ("show_shop", "minutes_max", "units_per_buyer", "holds_per_buyer", "show_per_shop")
    list_select_related = ("shop",)
    autocomplete_fields = ("shop",)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        """The row of every other shop is for people who may see all of them."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and not scope_of(request.user).is_everything:
            field.required = True
        return field

    @column(description=_("shop"))
    def show_shop(self, limit: HoldLimit) -> str:
        return str(limit)

    @column(description=_("units per SKU of all buyers"))
    def show_per_shop(self, limit: HoldLimit) -> str:
        no_limit = pgettext_lazy("limit of holds", "no limit")
        return str(no_limit if limit.units_per_shop is None else limit.units_per_shop)
