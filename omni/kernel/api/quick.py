"""Reading what is right without ceremony: DRF's field loop costs more than storing the order that it has read.

A quick reader knows what a right value of one of our own fields looks like, and nothing else. Whatever it doubts goes
the long way round through DRF, which alone says what is wrong; so there is one declaration and one set of messages,
and the two ways differ in speed only (a property test holds them together).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rest_framework import serializers
from rest_framework.fields import empty

Reader = Callable[[Any], Any]


class Doubtful(Exception):
    """The quick way will not vouch for this value."""


class Slot(NamedTuple):
    """One field of an object: how it is read, and what stands in for it where it is missing."""

    name: str
    read: Reader
    is_required: bool
    default: Any  # a value, a function that makes one, or `empty`: then the field is left out


def slots_of(fields: Mapping[str, Any]) -> list[Slot]:
    """The slots of an object with these fields."""
    return [
        Slot(name, quick_reader(field), field.default is empty and field.required, field.default)
        for name, field in fields.items()
    ]


def read_object(data: Any, slots: list[Slot]) -> dict[str, Any]:
    """An object with these fields and no other. Raises Doubtful."""
    if type(data) is not dict:
        raise Doubtful
    values, found = {}, 0
    for name, read, is_required, default in slots:
        if name in data:
            values[name] = read(data[name])
            found += 1
        elif is_required:
            raise Doubtful
        elif default is not empty:
            values[name] = default() if callable(default) else default
    if found != len(data):
        raise Doubtful
    return values


def quick_reader(field: Any) -> Reader:
    """Reads a right value of this field and raises Doubtful for any other; the long way where no quick one is known."""
    own = getattr(field, "quick_reader", None)
    read: Reader
    if field.read_only or field.source not in (None, field.field_name):
        read = _doubt
    elif own is not None:
        read = own()
    elif isinstance(field, serializers.ListSerializer | serializers.ListField):
        read = _list_reader(field)
    elif type(field) is serializers.ChoiceField:
        read = _choice_reader(field)
    else:
        read = field.run_validation
    return _or_null(read) if field.allow_null and read != field.run_validation else read


def _doubt(_data: Any) -> Any:
    raise Doubtful


def _or_null(read: Reader) -> Reader:
    return lambda data: None if data is None else read(data)


def _list_reader(field: Any) -> Reader:
    if field.validators:
        return field.run_validation  # type: ignore[no-any-return]
    read = quick_reader(field.child)
    least = field.min_length or (0 if field.allow_empty else 1)
    most = field.max_length

    def read_list(data: Any) -> list[Any]:
        if type(data) is not list or len(data) < least or (most is not None and len(data) > most):
            raise Doubtful
        return [read(item) for item in data]

    return read_list


def _choice_reader(field: Any) -> Reader:
    if field.validators:
        return field.run_validation  # type: ignore[no-any-return]
    choices = field.choice_strings_to_values

    def read_choice(data: Any) -> Any:
        if type(data) is not str or data not in choices:
            raise Doubtful
        return choices[data]

    return read_choice


def text_reader(field: Any, *, is_code: bool = False) -> Reader:
    """For a string field without validators of its own: its bounds, no NUL, no half of a surrogate pair."""
    usual = (field.max_length is not None) + (field.min_length is not None) + 2
    if len(field.validators) != usual:
        return field.run_validation  # type: ignore[no-any-return]
    most = field.max_length if field.max_length is not None else float("inf")
    least = max(field.min_length or 0, 0 if field.allow_blank else 1)

    def read_text(data: Any) -> str:
        if type(data) is not str or not least <= len(data) <= most or "\0" in data:
            raise Doubtful
        if not data.isascii():
            try:
                data.encode()
            except UnicodeEncodeError:
                raise Doubtful from None
        if is_code and (not data.isprintable() or data != data.strip()):
            raise Doubtful
        return data

    return read_text


def whole_reader(field: Any) -> Reader:
    """For a JSON integer within the field's bounds."""
    if len(field.validators) != (field.min_value is not None) + (field.max_value is not None):
        return field.run_validation  # type: ignore[no-any-return]
    least = field.min_value if field.min_value is not None else -float("inf")
    most = field.max_value if field.max_value is not None else float("inf")

    def read_whole(data: Any) -> int:
        if type(data) is not int or not least <= data <= most:
            raise Doubtful
        return data

    return read_whole


def plain_reader(field: Any, read: Reader) -> Reader:
    """For a field whose own `to_internal_value` is quick: without validators, it alone decides."""
    return field.run_validation if field.validators else read
