"""`make up` as people use it: one copy a folder, several side by side, and a clean end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omni.devstack.embedded import Place, is_stopped, lease_server
from omni.devstack.home import PROJECT, Lock

READY_SECONDS_MAX = 150


class Copy:
    """One `up`, with a folder and a port of its own."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.folder, self.port = folder, port
        environ = {
            name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}
        }
        self.environ = {**environ, "OMNI_HOME": str(folder), "PORT": str(self.port)}
        self.log = folder / "up.log"
        folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                stack("up"), cwd=PROJECT, env=self.environ, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while "ready: " not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def works(self) -> bool:
        """Whether the pages are there, beat has sent something, and the three workers have their processes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
            checks = json.load(answer)["checks"]
        workers = [words for words in self.processes() if "-A omni worker " in words]
        return checks["beat"].startswith("last ran") and len(workers) == (1 + 2) + (1 + 3) + (1 + 2)

    def processes(self) -> list[str]:
        """The command lines of every live process that belongs to this copy."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                mine = f"OMNI_HOME={self.folder}".encode() in (path / "environ").read_bytes().split(b"\0")
                words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if mine and words:
                found.append(words)
        return found


def stack(command: str) -> list[str]:
    return [sys.executable, "-m", "omni.devstack", command]


def stack_output(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        stack(command),
        cwd=PROJECT,
        env={**os.environ, "OMNI_HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def free_ports() -> Iterator[int]:
    """Ports that are free together with the two after them, which the sandboxes take."""
    for port in range(18_000, 19_000, 10):
        with contextlib.ExitStack() as probes:
            found = [
                probes.enter_context(socket.socket()).connect_ex(("127.0.0.1", port + n)) for n in range(3)
            ]
        if all(found):
            yield port


def eventually(holds: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.2)


@pytest.fixture
def folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="omni-up-"))
    yield place
    shutil.rmtree(place, ignore_errors=True)


def test_a_second_start_is_refused_with_a_clear_sentence(folder: Path) -> None:
    running = Lock(folder / "up.lock")
    running.acquire()
    (folder / "up.json").write_text(json.dumps({"pid": 4711, "port": 8123}))

    second = stack_output("up", folder)

    assert second.returncode == 1
    assert second.stderr == (
        f"Omni is already running from {folder} (process 4711, http://127.0.0.1:8123/). Stop it with `make down`.\n"
    )
    assert second.stdout == ""
    running.release()


def test_a_port_that_is_taken_is_named_before_anything_starts(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        done = stack_output("up", folder, PORT=str(port))

    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {port} is taken.")
    assert not (folder / "postgres").exists()


def test_data_in_use_is_not_removed(folder: Path) -> None:
    lease = lease_server("valkey", folder=folder)

    refused = stack_output("reset", folder)

    assert refused.returncode == 1
    assert lease.is_alive()
    assert (folder / "valkey/data").exists()
    assert lease.release_and_wait()

    (folder / "notes.txt").write_text("not ours")
    assert stack_output("reset", folder).returncode == 0
    assert not (folder / "valkey").exists()
    assert (folder / "notes.txt").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_copies_run_side_by_side_and_each_ends_cleanly(folder: Path) -> None:
    ports = free_ports()
    first, second = Copy(folder / "first", port=next(ports)), Copy(folder / "second", port=next(ports))
    try:
        for copy in (first, second):
            copy.wait_until_ready()
        for copy in (first, second):
            eventually(copy.works)

        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(90) == 0
        stopped = [
            line.split("| stopped ")[1] for line in first.log.read_text().splitlines() if "| stopped " in line
        ]
        order = [line.split()[0] for line in stopped]
        assert order[:2] == ["web", "beat"]
        assert order[-2:] == ["valkey", "postgres"]
        assert all("rc 0" in line for line in stopped[:-2]), stopped
        assert first.processes() == []

        assert second.works()
        second.process.kill()
        second.process.wait()
        eventually(lambda: second.processes() == [])
        assert is_stopped(Place(folder / "second/postgres"))
    finally:
        for copy in (first, second):
            if copy.process.poll() is None:
                copy.process.terminate()
                copy.process.wait(90)
