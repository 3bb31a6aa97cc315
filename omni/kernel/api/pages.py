"""Lists by key-set: page 1,000 costs what page 1 costs, and no row is counted."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

ID_MAX = 2**63 - 1


class NewestFirst(CursorPagination):
    """Newest rows first; `page_size` up to 200."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Cursor | None:
        """A cursor is a place in the table, never a permission; one that names no place is not found."""
        cursor = super().decode_cursor(request)
        position: Any = cursor.position if cursor else None
        if position is not None and not (
            position.isascii() and position.isdecimal() and int(position[:20]) <= ID_MAX
        ):
            raise NotFound(self.invalid_cursor_message)
        return cursor

    def get_page_size(self, request: Request) -> int:
        """Refuses what it cannot give, instead of giving something else."""
        text = request.query_params.get("page_size")
        if text is None:
            return 50
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:5]) <= 200):
            raise ValidationError({"page_size": [_("A whole number from 1 to 200.")]})
        return int(text)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """As DRF says it; `next` and `previous` are always there, null at the ends."""
        page = super().get_paginated_response_schema(schema)
        return {**page, "required": ["next", "previous", "results"]}
