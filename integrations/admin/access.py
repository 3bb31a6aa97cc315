"""API keys: who may call, for what, and since when they have not; where a key is issued and taken away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.admin.words import SCOPE_WORDS, scopes_text
from integrations.keys import SCOPES, IssuedKey, issue_key, new_prefix, revoke_key
from integrations.models import ApiKey
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import RowResult, column, show_faults
from omni.kernel.display import age_text
from omni.kernel.errors import DomainError
from omni.kernel.names import name_actors
from products.admin.scoped import ScopedAdmin
from products.models import Shop
from products.scope import scope_of

# What a machine asks first, by the scope that lets it.
FIRST_QUESTIONS: Mapping[str, str] = {
    "orders:read": "order-list",
    "products:read": "sku-list",
    "stock:read": "stock-levels",
    "shipments:read": "shipment-list",
}


def _scope_choices() -> list[tuple[str, str]]:
    return [
        (scope, format_html("<span><b>{}</b> <code>{}</code><br>{}</span>", words[0], scope, words[1]))
        for scope, words in SCOPE_WORDS.items()
        if scope in SCOPES
    ]


class IssueForm(forms.Form):
    """`key_prefix` is made when the page is shown: the same form sent twice issues one key."""

    key_prefix = forms.CharField(max_length=16, widget=forms.HiddenInput)
    name = forms.CharField(
        label=_("Name"),
        max_length=120,
        help_text=_("Which machine it is for: it is shown wherever the key acts."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"), choices=_scope_choices, widget=forms.CheckboxSelectMultiple
    )
    shops = forms.ModelMultipleChoiceField(
        Shop.objects.none(), label=_("For which shops"), required=False, widget=forms.CheckboxSelectMultiple
    )
    last_day = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text=_("It works to the end of this day. Empty: until it is revoked."),
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scope = scope_of(user)
        shops: Any = self.fields["shops"]
        shops.queryset = Shop.objects.filter(is_active=True).order_by("code")
        if scope.is_everything:
            shops.help_text = _("None ticked: every shop, also those that are still to come.")
        else:
            # A key must not see more than whoever issues it.
            shops.queryset = shops.queryset.filter(pk__in=scope.shop_ids)
            shops.required = True

    def clean_last_day(self) -> Any:
        last_day = self.cleaned_data["last_day"]
        if last_day and last_day < timezone.localdate():
            raise forms.ValidationError(gettext("This day is over."))
        return last_day

    def expires_at(self) -> datetime | None:
        """The first moment at which the key does not work any more."""
        last_day = self.cleaned_data["last_day"]
        if last_day is None:
            return None
        return timezone.make_aware(datetime.combine(last_day + timedelta(days=1), time.min))


class RevokeForm(forms.Form):
    reason = forms.CharField(label=_("Why it is revoked"), max_length=300)


def _revoke(keys: list[ApiKey], reason: str, at: datetime, by: str) -> list[RowResult]:
    no = gettext("It was revoked before.")
    done = {key.pk: revoke_key(key_id=key.pk, reason=reason, at=at, by=by) for key in keys}
    return [RowResult(key.name, done[key.pk], "" if done[key.pk] else no) for key in keys]


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    intro = _("A key is shown once, when it is issued. Only its hash is stored.")
    is_house_wide = True
    list_display = (
        "name",
        "prefix",
        "show_scopes",
        "show_shops",
        "show_last_used",
        "show_expires",
        "show_state",
    )
    search_fields = ("prefix__exact", "name__startswith")
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).prefetch_related("shops")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("integrations.add_apikey"))

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        links = [{"url": reverse("admin:integrations_apikey_add"), "label": _("Issue a key")}]
        return {"text": self.intro, "links": links if self.has_add_permission(request) else []}

    # --- issuing --------------------------------------------------------------------------------------------
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The form; once it is sent, the page that shows the key this one time."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = IssueForm(
            request.POST if request.method == "POST" else None,
            initial={"key_prefix": new_prefix()},
            user=request.user,
        )
        if request.method == "POST" and form.is_valid():
            try:
                issued = self._issue(request, form)
            except DomainError as refusal:
                show_faults(form, refusal)
            else:
                return self._issued_page(request, issued)
        context = self._context(request, _("Issue an API key")) | {"form": form}
        return TemplateResponse(request, "integrations/issue_key_page.html", context)

    def _issue(self, request: HttpRequest, form: IssueForm) -> IssuedKey:
        answers = form.cleaned_data
        return issue_key(
            name=answers["name"],
            scopes=answers["scopes"],
            shop_ids=[shop.pk for shop in answers["shops"]],
            expires_at=form.expires_at(),
            prefix=answers["key_prefix"],
            at=timezone.now(),
            by=user_actor(request.user),
        )

    def _issued_page(self, request: HttpRequest, issued: IssuedKey) -> HttpResponse:
        # The answer itself, not a redirect: the text is nowhere kept between two requests.
        key = self.get_queryset(request).get(pk=issued.key_id)
        context = self._context(request, key.name) | self._facts(request, key) | {"key_text": issued.text}
        return TemplateResponse(request, "integrations/issued_key_page.html", context)

    # --- taking away ----------------------------------------------------------------------------------------
    @admin.action(description=_("Revoke"), permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], keys: list[Any]) -> HttpResponse | None:
            reason = answers["reason"]
            return self.operate(request, _("Revoke"), lambda at, by: _revoke(keys, reason, at, by))

        form = RevokeForm(request.POST if "asked" in request.POST else None)
        keys = queryset.order_by("id")
        return self.ask_first(request, keys, action="revoke", title=_("Revoke"), form=form, run=carry_out)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.revoke_view)
        return [path("<int:pk>/revoke/", view, name="integrations_apikey_revoke"), *super().get_urls()]

    def revoke_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        key = self.operable_object(request, pk)
        form = RevokeForm(request.POST)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            self.operate(request, _("Revoke"), lambda at, by: _revoke([key], reason, at, by))
        else:
            messages.error(request, " ".join(map(str, form.errors["reason"])))
        return redirect("admin:integrations_apikey_change", key.pk)

    # --- the page of a key ----------------------------------------------------------------------------------
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        key = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        context = self._context(request, key.name) | self._facts(request, key)
        context |= {
            "original": key,
            "may_revoke": self.has_operate_permission(request) and key.revoked_at is None,
            "revoke_form": RevokeForm(auto_id="revoke-%s"),
        }
        return TemplateResponse(request, "integrations/key_page.html", context)

    def _context(self, request: HttpRequest, title: Any) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {**self.admin_site.each_context(request), "opts": self.opts, "title": title}

    def _facts(self, request: HttpRequest, key: ApiKey) -> dict[str, Any]:
        state, state_words = _state(key)
        return {
            "key": key,
            "scopes": [(scope, *SCOPE_WORDS.get(scope, (scope, ""))) for scope in key.scopes],
            "shops": list(key.shops.all()),
            "state": state,
            "state_words": state_words,
            "by": name_actors([key.created_by], request=request).html(key.created_by),
            "last_used": age_text(key.last_used_at) if key.last_used_at else gettext("never"),
            "last_day": _last_day(key),
            "address": _first_question(request, key),
        }

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("what it may do"))
    def show_scopes(self, key: ApiKey) -> str:
        return scopes_text(key.scopes)

    @column(description=_("shops"))
    def show_shops(self, key: ApiKey) -> str:
        return ", ".join(shop.name for shop in key.shops.all()) or gettext("every shop")

    @column(description=_("state"), label={"live": "success", "revoked": "", "expired": "warning"})
    def show_state(self, key: ApiKey) -> tuple[str, Any]:
        return _state(key)

    @column(description=_("last used"))
    def show_last_used(self, key: ApiKey) -> str:
        return age_text(key.last_used_at) if key.last_used_at else gettext("never")

    @column(description=_("last day"))
    def show_expires(self, key: ApiKey) -> str:
        return _last_day(key)


def _state(key: ApiKey) -> tuple[str, Any]:
    if key.revoked_at:
        return "revoked", _("revoked")
    if key.expires_at and key.expires_at <= timezone.now():
        return "expired", _("expired")
    return "live", _("live")


def _last_day(key: ApiKey) -> str:
    """The last day on which it works; a key that expires at midnight does not work on the day that begins then."""
    if key.expires_at is None:
        return gettext("until it is revoked")
    return timezone.localtime(key.expires_at - timedelta(microseconds=1)).strftime("%Y-%m-%d")


def _first_question(request: HttpRequest, key: ApiKey) -> str:
    """An address that this key may read, for the example; empty: it may only write."""
    name = next((name for scope, name in FIRST_QUESTIONS.items() if scope in key.scopes), "")
    return request.build_absolute_uri(reverse(name)) if name else ""
