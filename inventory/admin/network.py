"""The places where stock lies: their groups, what they are used for, and the rules that pool them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from inventory.models import Location, LocationGroup, PoolingRule, StockLevel, Transfer
from inventory.models.stock import Grade
from inventory.network.group import Regrouped, apply_pooling_rules, join_group
from inventory.network.pooling import is_sold_online, plan_pooling
from inventory.network.switch import Use, switch_location
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import column
from omni.kernel.errors import DomainError
from omni.kernel.history import history_of
from products.admin.operated import Tags
from products.admin.scoped import ScopedAdmin, choice_filter

HISTORY_MAX = 12
TRANSFERS_MAX = 10
USE_WORDS = {
    Use.SHIPS_ONLINE: _("Ships online orders"),
    Use.SHIPS_DEALERS: _("Ships to dealers"),
    Use.OFFERS_PICKUP: _("Offers pick-up"),
    Use.TAKES_RETURNS: _("Takes returns"),
    Use.IS_ACTIVE: _("Active"),
}


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


class SwitchForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


class JoinForm(forms.Form):
    group = forms.ModelChoiceField(LocationGroup.objects.none(), label=_("Location group"))
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups: Any = self.fields["group"]
        groups.queryset = LocationGroup.objects.order_by("code")


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
    operated: ClassVar[tuple[str, ...]] = ("group", *(use.value for use in Use))

    @column(description=_("kind"))
    def show_kind(self, location: Location) -> str:
        return location.get_kind_display()

    # --- plain settings -------------------------------------------------------------------------------------
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Goods and promises go with the group, and the group with the uses: buttons change them."""
        return (*super().get_readonly_fields(request, obj), *(self.operated if obj else ()))

    def save_model(self, request: HttpRequest, obj: Location, form: Any, change: bool) -> None:
        """The rules are asked about a new location, and again when what they look at was changed."""
        super().save_model(request, obj, form, change)
        moved = apply_pooling_rules(
            location_ids=[obj.pk],
            reason=gettext("pooling rules"),
            at=timezone.now(),
            by=user_actor(request.user),
        )
        tell_moves(request, moved)

    # --- the page and its buttons ---------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/edit/", wrap(self.edit_view), name="inventory_location_edit"),
            path("<int:pk>/join/", wrap(self.join_view), name="inventory_location_join"),
            path("<int:pk>/switch/<slug:use>/", wrap(self.switch_view), name="inventory_location_switch"),
            *super().get_urls(),
        ]

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        answer: HttpResponse = super().change_view(request, str(pk))
        return answer

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not object_id.isdigit():
            raise Http404
        return self._page(request, self.visible_object(request, int(object_id)))

    def switch_view(self, request: HttpRequest, pk: int, use: str) -> HttpResponse:
        location = self.operable_object(request, pk)
        form = SwitchForm(request.POST, auto_id=f"{use}-%s")
        if not form.is_valid():
            return self._page(request, location, switching=(use, form))
        is_on = request.POST.get("is_on") == "1"
        self._act(
            request,
            lambda at, by: switch_location(
                location_id=pk, use=use, is_on=is_on, reason=form.cleaned_data["reason"], at=at, by=by
            ),
        )
        return redirect("admin:inventory_location_change", pk)

    def join_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        location = self.operable_object(request, pk)
        form = JoinForm(request.POST, auto_id="join-%s")
        if not form.is_valid():
            return self._page(request, location, joining=form)
        self._act(
            request,
            lambda at, by: join_group(
                location_id=pk,
                group_id=form.cleaned_data["group"].pk,
                reason=form.cleaned_data["reason"],
                at=at,
                by=by,
            ),
        )
        return redirect("admin:inventory_location_change", pk)

    def _act(self, request: HttpRequest, act: Any) -> None:
        try:
            moved = act(timezone.now(), user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return
        tell_moves(request, [moved] if moved else [])
        if not moved:
            messages.success(request, gettext("Done. Its goods stay in their group."))

    def _page(
        self,
        request: HttpRequest,
        location: Location,
        *,
        switching: tuple[str, SwitchForm] | None = None,
        joining: JoinForm | None = None,
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        wrong_use, wrong_form = switching or ("", None)
        switches = [
            (
                use.value,
                USE_WORDS[use],
                getattr(location, use.value),
                wrong_form
                if use.value == wrong_use and wrong_form
                else SwitchForm(auto_id=f"{use.value}-%s"),
            )
            for use in Use
        ]
        lying = StockLevel.objects.filter(location=location, on_hand__gt=0).values("grade").order_by("grade")
        grades = lying.annotate(
            skus=Count("sku", distinct=True), on_hand=Sum("on_hand"), committed=Sum("committed")
        )
        under_way = Transfer.objects.filter(
            Q(source=location) | Q(destination=location),
            state__in=[Transfer.State.DRAFT, Transfer.State.SHIPPED],
        ).select_related("source", "destination")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": location,
            "title": location.name,
            "location": location,
            "is_sold_online": is_sold_online(location),
            "provinces": ", ".join(location.serves_provinces),
            "switches": switches,
            "open_use": wrong_use,
            "join_form": joining or JoinForm(auto_id="join-%s"),
            "is_joining": joining is not None,
            "grades": [(Grade(row["grade"]).label, row) for row in grades],
            "transfers": under_way.order_by("-id")[:TRANSFERS_MAX],
            "may_operate": self.has_operate_permission(request),
            "entries": history_of(location, request=request, ignored=self.history_ignores)[:HISTORY_MAX],
        }
        return TemplateResponse(request, "inventory/location_page.html", context)


def tell_moves(request: HttpRequest, moved: list[Regrouped]) -> None:
    """Say where locations went, with what."""
    names = dict(Location.objects.filter(pk__in=[m.location_id for m in moved]).values_list("pk", "name"))
    groups = dict(LocationGroup.objects.values_list("pk", "name")) if moved else {}
    for move in moved:
        facts = {
            "location": names.get(move.location_id, ""),
            "group": groups.get(move.to_group_id, ""),
            "units": move.units,
            "withdrawn": move.withdrawn,
        }
        text = gettext("%(location)s sells with “%(group)s” now, with %(units)d units.") % facts
        if move.withdrawn:
            more = gettext("Promises of %(withdrawn)d units were withdrawn in the group that it left.")
            text = f"{text} {more % facts}"
        messages.success(request, text)


class PoolingRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    kinds = forms.MultipleChoiceField(
        label=_("Kinds"),
        choices=Location.Kind.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None: any."),
    )
    owners = Tags(label=_("Owners"), required=False, help_text=_("With commas between; empty: any."))
    provinces = Tags(label=_("Provinces"), required=False, help_text=_("With commas between; empty: any."))

    class Meta:
        model = PoolingRule
        fields = ("name", "position", "group", "kinds", "owners", "provinces", "ships_online", "is_active")


class ApplyForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)
    seen = forms.CharField(widget=forms.HiddenInput, max_length=100_000)

    def clean_seen(self) -> set[tuple[int, int | None]]:
        try:
            return {(int(location), group) for location, group in json.loads(self.cleaned_data["seen"])}
        except (TypeError, ValueError) as error:
            raise forms.ValidationError(gettext("Look at the moves again.")) from error


@admin.register(PoolingRule)
class PoolingRuleAdmin(ScopedAdmin):
    form = PoolingRuleForm
    is_house_wide = True
    is_editable = True
    keyset = "position"
    list_per_page = 200
    list_display = ("position", "name", "group", "show_conditions", "is_active")
    list_display_links = ("name",)
    list_select_related = ("group",)
    intro = _(
        "Which locations sell together. The first rule that fits decides; a location that none fits stays where it is."
        " Nothing moves by saving a rule: look at what would move, then apply it."
    )

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        intro = super().get_intro(request) or {}
        link = {"url": reverse("admin:inventory_poolingrule_preview"), "label": gettext("What would move")}
        return {**intro, "links": [link]}

    @column(description=_("conditions"))
    def show_conditions(self, rule: PoolingRule) -> str:
        kinds = dict(Location.Kind.choices)
        texts = [
            " / ".join(str(kinds.get(kind, kind)) for kind in rule.kinds),
            " / ".join(rule.owners),
            " / ".join(rule.provinces),
        ]
        if rule.ships_online is not None:
            texts.append(gettext("ships online") if rule.ships_online else gettext("does not ship online"))
        return "; ".join(text for text in texts if text) or gettext("any location")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_view)
        return [path("preview/", view, name="inventory_poolingrule_preview"), *super().get_urls()]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """What applying the rules would move; a POST applies exactly what was shown."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        may_apply = self.has_operate_permission(request) and request.user.has_perm(
            "inventory.change_location"
        )
        form = ApplyForm(request.POST or None)
        if request.method == "POST":
            if not may_apply:
                raise PermissionDenied
            if form.is_valid() and self._apply(request, form, timezone.now()):
                return redirect("admin:inventory_poolingrule_changelist")
        request.current_app = self.admin_site.name
        moves = plan_pooling()
        seen = json.dumps([[move.location.pk, move.to_group_id] for move in moves])
        shown = ApplyForm(initial={"seen": seen})
        if form.is_bound and form.errors.get("reason"):
            shown = ApplyForm({"reason": "", "seen": seen})
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("What the pooling rules would move"),
            "moves": moves,
            "form": shown,
            "may_apply": may_apply,
        }
        return TemplateResponse(request, "inventory/pooling_page.html", context)

    def _apply(self, request: HttpRequest, form: ApplyForm, at: datetime) -> bool:
        seen, reason = form.cleaned_data["seen"], form.cleaned_data["reason"]
        try:
            moved = apply_pooling_rules(expected=seen, reason=reason, at=at, by=user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return False
        tell_moves(request, moved)
        return True
