"""Lock the packages: every version and every hash, and no word about where they come from."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from omni.devstack.home import PROJECT

STAMP = "# `make lock` made this from the dependency tables of pyproject.toml with sha256 "
UV_WORDS = (
    "--universal",
    "--python-version",
    "3.11",
    "--fork-strategy",
    "fewest",
    "--generate-hashes",
    "--no-header",
)
LOCKS: dict[str, tuple[str, ...]] = {
    "requirements.txt": ("pyproject.toml",),
    "requirements-dev.txt": ("--group", "dev", "-c", "requirements.txt"),
}


def write_locks(*, upgrade: bool = False) -> None:
    """Resolve again and write both lock files. Without `upgrade`, versions that still fit stay as they are."""
    for name, words in LOCKS.items():
        argv = [str(Path(sys.executable).parent / "uv"), "pip", "compile", *words, *UV_WORDS, "--quiet"]
        subprocess.run([*argv, *(["--upgrade"] if upgrade else []), "-o", name], cwd=PROJECT, check=True)
        path = PROJECT / name
        body = "".join(
            line for line in path.read_text().splitlines(keepends=True) if not line.startswith(STAMP)
        )
        path.write_text(f"{STAMP}{dependencies_digest()}\n{body}")


def dependencies_digest() -> str:
    """A digest of what pyproject.toml asks for; it changes with nothing else in that file."""
    tables = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    asked = [
        tables["project"]["requires-python"],
        tables["project"]["dependencies"],
        tables["dependency-groups"],
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def lock_faults() -> list[str]:
    """What is wrong with the lock files: a host named, a package without hash, or another pyproject.toml."""
    faults = []
    for name in LOCKS:
        text = (PROJECT / name).read_text()
        if not text.startswith(f"{STAMP}{dependencies_digest()}\n"):
            faults.append(f"{name}: pyproject.toml asks for other packages by now; run `make lock`")
        if found := re.search(r"\w+://\S+", text):
            faults.append(f"{name}: names an address, {found.group()}")
        for entry in re.split(r"\n(?=\S)", text):
            if re.match(r"[\w.-]+(\[[\w,]+\])?==", entry) and "--hash=sha256:" not in entry:
                faults.append(f"{name}: {entry.splitlines()[0]} has no hash")
    for path in (PROJECT / "package-lock.json", *PROJECT.glob("omni/devstack/peers/*/package-lock.json")):
        if path.exists():
            faults += _npm_faults(path)
    return faults


def _npm_faults(path: Path) -> list[str]:
    name = str(path.relative_to(PROJECT))
    packages = json.loads(path.read_text())["packages"]
    asked = json.loads(path.with_name("package.json").read_text())
    faults = [
        f"{name}: package.json asks for other {kind} by now; run `npm install`"
        for kind in ("dependencies", "devDependencies")
        if asked.get(kind, {}) != packages[""].get(kind, {})
    ]
    for place, package in packages.items():
        if "resolved" in package:
            faults.append(f"{name}: {place} names the address {package['resolved']}")
        if place and "integrity" not in package and not package.get("link"):
            faults.append(f"{name}: {place} has no hash")
    return faults


if __name__ == "__main__":
    write_locks(upgrade="--upgrade" in sys.argv)
