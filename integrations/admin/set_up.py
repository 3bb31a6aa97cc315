"""The form in which a connection is set up: its fields are what the adapter says that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from typing import Any

from django import forms
from django.core.validators import validate_slug
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.contract import Need
from integrations.models import Connection
from integrations.registry import UnknownAdapter, describe, known_settings
from integrations.set_up import NewConnection
from inventory.models import Location
from products.models import Shop
from products.scope import scope_of

SECRET_LENGTH_MAX = 500
PAIR_SIGN = "="


def adapter_title(row: Connection) -> str:
    """What the adapter is called; one that this version does not have is shown by its name."""
    try:
        return str(describe(row).title)
    except UnknownAdapter:
        return row.adapter


class PairsField(forms.CharField):
    """`ours = theirs`, one a line, as an object."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return "\n".join(f"{ours} {PAIR_SIGN} {theirs}" for ours, theirs in value.items())
        return value

    def clean(self, value: Any) -> Any:
        pairs = {}
        for line in str(super().clean(value) or "").splitlines():
            ours, sign, theirs = (part.strip() for part in line.partition(PAIR_SIGN))
            if not (ours or theirs):
                continue
            if not (ours and sign and theirs):
                raise forms.ValidationError(gettext("“%s” is not of the form: ours = theirs") % line.strip())
            pairs[ours] = theirs
        return pairs


class ConnectionForm(forms.Form):
    """A new connection (`row` without a key), or the change of one. Stored credentials never come into it: a field
    that is left empty keeps what is stored."""

    def __init__(self, *args: Any, row: Connection, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row = row
        self.about = describe(row)
        self.needs = known_settings(row)
        if row.pk is None:
            self._add_place(user)
        self.fields["base_url"] = forms.URLField(
            label=_("Address"),
            help_text=str(self.about.address),
            max_length=300,
            assume_scheme="https",
            initial=row.base_url,
        )
        if row.pk is not None:
            self.fields["is_active"] = forms.BooleanField(
                label=_("Switched on"),
                required=False,
                initial=row.is_active,
                help_text=_("Switched off, nothing is asked and nothing is sent."),
            )
        for need in self.about.credentials:
            self._add_secret(need)
        for need in self.needs:
            self.fields[f"settings.{need.name}"] = _setting_field(need, _found(row.settings, need.name))
        self.fields["reason"] = forms.CharField(
            label=_("Why"), max_length=300, help_text=_("Kept with who did it and when.")
        )

    def _add_place(self, user: Any) -> None:
        scope = scope_of(user)
        self.fields["code"] = forms.CharField(
            label=_("Code"),
            max_length=40,
            validators=[validate_slug],
            help_text=_("Short, for lists and addresses: letters, digits and dashes. It stays."),
        )
        if self.row.kind == Connection.Kind.CHANNEL:
            shops = Shop.objects.filter(connection__isnull=True, is_active=True).order_by("code")
            if not scope.is_everything:
                shops = shops.filter(pk__in=scope.shop_ids)
            self.fields["shop"] = forms.ModelChoiceField(shops, label=_("Shop"), help_text=_("It stays."))
            self.fields["pulls_since"] = forms.DateField(
                label=_("Pull orders since"),
                initial=timezone.localdate,
                widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
                help_text=_("What was placed before this day stays where it is."),
            )
        else:
            places = Location.objects.filter(connection__isnull=True, is_active=True).order_by("code")
            self.fields["location"] = forms.ModelChoiceField(
                places, label=_("Location"), help_text=_("It stays.")
            )

    def _add_secret(self, need: Need) -> None:
        is_stored = bool((self.row.credentials or {}).get(need.name))
        parts = [str(need.help)] if need.help else []
        if is_stored:
            parts.append(gettext("A value is stored. Empty: it stays."))
        self.fields[f"credentials.{need.name}"] = forms.CharField(
            label=str(need.label),
            required=need.is_required and self.row.pk is None,
            max_length=SECRET_LENGTH_MAX,
            widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False),
            help_text=" ".join(parts),
        )
        if is_stored and not need.is_required:
            self.fields[f"forget.{need.name}"] = forms.BooleanField(
                label=_("Forget the stored value: %s") % need.label, required=False
            )

    # --- the page -------------------------------------------------------------------------------------------
    def sections(self) -> list[tuple[Any, Any, list[forms.BoundField]]]:
        """(title, note, fields) in the order of the page."""
        note = _("They are encrypted, and shown to nobody again.")
        parts: list[tuple[Any, Any, tuple[str, ...]]] = [
            (_("The account"), "", ("code", "shop", "location", "base_url", "is_active", "pulls_since")),
            (_("Credentials"), note, ("credentials.", "forget.")),
            (_("Settings"), _("What is left empty is as the adapter thinks best."), ("settings.",)),
            (_("For the record"), "", ("reason",)),
        ]
        found = []
        for title, text, starts in parts:
            names = [name for name in self.fields if _belongs(name, starts)]
            if names:
                found.append((title, text, [self[name] for name in names]))
        return found

    # --- the answers ----------------------------------------------------------------------------------------
    def new_connection(self) -> NewConnection:
        answers = self.cleaned_data
        shop, location, since = answers.get("shop"), answers.get("location"), answers.get("pulls_since")
        return NewConnection(
            code=answers["code"],
            kind=self.row.kind,
            adapter=self.row.adapter,
            base_url=answers["base_url"],
            credentials=self._credentials(),
            settings=self._settings(),
            shop_id=shop.pk if shop else None,
            location_id=location.pk if location else None,
            pulls_since=timezone.make_aware(datetime.combine(since, time.min)) if since else None,
        )

    def changes(self) -> dict[str, Any]:
        """The keywords of `change_connection`."""
        answers = self.cleaned_data
        return {
            "base_url": answers["base_url"],
            "is_active": answers["is_active"],
            "credentials": self._credentials(),
            "forget": [n.name for n in self.about.credentials if answers.get(f"forget.{n.name}")],
            "settings": self._settings(),
            "reason": answers["reason"],
        }

    def _credentials(self) -> dict[str, str]:
        return {need.name: self.cleaned_data[f"credentials.{need.name}"] for need in self.about.credentials}

    def _settings(self) -> dict[str, Any]:
        """The stored settings with what the form says; what it does not know of stays."""
        settings: dict[str, Any] = {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in self.row.settings.items()
        }
        for need in self.needs:
            _put(settings, need.name, self.cleaned_data[f"settings.{need.name}"])
        return settings


def _belongs(name: str, starts: tuple[str, ...]) -> bool:
    return any(name.startswith(start) if start.endswith(".") else name == start for start in starts)


def _setting_field(need: Need, value: Any) -> forms.Field:
    common: dict[str, Any] = {
        "label": need.label,
        "help_text": need.help,
        "required": need.is_required,
        "initial": value,
    }
    if need.kind == "yes_no":
        return forms.BooleanField(**common | {"required": False})
    if need.kind == "number":
        return forms.DecimalField(min_value=0, max_value=1_000_000, max_digits=12, decimal_places=3, **common)
    if need.kind == "choice":
        return forms.ChoiceField(choices=[("", _("as usual")), *((c, c) for c in need.choices)], **common)
    if need.kind == "pairs":
        return PairsField(**common)
    return forms.CharField(max_length=300, **common)


def _found(settings: Mapping[str, Any], name: str) -> Any:
    outer, _dot, inner = name.partition(".")
    value = settings.get(outer)
    if not inner:
        return value
    return value.get(inner) if isinstance(value, Mapping) else None


def _put(settings: dict[str, Any], name: str, value: Any) -> None:
    outer, _dot, inner = name.partition(".")
    if value is not None and not isinstance(value, (str, bool, Mapping)):
        # JSON knows no decimals; seconds and counts are whole or have a few digits.
        value = int(value) if value == int(value) else float(value)
    if inner:
        within = settings.setdefault(outer, {})
        _put(within, inner, value)
        if not within:
            del settings[outer]
    elif value is None or value is False or value in ("", {}):  # a zero is a value
        settings.pop(outer, None)
    else:
        settings[outer] = value
