"""The names of those who did something, in the reader's language, with the way to their pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import BinaryField
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import SYSTEM

# What a name stands for; people, shops and locations are known by their names alone.
KINDS: Mapping[str, Promise] = {
    "user": _("user %(id)s"),
    "shop": _("shop %(id)s"),
    "rule": _("rule %(id)s"),
    "connection": _("connection %(id)s"),
    "key": _("API key %(id)s"),
    "import": _("import %(id)s"),
    "location": _("location %(id)s"),
    "job": _("job %(id)s"),
    "assortment": _("assortment run %(id)s"),
}
KNOWN_BY_NAME = frozenset({"user", "shop", "location"})
MACHINES: Mapping[str, Promise] = {SYSTEM: _("Omni"), "": _("Omni"), "demo": _("the demo data")}


@dataclass(frozen=True, slots=True)
class Names:
    """`texts` and `links` by actor, `user:7`; an actor that is not among them is said as what it is."""

    texts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    def text(self, by: str) -> str:
        """Who it was, in words."""
        if by in MACHINES:
            return str(MACHINES[by])
        kind, _colon, ident = by.partition(":")
        name = self.texts.get(by)
        if name and kind in KNOWN_BY_NAME:
            return name
        return str(KINDS[kind] % {"id": name or ident}) if kind in KINDS else by

    def html(self, by: str) -> str:
        """The same, as a link where the reader may open the page."""
        link = self.links.get(by)
        return (
            format_html('<a class="omni-link" href="{}">{}</a>', link, self.text(by))
            if link
            else self.text(by)
        )


def name_actors(actors: Iterable[str], *, request: HttpRequest | None = None) -> Names:
    """The names of these actors, in one statement per kind. With a `request` also the links that its user may follow,
    in one more per kind at most.
    """
    wanted: dict[str, set[int]] = {}
    for by in set(actors):
        kind, _colon, ident = by.partition(":")
        # Ids are signed 64 bit: a text that only looks like one must not fail the statement.
        if kind in settings.OMNI_ACTORS and ident.isascii() and ident.isdigit() and len(ident) < 19:
            wanted.setdefault(kind, set()).add(int(ident))
    texts: dict[str, str] = {}
    links: dict[str, str] = {}
    for kind, idents in wanted.items():
        model: Any = apps.get_model(settings.OMNI_ACTORS[kind])
        heavy = [column.name for column in model._meta.concrete_fields if isinstance(column, BinaryField)]
        rows = {row.pk: row for row in model._default_manager.filter(pk__in=idents).defer(*heavy)}
        texts |= {f"{kind}:{pk}": _name(row) for pk, row in rows.items()}
        for pk in _open_to(request, model, set(rows)) if request else ():
            page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            links[f"{kind}:{pk}"] = reverse(page, args=[pk])
    return Names(texts, links)


def name_objects(
    objects: Iterable[tuple[str, str]], *, request: HttpRequest
) -> dict[tuple[str, str], tuple[str, str]]:
    """(name, link or empty) of things by (label of their table, id), of those that still are; as few statements as
    `name_actors`. What the reader may not see has neither.
    """
    wanted: dict[str, set[int]] = {}
    for kind, ident in set(objects):
        if ident.isascii() and ident.isdigit() and len(ident) < 19:
            wanted.setdefault(kind, set()).add(int(ident))
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for kind, idents in wanted.items():
        try:
            model: Any = apps.get_model(kind)
        except (LookupError, ValueError):
            continue  # a table that is no more
        seen = _open_to(request, model, idents)
        page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        heavy = [column.name for column in model._meta.concrete_fields if isinstance(column, BinaryField)]
        for row in model._default_manager.filter(pk__in=seen).defer(*heavy):
            found[kind, str(row.pk)] = (str(row), reverse(page, args=[row.pk]))
    return found


def act_text(action: str) -> str:
    """The words for what was done, of the table that `OMNI_ACT_WORDS` names; a newer act is shown as its code."""
    known = import_string(settings.OMNI_ACT_WORDS).get(action)
    return str(known) if known else action.replace(".", ": ").replace("_", " ")


def _name(row: Any) -> str:
    full_name = getattr(row, "get_full_name", None)
    return (full_name() if full_name else "") or str(row)


def _open_to(request: HttpRequest, model: Any, idents: set[int]) -> set[int]:
    page: Any = admin.site._registry.get(model)
    if page is None or not page.has_view_permission(request):
        return set()
    if request.user.is_superuser:
        return idents
    return set(page.get_queryset(request).filter(pk__in=idents).values_list("pk", flat=True))
