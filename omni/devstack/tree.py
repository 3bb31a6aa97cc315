"""Look over the whole tree for words that would tie it to one registry or to one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from omni.devstack.home import PROJECT

# Package registries by the shape of their names, and folders that exist on one machine only.
FORBIDDEN = {
    "a package registry": re.compile(
        r"\b(?:registry\.[\w-]+|p[y]pi|n[p]mjs|p[y]thonhosted|crates)\.(?:org|com|io)\b"
    ),
    "a folder of one machine": re.compile(r"(?<![\w.~}-])/(?:root|work|Users/\w+|home/(?!omni\b)\w+)/\w"),
}
BUILT = {
    ".git",
    ".venv",
    ".omni",
    ".peer",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}
BINARY_SUFFIXES = {".png", ".jpg", ".ico", ".woff2", ".gz", ".xlsx", ".mo"}


def tree_faults() -> list[str]:
    """Every line of a committed text file that names a registry or a folder of one machine."""
    faults = []
    for path in tracked_files():
        if path.suffix in BINARY_SUFFIXES:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            faults += [
                f"{path.relative_to(PROJECT)}:{number}: names {what}: {found.group()}"
                for what, pattern in FORBIDDEN.items()
                if (found := pattern.search(line))
            ]
    return faults


def tracked_files() -> list[Path]:
    """The files that git knows, or would know; where git does not answer, all that lie outside of built folders."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(words, cwd=PROJECT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        # No repository, or one of another user. Passing for want of git would be a check that cannot fail.
        found = (
            path for path in PROJECT.rglob("*") if not BUILT.intersection(path.relative_to(PROJECT).parts)
        )
        return sorted(path for path in found if path.is_file())
    return [path for name in listed.split("\0") if name and (path := PROJECT / name).is_file()]
