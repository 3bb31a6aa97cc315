"""Write down what was said over a connection, without secrets and without personal data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from integrations.models import Connection, MessageLog

DETAIL_LENGTH = 500
# Mainland mobile numbers, with or without country code, also when punctuation or letters stand around them.
MOBILE = re.compile(r"(?<!\d)(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)")
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
# What a URL or a form may carry along: our session, token, secret or signature.
SECRET_PARAMETER = re.compile(r"(?i)\b(session|secret|token|sign|password|api_?key|authorization)=[^&\s]+")
HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class Message:
    """One thing said. `subject`: the order, listing or document that it was about."""

    operation: str
    is_ok: bool
    subject: str = ""
    detail: str = ""
    duration_ms: int = 0
    direction: str = MessageLog.Direction.OUT


def record_messages(*, connection: Connection, messages: Sequence[Message], at: datetime) -> None:
    """Log writes, failures and what came in. Successful reads are not logged: cursors count them."""
    MessageLog.objects.bulk_create(
        MessageLog(
            connection=connection,
            direction=message.direction,
            operation=message.operation[:80],
            is_ok=message.is_ok,
            subject=redact(message.subject, connection=connection)[:120],
            detail=redact(message.detail, connection=connection),
            duration_ms=max(0, message.duration_ms),
            at=at,
        )
        for message in messages
    )


def redact(text: str, *, connection: Connection) -> str:
    """The text without the connection's credentials, mobile numbers and mail addresses, cut to a sane length."""
    clean = text.replace("\x00", "").encode("utf-8", "replace").decode()
    for secret in sorted(map(str, connection.credentials.values()), key=len, reverse=True):
        if len(secret) >= 4:
            clean = clean.replace(secret, HIDDEN)
    clean = SECRET_PARAMETER.sub(rf"\1={HIDDEN}", clean)
    clean = MAIL.sub(HIDDEN, MOBILE.sub(HIDDEN, clean))
    return clean if len(clean) <= DETAIL_LENGTH else clean[: DETAIL_LENGTH - 1] + HIDDEN
