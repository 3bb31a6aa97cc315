"""How Qimen looks on the wire: XML bodies, the signature over the raw body, method names.

Source: the public apidoc of the `taobao.qimen.*` methods (channels.md section 4).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

CHINA = timezone(timedelta(hours=8))
LONG_PREFIX = "taobao.qimen."
BODY_BYTES_MAX = 10_000_000

ITEM_NAMES: Mapping[str, str] = {
    "orderLines": "orderLine",
    "packages": "package",
    "items": "item",
    "processes": "process",
    "criteriaList": "criteria",
    "batchs": "batch",
    "deliveryOrders": "deliveryOrder",
}
"""Every list has a plural wrapper around singular items."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Malformed(Exception):
    """The body is not what Qimen sends."""


def sign_call(*, query: Mapping[str, str], body: bytes, secret: str) -> str:
    """md5 of secret, sorted names and values (no `sign`, no empty ones), body as sent, secret; upper case."""
    words = "".join(name + query[name] for name in sorted(query) if name != "sign" and query[name])
    digest = hashlib.md5(usedforsecurity=False)
    for part in (secret.encode(), words.encode(), body, secret.encode()):
        digest.update(part)
    return digest.hexdigest().upper()


def short_name(method: str) -> str:
    """Officially `taobao.qimen.deliveryorder.create`, for many warehouses `deliveryorder.create`: both are fine."""
    return method.removeprefix(LONG_PREFIX)


def write_moment(moment: datetime) -> str:
    return moment.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


def now_text() -> str:
    return write_moment(datetime.now(CHINA))


def read_request(body: bytes) -> ElementTree.Element:
    """The `<request>` element. Raises Malformed."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise Malformed("a document type is not welcome here")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 no entities, refused above; standard library only, on purpose
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Malformed(f"not XML: {error}") from error
    if root.tag != "request":
        raise Malformed(f"the root element is {root.tag}, not request")
    return root


def text_of(element: ElementTree.Element | None, path: str) -> str:
    """The trimmed text at the path, '' when there is none."""
    found = element.find(path) if element is not None else None
    return (found.text or "").strip() if found is not None else ""


def write_document(root: str, content: Mapping[str, Any]) -> bytes:
    return ('<?xml version="1.0" encoding="utf-8"?>' + _write(root, content)).encode()


def _write(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inner = "".join(_write(key, part) for key, part in value.items() if part is not None)
    elif isinstance(value, list):
        inner = "".join(_write(ITEM_NAMES[name], part) for part in value)
    else:
        inner = escape(_NOT_XML.sub("", str(value)))
    return f"<{name}>{inner}</{name}>"
