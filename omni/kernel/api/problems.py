"""Every refusal of the API as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from omni.kernel.api.rate import count_failure, count_request
from omni.kernel.errors import DomainError

MEDIA_TYPE = "application/problem+json"


def answer_problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. What it does not know is a bug, and goes on as 500."""
    wait = _wait_seconds(error, context.get("request"))
    if wait is not None:
        error = exceptions.Throttled(wait)
    if isinstance(error, DomainError):
        body = {"code": error.code, "detail": error.detail, "fields": error.fields, **error.extra}
        return _problem(error.status, body, {"Retry-After": "1"} if error.status == 503 else {})
    if isinstance(error, Http404):
        return _problem(404, {"code": "not_found", "detail": str(error) or "There is no such thing."})
    if isinstance(error, PermissionDenied):
        return _problem(403, {"code": "not_allowed", "detail": str(error) or "You may not do this."})
    if isinstance(error, exceptions.ValidationError):
        return _problem(
            400,
            {
                "code": "bad_input",
                "detail": "Some fields are not right: see `fields`.",
                "fields": flat_faults(error.detail),
            },
        )
    if isinstance(error, exceptions.APIException):
        headers = {}
        wait = getattr(error, "wait", None)
        if wait:
            headers["Retry-After"] = str(int(wait) + 1)
        if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
            headers["WWW-Authenticate"] = "Bearer"
        return _problem(
            error.status_code, {"code": str(error.default_code), "detail": str(error.detail)}, headers
        )
    if isinstance(error, OperationalError):
        return _problem(
            503, {"code": "busy", "detail": "The database is busy: try again."}, {"Retry-After": "1"}
        )
    return None


def _wait_seconds(error: Exception, request: Any) -> float | None:
    """Refusals before the throttle was asked count too: whoever may not come in may not knock without end."""
    if request is None:
        return None
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return count_failure(request)
    if isinstance(error, exceptions.PermissionDenied):
        return count_request(request)
    return None


def _problem(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    set_rollback()
    body = {"type": "about:blank", "status": status, "fields": {}, **body}
    return Response(body, status=status, headers=headers or {}, content_type=MEDIA_TYPE)


def flat_faults(detail: Any, at: str = "") -> dict[str, list[str]]:
    """`{"lines": [{}, {"quantity": ["…"]}]}` → `{"lines[1].quantity": ["…"]}`."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for name, part in detail.items():
            step = f"[{name}]" if isinstance(name, int) else f".{name}" if at else str(name)
            found.update(flat_faults(part, at + step))
        return found
    if isinstance(detail, list) and any(isinstance(part, dict | list) for part in detail):
        found = {}
        for index, part in enumerate(detail):
            found.update(flat_faults(part, f"{at}[{index}]"))
        return found
    texts = detail if isinstance(detail, list) else [detail]
    return {at or "body": [str(text) for text in texts]} if texts else {}
