"""What kind of file this is, by its bytes and never by its name, and whether it is safe to open."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput
from omni.kernel.imports.limits import MB, Limits

Kind = Literal["csv", "csv.gz", "xlsx"]


class UnreadableFile(BadInput):
    """The file as a whole cannot be read; the detail says why and how to mend it."""

    code = "unreadable_file"


OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
STRANGERS = (
    (b"%PDF", "PDF"),
    (b"MZ", "EXE"),
    (b"\x7fELF", "EXE"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"Rar!", "RAR"),
    (b"7z\xbc\xaf", "7z"),
    (b"{\\rtf", "RTF"),
)
# Parts that a table of data does not need, and that do harm elsewhere.
MACROS = ("vbaproject.bin", "vbadata.xml", "/macrosheets/", "/activex/")
OUTSIDE = ("/externallinks/", "/embeddings/")
PROLOGUE_BYTES = 4096


def find_kind(path: Path, *, limits: Limits) -> Kind:
    """Look into the file. Raises UnreadableFile if it is not a table that we read, or not a safe one."""
    size = path.stat().st_size
    if size == 0:
        raise UnreadableFile(_("The file is empty."))
    if size > limits.file_bytes:
        raise UnreadableFile(
            _(
                "The file has %(size).1f MB; at most %(max)d MB are taken. Split it, or import it with the command."
            )
            % {"size": size / MB, "max": limits.file_bytes // MB}
        )
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"\x1f\x8b"):
        return "csv.gz"
    if start.startswith(b"PK"):
        check_workbook(path, limits=limits)
        return "xlsx"
    _refuse_strangers(start)
    return "csv"


def _refuse_strangers(start: bytes) -> None:
    if start.startswith(OLE2):
        raise UnreadableFile(
            _(
                "This is an old .xls or an encrypted workbook: open it and save it as .xlsx without a password."
            )
        )
    for magic, name in STRANGERS:
        if start.startswith(magic):
            raise UnreadableFile(_("This is a %s file, not a table: save the table as .csv or .xlsx.") % name)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<table", b"<script")):
        raise UnreadableFile(
            _("This is a web page or XML, not a table: open it and save it as .csv or .xlsx.")
        )
    if text.startswith(b"pk"):
        raise UnreadableFile(_("The file is damaged."))


def check_workbook(path: Path, *, limits: Limits) -> None:
    """Judge an .xlsx by its directory, before anything is unpacked. Raises UnreadableFile."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries, limits)
            _check_prologues(archive, entries)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(
            _("The workbook is damaged or was cut off while it was sent: save it again and send it again.")
        ) from error


def _check_entries(entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(entries) > limits.archive_entries:
        raise UnreadableFile(
            _("The workbook has %(n)d parts; at most %(max)d are taken. Save only the sheet with the table.")
            % {"n": len(entries), "max": limits.archive_entries}
        )
    names = ["/" + entry.filename.lower().replace("\\", "/") for entry in entries]
    if "/[content_types].xml" not in names or "/xl/workbook.xml" not in names:
        raise UnreadableFile(_("This archive is not an .xlsx workbook: save the table as .xlsx or .csv."))
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    too_dense = unpacked > limits.ratio_free_bytes and unpacked > limits.ratio * max(1, packed)
    if unpacked > limits.unpacked_bytes or too_dense:
        raise UnreadableFile(
            _("Unpacked, the workbook would have %d MB: it looks like an archive bomb and is not opened.")
            % (unpacked // MB)
        )
    for name, entry in zip(names, entries, strict=True):
        if ".." in name.split("/") or name.startswith("//") or ":" in name:
            raise UnreadableFile(_("The workbook has a part that points outside of it, and is not opened."))
        if entry.flag_bits & 0x1:
            raise UnreadableFile(_("The workbook is encrypted: save it without a password."))
        if any(part in name for part in MACROS):
            raise UnreadableFile(_("The workbook has macros: save it as .xlsx without them."))
        if any(part in name for part in OUTSIDE) or name.endswith((".zip", ".xlsx", ".docm", ".exe")):
            raise UnreadableFile(
                _("The workbook has other files or links in it: save only the sheet with the table.")
            )


def _check_prologues(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """No part of an honest workbook declares entities; those that do mean to unpack or to fetch something."""
    for entry in entries:
        if entry.filename.lower().endswith((".xml", ".rels")):
            with archive.open(entry) as part:
                start = part.read(PROLOGUE_BYTES).lower().replace(b"\0", b"")
            if b"<!doctype" in start or b"<!entity" in start:
                raise UnreadableFile(_("The workbook declares XML entities, and is not opened."))
