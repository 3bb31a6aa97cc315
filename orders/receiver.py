"""The receiver as stored: encrypted for those who may know, masked for lists."""

from __future__ import annotations

from dataclasses import fields

from omni.kernel.crypto import encrypt_json
from orders.draft import Receiver

FIELDS = tuple(field.name for field in fields(Receiver))


def encrypt_receiver(to: Receiver) -> bytes:
    """The stored form of `SalesOrder.receiver`."""
    # All flat texts: `asdict` would copy each of them deeply, for four times the price.
    return encrypt_json({name: getattr(to, name) for name in FIELDS}, purpose="orders.sales_order.receiver")


def mask_receiver(to: Receiver) -> str:
    """What lists show: the platform's own mask, or ours: first letter of the name, last four digits of the number."""
    name = to.name if "*" in to.name or not to.name else to.name[0] + "**"
    number = to.mobile or to.phone
    if number and "*" not in number:
        number = "*" * max(0, len(number) - 4) + number[-4:]
    return clean_text(" ".join(part for part in (name, number, to.province, to.city) if part))[:160]


def clean_text(text: str) -> str:
    """PostgreSQL takes no NUL, and UTF-8 no half surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
