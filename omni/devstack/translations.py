"""Compile the translations, and check that every text shown to people has one."""

from __future__ import annotations

from pathlib import Path

from omni.devstack.home import PROJECT


def catalogues() -> list[Path]:
    """Every message catalogue of the project, in a stable order."""
    # One level down for the rooms, two for their sub-packages; never into .venv or node_modules.
    patterns = ("locale/*/LC_MESSAGES/*.po", "*/locale/*/LC_MESSAGES/*.po", "*/*/locale/*/LC_MESSAGES/*.po")
    found = (path for pattern in patterns for path in PROJECT.glob(pattern))
    return sorted(p for p in found if not p.relative_to(PROJECT).parts[0].startswith((".", "node_modules")))


def compile_catalogues() -> int:
    """Write the `.mo` beside each `.po` that changed since; return how many were written.

    GNU gettext is not needed: Babel writes the same format.
    """
    stale = [path for path in catalogues() if not _is_fresh(path)]
    if not stale:
        return 0
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    for path in stale:
        with path.open("rb") as source:
            catalogue = read_po(source, locale=path.parents[1].name)
        # Replaced in one step: another process may be reading it.
        draft = path.with_suffix(".mo.draft")
        with draft.open("wb") as target:
            write_mo(target, catalogue)
        draft.replace(path.with_suffix(".mo"))
    return len(stale)


def _is_fresh(path: Path) -> bool:
    compiled = path.with_suffix(".mo")
    return compiled.exists() and compiled.stat().st_mtime_ns >= path.stat().st_mtime_ns
