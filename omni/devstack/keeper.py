"""Keep one embedded server alive exactly as long as somebody uses it: the process behind a lease."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from omni.devstack.binaries import NoServerProgram, RootNotAllowed, disguise, postgres_bin, valkey_server
from omni.devstack.embedded import Place
from omni.devstack.home import Lock, UnsafeSocketFolder, socket_folder

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30

# For a small machine that also runs everything else. Durability stays on: what the demo shows must be true.
POSTGRES_SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "60",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "10min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    # Compiling pays for queries of seconds; ours take milliseconds.
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
THROWAWAY_POSTGRES_SETTINGS = {
    **POSTGRES_SETTINGS,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "10s",
}


class ServerGaveUp(Exception):
    """The server ended, or did not answer in time, while we waited for it to be ready."""


class Postgres:
    """PostgreSQL on a Unix socket, with one user and one database, both named `omni`."""

    stop_signal = (
        signal.SIGINT
    )  # "fast": ends sessions and writes a checkpoint; TERM would wait for the last client

    def __init__(self, place: Place, *, throwaway: bool) -> None:
        self.place, self.throwaway = place, throwaway
        self.bin, self.disguise = postgres_bin(), disguise()
        self.prefix = self.disguise.prefix
        self.sockets = socket_folder(place.folder, user=self.disguise.user)
        self.url = f"postgresql://omni@/omni?host={quote(str(self.sockets), safe='')}"

    def prepare(self) -> None:
        """Create the database cluster if there is none; an attempt that was cut short leaves nothing behind."""
        # We hold the server's lock, so no postmaster of this folder lives; a pid file that is left over from a crash
        # would stop the next one as soon as another process happens to have that number.
        (self.place.data / "postmaster.pid").unlink(missing_ok=True)
        if (self.place.data / "PG_VERSION").exists():
            return
        if self.disguise.user is not None:
            self._hand_over(self.disguise.user)
        self.place.prepared.unlink(missing_ok=True)
        draft = self.place.folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        # C.UTF-8 and not C: with C, pg_trgm finds no trigram in Chinese, and a search silently finds nothing.
        locale = ["-E", "UTF8", "--locale=C.UTF-8"]
        initdb = [self.bin / "initdb", "-D", draft, "-U", "omni", "-A", "trust", *locale]
        _run([*self.prefix, *initdb, *(["--no-sync"] if self.throwaway else [])])
        fsync = "fsync=off" if self.throwaway else "fsync=on"
        single = [self.bin / "postgres", "--single", "-D", draft, "-c", fsync, "postgres"]
        _run([*self.prefix, *single], text="CREATE DATABASE omni\n")
        draft.rename(self.place.data)

    def _hand_over(self, user: int) -> None:
        os.chown(self.place.folder, user, user)
        self.place.folder.parent.chmod(0o711)  # to pass through; what lies there stays closed
        for needed in (self.place.folder, self.bin):
            if subprocess.run([*self.prefix, "test", "-x", needed], check=False).returncode:
                raise ServerGaveUp(
                    f"PostgreSQL runs as user {user} here, who cannot reach {needed}; "
                    "choose another OMNI_HOME, run as another user, or set DATABASE_URL"
                )

    def argv(self) -> list[str]:
        settings = THROWAWAY_POSTGRES_SETTINGS if self.throwaway else POSTGRES_SETTINGS
        words = [*self.prefix, self.bin / "postgres", "-D", self.place.data, "-k", self.sockets, "-h", ""]
        options = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return [*(str(word) for word in words), *options]

    def is_ready(self) -> bool:
        # What pg_ctl looks at: the eighth line of the pid file. Asking costs a file read, not a process.
        try:
            lines = (self.place.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"


class Valkey:
    """Valkey on a Unix socket, keeping what it is told (append-only file) and refusing rather than forgetting."""

    stop_signal = signal.SIGTERM

    def __init__(self, place: Place, *, throwaway: bool) -> None:
        self.place, self.throwaway = place, throwaway
        self.program = valkey_server()
        self.sockets = socket_folder(place.folder)
        self.socket = self.sockets / "valkey.sock"
        self.url = f"unix://{self.socket}?db=0"

    def prepare(self) -> None:
        self.place.data.mkdir(mode=0o700, exist_ok=True)
        self.socket.unlink(missing_ok=True)

    def argv(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.place.data),
            "save": "",
            "appendonly": "no" if self.throwaway else "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        return [
            str(self.program),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False


SERVERS: dict[str, type[Postgres] | type[Valkey]] = {"postgres": Postgres, "valkey": Valkey}


def die_with_parent(how: signal.Signals) -> Callable[[], None]:
    """Return what a child has to call before exec so that the kernel sends it `how` when this process is gone."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def before_exec() -> None:
        if libc is not None:
            libc.prctl(1, how)  # PR_SET_PDEATHSIG; it survives the exec, and unshare's too
            if os.getppid() != parent:
                os._exit(1)

    return before_exec


def keep(server: Postgres | Valkey, tell_starter: Callable[[], None]) -> int:
    """Run the server until nobody uses it, it dies by itself, or we are told to end."""
    place = server.place
    keeper, alive, users = place.lock("keeper"), place.lock("server"), place.lock("users")
    keeper.acquire()
    # The server inherits this lock: if an earlier keeper was killed, its server may still be writing its last pages.
    alive.acquire()
    place.ready.unlink(missing_ok=True)
    server.prepare()

    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if place.log.exists():
        place.log.replace(place.log.with_suffix(".1"))
    with place.log.open("wb") as log:
        process = subprocess.Popen(
            server.argv(),
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[alive.fileno()],
            preexec_fn=die_with_parent(server.stop_signal),
        )
    try:
        _wait_until_ready(server, process, over)
        draft = place.ready.with_suffix(".draft")
        draft.write_text(json.dumps({"url": server.url, "keeper": os.getpid(), "pid": process.pid}))
        draft.replace(place.ready)
        tell_starter()

        threading.Thread(target=_wait_for_last_user, args=(users, over), daemon=True).start()
        while not over.wait(0.2):
            if process.poll() is not None:
                return 1
        return 0
    finally:
        place.ready.unlink(missing_ok=True)
        _stop(server, process)
        if server.throwaway:
            shutil.rmtree(place.data, ignore_errors=True)
        shutil.rmtree(server.sockets, ignore_errors=True)


def _wait_for_last_user(users: Lock, over: threading.Event) -> None:
    users.acquire()
    over.set()


def _wait_until_ready(
    server: Postgres | Valkey, process: subprocess.Popen[bytes], over: threading.Event
) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not server.is_ready():
        if process.poll() is not None:
            raise ServerGaveUp(f"it ended with {process.returncode}")
        if over.is_set() or time.monotonic() > deadline:
            raise ServerGaveUp("it was not ready in time")
        time.sleep(0.01)


def _stop(server: Postgres | Valkey, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # The main process only: PostgreSQL and Valkey end their own children in order.
        process.send_signal(server.stop_signal)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run(argv: Sequence[object], *, text: str | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in argv], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerGaveUp(f"{done.args[0]} failed: {(done.stderr or done.stdout).strip()[-800:]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m omni.devstack.keeper", description=__doc__)
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--throwaway", action="store_true")
    options = parser.parse_args()

    # The starter waits for the process that it started. That one stays until the server answers, then leaves
    # the keeper to init, so that nobody has to collect it.
    answer, question = os.pipe()
    child = os.fork()
    if child:
        os.close(question)
        with os.fdopen(answer) as pipe:
            told = pipe.read()
        sys.stdout.write(told.removeprefix("ready"))
        sys.stdout.flush()
        os._exit(0 if told == "ready" else 1)

    os.close(answer)

    def tell(word: str) -> None:
        nonlocal question
        if question >= 0:
            os.write(question, word.encode())
            os.close(question)
            question = -1
        for stream in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)

    try:
        server = SERVERS[options.server](Place(options.folder), throwaway=options.throwaway)
        return keep(server, lambda: tell("ready"))
    except (NoServerProgram, RootNotAllowed, ServerGaveUp, UnsafeSocketFolder, OSError) as failure:
        tell(str(failure))
        return 1


if __name__ == "__main__":
    sys.exit(main())
