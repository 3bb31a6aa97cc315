"""The supervisor restarts what dies, stops in order, and leaves nothing behind when it is killed itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from omni.devstack.home import PROJECT
from omni.devstack.processes import Program
from omni.devstack.supervisor import Supervisor

SLEEP = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
POLITE = (
    sys.executable,
    "-c",
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(0)))\n"
    "time.sleep(600)",
)
KILLED_SUPERVISOR = """
import os, sys
from omni.devstack.processes import Program
from omni.devstack.supervisor import Supervisor
argv = (sys.executable, "-c", "import time; time.sleep(600)")
supervisor = Supervisor([Program("a", argv, 1), Program("b", argv, 2)], environ=os.environ, locks=[], say=print)
supervisor.start()
print(*(child.process.pid for child in supervisor.children), flush=True)
supervisor.run(lambda: None)
"""


class Watched:
    """A supervisor that runs beside the test, and what it said."""

    def __init__(self, *programs: Program) -> None:
        self.said: list[str] = []
        self.broken: str | None = None
        self.result: int | None = None
        self.supervisor = Supervisor(programs, environ=os.environ, locks=[], say=self.said.append)
        self.supervisor.start()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.result = self.supervisor.run(lambda: self.broken)
        self.supervisor.stop()

    def pid(self, number: int = 0) -> int:
        process = self.supervisor.children[number].process
        assert process is not None
        return process.pid

    def finish(self) -> None:
        self.supervisor.signals += 1
        self.thread.join(30)
        assert not self.thread.is_alive()


def eventually(holds: Callable[[], bool], *, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_dies_is_started_again_later_each_time() -> None:
    watched = Watched(Program("web", SLEEP, stops=1))
    first = watched.pid()

    os.kill(first, signal.SIGKILL)
    eventually(lambda: watched.pid() != first)
    second = watched.pid()
    os.kill(second, signal.SIGKILL)
    eventually(lambda: watched.pid() != second)
    watched.finish()

    restarts = [line for line in watched.said if "starting it again" in line]
    assert restarts == [
        "web ended with -9; starting it again in 1 s",
        "web ended with -9; starting it again in 2 s",
    ]


def test_programs_stop_rank_by_rank_and_each_gets_time_to_finish() -> None:
    watched = Watched(
        Program("sandbox", POLITE, stops=3),
        Program("web", POLITE, stops=1),
        Program("worker", POLITE, stops=2),
    )
    time.sleep(0.5)

    watched.finish()

    assert watched.result == 0
    assert [line.split(",")[0] for line in watched.said] == [
        "stopped web (rc 0",
        "stopped worker (rc 0",
        "stopped sandbox (rc 0",
    ]


def test_a_program_that_does_not_listen_is_killed_when_its_time_is_over() -> None:
    deaf = (sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)")
    watched = Watched(Program("deaf", deaf, stops=1, grace_seconds=1))
    time.sleep(0.5)

    watched.finish()

    assert watched.said[-1].startswith("stopped deaf (rc -9")


def test_everything_stops_when_a_server_underneath_is_gone() -> None:
    watched = Watched(Program("web", SLEEP, stops=1))

    watched.broken = "postgres"
    watched.thread.join(10)

    assert watched.result == 1
    assert "postgres ended by itself; stopping everything" in watched.said
    assert not is_alive(watched.pid())


def test_kill_9_of_the_supervisor_leaves_no_program_behind() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_SUPERVISOR], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    programs = [int(word) for word in process.stdout.readline().split()]
    assert all(is_alive(pid) for pid in programs)

    process.kill()
    process.communicate()

    eventually(lambda: not any(is_alive(pid) for pid in programs))


def test_what_worked_for_a_while_is_back_at_once_and_what_dies_young_waits_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = Supervisor([Program("a", SLEEP, 1)], environ=os.environ, locks=[], say=print).children[0]
    clock = [1000.0]
    monkeypatch.setattr("omni.devstack.supervisor.time.monotonic", lambda: clock[0])
    pauses = []
    for lived in (1, 2, 3, 15, 12, 2):
        child.start()
        assert child.process is not None
        child.process.kill()
        child.process.wait()
        clock[0] += lived
        child.watch(lambda _text: None)
        assert child.restart_at is not None
        pauses.append(child.restart_at - clock[0])

    assert pauses == [1, 2, 4, 1, 1, 2]
