"""Which rows are named by rows of other tables, whatever room those stand in."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db import models


def find_references(
    model: type[models.Model], ids: Collection[int], *, ignoring: Collection[type[models.Model]] = ()
) -> dict[int, str]:
    """Of these rows, those that protecting foreign keys point at: id → the plural name of what points there first.

    A room below cannot ask the rooms above by name; Django knows all foreign keys of the house.
    """
    found: dict[int, str] = {}
    for relation in _protecting_relations(model):
        other = relation.related_model
        if other in ignoring:
            continue
        column = relation.field.attname
        left = [ident for ident in ids if ident not in found]
        rows = other._base_manager.filter(**{f"{column}__in": left}).values_list(column, flat=True)
        found |= dict.fromkeys(rows.distinct(), str(other._meta.verbose_name_plural))
    return found


def _protecting_relations(model: type[models.Model]) -> Sequence[models.ForeignObjectRel]:
    return [
        relation
        for relation in model._meta.get_fields(include_hidden=True)
        if isinstance(relation, models.ForeignObjectRel) and relation.on_delete is models.PROTECT
    ]
