"""Take in a file: keep it, look at how it is written, and suggest which column is what."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import override

from omni.kernel.imports.container import UnreadableFile, find_kind
from omni.kernel.imports.fields import Field
from omni.kernel.imports.limits import BY_DOOR, MB, Limits
from omni.kernel.imports.lines import read_lines
from omni.kernel.imports.options import Options, sniff
from omni.kernel.imports.target import Target
from omni.kernel.models import Import

FILE_NAME_MAX = 120
RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def upload_file(
    *,
    target: Target,
    name: str,
    chunks: Iterable[bytes],
    params: Mapping[str, Any],
    at: datetime,
    by: str,
    options: Mapping[str, Any] | None = None,
    door: Literal["upload", "command"] = "upload",
) -> Import:
    """Keep a file under a random name, find out how it is written, and read its heading.

    What is wrong with the file as a whole is said at once, and nothing is kept then. Raises UnreadableFile, BadInput.
    """
    params, limits = target.check_params(params), BY_DOOR[door]
    relative = f"imports/{at:%Y/%m}/{uuid.uuid4().hex}"
    path = Path(settings.MEDIA_ROOT) / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        digest, size = _keep(path, chunks, limits)
        kind = find_kind(path, limits=limits)
        chosen = _complete_options(path, kind, options or {}, limits)
        header = read_header(path, kind, chosen, limits=limits)
        return _record(
            target=target,
            file=relative,
            file_name=clean_file_name(name),
            file_hash=digest,
            file_bytes=size,
            header=header,
            options={**chosen.to_json(), "kind": kind, "door": door},
            params=params,
            at=at,
            by=by,
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@transaction.atomic
def _record(*, target: Target, header: list[str], at: datetime, by: str, **values: Any) -> Import:
    return Import.objects.create(
        target=target.name,
        header=header,
        columns=suggest_columns(target.fields, header),
        created_by=by,
        created_at=at,
        **values,
    )


def _keep(path: Path, chunks: Iterable[bytes], limits: Limits) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > limits.file_bytes:
                raise UnreadableFile(
                    _("The file has more than %d MB. Split it, or import it with the command.")
                    % (limits.file_bytes // MB)
                )
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest(), size


def _complete_options(path: Path, kind: Any, given: Mapping[str, Any], limits: Limits) -> Options:
    values = {**Options().to_json(), **given}
    if kind != "xlsx" and not (values["encoding"] and values["separator"]):
        encoding, separator = sniff(path, kind, limits=limits)
        values["encoding"] = values["encoding"] or encoding
        values["separator"] = values["separator"] or separator
    return Options.from_json(values)


def read_header(path: Path, kind: Any, options: Options, *, limits: Limits) -> list[str]:
    """The headings, each once: a second “Price” is called “Price (2)”. Raises UnreadableFile."""
    lines = read_lines(path, kind, options, limits=limits)
    first = next(lines, None)
    if first is None:
        raise UnreadableFile(_("The file is empty."))
    if first.fault is not None:
        raise UnreadableFile(
            _("The heading in line %(line)d cannot be read: %(detail)s")
            % {"line": first.number, "detail": first.fault.detail}
        )
    if next(lines, None) is None:
        raise UnreadableFile(_("The file has a heading and no rows."))
    lines.close()  # type: ignore[attr-defined]
    return unique_headings(first.cells)


def unique_headings(cells: Sequence[str]) -> list[str]:
    headings: list[str] = []
    for number, cell in enumerate(cells, 1):
        heading = " ".join(cell.split())[:120] or _("Column %d") % number
        again, count = heading, 1
        while again in headings:
            count += 1
            again = f"{heading} ({count})"
        headings.append(again)
    return headings


def suggest_columns(fields: Sequence[Field], header: Sequence[str]) -> dict[str, str]:
    """Field → heading, where that is called like the field, its label in any language or an alias, whatever the case.

    A template that somebody took in Chinese may be sent in by somebody who reads English.
    """
    by_folded: dict[str, str] = {}
    for heading in header:
        by_folded.setdefault(_fold(heading), heading)
    found: dict[str, str] = {}
    for field in fields:
        for word in (field.name, str(field.label), *field.aliases, *_labels(field)):
            heading = by_folded.get(_fold(word), "")
            if heading and heading not in found.values():
                found[field.name] = heading
                break
    return found


def _labels(field: Field) -> list[str]:
    labels = []
    for language, _name in settings.LANGUAGES:
        with override(language):
            labels.append(str(field.label))
    return labels


def _fold(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def clean_file_name(name: str) -> str:
    """What we call the file when we show or download it: no path, no control letters, no reserved word."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1].split("\0", 1)[0]
    name = "".join(c for c in unicodedata.normalize("NFC", name) if c.isprintable() and c not in '<>:"|?*;%')
    name = name.encode("utf-8", "ignore").decode("utf-8").strip(" .")
    if not name or RESERVED.match(name):
        name = f"file-{name}" if name else "file"
    if len(name) > FILE_NAME_MAX:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) < 10 else ""
        name = name[: FILE_NAME_MAX - len(ending)] + ending
    return name
