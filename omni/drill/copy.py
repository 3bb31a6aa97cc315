"""A copy of Omni of its own: its own folder, ports, servers and processes, thrown away at the end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 180
HOME_PREFIX = "omni-drill-"
# What may be killed: how each of our processes can be known by its command line.
VICTIMS = {
    "worker": ("-m celery", " worker "),
    "web": ("granian", "omni.wsgi"),
    "beat": ("-m celery", " beat "),
}


class CopyDidNotStart(Exception):
    """The copy's own last words are in the message."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A running copy. The sandboxes of TOP and Qimen listen on the two ports after the web's."""

    home: Path
    port: int

    @property
    def environ(self) -> dict[str, str]:
        unset = {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE"}
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        return {**kept, "OMNI_HOME": str(self.home), "PORT": str(self.port)}

    @property
    def log(self) -> Path:
        return self.home / "up.log"

    def kill_one(self, kind: str, *, chance: random.Random) -> int | None:
        """`kill -9` one process of the kind; return its pid, or None if none runs just now."""
        pids = list(self._find(*VICTIMS[kind]))
        if not pids:
            return None
        victim = chance.choice(pids)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        return victim

    def _find(self, *words: str) -> Iterator[int]:
        mark = f"OMNI_HOME={self.home}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if all(word in f"{line} " for word in words) and mark in (folder / "environ").read_bytes():
                    yield int(folder.name)


@contextmanager
def running_copy(*, keep: bool = False) -> Iterator[Copy]:
    """Start a copy in a new folder, wait until it answers, and stop and remove it at the end."""
    home = Path(tempfile.mkdtemp(prefix=HOME_PREFIX))
    copy = Copy(home, _free_ports(3))
    with copy.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "omni.devstack", "up"],
            cwd=PROJECT,
            env=copy.environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(copy, process)
            yield copy
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(90)
            if process.poll() is None:
                process.kill()
            if not keep:
                shutil.rmtree(home, ignore_errors=True)


def _wait_until_ready(copy: Copy, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        text = copy.log.read_text(errors="replace")
        if "ready: http" in text:
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise CopyDidNotStart("\n".join(copy.log.read_text(errors="replace").splitlines()[-20:]))


def _free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that are free now."""
    chance = random.Random()
    for _ in range(200):
        first = chance.randrange(20000, 60000)
        if all(_is_free(first + offset) for offset in range(count)):
            return first
    raise CopyDidNotStart("no free ports on this machine")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
