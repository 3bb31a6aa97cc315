"""A sandbox shares no code with us, so that a mistake in one is not repeated in the other.

A test and not a contract of import-linter, which compares rooms and lets a package import from the package around it.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from omni.devstack.home import PROJECT

SANDBOXES = sorted(PROJECT.glob("integrations/*/*/sandbox"))


def test_the_sandboxes_are_found() -> None:
    assert {sandbox.parent.name for sandbox in SANDBOXES} >= {"top", "qimen"}


@pytest.mark.parametrize("sandbox", SANDBOXES, ids=lambda path: path.parent.name)
def test_a_sandbox_imports_the_standard_library_and_itself_only(sandbox: Path) -> None:
    own = ".".join(sandbox.relative_to(PROJECT).parts)

    imported = {name for path in sandbox.rglob("*.py") for name in imports_of(path)}

    assert imported, f"{own} has no code"
    foreign = {
        name
        for name in imported
        if name.split(".")[0] not in sys.stdlib_module_names
        and name != own
        and not name.startswith(f"{own}.")
    }
    assert foreign == set()


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = path.parent.relative_to(PROJECT).parts
            above = folder[: len(folder) + 1 - node.level] if node.level else ()
            found.add(".".join([*above, *([node.module] if node.module else [])]))
    return found
