"""Drafts as JSON and back, and the hash by which equal content is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from orders.draft import ChannelState, LineDraft, LineRefund, OrderDraft, Receiver
from orders.receiver import clean_text


def content_hash(draft: OrderDraft) -> bytes:
    """20 bytes; equal for equal content. Of the raw payload where there is one, else of the draft itself."""
    return payload_hash(draft.payload or draft_to_json(draft))


def payload_hash(payload: Mapping[str, Any]) -> bytes:
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha1(text.encode(), usedforsecurity=False).digest()


def draft_to_json(draft: OrderDraft) -> dict[str, Any]:
    """Amounts as strings, moments as ISO 8601."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(draft), default=_plain, ensure_ascii=False))
    return values


def draft_from_json(values: Mapping[str, Any]) -> OrderDraft:
    """The reverse of `draft_to_json`. Raises KeyError, ValueError or TypeError if it is not such a draft."""
    lines = [
        LineDraft(
            **{
                **line,
                "unit_price": Decimal(line["unit_price"]),
                "amount": Decimal(line["amount"]),
                "refund": LineRefund(line["refund"]),
            }
        )
        for line in values["lines"]
    ]
    return OrderDraft(
        **{
            **values,
            "state": ChannelState(values["state"]),
            "receiver": Receiver(**values["receiver"]),
            "lines": lines,
            **{name: Decimal(values[name]) for name in ("total_amount", "freight_amount", "discount_amount")},
            **{name: datetime.fromisoformat(values[name]) for name in ("outer_modified_at", "placed_at")},
            **{name: _moment(values[name]) for name in ("paid_at", "ship_by")},
        }
    )


def clean_draft(draft: OrderDraft) -> OrderDraft:
    """The same draft without the characters that PostgreSQL or UTF-8 cannot hold."""
    return draft_from_json(_clean(draft_to_json(draft)))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} has no JSON form")
