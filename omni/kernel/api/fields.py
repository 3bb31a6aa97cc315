"""Input read strictly: what is not exactly what was asked for is refused, never bent into shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty

from omni.kernel.api.quick import (
    Doubtful,
    Reader,
    Slot,
    plain_reader,
    read_object,
    slots_of,
    text_reader,
    whole_reader,
)

AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?", re.ASCII)
ZONED = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-](0\d|1[0-4]):[0-5]\d)", re.ASCII
)
FRACTION = Decimal("0.0001")
YEARS = range(2000, 2101)


class StrictSerializer(serializers.Serializer[Any]):
    """An object with these fields and no other."""

    default_error_messages = {"unknown": _("There is no such field.")}

    def run_validation(self, data: Any = empty) -> Any:
        try:
            return self._read_quickly(data)
        except (Doubtful, ValidationError):
            return super().run_validation(data)

    def quick_reader(self) -> Reader:
        return self._read_quickly

    def _read_quickly(self, data: Any) -> Any:
        if self.validators:
            raise Doubtful
        return self.validate(read_object(data, self._slots))

    @cached_property
    def _slots(self) -> list[Slot]:
        return slots_of(self.fields)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                raise ValidationError({name: [self.error_messages["unknown"]] for name in unknown})
        return super().to_internal_value(data)  # type: ignore[no-any-return]


def many(
    kind: Callable[..., StrictSerializer], *, at_most: int, required: bool = True, allow_empty: bool = False
) -> Any:
    """A list of these objects, of one or more unless `allow_empty`."""
    return kind(many=True, allow_empty=allow_empty, max_length=at_most, required=required)


class Text(serializers.CharField):
    """A string, kept as it is."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def quick_reader(self) -> Reader:
        return text_reader(self)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(data)


class Code(Text):
    """A name for machines: visible characters without spaces around them."""

    default_error_messages = {"unprintable": _("Only visible characters, and no spaces around them.")}

    def quick_reader(self) -> Reader:
        return text_reader(self, is_code=True)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text.isprintable() or text != text.strip():
            self.fail("unprintable")
        return text


class Whole(serializers.IntegerField):
    """A JSON integer: no string, no fraction, no boolean."""

    def quick_reader(self) -> Reader:
        return whole_reader(self)

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return int(data)


class YesNo(serializers.BooleanField):
    """A JSON boolean and nothing that merely looks like one."""

    def quick_reader(self) -> Reader:
        return plain_reader(self, self._read_quickly)

    def _read_quickly(self, data: Any) -> bool:
        if data is True or data is False:
            return bool(data)
        raise Doubtful

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return bool(data)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,4})?$"},
            {"type": "number", "minimum": 0, "maximum": 999_999_999_999},
        ],
        "example": "19.90",
    }
)
class Amount(serializers.Field[Decimal, Any, str, Any]):
    """Money in major units, not negative, with at most four decimals; `"19.90"` and `19.9` are the same."""

    default_error_messages = {
        "invalid": _(
            "An amount such as “19.90”: not negative, at most 12 digits before the point and 4 after."
        )
    }

    def quick_reader(self) -> Reader:
        return plain_reader(self, self._read_quickly)

    def _read_quickly(self, data: Any) -> Decimal:
        if type(data) is str and AMOUNT.fullmatch(data):
            return Decimal(data).quantize(FRACTION)
        return self.to_internal_value(data)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, str | int | Decimal):
            self.fail("invalid")
        if isinstance(data, Decimal):
            # Before it is written out: 1e999999999 is short only as long as nobody does.
            if not -20 <= data.adjusted() < 12:
                self.fail("invalid")
            data = f"{data.normalize():f}"
        if not AMOUNT.fullmatch(str(data)[:40]):
            self.fail("invalid")
        return Decimal(data).quantize(FRACTION)

    def to_representation(self, value: Any) -> str:
        return f"{value:f}"


def read_moment(text: str) -> datetime | None:
    """The moment that an ISO 8601 text with its zone names, in UTC; None if it names none from 2000 to 2100."""
    if not ZONED.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.year in YEARS else None


class Moment(serializers.DateTimeField):
    """ISO 8601 with its zone; stored in UTC."""

    default_error_messages = {
        "invalid": _("A moment such as “2026-05-04T12:00:00+08:00”, with its zone, from 2000 to 2100.")
    }

    def quick_reader(self) -> Reader:
        return plain_reader(self, self._read_quickly)

    def _read_quickly(self, data: Any) -> datetime:
        moment = read_moment(data) if type(data) is str else None
        if moment is None:
            raise Doubtful
        return moment

    def to_internal_value(self, value: Any) -> datetime:
        moment = read_moment(value) if isinstance(value, str) else None
        if moment is None:
            self.fail("invalid")
        return moment


class StrictObject(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How the schema says that unknown fields are refused."""

    target_class = StrictSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}
