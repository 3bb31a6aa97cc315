"""The XML of Qimen: how documents are built, read and compared; no call and no meaning.

Source: Qimen documentation: roots `request` and `response`, lists are a plural wrapper around singular items, times are
China time, money is yuan.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeAlias
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

CHINA = timezone(timedelta(hours=8))
PREFIX = "taobao.qimen."

_TIME = "%Y-%m-%d %H:%M:%S"
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class BadDocument(Exception):
    """This is no Qimen document; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Many:
    """A list on the wire: `Many("orderLine", [...])` under the name orderLines."""

    name: str
    items: Sequence[Node]


Node: TypeAlias = "str | int | Many | Mapping[str, Node] | None"


def build_document(root: str, content: Mapping[str, Node]) -> bytes:
    """Empty values are left out. Characters that XML cannot say, such as NUL, are dropped."""
    return f'<?xml version="1.0" encoding="utf-8"?>{_build(root, content)}'.encode()


def _build(name: str, value: Node) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, Many):
        inside = "".join(_build(value.name, item) for item in value.items)
    elif isinstance(value, Mapping):
        inside = "".join(_build(key, part) for key, part in value.items())
    else:
        inside = escape(_NOT_IN_XML.sub("", str(value)))
    return f"<{name}>{inside}</{name}>"


def parse_document(body: bytes) -> Element:
    """The root element. Raises BadDocument for what is not UTF-8, not XML, or declares entities or a document type."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDocument(
            f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}"
        ) from error
    try:
        # as str: an encoding that the declaration names no longer counts
        root: Element = fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise BadDocument("the body declares a document type or entities, which is not allowed") from error
    except (ParseError, ValueError) as error:
        raise BadDocument(f"the body is not XML: {error}") from error
    return root


def read_text(element: Element | None, name: str) -> str:
    found = None if element is None else element.find(name)
    return (found.text or "").strip() if found is not None else ""


def read_items(element: Element | None, plural: str, singular: str) -> list[Element]:
    return [] if element is None else element.findall(f"{plural}/{singular}")


def read_time(text: str) -> datetime | None:
    """An aware moment, None for an empty text. Raises BadDocument."""
    if not text:
        return None
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=CHINA)
    except ValueError as error:
        raise BadDocument(f"not a time of the form 2026-01-31 23:59:59: {text}") from error


def show_time(moment: datetime | None) -> str:
    return moment.astimezone(CHINA).strftime(_TIME) if moment else ""


def fingerprint(element: Element) -> str:
    """The same for documents that differ only in white space between elements.

    Walks without recursion: the other side chooses how deep its documents are.
    """
    digest = hashlib.sha256()
    for each in element.iter():
        digest.update(f"<{each.tag}>{escape((each.text or '').strip())}".encode())
    return digest.hexdigest()[:32]
