"""Filters that refuse what they do not know: a mistyped filter must not answer with everything."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError as InvalidValue
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField
from rest_framework.exceptions import ValidationError

from omni.kernel.api.fields import read_moment

PAGE_PARAMETERS = frozenset({"cursor", "page_size", "format"})


class StrictFilterSet(filters.FilterSet):  # type: ignore[misc]
    """Each parameter at most once, and no other than those declared."""

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data=data, **kwargs)
        known = PAGE_PARAMETERS | set(self.filters)
        for name in data or ():
            if name not in known:
                names = ", ".join(sorted(known - {"format"}))
                raise ValidationError({name: [_("There is no such parameter; there are: %s.") % names]})
            if len(data.getlist(name)) > 1:
                raise ValidationError({name: [_("Send it once.")]})


class _ZonedField(IsoDateTimeField):  # type: ignore[misc]
    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        moment = read_moment(str(value))
        if moment is None:
            raise InvalidValue(_("A moment such as “2026-05-04T12:00:00+08:00”, with its zone."))
        return moment


class MomentFilter(filters.IsoDateTimeFilter):  # type: ignore[misc]
    """ISO 8601 with its zone: what a moment without one means depends on who reads it."""

    field_class = _ZonedField
