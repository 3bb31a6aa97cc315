"""How a file is written: found by looking at it, and overridable by whoever knows better."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput
from omni.kernel.imports.container import Kind, UnreadableFile
from omni.kernel.imports.limits import MB, Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ENCODINGS = ("utf-8-sig", "gb18030", "utf-16", "big5", "cp1252")
SEPARATORS = (",", ";", "\t", "|")
BLOCK_BYTES = 1 * MB
SAMPLE_CHARS = 64 * 1024
# A file that is UTF-8 but for so few spots is UTF-8 with damaged rows, not another encoding.
DAMAGE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Options:
    """`encoding` and `separator` concern CSV, `sheet` (a name; empty: the first) workbooks.

    `decimal` is the decimal mark. `time_zone` is that of moments written without one. `date_formats`: strptime
    formats tried after ISO 8601. `constants`: field → text, for what the file does not say.
    """

    encoding: str = ""
    separator: str = ""
    sheet: str = ""
    decimal: str = "."
    time_zone: str = "Asia/Shanghai"
    date_formats: list[str] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Options:
        """Read stored or posted options. Raises BadInput for one that cannot be."""
        known = {f.name for f in fields(cls)}
        options = cls(**{name: value for name, value in values.items() if name in known})
        if options.encoding and options.encoding not in ENCODINGS:
            raise BadInput(
                _("The encoding must be one of %s.") % ", ".join(ENCODINGS), fields={"encoding": []}
            )
        if options.separator and options.separator not in SEPARATORS:
            raise BadInput(
                _("The separator must be a comma, a semicolon, a tab or a bar."), fields={"separator": []}
            )
        if options.decimal not in (".", ","):
            raise BadInput(_("The decimal mark must be a point or a comma."), fields={"decimal": []})
        try:
            ZoneInfo(options.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadInput(_("Nobody knows this time zone."), fields={"time_zone": []}) from error
        return options

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def open_bytes(path: Path, kind: Kind, *, limits: Limits) -> io.BufferedReader:
    """The bytes of a CSV, unpacked on the way."""
    if kind != "csv.gz":
        return path.open("rb")
    return io.BufferedReader(Unpacked(path, limits), BLOCK_BYTES)


class Unpacked(io.RawIOBase):
    """A gzip stream that ends with a clear word when it unpacks to far more than it may."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._source = gzip.GzipFile(path, "rb")
        self._left = min(
            limits.unpacked_bytes, max(limits.ratio_free_bytes, limits.ratio * path.stat().st_size)
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            count = self._source.readinto(buffer)
        except (EOFError, OSError, zlib.error) as error:
            raise UnreadableFile(
                _("The packed file is damaged or was cut off: pack and send it again.")
            ) from error
        self._left -= count
        if self._left < 0:
            raise UnreadableFile(_("Unpacked, the file is far larger than it may be, and is not read on."))
        return int(count)

    def close(self) -> None:
        self._source.close()
        super().close()


def sniff(path: Path, kind: Kind, *, limits: Limits) -> tuple[str, str]:
    """The encoding and the separator of a CSV. Reads all of it, so that a rare letter near the end counts too.

    Raises UnreadableFile if it is no text.
    """
    encoding = _sniff_encoding(path, kind, limits)
    with open_bytes(path, kind, limits=limits) as file:
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        sample = decoder.decode(file.read(SAMPLE_CHARS))
    return encoding, _sniff_separator(sample)


def _blocks(path: Path, kind: Kind, limits: Limits) -> Iterator[bytes]:
    with open_bytes(path, kind, limits=limits) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _sniff_encoding(path: Path, kind: Kind, limits: Limits) -> str:
    blocks = _blocks(path, kind, limits)
    start = next(blocks, b"")
    blocks.close()  # type: ignore[attr-defined]
    if not start:
        raise UnreadableFile(_("The file is empty."))
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start[:2000].count(0) > len(start[:2000]) // 4:
        raise UnreadableFile(
            _(
                "The file is not a text, or it is UTF-16 without its mark: save it as CSV UTF-8 and send it again."
            )
        )
    damaged, foreign = _damage(path, kind, limits, "utf-8")
    if not damaged or damaged <= foreign * DAMAGE_SHARE:
        return "utf-8-sig"
    damaged_gb, foreign_gb = _damage(path, kind, limits, "gb18030")
    if not damaged_gb or damaged_gb <= foreign_gb * DAMAGE_SHARE:
        return "gb18030"
    return "utf-8-sig"


def _damage(path: Path, kind: Kind, limits: Limits, encoding: str) -> tuple[int, int]:
    """How many spots cannot be decoded, and how many characters are beyond ASCII."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    damaged = foreign = 0
    for block in _blocks(path, kind, limits):
        text = decoder.decode(block)
        if not text.isascii():
            damaged += text.count("\ufffd")
            foreign += sum(map("\x7f".__lt__, text))
    return damaged, foreign


def _sniff_separator(sample: str) -> str:
    """The mark that splits the first lines into the same number of cells, more than one; the most cells win."""
    lines = [line for line in sample.splitlines()[:50] if line.strip()][:20]
    best, separator = 1, ","
    for candidate in SEPARATORS:
        try:
            widths = [len(cells) for cells in csv.reader(lines, delimiter=candidate)]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        agreeing = sum(width == widths[0] for width in widths)
        if agreeing * 2 > len(widths) and widths[0] > best:
            best, separator = widths[0], candidate
    return separator
