"""Prices from the wish to the yes: entry with a preview, decisions row by row, the calendar, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import Money
from omni.kernel.names import name_actors
from products.admin.floor_prices import below_rows
from products.admin.panels import PanelledAdmin, acts_panel
from products.admin.price_forms import PriceForm, ReasonForm, WhyForm, digest_of
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter, visible_skus_of
from products.models import Price, Shop, Sku
from products.prices.ask import ask_for_prices, submit_prices
from products.prices.calendar import steps_between
from products.prices.decide import approve_prices, reject_prices, withdraw_prices
from products.prices.faults import foresee_refusals
from products.prices.floors import approved_below_floor
from products.prices.outcome import PriceOutcome
from products.prices.proposal import Proposal, regular_prices_now
from products.prices.states import PriceState
from products.prices.why import Candidate, Lost, Scope, scope_of_price, why_price
from products.scope import Scope as Viewer
from products.scope import scope_of, whole_brand_ids

CALENDAR_DAYS = 31
SCOPE_WORDS = {
    Scope.SHOP: _("this shop"),
    Scope.CHANNEL: _("this kind of channel"),
    Scope.EVERYWHERE: _("every shop"),
    Scope.LIST_PRICE: _("list price"),
}
LOST_WORDS = {
    Lost.LESS_SPECIFIC: _("a more specific price is in force"),
    Lost.SPECIAL_FIRST: _("a special price is in force in the same scope"),
    Lost.BELOW_FLOOR: _("it lies below the floor price"),
}
COLUMNS = (
    "show_sku",
    "show_scope",
    "kind",
    "show_amount",
    "starts_at",
    "ends_at",
    "show_state",
    "show_requested",
    "show_decided",
)
PRICE_QUEUES = {
    "to_approve": Queue(
        "to_approve",
        _("Prices to approve"),
        _("Asked for, and in force only when somebody else has approved them."),
        Q(state=PriceState.SUBMITTED),
        (
            "show_sku",
            "show_scope",
            "kind",
            "show_regular",
            "show_amount",
            "show_change",
            "starts_at",
            "ends_at",
            "reason",
            "show_requested",
        ),
        "price_check",
        "requested_at",
        ("approve", "reject", "withdraw"),
        (ShopFilter, choice_filter("kind")),
    )
}

# The buttons on the page of one price.
ACTS_IN_STATE: dict[str, tuple[str, ...]] = {
    PriceState.DRAFT: ("submit", "withdraw"),
    PriceState.SUBMITTED: ("approve", "reject", "withdraw"),
    PriceState.APPROVED: ("withdraw",),
}

Decision = Callable[[list[int], datetime, str], list[PriceOutcome]]


@admin.register(Price)
class PriceAdmin(PanelledAdmin, ScopedAdmin):
    panels = ("products/acts_panel.html",)
    intro = _(
        "A price is asked for by one person and approved by another; then it is in force from its start on and told to "
        "the channels. The most specific price wins: shop, channel, everywhere, list price."
    )
    queues = PRICE_QUEUES
    actors = ("requested_by", "decided_by")
    list_display = COLUMNS
    list_display_links = ("show_sku",)
    list_select_related = ("sku", "shop")
    list_filter = (ShopFilter, choice_filter("state"), choice_filter("kind"))
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    shown_as = {"amount": "show_amount", "requested_by": "show_requested", "decided_by": "show_decided"}
    actions = ("submit", "approve", "reject", "withdraw")

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Viewer) -> QuerySet[Any]:
        """The prices of their shops, and those that concern every shop for products of their brands."""
        everywhere = Q(shop=None, sku__spu__brand_id__in=scope.brand_ids)
        return queryset.filter(Q(shop_id__in=scope.shop_ids) | everywhere)

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        intro = super().get_intro(request) or {}
        links = [
            (reverse("admin:products_price_calendar"), gettext("Calendar")),
            (reverse("admin:products_price_why"), gettext("Why does it cost that?")),
        ]
        if self.has_operate_permission(request):
            links.insert(0, (reverse("admin:products_price_ask"), gettext("Ask for prices")))
        return {**intro, "links": [{"url": url, "label": label} for url, label in links]}

    def title_of_row(self, row: Price) -> str:
        return title_of(row)

    def name_rows(self, request: HttpRequest, rows: Sequence[Price]) -> None:
        """Whoever decides wants to see what would change: looked up once for all open rows of the page."""
        super().name_rows(request, rows)
        regular = regular_prices_now(
            prices=[row for row in rows if row.state in (PriceState.DRAFT, PriceState.SUBMITTED)],
            at=timezone.now(),
        )
        for row in rows:
            vars(row)["regular"] = regular.get(row.pk)

    def panel_context(self, request: HttpRequest, row: Price) -> dict[str, Any]:
        facts: list[tuple[Any, Any]] = []
        if row.state in (PriceState.DRAFT, PriceState.SUBMITTED):
            facts = [
                (_("Regular price now"), self.show_regular(row)),
                (_("New price"), self.show_amount(row)),
                (_("Change"), self.show_change(row) or "–"),
            ]
        context = acts_panel(self, request, row, ACTS_IN_STATE.get(row.state, ()), facts)
        if row.shop_id:
            query = urlencode({"shop": row.shop_id, "sku": row.sku.code})
            page = f"{reverse('admin:products_price_why')}?{query}"
            context["links"] = [(page, _("Why does it cost that?"))]
        return context

    # --- who may --------------------------------------------------------------------------------------------
    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.approve_price"))

    def _within(self, request: HttpRequest, rows: Sequence[Price]) -> tuple[list[Price], list[RowResult]]:
        """What the viewer may decide on; a price for every shop concerns also those that they do not see."""
        allowed = whole_brand_ids(request.user)
        mine = [row for row in rows if row.shop_id or allowed is None or row.sku.spu.brand_id in allowed]
        text = gettext("It concerns shops that you do not see.")
        others = [RowResult(title_of(row), False, text) for row in rows if row not in mine]
        return mine, others

    def _decide(
        self, request: HttpRequest, title: Any, queryset: QuerySet[Any], decide: Decision
    ) -> HttpResponse | None:
        mine, others = self._within(request, list(queryset.select_related("sku__spu")))
        names = {row.pk: title_of(row) for row in mine}

        def run(at: datetime, by: str) -> list[RowResult]:
            outcomes = decide(list(names), at, by) if names else []
            return others + [
                RowResult(names.get(outcome.price_id or 0, "?"), outcome.ok, outcome.detail)
                for outcome in outcomes
            ]

        return self.operate(request, title, run)

    # --- decisions ------------------------------------------------------------------------------------------
    @admin.action(description=_("Submit for approval"), permissions=["operate"])
    def submit(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._decide(
            request,
            _("Submit for approval"),
            queryset,
            lambda ids, at, by: submit_prices(price_ids=ids, at=at, by=by),
        )

    @admin.action(description=_("Approve"), permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        may_own = bool(request.user.has_perm("products.approve_own_price"))
        return self._decide(
            request,
            _("Approve"),
            queryset,
            lambda ids, at, by: approve_prices(price_ids=ids, may_approve_own=may_own, at=at, by=by),
        )

    @admin.action(description=_("Reject"), permissions=["approve"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._with_reason(request, queryset, "reject", _("Reject"), reject_prices)

    @admin.action(description=_("Withdraw"), permissions=["operate"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._with_reason(request, queryset, "withdraw", _("Withdraw"), withdraw_prices)

    def _with_reason(
        self, request: HttpRequest, queryset: QuerySet[Any], action: str, title: Any, act: Any
    ) -> HttpResponse | None:
        def run(answers: dict[str, Any], _rows: list[Any]) -> HttpResponse | None:
            return self._decide(
                request,
                title,
                queryset,
                lambda ids, at, by: act(price_ids=ids, reason=answers["reason"], at=at, by=by),
            )

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(request, queryset, action=action, title=title, form=form, run=run)

    # --- pages ----------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("ask/", wrap(self.ask_view), name="products_price_ask"),
            path("calendar/", wrap(self.calendar_view), name="products_price_calendar"),
            path("why/", wrap(self.why_view), name="products_price_why"),
            *super().get_urls(),
        ]

    def _page(self, request: HttpRequest, template: str, title: Any, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        known = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(request, f"products/{template}", known | context)

    def ask_view(self, request: HttpRequest) -> HttpResponse:
        """One price or two thousand: the form, then what it would make of each price, then the question."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        skus = visible_skus_of(self, request)
        if request.method != "POST":
            codes = request.GET.get("codes", "").replace(",", "\n")[:20_000]
            now = timezone.localtime().strftime("%Y-%m-%dT%H:%M")
            initial = {"lines": codes, "starts_at": now}
            return self._ask_page(request, PriceForm(skus=skus, user=request.user, initial=initial))
        form = PriceForm(request.POST, skus=skus, user=request.user)
        if not form.is_valid():
            return self._ask_page(request, form)
        allowed = whole_brand_ids(request.user)
        is_for_all = not form.cleaned_data["shop"] and allowed is not None
        if is_for_all and any(sku.spu.brand_id not in (allowed or ()) for sku in form.chosen()):
            form.add_error("shop", gettext("Choose a shop: a price for every shop concerns also others."))
            return self._ask_page(request, form)
        proposals = form.proposals()
        if request.POST.get("seen") != digest_of(proposals):
            return self._ask_page(request, form, proposals=proposals, seen=digest_of(proposals))
        return self._ask_for(request, form, proposals)

    def _ask_page(
        self, request: HttpRequest, form: PriceForm, proposals: Sequence[Proposal] = (), **context: Any
    ) -> HttpResponse:
        if proposals:
            context |= self._preview(form, proposals)
        return self._page(request, "price_ask_page.html", _("Ask for prices"), form=form, **context)

    def _preview(self, form: PriceForm, proposals: Sequence[Proposal]) -> dict[str, Any]:
        """What would become of each price, in the words in which it would be refused; and for whom and when."""
        given = form.cleaned_data
        drafts = form.drafts(proposals)
        refusals = foresee_refusals(drafts=drafts, at=timezone.now())
        remarks = {
            draft.sku_id: refusal[1] for draft, refusal in zip(drafts, refusals, strict=True) if refusal
        }
        remarks |= {
            row.sku_id: gettext("There is no price to start from.") for row in proposals if row.amount is None
        }
        rows = [
            (
                row,
                Money(row.base, row.currency).text() if row.base is not None else "–",
                Money(row.amount, row.currency).text() if row.amount is not None else "–",
                change_text(row.base, row.amount),
                remarks.get(row.sku_id, ""),
            )
            for row in proposals
        ]
        asked = Price(shop=given["shop"], channel=given["channel"], kind=given["kind"])
        return {
            "rows": rows,
            "refused": len(remarks),
            "asked": asked,
            "asked_for": scope_text(asked),
            "starts_at": given["starts_at"],
            "ends_at": given["ends_at"],
        }

    def _ask_for(self, request: HttpRequest, form: PriceForm, proposals: Sequence[Any]) -> HttpResponse:
        wanted = [row for row in proposals if row.amount is not None]
        outcomes = ask_for_prices(
            drafts=form.drafts(wanted),
            reason=form.cleaned_data["reason"],
            at=timezone.now(),
            by=user_actor(request.user),
        )
        results = [
            RowResult(row.sku_code, outcome.ok, outcome.detail)
            for row, outcome in zip(wanted, outcomes, strict=True)
        ]
        text = gettext("There is no price to start from.")
        results += [RowResult(row.sku_code, False, text) for row in proposals if row.amount is None]
        back = reverse("admin:products_price_changelist")
        return self.tell_results(request, _("Submit for approval"), results, back) or redirect(back)

    def calendar_view(self, request: HttpRequest) -> HttpResponse:
        """What begins and ends in the coming weeks, day by day."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        steps = steps_between(
            prices=self.get_queryset(request), start=now, end=now + timedelta(days=CALENDAR_DAYS)
        )
        days: dict[str, list[dict[str, Any]]] = {}
        for step in steps:
            day = timezone.localtime(step.at).strftime("%Y-%m-%d")
            days.setdefault(day, []).append(
                {
                    "time": timezone.localtime(step.at).strftime("%H:%M"),
                    "price": step.price,
                    "is_start": step.is_start,
                    "scope": scope_text(step.price),
                    "amount": Money(step.price.amount, step.price.currency).text(),
                }
            )
        below = (
            below_rows(approved_below_floor(at=now, limit=200))
            if scope_of(request.user).is_everything
            else []
        )
        return self._page(
            request, "price_calendar_page.html", _("Calendar of prices"), days=days.items(), below=below
        )

    def why_view(self, request: HttpRequest) -> HttpResponse:
        """Why a SKU costs what it costs in a shop, at a moment."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = WhyForm(request.GET if "sku" in request.GET else None, user=request.user)
        context: dict[str, Any] = {"form": form}
        if form.is_bound and form.is_valid():
            sku = visible_skus_of(self, request).filter(code=form.cleaned_data["sku"].strip()).first()
            if sku is None:
                form.add_error("sku", gettext("There is no such SKU."))
            else:
                context |= self._why(request, form.cleaned_data["shop"], sku, form.moment(timezone.now()))
        return self._page(request, "price_why_page.html", _("Why does it cost that?"), **context)

    def _why(self, request: HttpRequest, shop: Shop, sku: Sku, at: datetime) -> dict[str, Any]:
        why = why_price(shop=shop, sku=sku, at=at)
        candidates = [*([why.winner] if why.winner else []), *why.beaten]
        prices = [*(row.price for row in candidates if row.price), *why.next]
        names = name_actors(
            (by for row in prices for by in (row.requested_by, row.decided_by)), request=request
        )

        def facts(row: Candidate) -> dict[str, Any]:
            return {
                "amount": Money(row.amount, why.currency).text(),
                "scope": SCOPE_WORDS[row.scope],
                "lost": LOST_WORDS[row.lost] if row.lost else "",
                "price": row.price,
                "asked": names.html(row.price.requested_by) if row.price else "",
                "approved": names.html(row.price.decided_by) if row.price else "",
            }

        return {
            "why": why,
            "winner": facts(why.winner) if why.winner else None,
            "beaten": [facts(row) for row in why.beaten],
            "next": [(row, Money(row.amount, row.currency).text(), scope_text(row)) for row in why.next],
            "floor": Money(why.floor.amount, why.floor.currency).text() if why.floor else "",
        }

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("SKU"))
    def show_sku(self, price: Price) -> str:
        return price.sku.code

    @column(description=_("for"))
    def show_scope(self, price: Price) -> str:
        return scope_text(price)

    @column(description=_("regular price now"))
    def show_regular(self, price: Price) -> str:
        regular = vars(price).get("regular")
        return Money(regular, price.currency).text() if regular is not None else "–"

    @column(description=_("price change"))
    def show_change(self, price: Price) -> str:
        return change_text(vars(price).get("regular"), price.amount)

    @column(description=_("price"))
    def show_amount(self, price: Price) -> str:
        return Money(price.amount, price.currency).text()

    @column(
        description=_("state"),
        label={
            "submitted": "info",
            "approved": "success",
            "rejected": "danger",
            "draft": "",
            "withdrawn": "",
        },
    )
    def show_state(self, price: Price) -> tuple[str, str]:
        return price.state, price.get_state_display()

    @column(description=_("asked for by"))
    def show_requested(self, price: Price) -> str:
        return self.who(price, price.requested_by)

    @column(description=_("decided by"))
    def show_decided(self, price: Price) -> str:
        return self.who(price, price.decided_by)


def scope_text(price: Price) -> str:
    if price.shop is not None:
        return price.shop.name
    if price.channel:
        return gettext("channel %s") % price.channel
    return str(SCOPE_WORDS[scope_of_price(price)])


def change_text(old: Decimal | None, new: Decimal | None) -> str:
    return f"{(new - old) * 100 / old:+.1f} %" if old and new else ""


def title_of(price: Price) -> str:
    return f"{price.sku.code} {Money(price.amount, price.currency).text()} #{price.pk}"
