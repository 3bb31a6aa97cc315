"""Make the project's own Python environment and keep it in step with the lock files; standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from pathlib import Path

from omni.devstack.home import PROJECT, Lock

FOLDER = PROJECT / ".venv"
PYTHON = FOLDER / "bin/python"
LOCKS = {"runtime": "requirements.txt", "dev": "requirements-dev.txt"}
OLDEST_PYTHON = (3, 11)


class NoEnvironment(Exception):
    """The environment cannot be made here; the message says what to do."""


def ensure_venv(*, dev: bool, say: Callable[[str], None] = print) -> Path:
    """Make `.venv` and install the locked packages, all checked by hash; return its python.

    Does nothing when the lock files have not changed since. Safe to call from several processes at once.

    Raises NoEnvironment.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise NoEnvironment(
            f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, this is {sys.version}"
        )
    files = [PROJECT / LOCKS["runtime"], *([PROJECT / LOCKS["dev"]] if dev else [])]
    stamps = {path: FOLDER / f".{path.name}.sha256" for path in files}
    if _is_complete() and all(_is_fresh(path, stamp) for path, stamp in stamps.items()):
        return PYTHON
    lock = Lock(PROJECT / ".venv.lock")
    lock.acquire()
    try:
        if not _is_complete():
            say(f"creating {FOLDER.name} with Python {sys.version.split()[0]}")
            _create_venv(say)
        stale = [path for path, stamp in stamps.items() if not _is_fresh(path, stamp)]
        if stale:
            say(f"installing the locked packages ({', '.join(path.name for path in stale)})")
            _install(stale)
        for path in stale:
            stamps[path].write_text(_digest(path))
    finally:
        lock.release()
    return PYTHON


def _is_complete() -> bool:
    # A venv that was cut short while it was made has a python, but no pip yet.
    return PYTHON.exists() and any(FOLDER.glob("lib/python*/site-packages/pip"))


def _is_fresh(path: Path, stamp: Path) -> bool:
    return stamp.exists() and stamp.read_text() == _digest(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _install(files: list[Path]) -> None:
    words = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        [*words, "--require-hashes", *(word for path in files for word in ("-r", str(path)))], check=False
    )
    if done.returncode:
        raise NoEnvironment("pip could not install the locked packages; its own words stand above")


def _create_venv(say: Callable[[str], None]) -> None:
    if _has_module("ensurepip") and _run(sys.executable, "-m", "venv", "--clear", str(FOLDER)):
        return
    # Debian ships python3 without ensurepip; so does many a container.
    if not _run(sys.executable, "-m", "venv", "--without-pip", "--clear", str(FOLDER)):
        raise NoEnvironment("`python3 -m venv` does not work here, not even --without-pip")
    if _has_module("pip") and _run(sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "pip"):
        return
    say("this Python has neither ensurepip nor pip; looking for a pip wheel")
    wheel = _pip_wheel()
    if wheel and _run(str(PYTHON), f"{wheel}/pip", "install", "--no-deps", "--no-index", str(wheel)):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing Debian's python3-venv")
        install = ("apt-get", "install", "-y", "-qq", "python3-venv")
        is_installed = _run(*install) or (_run("apt-get", "update", "-qq") and _run(*install))
        if is_installed and _run(sys.executable, "-m", "venv", "--clear", str(FOLDER)):
            return
    shutil.rmtree(FOLDER, ignore_errors=True)
    raise NoEnvironment(
        "this Python can make no environment with pip: install python3-venv (Debian, Ubuntu), "
        "or name your package index in PIP_INDEX_URL so that pip can be fetched from it"
    )


def _pip_wheel() -> Path | None:
    """A pip wheel of the system, or the newest of the index that pip's own configuration names."""
    bundled = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if bundled:
        return bundled[-1]
    for index in _configured_indexes():
        page_address = f"{index.rstrip('/')}/pip/"
        try:
            if page_address.startswith("file:"):
                page_address += "index.html"
            with urllib.request.urlopen(page_address, timeout=30) as answer:
                page = answer.read().decode()
            links = re.findall(
                r'href="([^"#]*/?(pip-([\d.]+)-py3-none-any\.whl))#sha256=([0-9a-f]{64})"', page
            )
            href, name, _, digest = max(links, key=lambda link: [int(part) for part in link[2].split(".")])
            with urllib.request.urlopen(urllib.parse.urljoin(page_address, href), timeout=60) as answer:
                content = answer.read()
        except (OSError, ValueError):
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            wheel = FOLDER / str(name)
            wheel.write_bytes(content)
            return wheel
    return None


def _configured_indexes() -> list[str]:
    config = ConfigParser(interpolation=None)
    home = Path.home()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if named := os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    with contextlib.suppress(ConfigParserError):
        config.read(files)
    found: list[str] = []
    for option in ("index-url", "extra-index-url"):
        variable = os.environ.get("PIP_" + option.upper().replace("-", "_"), "")
        found += (variable or str(config.get("global", option, fallback=""))).split()
    return found


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _run(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
