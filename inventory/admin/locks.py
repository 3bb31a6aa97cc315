"""Promotion locks: units set aside for some shops from a start to an end; entered, changed, cancelled, watched."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from inventory.admin.quota_rules import GroupFilter
from inventory.models import LocationGroup, PromotionLock, PromotionLockLine, StockPool
from inventory.models.stock import PoolKind
from inventory.quota.promote import LINES_MAX, LockWish, cancel_lock, change_lock, plan_lock
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import Queue, column, show_faults
from omni.kernel.errors import DomainError
from omni.kernel.names import name_actors
from products.admin.scoped import ScopedAdmin, choice_filter, visible_skus_of
from products.models import Shop, Sku
from products.scope import Scope, scope_of

State = PromotionLock.State
LINES_SHOWN = 200
LOCK_COLOURS = {"planned": "info", "active": "success", "ended": "", "cancelled": ""}
MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M:%S")
LACKING = PromotionLockLine.objects.filter(lock=OuterRef("pk"), granted__lt=F("quantity"))
LOCK_QUEUES = {
    "short": Queue(
        "short",
        _("Promotion locks that are short"),
        _(
            "They run, and fewer units are set aside than they want. What comes in is set aside by itself; to give "
            "them more at once, take quotas back from other shops."
        ),
        Q(state=State.ACTIVE) & Q(Exists(LACKING)),
        ("show_name", "group", "show_shops", "starts_at", "ends_at"),
        "lock_clock",
        "starts_at",
    )
}


class LinesField(forms.CharField):
    """A SKU code and units on each line, as a spreadsheet copies them: {code: units}."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"})

    def clean(self, value: Any) -> Any:
        found: dict[str, int] = {}
        for line in str(super().clean(value) or "").splitlines():
            parts = line.replace("\t", " ").replace(";", " ").split()
            if not parts:
                continue
            units = parts[-1].replace(",", "")
            if len(parts) != 2 or not (units.isascii() and units.isdigit() and 0 < len(units) < 10):
                raise forms.ValidationError(
                    gettext("“%s” is no SKU code with a number of units.") % line.strip()[:80]
                )
            if parts[0] in found:
                raise forms.ValidationError(gettext("%s stands there twice.") % parts[0])
            found[parts[0]] = int(units)
        if len(found) > LINES_MAX:
            raise forms.ValidationError(gettext("At most %d lines.") % LINES_MAX)
        return found


class LockForm(forms.Form):
    code = forms.CharField(
        label=_("Code"), max_length=32, help_text=_("Short and lasting, like SINGLES-DAY-26.")
    )
    name = forms.CharField(label=_("Name"), max_length=120)
    group = forms.ModelChoiceField(LocationGroup.objects.none(), label=_("Location group"))
    shops = forms.ModelMultipleChoiceField(
        Shop.objects.none(), label=_("Shops"), widget=forms.CheckboxSelectMultiple
    )
    mode = forms.ChoiceField(
        label=_("While it runs its shops sell"),
        choices=PromotionLock.Mode.choices,
        initial=PromotionLock.Mode.LOCK_SHARE,
    )
    starts_at = forms.DateTimeField(label=_("Starts at"), widget=MOMENT)
    ends_at = forms.DateTimeField(
        label=_("Ends at"), widget=MOMENT, help_text=_("What is unsold then goes back by itself.")
    )
    lines = LinesField(
        label=_("SKUs and units"),
        help_text=_("One a line: the SKU code, a tab or a space, the units. Paste it from a spreadsheet."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def __init__(
        self, *args: Any, skus: QuerySet[Sku], user: Any, lock: PromotionLock | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._skus = skus
        self.units: dict[int, int] = {}
        scope = scope_of(user)
        shops = Shop.objects.filter(is_active=True).order_by("code")
        chooser: Any = self.fields["shops"]
        chooser.queryset = shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids)
        groups: Any = self.fields["group"]
        groups.queryset = LocationGroup.objects.order_by("code")
        if lock is not None:
            for name in ("code", "group"):
                self.fields[name].disabled = True
            if lock.state == State.ACTIVE:
                for name in ("mode", "starts_at"):
                    self.fields[name].disabled = True

    def clean_lines(self) -> dict[str, int]:
        lines: dict[str, int] = self.cleaned_data["lines"]
        found = dict(self._skus.filter(code__in=list(lines)).values_list("code", "pk"))
        missing = [code for code in lines if code not in found]
        if missing:
            raise forms.ValidationError(gettext("There is no SKU “%s”.") % "”, “".join(missing[:10]))
        self.units = {found[code]: units for code, units in lines.items()}
        return lines

    def wish(self, lock: PromotionLock | None) -> LockWish:
        given = self.cleaned_data
        # The page shows whole seconds of a start that has passed already: what is not changed stays exactly.
        is_running = lock is not None and lock.state == State.ACTIVE
        return LockWish(
            code=given["code"],
            name=given["name"],
            group_id=given["group"].pk,
            shop_ids=[shop.pk for shop in given["shops"]],
            starts_at=lock.starts_at if lock is not None and is_running else given["starts_at"],
            ends_at=given["ends_at"],
            units=self.units,
            mode=given["mode"],
        )


@admin.register(PromotionLock)
class PromotionLockAdmin(ScopedAdmin):
    intro = _(
        "Units that are set aside for some shops while a promotion runs. They come from base and shared when it "
        "starts; what is unsold at its end goes back by itself."
    )
    is_editable = True
    queues = LOCK_QUEUES
    list_display = (
        "show_name",
        "code",
        "group",
        "show_shops",
        "show_mode",
        "show_state",
        "starts_at",
        "ends_at",
    )
    list_display_links = ("show_name",)
    list_select_related = ("group",)
    list_filter = (GroupFilter, choice_filter("state"))
    search_fields = ("code__startswith",)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        through = PromotionLock.shops.through.objects
        own = through.filter(promotionlock=OuterRef("pk"), shop__in=scope.shop_ids)
        return queryset.filter(Q(Exists(own)))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.prefetch_related("shops")

    def is_wholly_mine(self, request: HttpRequest, lock: PromotionLock) -> bool:
        scope = scope_of(request.user)
        return scope.is_everything or scope.shop_ids.issuperset(shop.pk for shop in lock.shops.all())

    # --- pages ----------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/cancel/", wrap(self.cancel_view), name="inventory_promotionlock_cancel"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._lock_page(request, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        lock: PromotionLock = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        return self._lock_page(request, lock)

    def _may(self, request: HttpRequest, lock: PromotionLock | None) -> bool:
        if lock is None:
            return self.has_add_permission(request)
        is_live = lock.state in (State.PLANNED, State.ACTIVE)
        return is_live and self.has_operate_permission(request) and self.is_wholly_mine(request, lock)

    def _lock_page(self, request: HttpRequest, lock: PromotionLock | None) -> HttpResponse:
        may = self._may(request, lock)
        given: dict[str, Any] = {"skus": visible_skus_of(self, request), "user": request.user, "lock": lock}
        initial = initial_of(lock) if lock and may else {}
        if request.method != "POST":
            return self._form_page(request, lock, LockForm(initial=initial, **given), may)
        if not may:
            raise PermissionDenied
        form = LockForm(request.POST, initial=initial, **given)
        if not form.is_valid():
            return self._form_page(request, lock, form, may)
        common = {
            "wish": form.wish(lock),
            "reason": form.cleaned_data["reason"],
            "at": timezone.now(),
            "by": user_actor(request.user),
        }
        try:
            saved = change_lock(lock_id=lock.pk, **common) if lock else plan_lock(**common)
        except DomainError as refusal:
            show_faults(form, refusal)
            return self._form_page(request, lock, form, may)
        messages.success(request, gettext("The promotion lock is entered."))
        return redirect("admin:inventory_promotionlock_change", saved.pk)

    def _form_page(
        self, request: HttpRequest, lock: PromotionLock | None, form: LockForm, may: bool
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": lock,
            "title": lock.name if lock else gettext("New promotion lock"),
            "lock": lock,
            "form": form,
            "may": may,
            "history": reverse("admin:inventory_promotionlock_history", args=[lock.pk]) if lock else "",
            **(lock_facts(lock, request) if lock else {}),
        }
        return TemplateResponse(request, "inventory/lock_page.html", context)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        lock: PromotionLock = self.operable_object(request, pk)
        if not self.is_wholly_mine(request, lock):
            raise PermissionDenied
        reason = request.POST.get("reason", "").strip()[:200]
        if not reason:
            messages.error(request, gettext("Say why."))
        else:
            self._cancel(request, lock, reason, timezone.now())
        return redirect("admin:inventory_promotionlock_change", lock.pk)

    def _cancel(self, request: HttpRequest, lock: PromotionLock, reason: str, at: datetime) -> None:
        try:
            cancel_lock(lock_id=lock.pk, reason=reason, at=at, by=user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, gettext("It is cancelled; what is unsold goes back."))

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("name"))
    def show_name(self, lock: PromotionLock) -> str:
        return lock.name

    @column(description=_("shops"))
    def show_shops(self, lock: PromotionLock) -> str:
        return ", ".join(sorted(shop.name for shop in lock.shops.all()))

    @column(description=_("mode"))
    def show_mode(self, lock: PromotionLock) -> str:
        return lock.get_mode_display()

    @column(description=_("state"), label=LOCK_COLOURS)
    def show_state(self, lock: PromotionLock) -> tuple[str, str]:
        return lock.state, lock.get_state_display()


def initial_of(lock: PromotionLock) -> dict[str, Any]:
    """What the form shows of a lock that is there."""
    lines = lock.lines.order_by("sku__code").values_list("sku__code", "quantity")
    return {
        "code": lock.code,
        "name": lock.name,
        "group": lock.group_id,
        "shops": [shop.pk for shop in lock.shops.all()],
        "mode": lock.mode,
        "starts_at": timezone.localtime(lock.starts_at),
        "ends_at": timezone.localtime(lock.ends_at),
        "lines": "\n".join(f"{code}\t{quantity}" for code, quantity in lines),
    }


def lock_facts(lock: PromotionLock, request: HttpRequest) -> dict[str, Any]:
    """Its lines with what became of their units. Sold is what is promised or shipped."""
    rows = list(lock.lines.select_related("sku").order_by("sku__code")[: LINES_SHOWN + 1])
    pools = StockPool.objects.filter(group=lock.group_id, kind=PoolKind.LOCK, label=lock.code)
    free = {
        sku_id: granted - reserved
        for sku_id, granted, reserved in pools.filter(sku__in=[row.sku_id for row in rows]).values_list(
            "sku_id", "granted", "reserved"
        )
    }
    sums = lock.lines.aggregate(wanted=Sum("quantity"), granted=Sum("granted"), returned=Sum("returned"))
    left = pools.aggregate(free=Sum(F("granted") - F("reserved")))["free"] or 0
    names = name_actors([lock.created_by], request=request)
    wanted, granted, returned = (sums[name] or 0 for name in ("wanted", "granted", "returned"))
    return {
        "by": names.html(lock.created_by),
        "shops": sorted(shop.name for shop in lock.shops.all()),
        "pill": {"planned": "omni-info", "active": "omni-good"}.get(lock.state, ""),
        "is_live": lock.state in (State.PLANNED, State.ACTIVE),
        "lines": [
            {
                "row": row,
                "left": free.get(row.sku_id, 0),
                "sold": max(row.granted - row.returned - free.get(row.sku_id, 0), 0),
                "short": row.quantity - row.granted if lock.state == State.ACTIVE else 0,
            }
            for row in rows[:LINES_SHOWN]
        ],
        "has_more": len(rows) > LINES_SHOWN,
        "sums": {
            "wanted": wanted,
            "granted": granted,
            "sold": max(granted - returned - left, 0),
            "left": left,
            "returned": returned,
        },
    }
