"""Compile the translations, and check that every text shown to people has one."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omni.devstack.home import PROJECT

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

LOCALE = "zh_Hans"
# What a marked text looks like to the extractor: which argument is the message, which the plural, which the context.
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "sentence": None,  # omni.kernel.sentences: stored now, read in the reader's language
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")


@dataclass(frozen=True)
class Text:
    """A text marked for translation; two texts are the same when context and message are."""

    context: str | None
    message: str


@dataclass(frozen=True)
class Origin:
    """Where a text stands first, and its plural form if it has one."""

    place: Path
    plural: str | None


@dataclass(frozen=True)
class Translation:
    text: str
    is_fuzzy: bool


def catalogues() -> list[Path]:
    """Every message catalogue of the project, in a stable order."""
    # One level down for the rooms, two for their sub-packages; never into .venv or node_modules.
    patterns = ("*/locale/*/LC_MESSAGES/*.po", "*/*/locale/*/LC_MESSAGES/*.po")
    found = (path for pattern in patterns for path in PROJECT.glob(pattern))
    return sorted(p for p in found if not p.relative_to(PROJECT).parts[0].startswith((".", "node_modules")))


def compile_catalogues() -> int:
    """Write the `.mo` beside each `.po` that changed since; return how many were written.

    GNU gettext is not needed: Babel writes the same format.
    """
    stale = [path for path in catalogues() if not _is_fresh(path)]
    for path in stale:
        from babel.messages.mofile import write_mo

        # Replaced in one step: another process may be reading it.
        draft = path.with_suffix(f".{os.getpid()}")
        with draft.open("wb") as target:
            write_mo(target, _read(path))
        draft.replace(path.with_suffix(".mo"))
    return len(stale)


def update_catalogues() -> int:
    """Add every text that no catalogue knows to the one of its room, without a translation; return how many."""
    from babel.messages.pofile import write_po

    known = {text for path in catalogues() for text in _translations(path)}
    missing: dict[Path, list[tuple[Text, Origin]]] = {}
    for text, origin in marked_texts().items():
        if text not in known:
            path = PROJECT / origin.place.parts[0] / "locale" / LOCALE / "LC_MESSAGES/django.po"
            missing.setdefault(path, []).append((text, origin))
    for path, texts in missing.items():
        catalogue = _read(path) if path.exists() else _empty_catalogue()
        for text, origin in texts:
            message = (text.message, origin.plural) if origin.plural else text.message
            catalogue.add(message, context=text.context)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            write_po(target, catalogue, no_location=True, width=110, sort_output=True)
    return sum(len(texts) for texts in missing.values())


def translation_faults() -> list[str]:
    """Texts without a translation, unsure translations, and translations that drop or invent a placeholder."""
    translations = {text: found for path in catalogues() for text, found in _translations(path).items()}
    faults = []
    for text, origin in marked_texts().items():
        found = translations.get(text)
        if found is None:
            faults.append(f"{origin.place}: {text.message!r} is in no catalogue; `make fix` adds it")
        elif not found.text:
            faults.append(f"{origin.place}: {text.message!r} is not translated")
        elif found.is_fuzzy:
            faults.append(f"{origin.place}: the translation of {text.message!r} is marked as fuzzy")
        elif set(PLACEHOLDER.findall(origin.plural or text.message)) != set(PLACEHOLDER.findall(found.text)):
            faults.append(f"{origin.place}: {text.message!r} and {found.text!r} differ in their placeholders")
    return faults


def marked_texts() -> dict[Text, Origin]:
    """Every text of the project that is marked for translation."""
    texts: dict[Text, Origin] = {}
    for path in _sources():
        for text, plural in _extract(path):
            texts.setdefault(text, Origin(path.relative_to(PROJECT), plural))
    return texts


def _sources() -> list[Path]:
    rooms = sorted(path.parent for path in PROJECT.glob("*/apps.py"))
    python = (path for room in rooms for path in room.rglob("*.py") if "migrations" not in path.parts)
    templates = (
        path for room in rooms for path in room.rglob("templates/**/*") if path.suffix in {".html", ".txt"}
    )
    return sorted([*python, *templates])


def _extract(path: Path) -> Iterator[tuple[Text, str | None]]:
    from babel.messages.extract import extract

    source = path.read_text()
    if path.suffix != ".py":
        from django.utils.translation.template import templatize

        # Django turns the tags of a template into calls and everything else into filler words; without their
        # indentation, Python's tokenizer takes those lines too.
        filled = templatize(source, origin=str(path))
        source = "\n".join(line.lstrip() for line in filled.splitlines())
    for _, message, _, context in extract("python", io.BytesIO(source.encode()), keywords=KEYWORDS):
        singular, plural = (message, None) if isinstance(message, str) else (message[0], message[1])
        if singular:
            yield Text(context, singular), plural


def _translations(path: Path) -> dict[Text, Translation]:
    found = {}
    for entry in _read(path):
        # A message with a plural comes as a pair; Chinese has one form for both.
        message, text = (
            part if isinstance(part, str) else (part or ("",))[0] for part in (entry.id, entry.string)
        )
        if message:
            found[Text(entry.context, message)] = Translation(text, entry.fuzzy)
    return found


def _read(path: Path) -> Catalog:
    from babel.messages.pofile import read_po

    with path.open("rb") as source:
        return read_po(source, locale=path.parents[1].name)


def _empty_catalogue() -> Catalog:
    from babel.messages.catalog import Catalog

    # Babel would fill what is not said with words such as EMAIL@ADDRESS.
    return Catalog(
        locale=LOCALE,
        header_comment="# Omni in Simplified Chinese. The terms are those of docs/glossary.md.",
        project="Omni",
        version="1",
        msgid_bugs_address="-",
        last_translator="Omni",
        language_team="Omni",
        fuzzy=False,
    )


def _is_fresh(path: Path) -> bool:
    compiled = path.with_suffix(".mo")
    return compiled.exists() and compiled.stat().st_mtime_ns >= path.stat().st_mtime_ns


if __name__ == "__main__":
    if sys.argv[1:] == ["update"]:
        print(f"{update_catalogues()} new texts")
    else:
        faults = translation_faults()
        print("\n".join(faults) or "every text is translated")
        sys.exit(1 if faults else 0)
