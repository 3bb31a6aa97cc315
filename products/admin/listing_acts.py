"""What people do with listings: draft, submit, approve, reject, put on sale, take off sale; one by one or many."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import BaseAdmin, Queue, RowResult, column
from omni.kernel.errors import DomainError
from omni.kernel.sentences import read_sentence
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter
from products.assortment.holding import outside_pairs
from products.draft import (
    Moved,
    approve_listings,
    draft_listings,
    reject_listings,
    submit_listings,
    take_back_listings,
)
from products.models import Listing, ListingRequest, Shop
from products.request import (
    Asked,
    cancel_requests,
    publish_listings,
    repeat_requests,
    withdraw_listings,
)
from products.scope import visible_shop_ids
from products.update import update_listings

_COLUMNS = (
    "show_listing",
    "shop",
    "show_sku",
    "show_title",
    "show_state",
    "state_at",
    "show_by",
    "state_reason",
)

LISTING_QUEUES = {
    "submitted": Queue(
        "submitted",
        _("Listings to approve"),
        _("Somebody asks to offer these. Approve what is right; whoever is rejected must learn why."),
        Q(state=Listing.State.SUBMITTED),
        _COLUMNS,
        "fact_check",
        "state_at",
        ("approve", "reject"),
    ),
    "approved": Queue(
        "approved",
        _("Listings to put on sale"),
        _(
            "Approved, and not on sale yet. What has no item on its channel must be entered there and mapped first."
        ),
        Q(state=Listing.State.APPROVED),
        _COLUMNS,
        "publish",
        "state_at",
        ("publish", "take_back"),
    ),
    "outside": Queue(
        "outside",
        _("On sale outside the catalogue"),
        _(
            "The catalogue of the shop does not hold these any more, or never did. Take them off sale, or pick them "
            "for the catalogue."
        ),
        Q(state=Listing.State.LISTED, outside__isnull=False),
        ("show_listing", "shop", "show_sku", "title", "show_catalogue", "show_outside_since"),
        "playlist_remove",
        "outside__since",
        ("withdraw",),
        (ShopFilter,),
    ),
}
# The buttons on the page of one listing.
LISTING_ACTS: dict[str, tuple[str, ...]] = {
    Listing.State.DRAFT: ("submit",),
    Listing.State.REJECTED: ("submit",),
    Listing.State.SUBMITTED: ("approve", "reject"),
    Listing.State.APPROVED: ("publish", "take_back"),
    Listing.State.LISTED: ("withdraw", "tell_title"),
    Listing.State.DELISTED: ("publish",),
}
REQUEST_QUEUES = {
    "refused": Queue(
        "refused",
        _("Refused listing requests"),
        _("The channel said no for good: mend what it says, then ask again."),
        Q(state=ListingRequest.State.REFUSED),
        ("show_listing", "shop", "show_sku", "act", "content", "show_answer", "show_who", "answered_at"),
        "block",
        "requested_at",
        ("repeat",),
    )
}


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=500)


class OptionalReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=500, required=False)


class WindowForm(forms.Form):
    """When to put on sale and when to take off again; empty: now, and not."""

    starts_at = forms.DateTimeField(
        label=_("On sale from (empty: now)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    ends_at = forms.DateTimeField(
        label=_("Off sale again at (empty: stays)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    reason = forms.CharField(label=_("Reason"), max_length=500, required=False)


class MomentForm(forms.Form):
    starts_at = forms.DateTimeField(
        label=_("Off sale from (empty: now)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    reason = forms.CharField(label=_("Reason"), max_length=500, required=False)


class ShopsForm(forms.Form):
    shops = forms.ModelMultipleChoiceField(
        Shop.objects.none(), label=_("Shops"), widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, request: HttpRequest, *given: Any) -> None:
        super().__init__(*given)
        visible = visible_shop_ids(request.user)
        shops = Shop.objects.filter(is_active=True).order_by("code")
        field: Any = self.fields["shops"]
        field.queryset = shops if visible is None else shops.filter(pk__in=visible)


class ListingActs(BaseAdmin):
    """The buttons of the list of listings; each says what came of every row."""

    actions = ("submit", "approve", "reject", "take_back", "publish", "withdraw", "tell_title")

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.approve_listing"))

    @admin.action(description=_("Submit for approval"), permissions=["operate"])
    def submit(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._move(request, queryset, _("Submit for approval"), submit_listings)

    @admin.action(description=_("Approve"), permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._move(request, queryset, _("Approve"), approve_listings)

    @admin.action(description=_("Make a draft again"), permissions=["operate"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._move(request, queryset, _("Make a draft again"), take_back_listings)

    @admin.action(description=_("Reject"), permissions=["approve"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            return self._move(request, queryset, _("Reject"), reject_listings, reason=answers["reason"])

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(request, queryset, action="reject", title=_("Reject"), form=form, run=carry_out)

    @admin.action(description=_("Put on sale"), permissions=["operate"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = WindowForm(request.POST if "asked" in request.POST else None)
        return self._ask_channel(request, queryset, "publish", _("Put on sale"), form, publish_listings)

    @admin.action(description=_("Take off sale"), permissions=["operate"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = MomentForm(request.POST if "asked" in request.POST else None)
        return self._ask_channel(request, queryset, "withdraw", _("Take off sale"), form, withdraw_listings)

    @admin.action(description=_("Tell the title"), permissions=["operate"])
    def tell_title(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = OptionalReasonForm(request.POST if "asked" in request.POST else None)
        return self._ask_channel(request, queryset, "tell_title", _("Tell the title"), form, update_listings)

    def _move(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        title: Any,
        operation: Callable[..., list[Moved]],
        **more: Any,
    ) -> HttpResponse | None:
        rows = list(queryset.select_related("shop", "sku").order_by("id"))
        ids = [row.pk for row in rows]
        return self.operate(
            request, title, lambda at, by: _results(rows, operation(listing_ids=ids, at=at, by=by, **more))
        )

    def _ask_channel(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action: str,
        title: Any,
        form: forms.Form,
        operation: Callable[..., tuple[uuid.UUID, list[Asked]]],
    ) -> HttpResponse | None:
        """Ask when, ask the channels, then show the refused lines, or the requests with what comes of them."""

        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            ids = [row.pk for row in rows]
            given = {name: value for name, value in answers.items() if value}
            try:
                batch, asked = operation(
                    listing_ids=ids, at=timezone.now(), by=user_actor(request.user), **given
                )
            except DomainError as refusal:
                messages.error(request, refusal.detail)
                return None
            page = reverse("admin:products_listingrequest_changelist") + f"?batch={batch}"
            return self.tell_results(
                request, title, _results(rows, asked), back=page
            ) or HttpResponseRedirect(page)

        chosen = queryset.select_related("shop", "sku").order_by("id")
        return self.ask_first(request, chosen, action=action, title=title, form=form, run=carry_out)


class DraftingActs(BaseAdmin):
    """The button of the list of SKUs: draft what is chosen in some shops."""

    @admin.action(description=_("Draft listings in shops"), permissions=["draft"])
    def draft_listings(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            shop_ids = [shop.pk for shop in answers["shops"]]
            outside = outside_pairs([(shop_id, row.pk) for shop_id in shop_ids for row in rows])
            made = draft_listings(
                shop_ids=shop_ids,
                sku_ids=[row.pk for row in rows],
                at=timezone.now(),
                by=user_actor(request.user),
            )
            wanted = len(shop_ids) * len(rows)
            messages.success(
                request,
                ngettext("%(made)d listing drafted.", "%(made)d listings drafted.", len(made))
                % {"made": len(made)},
            )
            if outside:
                text = ngettext(
                    "%d is not in the catalogue of its shop.",
                    "%d are not in the catalogues of their shops.",
                    len(outside),
                )
                messages.warning(request, text % len(outside))
            left = wanted - len(made) - len(outside)
            if left:
                messages.info(request, gettext("%d are listed or drafted there already.") % left)
            return None

        form = ShopsForm(request, request.POST if "asked" in request.POST else None)
        title = _("Draft listings in shops")
        return self.ask_first(
            request, queryset, action="draft_listings", title=title, form=form, run=carry_out
        )

    def has_draft_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.add_listing"))


class BatchFilter(admin.SimpleListFilter):
    """What was asked for together; reached by a link, offered by no list."""

    title = _("batch")
    parameter_name = "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(self.parameter_name, "")
        return [(value, value[:8])] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            return queryset.filter(batch=uuid.UUID(self.value() or ""))
        except ValueError:
            return queryset


@admin.register(ListingRequest)
class ListingRequestAdmin(ScopedAdmin):
    intro = _(
        "What channels were asked to put on sale, to take off or to call otherwise, line by line, with answers."
    )
    queues = REQUEST_QUEUES
    shop_path = "shop_id"
    actors = ("requested_by",)
    list_display = (
        "show_listing",
        "shop",
        "show_sku",
        "act",
        "content",
        "show_state",
        "scheduled_at",
        "attempts",
        "show_answer",
        "show_who",
        "answered_at",
    )
    list_select_related = ("shop", "listing__sku")
    list_filter = (ShopFilter, choice_filter("state"), choice_filter("act"), BatchFilter)
    search_fields = ("listing__sku__code__exact", "listing__outer_item_id__exact")
    search_help_text = _("A whole SKU code or outer item id")
    shown_as = {"requested_by": "show_who", "answer": "show_answer"}
    actions = ("cancel", "repeat")

    @admin.action(description=_("Call off"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            ids, no = [row.pk for row in rows], gettext("It was tried or answered already.")
            return self.operate(
                request,
                _("Call off"),
                lambda at, by: _changed(
                    rows, cancel_requests(request_ids=ids, reason=answers["reason"], at=at, by=by), no
                ),
            )

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(
            request, queryset, action="cancel", title=_("Call off"), form=form, run=carry_out
        )

    @admin.action(description=_("Ask again"), permissions=["operate"])
    def repeat(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset)
        ids = [row.pk for row in rows]
        no = gettext("It was not refused, or it was asked for anew since.")
        return self.operate(
            request,
            _("Ask again"),
            lambda at, by: _changed(rows, repeat_requests(request_ids=ids, at=at, by=by), no),
        )

    @column(description=_("listing"))
    def show_listing(self, row: ListingRequest) -> str:
        return str(row.listing)

    @column(description=_("SKU"))
    def show_sku(self, row: ListingRequest) -> str:
        return row.listing.sku.code

    @column(
        description=_("state"), label={"due": "info", "done": "success", "refused": "danger", "cancelled": ""}
    )
    def show_state(self, row: ListingRequest) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("answer"))
    def show_answer(self, row: ListingRequest) -> str:
        return read_sentence(row.answer) or "–"

    @column(description=_("asked by"))
    def show_who(self, row: ListingRequest) -> str:
        return self.who(row, row.requested_by)


def _results(rows: Sequence[Any], came: Sequence[Moved | Asked]) -> list[RowResult]:
    names = {row.pk: f"{row.sku.code} @ {row.shop.name}" for row in rows}
    return [RowResult(names[each.listing_id], each.ok, each.detail) for each in came]


def _changed(rows: Sequence[Any], ids: Sequence[int], no: str) -> list[RowResult]:
    return [RowResult(str(row.listing), row.pk in ids, "" if row.pk in ids else no) for row in rows]
