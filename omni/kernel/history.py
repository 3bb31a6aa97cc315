"""What happened to one thing: who changed what, from what to what, and which acts were done on it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pghistory.models
from django.apps import apps
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import BinaryField, Field, ForeignKey, Model
from django.http import HttpRequest
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from omni.kernel.actors import SYSTEM, actor
from omni.kernel.models import AuditEntry
from omni.kernel.names import act_text, name_actors
from omni.kernel.sentences import read_sentence

# Labels of the events that the triggers write. BEFORE holds the row as it was, so that the first change has its
# "before" too. AFTER is how rows were kept formerly: as they were afterwards. SECRET says only that it happened.
BEFORE = "before"
AFTER = "update"
SECRET = "secret"  # noqa: S105
ENTRIES_MAX = 200
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that changed, in words. `before` None: it is not known."""

    label: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One change or act. `by`: who, as HTML with a link where the reader may follow it."""

    at: datetime
    by: str
    text: str
    reason: str = ""
    differences: Sequence[Difference] = ()


@dataclass(frozen=True, slots=True)
class _Change:
    at: datetime
    by: str
    is_secret: bool
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]


def history_model(model: type[Model]) -> Any:
    """The table of a model's history, or None when nobody keeps one."""
    return _history_models().get(model)


@cache
def _history_models() -> dict[Any, Any]:
    tables: list[Any] = [model for model in apps.get_models() if issubclass(model, pghistory.models.Event)]
    return {table.pgh_tracked_model: table for table in tables if getattr(table, "pgh_tracked_model", None)}


def history_of(row: Any, *, request: HttpRequest, ignored: Collection[str] = ()) -> list[Entry]:
    """Newest first, at most ENTRIES_MAX of each sort. `ignored`: fields that change by themselves, such as health.

    Encrypted fields are never read.
    """
    fields = [
        field
        for field in row._meta.concrete_fields
        if not isinstance(field, BinaryField) and not field.primary_key and field.name not in ignored
    ]
    changes = _changes(row, fields)
    acts = list(
        AuditEntry.objects.filter(object_kind=row._meta.label_lower, object_id=str(row.pk)).order_by("-id")[
            :ENTRIES_MAX
        ]
    )
    logged = _logged(row, is_tracked=history_model(type(row)) is not None)
    actors = [*(c.by for c in changes), *(a.by for a in acts), *(f"user:{entry.user_id}" for entry in logged)]
    names = name_actors(actors, request=request)
    words = _Words(fields, changes)
    entries = [words.entry(change, names.html(change.by)) for change in changes]
    entries += [Entry(a.at, names.html(a.by), act_text(a.action), read_sentence(a.reason)) for a in acts]
    entries += [
        Entry(entry.action_time, names.html(f"user:{entry.user_id}"), entry.get_change_message())
        for entry in logged
    ]
    shown = [entry for entry in entries if entry.text]
    return sorted(shown, key=lambda entry: entry.at, reverse=True)


def _logged(row: Any, *, is_tracked: bool) -> list[LogEntry]:
    """What Django's own forms wrote down: of a row whose changes triggers keep, only that it was made."""
    kind = ContentType.objects.get_for_model(row)
    found = LogEntry.objects.filter(content_type=kind, object_id=str(row.pk)).order_by("-id")
    return list((found.filter(action_flag=ADDITION) if is_tracked else found)[:ENTRIES_MAX])


def _changes(row: Any, fields: Sequence[Field[Any, Any]]) -> list[_Change]:
    model = history_model(type(row))
    if model is None:
        return []
    events = list(
        model.objects.filter(pgh_obj_id=row.pk)
        .select_related("pgh_context")
        .order_by("-pgh_id")[: ENTRIES_MAX + 1]
    )
    found = []
    later = _values(row, fields)  # the row as the next newer change found it; first of all: as it is now
    for place, event in enumerate(events):
        own = _values(event, fields)
        by = _actor(event.pgh_context)
        if event.pgh_label == SECRET:
            found.append(_Change(event.pgh_created_at, by, True, None, {}))
        elif event.pgh_label == BEFORE:
            found.append(_Change(event.pgh_created_at, by, False, own, later))
            later = own
        elif event.pgh_label == AFTER:
            older = events[place + 1] if place + 1 < len(events) else None
            known = _values(older, fields) if older and older.pgh_label == AFTER else None
            found.append(_Change(event.pgh_created_at, by, False, known, own))
            later = own
    return found[:ENTRIES_MAX]


def _values(row: Any, fields: Iterable[Field[Any, Any]]) -> dict[str, Any]:
    # A column that is younger than the table of history may be missing there.
    return {field.name: getattr(row, field.attname) for field in fields if hasattr(row, field.attname)}


def _actor(context: Any) -> str:
    """Who it was: pages know their user, everything else is Omni itself."""
    user = context.metadata.get("user") if context else None
    return actor("user", user) if user else SYSTEM


class _Words:
    """The changes of one page in words; what foreign keys point to is looked up once for all."""

    def __init__(self, fields: Sequence[Field[Any, Any]], changes: Sequence[_Change]) -> None:
        self._fields = fields
        self._names: dict[str, dict[Any, str]] = {}
        for field in fields:
            if isinstance(field, ForeignKey):
                keys = {
                    values[field.name]
                    for change in changes
                    for values in (change.before or {}, change.after)
                    if values.get(field.name) is not None
                }
                model: Any = field.related_model
                rows = model._default_manager.filter(pk__in=keys) if keys else ()
                self._names[field.name] = {found.pk: str(found) for found in rows}

    def entry(self, change: _Change, by: str) -> Entry:
        if change.is_secret:
            return Entry(change.at, by, _("The credentials were replaced. They are never shown."))
        differences = [d for field in self._fields for d in self._differences(field, change)]
        text = _("Changed") if differences else ""
        return Entry(change.at, by, text, differences=differences)

    def _differences(self, field: Field[Any, Any], change: _Change) -> list[Difference]:
        label = str(field.verbose_name)
        if field.name not in change.after:
            return []
        after = change.after[field.name]
        if change.before is None or field.name not in change.before:
            return [Difference(label, None, self._shown(field, after))] if change.before is None else []
        before = change.before[field.name]
        if before == after:
            return []
        if isinstance(before, dict) and isinstance(after, dict):
            return [
                Difference(f"{label}: {name}", _plain(before.get(name)), _plain(after.get(name)))
                for name in sorted({*before, *after})
                if before.get(name) != after.get(name)
            ]
        return [Difference(label, self._shown(field, before), self._shown(field, after))]

    def _shown(self, field: Field[Any, Any], value: Any) -> str:
        if isinstance(field, ForeignKey) and value is not None:
            return self._names[field.name].get(value, f"#{value}")
        if field.flatchoices:
            return str(dict(field.flatchoices).get(value, value if value not in ("", None) else NOTHING))
        return _plain(value)


def _plain(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, datetime):
        return localtime(value).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, list) and all(isinstance(part, (str, int)) for part in value):
        return ", ".join(map(str, value))
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
