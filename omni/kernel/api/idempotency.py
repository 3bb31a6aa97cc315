"""The same POST twice has one effect and one answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError, transaction
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.actors import user_actor
from omni.kernel.canonical import canonical_json
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.retry import repeat_on_conflict
from omni.kernel.sql import execute, fetch_all, few_rows

HEADER = "Idempotency-Key"
KEY_LENGTH_MAX = 200
LOCK_NOT_AVAILABLE = "55P03"
PARAMETER = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    required=True,
    description="A value of your own, new for every act. The same key with the same body gives the answer that"
    " was given before; with another body it is refused with 422. Kept for 7 days.",
)

# A rival with the same key waits here until the first has committed (then there is nothing to insert) or has
# given up (then it is our turn).
CLAIM = """
    INSERT INTO kernel_idempotencykey (principal, key, fingerprint, status, body) VALUES (%s, %s, %s, 0, 'null')
    ON CONFLICT (principal, key) DO NOTHING
"""
KEEP = "UPDATE kernel_idempotencykey SET status = %s, body = %s WHERE principal = %s AND key = %s"
FIND = "SELECT fingerprint, status, body FROM kernel_idempotencykey WHERE principal = %s AND key = %s"


class KeyMissing(BadInput):
    """A POST that creates or moves something came without a usable Idempotency-Key."""

    code = "idempotency_key_missing"


class KeyReused(DomainError):
    """The key was used before, for something else."""

    code = "idempotency_key_reused"
    status = 422


class StillInProgress(DomainError):
    """A request with this key is being worked on at this moment."""

    code = "in_progress"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent, and sent again to whoever asks with the same key. `body` is plain JSON."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def actor_of(request: Request) -> str:
    """The actor text of whoever calls: `key:3` of a machine, `user:7` of a person."""
    return getattr(request.user, "actor", None) or user_actor(request.user)


def answer_once(request: Request, act: Callable[[], Answer]) -> Response:
    """Run the act and keep its answer in the same transaction, or give the answer that was kept.

    An act that raises leaves no trace, not even of its key: asking again looks again. The act must be idempotent,
    because it is repeated when the database was busy. Raises KeyMissing, KeyReused, StillInProgress.
    """
    key, principal, fingerprint = _read_key(request), actor_of(request), _fingerprint(request)

    def once() -> tuple[Answer, bool]:
        with transaction.atomic():
            with few_rows():
                if not _claim(principal, key, fingerprint):
                    return _find(principal, key, fingerprint), True
            answer = act()
            kept = json.dumps({"body": answer.body, "headers": dict(answer.headers)}, ensure_ascii=False)
            with few_rows():
                execute(KEEP, [answer.status, kept, principal, key])
            return answer, False

    answer, is_repeat = repeat_on_conflict(once)
    headers = {**answer.headers, **({"Idempotent-Replayed": "true"} if is_repeat else {})}
    return Response(answer.body, status=answer.status, headers=headers)


def _read_key(request: Request) -> str:
    key: str = request.headers.get(HEADER, "")
    if not 0 < len(key) <= KEY_LENGTH_MAX or not all("!" <= letter <= "~" for letter in key):
        raise KeyMissing(
            _("Send an Idempotency-Key header of 1 to 200 visible ASCII characters, new for every act.")
        )
    return key


def _fingerprint(request: Request) -> str:
    content = [request.method, request.path, request.data]
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _claim(principal: str, key: str, fingerprint: str) -> bool:
    try:
        return execute(CLAIM, [principal, key, fingerprint]) == 1
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise StillInProgress(
            _("A request with this key is still being worked on: ask again later.")
        ) from error


def _find(principal: str, key: str, fingerprint: str) -> Answer:
    known, status, kept = fetch_all(FIND, [principal, key])[0]
    if known != fingerprint:
        raise KeyReused(_("This Idempotency-Key was used for another request: take a new one."))
    kept = json.loads(kept) if isinstance(kept, str) else kept
    return Answer(status, kept["body"], kept["headers"])
