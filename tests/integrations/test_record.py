"""The log tells what was said, and never a secret or a person."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from integrations.forget import forget_old_messages
from integrations.models import MessageLog
from integrations.record import Message, record_messages, redact
from tests.factories.integrations import make_channel

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I4")]


@pytest.mark.parametrize(
    "said",
    [
        "call 13812345678 please",
        "收件人电话13812345678。",
        "+86 138-1234-5678",
        "buyer a.b+c@example.com wrote",
        "POST /router/rest?session=abc123&sign=FFEE&method=x",
        "the secret was helloworld",
    ],
)
def test_what_is_secret_or_personal_is_hidden(said: str) -> None:
    channel = make_channel()

    clean = redact(said, connection=channel)

    for hidden in ("1234-5678", "13812345678", "example.com", "abc123", "FFEE", "helloworld"):
        assert hidden not in clean
    assert "…" in clean


def test_order_numbers_of_any_length_stay_readable() -> None:
    channel = make_channel()
    said = "trade 2138765432101234567 of 13899999999901, FO00000042"

    clean = redact(said, connection=channel)

    assert clean == said


def test_a_long_or_broken_text_is_stored_all_the_same() -> None:
    channel = make_channel()
    message = Message("push_stock", is_ok=False, subject="x" * 300, detail="\x00\ud800" + "y" * 10_000)

    record_messages(connection=channel, messages=[message], at=timezone.now())

    row = MessageLog.objects.get()
    assert (len(row.subject), len(row.detail)) == (120, 500)


def test_old_rows_are_forgotten_and_young_ones_kept() -> None:
    channel, at = make_channel(), timezone.now()
    message = Message("push_stock", is_ok=True)
    record_messages(connection=channel, messages=[message], at=at - timedelta(days=31))
    record_messages(connection=channel, messages=[message], at=at)

    gone = forget_old_messages(before=at - timedelta(days=30))

    assert gone == 1
    assert MessageLog.objects.get().at == at
