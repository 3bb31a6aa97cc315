"""What may go wrong in the business, said so that the person who reads it can mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DomainError(Exception):
    """A refusal with a reason. Its subclasses stand above the operation that raises them and are named for
    what was the matter.

    `code`: a stable word for machines. `status`: the HTTP status at the API's door. `detail`: a sentence for
    people that says what, where and how to mend it. `fields`: the same per field, where one field is at
    fault. `extra`: facts for machines.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 409

    def __init__(
        self,
        detail: str,
        *,
        fields: Mapping[str, list[str]] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = dict(fields or {})
        self.extra = dict(extra or {})


class BadInput(DomainError):
    """What was sent cannot be understood or contradicts itself."""

    code = "bad_input"
    status = 400


class NotFound(DomainError):
    """There is no such thing, or not for whoever asks."""

    code = "not_found"
    status = 404


class NotAllowed(DomainError):
    """It exists, but not for this actor."""

    code = "not_allowed"
    status = 403


class Busy(DomainError):
    """Somebody else holds what is needed; asking again soon will do."""

    code = "busy"
    status = 503
