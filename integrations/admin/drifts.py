"""Where channels show something else than we do: the queue of whoever settles it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from integrations.hasten import IsPaused, hasten_streams
from integrations.models import Connection, ListingDrift
from integrations.push_again import Settled, accept_drifts, push_drifts_again
from integrations.survey import ITEMS
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import Money, age_text
from omni.kernel.sentences import read_sentence
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter
from products.models import Listing

What = ListingDrift.What
GONE = "gone"

DRIFT_QUEUES = {
    "open": Queue(
        "open",
        _("Differences to channels"),
        _(
            "A channel shows another title, price, number or state than we do, and two surveys have seen it. Tell it "
            "ours again, or take its word."
        ),
        Q(closed_at__isnull=True, confirmed_at__isnull=False, pushed_at__isnull=True),
        (
            "show_sku",
            "shop",
            "show_listing",
            "show_what",
            "show_ours",
            "show_theirs",
            "show_cause",
            "show_detail",
            "show_age",
        ),
        "difference",
        "since",
        ("push_again", "accept", "look_again"),
    )
}


class StandFilter(SimpleListFilter):
    title = _("state")
    parameter_name = "stand"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [
            ("open", _("open")),
            ("watched", _("seen once")),
            ("pushed", _("pushed again")),
            ("over", _("over")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        live = queryset.filter(closed_at__isnull=True)
        found = {
            "open": live,
            "watched": live.filter(confirmed_at__isnull=True),
            "pushed": live.filter(pushed_at__isnull=False),
            "over": queryset.filter(closed_at__isnull=False),
        }
        return found.get(self.value() or "", queryset)


class AgeFilter(SimpleListFilter):
    title = _("age")
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("3", _("more than 3 hours")), ("24", _("more than a day")), ("168", _("more than a week"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value not in ("3", "24", "168"):
            return queryset
        return queryset.filter(since__lt=timezone.now() - timedelta(hours=int(value)))


class SettleForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=500, required=False)


@admin.register(ListingDrift)
class ListingDriftAdmin(ScopedAdmin):
    intro = _(
        "Per listing: what we say, what its channel showed in the last survey, since when, and why. It is over by "
        "itself when both sides agree."
    )
    queues = DRIFT_QUEUES
    shop_path = "shop_id"
    actors = ("pushed_by",)
    list_display = (
        "show_sku",
        "shop",
        "show_listing",
        "show_what",
        "show_ours",
        "show_theirs",
        "show_cause",
        "show_detail",
        "show_stand",
        "show_age",
        "show_who",
    )
    list_display_links = ("show_sku",)
    list_select_related = ("listing__sku", "shop")
    list_filter = (ShopFilter, choice_filter("what"), choice_filter("cause"), StandFilter, AgeFilter)
    search_fields = ("listing__sku__code__exact", "listing__outer_item_id__exact")
    search_help_text = _("A whole SKU code or outer item id")
    shown_as = {
        "pushed_by": "show_who",
        "detail": "show_detail",
        "ours": "show_ours",
        "theirs": "show_theirs",
    }
    exclude = ("version", "held_since", "noted_at")
    actions = ("push_again", "accept", "look_again")

    # --- buttons --------------------------------------------------------------------------------------------
    @admin.action(description=_("Push ours again"), permissions=["operate"])
    def push_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._settle(request, queryset, "push_again", _("Push ours again"), push_drifts_again)

    @admin.action(description=_("Take the channel's word"), permissions=["operate"])
    def accept(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._settle(request, queryset, "accept", _("Take the channel's word"), accept_drifts)

    @admin.action(description=_("Look again now"), permissions=["operate"])
    def look_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        shops = {row.shop_id for row in queryset}
        by, at, count = user_actor(request.user), timezone.now(), 0
        for connection in Connection.objects.filter(shop__in=shops).order_by("pk"):
            try:
                count += hasten_streams(connection_id=connection.pk, streams=[ITEMS], at=at, by=by)
            except IsPaused as paused:
                messages.error(request, paused.detail)
        if count:
            said = ngettext("%d shelf is read again now.", "%d shelves are read again now.", count) % count
            messages.success(request, said)
        return None

    def _settle(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action: str,
        title: Any,
        operation: Callable[..., list[Settled]],
    ) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            ids = [row.pk for row in rows]
            return self.operate(
                request,
                title,
                lambda at, by: _results(
                    rows, operation(drift_ids=ids, reason=answers["reason"], at=at, by=by)
                ),
            )

        form = SettleForm(request.POST if "asked" in request.POST else None)
        chosen = queryset.select_related("listing__sku", "shop").order_by("id")
        return self.ask_first(request, chosen, action=action, title=title, form=form, run=carry_out)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("SKU"))
    def show_sku(self, drift: ListingDrift) -> str:
        return drift.listing.sku.code

    @column(description=_("listing"))
    def show_listing(self, drift: ListingDrift) -> str:
        return str(drift.listing)

    @column(description=_("what differs"))
    def show_what(self, drift: ListingDrift) -> str:
        return drift.get_what_display()

    @column(description=_("ours"))
    def show_ours(self, drift: ListingDrift) -> str:
        return value_text(drift, drift.ours)

    @column(description=_("on the channel"))
    def show_theirs(self, drift: ListingDrift) -> str:
        return value_text(drift, drift.theirs)

    @column(
        description=_("cause"),
        label={
            "unsaid": "warning",
            "unanswered": "warning",
            "refused": "danger",
            "changed": "info",
            "gone": "danger",
        },
    )
    def show_cause(self, drift: ListingDrift) -> tuple[str, str]:
        return drift.cause, drift.get_cause_display()

    @column(description=_("the channel's words"))
    def show_detail(self, drift: ListingDrift) -> str:
        return read_sentence(drift.detail) or "–"

    @column(description=_("age"))
    def show_age(self, drift: ListingDrift) -> str:
        return age_text(drift.since, at=drift.closed_at or timezone.now())

    @column(
        description=_("state"),
        label={"open": "danger", "watched": "info", "pushed": "info", "over": "success"},
    )
    def show_stand(self, drift: ListingDrift) -> tuple[str, Any]:
        if drift.closed_at is not None:
            return "over", drift.get_ending_display()
        if drift.pushed_at is not None:
            return "pushed", _("pushed again")
        return ("open", _("open")) if drift.confirmed_at is not None else ("watched", _("seen once"))

    @column(description=_("pushed again by"))
    def show_who(self, drift: ListingDrift) -> str:
        return self.who(drift, drift.pushed_by)


def value_text(drift: ListingDrift, value: str) -> str:
    """One side of a difference as people read it."""
    if drift.what == What.PRICE:
        return Money(Decimal(value), drift.shop.currency).text()
    if drift.what == What.STATE:
        return gettext("not there") if value == GONE else str(Listing.State(value).label)
    return value


def _results(rows: Sequence[ListingDrift], settled: Sequence[Settled]) -> list[RowResult]:
    names = {row.pk: f"{row.listing.sku.code} @ {row.shop.name}: {row.get_what_display()}" for row in rows}
    return [RowResult(names[each.drift_id], each.ok, each.detail) for each in settled]
