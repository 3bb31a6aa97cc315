"""Run the programs of one copy: start them in order, restart what dies, stop them in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from omni.devstack.home import PROJECT
from omni.devstack.keeper import die_with_parent
from omni.devstack.processes import Program

FIRST_PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 30.0
# Beat starts in three seconds; what has run for so long did not die of its own start, and may be back at once.
HEALTHY_AFTER_SECONDS = 10.0
COLOURS = (32, 33, 35, 36, 34, 31)

Say = Callable[[str], None]


class Child:
    """One program and its present process; knows when it may be started again."""

    def __init__(
        self, program: Program, *, colour: int, environ: Mapping[str, str], locks: Sequence[int]
    ) -> None:
        self.program, self.environ, self.locks = program, environ, locks
        self.label = (
            f"\033[{colour}m{program.name:>16}\033[0m" if sys.stdout.isatty() else f"{program.name:>16}"
        )
        self.process: subprocess.Popen[str] | None = None
        self.started_at = 0.0
        self.restart_at: float | None = None
        self.pause = FIRST_PAUSE_SECONDS

    def start(self) -> None:
        self.restart_at, self.started_at = None, time.monotonic()
        self.process = subprocess.Popen(
            self.program.argv,
            cwd=PROJECT,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Its own session: the terminal's Ctrl-C reaches only us, and we stop the programs in order.
            start_new_session=True,
            # It holds the locks on the servers too: even after our kill -9 they outlive their last client.
            pass_fds=self.locks,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        threading.Thread(target=self._show_output, args=(self.process,), daemon=True).start()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def watch(self, say: Say) -> None:
        """Start the program again if it died, later each time it dies young."""
        if self.is_alive() or self.process is None:
            return
        now = time.monotonic()
        if self.restart_at is None:
            if now - self.started_at > HEALTHY_AFTER_SECONDS:
                self.pause = FIRST_PAUSE_SECONDS
            say(
                f"{self.program.name} ended with {self.process.returncode}; starting it again in {self.pause:.0f} s"
            )
            kill_group(self.process.pid)
            self.restart_at = now + self.pause
            self.pause = min(self.pause * 2, PAUSE_SECONDS_MAX)
        elif now >= self.restart_at:
            self.start()

    def stop(self, say: Say, *, at_once: Callable[[], bool]) -> None:
        process = self.process
        if process is None or process.poll() is not None:
            return
        since = time.monotonic()
        # The main process only: a signal to the whole group would kill the tasks that a Celery worker is running.
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            if at_once() or time.monotonic() - since > self.program.grace_seconds:
                kill_group(process.pid)
                process.wait()
            time.sleep(0.02)
        kill_group(process.pid)
        say(f"stopped {self.program.name} (rc {process.returncode}, {time.monotonic() - since:.1f} s)")

    def _show_output(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            # When nobody reads us any more, the program must still be able to write.
            with contextlib.suppress(OSError, ValueError):
                print(f"{self.label} | {line.rstrip()}", flush=True)


class Supervisor:
    """Keeps the programs running until it is told to stop or the ground under them is gone."""

    def __init__(
        self, programs: Sequence[Program], *, environ: Mapping[str, str], locks: Sequence[int], say: Say
    ) -> None:
        self.say = say
        self.signals = 0
        self.on_signal: Callable[[], None] | None = None  # what else has to end when a signal comes
        self.children = [
            Child(program, colour=COLOURS[n % len(COLOURS)], environ=environ, locks=locks)
            for n, program in enumerate(programs)
        ]

    def listen(self) -> None:
        """From now on Ctrl-C, SIGTERM and a closed terminal ask for an orderly stop; a second one hurries it."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, *_: object) -> None:
        self.signals += 1
        if self.on_signal:
            self.on_signal()

    def start(self, *, behind_web: bool = False) -> None:
        """Start the programs that come first, or those that start when the web answers."""
        for child in self.children:
            if child.program.behind_web == behind_web:
                child.start()

    def watch(self) -> None:
        """Start again what has died."""
        for child in self.children:
            child.watch(self.say)

    def run(self, ground_is_firm: Callable[[], str | None]) -> int:
        """Watch until a signal comes (0), or until `ground_is_firm` names what broke (1)."""
        while not self.signals:
            if broken := ground_is_firm():
                self.say(f"{broken} ended by itself; stopping everything")
                return 1
            self.watch()
            time.sleep(0.2)
        return 0

    def stop(self) -> None:
        """Stop the programs rank by rank, those of one rank together."""
        for rank in sorted({child.program.stops for child in self.children}):
            threads = [
                threading.Thread(
                    target=child.stop, args=(self.say,), kwargs={"at_once": lambda: self.signals > 1}
                )
                for child in self.children
                if child.program.stops == rank
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def kill_group(pid: int) -> None:
    """End what a program may have left behind; each has a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
