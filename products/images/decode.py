"""What a picture is by its bytes, and its pixels written anew; the work is done in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from omni.kernel.errors import BadInput

CHILD = Path(__file__).with_name("decode_child.py")
FILE_BYTES_MAX = 10 * 1024 * 1024
SECONDS_MAX = 120
ENDINGS = {"jpeg": ("jpg", "jpeg", "jpe", "jfif"), "png": ("png",), "webp": ("webp",)}
PDF_WITHIN = 1024  # readers of PDF look for its mark so far into a file
# Within the scan of a JPEG, FF is followed by 00 or by a restart mark; anything else begins the next segment.
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# What would make a file a second thing besides a picture.
SECOND_LIVES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"%PDF-",
    b"<script",
    b"<html",
    b"<?php",
    b"<svg",
    b"MZ\x90\x00",
)
STRANGERS: Sequence[tuple[bytes, str]] = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"PK", "ZIP"),
    (b"MZ", "EXE"),
    (b"\x7fELF", "EXE"),
    (b"8BPS", "PSD"),
)
FAULTS: dict[str, Promise] = {
    "too_many_pixels": _(
        "It has more than 40 million pixels, or a side longer than 16,000: save it smaller."
    ),
    "moving": _("It moves: send one still picture."),
    "unreadable": _("It is damaged or was cut off while it was sent: save it again and send it again."),
}


class BadImage(BadInput):
    """The file is not a picture that is taken; the detail says why and how to mend it."""

    code = "bad_image"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was written as `original.<kind>`, upright and without anything but its pixels."""

    kind: str
    width: int
    height: int
    bytes: int


def find_kind(path: Path, name: str) -> str:
    """The kind of picture by its bytes, which its name must agree with. Raises BadImage."""
    data = path.read_bytes()
    start = data[:4096]
    if not start:
        raise BadImage(str(_("The file is empty.")))
    kind = _kind_of(start)
    ending = name.rpartition(".")[2].lower()
    if ending not in ENDINGS[kind]:
        raise BadImage(
            str(_("It is called .%(ending)s and is a %(kind)s: give it its right ending."))
            % {"ending": ending[:10], "kind": kind.upper()}
        )
    if b"%PDF-" in start[:PDF_WITHIN] or _has_second_life(data[ENDS[kind](data) :]):
        raise BadImage(str(_("The file is a picture and something else besides, and is not taken.")))
    return kind


def _kind_of(start: bytes) -> str:
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) or b"<svg" in text:
        raise BadImage(
            str(_("SVG drawings can hold programs and are not taken: save it as PNG, JPEG or WebP."))
        )
    if start[4:8] == b"ftyp":
        raise BadImage(str(_("HEIC and AVIF pictures are not taken: save it as JPEG, PNG or WebP.")))
    for magic, name in STRANGERS:
        if start.startswith(magic):
            raise BadImage(str(_("This is a %s file: save it as JPEG, PNG or WebP.")) % name)
    raise BadImage(str(_("This is no picture that is known here: JPEG, PNG and WebP are taken.")))


def _has_second_life(behind: bytes) -> bool:
    """Something stands behind the picture that a reader of other files would take for one of its own."""
    folded = behind.lower()
    return any(mark in behind or mark in folded for mark in SECOND_LIVES)


def _end_of_jpeg(data: bytes) -> int:
    """Segment by segment, because a thumbnail within one of them has an end of its own."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
            if marker == 0xDA:
                found = AFTER_SCAN.search(data, at)
                at = found.start() if found else len(data)
    # Broken, or its end stands where four more bytes do not: the decoder will say.
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else len(data)


def _end_of_png(data: bytes) -> int:
    at = 8
    while at + 12 <= len(data):
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4])
        if kind == b"IEND":
            return at
    return len(data)


def _end_of_webp(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


ENDS: dict[str, Callable[[bytes], int]] = {"jpeg": _end_of_jpeg, "png": _end_of_png, "webp": _end_of_webp}


def write_original(path: Path, folder: Path) -> Decoded:
    """Decode a picture and write it anew into the folder. Raises BadImage."""
    return Decoded(**_decode(path, folder, "master"))


def write_renditions(path: Path, folder: Path, widths: Sequence[int]) -> list[int]:
    """Write a WebP for each width (no side is longer; none is blown up) into the folder. Raises BadImage."""
    return list(_decode(path, folder, "renditions", *map(str, widths))["made"])


def _decode(path: Path, folder: Path, command: str, *widths: str) -> dict[str, Any]:
    argv = [sys.executable, "-I", str(CHILD), str(path), str(folder), command, *widths]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=SECONDS_MAX, check=False)  # noqa: S603
        answer: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        # It ran out of its memory or its time, or broke the decoder: all the same to whoever sent it.
        raise BadImage(str(FAULTS["unreadable"])) from error
    if "fault" in answer:
        raise BadImage(str(FAULTS[answer["fault"]]))
    return answer
