"""Run every check that needs no test: one line for each, and the full words of those that fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from omni.devstack.home import PROJECT
from omni.devstack.locks import lock_faults
from omni.devstack.tree import tree_faults
from omni.devstack.vendor import vendor_faults

LINES_MAX = 60
TOOLS = Path(sys.executable).parent

# The cheap ones first.
CHECKS: dict[str, tuple[str, ...] | Callable[[], list[str]]] = {
    "lock files": lock_faults,
    "the tree": tree_faults,
    "vendored files": vendor_faults,
    "ruff": ("ruff", "check", "--quiet"),
    "format": ("ruff", "format", "--check", "--quiet"),
    "rooms": ("lint-imports", "--no-cache", "--no-logo"),
    "translations": ("python", "-m", "omni.devstack.translations", "check"),
    "migrations": ("python", "-m", "omni.devstack.migrations"),
    "deployment": ("python", "manage.py", "check", "--deploy", "--fail-level", "WARNING"),
    "API schema": ("python", "-m", "omni.devstack.schema"),
    "mypy": ("mypy",),
}
# `check --deploy` looks at the settings of a production site; the values are of no use anywhere else.
PRODUCTION = {
    "OMNI_ENV": "production",
    "SECRET_KEY": "only-to-see-how-production-settings-behave-0123456789",
    "OMNI_ENCRYPTION_KEYS": "1:b25seS10by1zZWUtaG93LXByb2R1Y3Rpb24tYmVoYXY=",
}


def run_checks(names: list[str]) -> int:
    """Run the named checks, or all of them; return 1 when one of them found something."""
    failed = []
    for name in names or CHECKS:
        since = time.monotonic()
        words = _run(name)
        print(
            f"{'FAILED' if words is not None else 'ok':>6}  {name}  ({time.monotonic() - since:.1f} s)",
            flush=True,
        )
        if words is not None:
            lines = words.rstrip().splitlines()
            print("\n".join(lines[:LINES_MAX]), flush=True)
            if len(lines) > LINES_MAX:
                print(f"... and {len(lines) - LINES_MAX} more lines", flush=True)
            failed.append(name)
    print(f"{len(failed)} checks failed: {', '.join(failed)}" if failed else "every check passed")
    return 1 if failed else 0


def _run(name: str) -> str | None:
    """Run one check; return its words when it found something."""
    check = CHECKS[name]
    if not isinstance(check, tuple):
        return "\n".join(check()) or None
    environ = {**os.environ, **(PRODUCTION if name == "deployment" else {})}
    done = subprocess.run(
        [TOOLS / check[0], *check[1:]],
        cwd=PROJECT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode else None


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(CHECKS):
        sys.exit(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    sys.exit(run_checks(sys.argv[1:]))
