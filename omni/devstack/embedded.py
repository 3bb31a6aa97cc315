"""Give a process a PostgreSQL and a Valkey of this copy's own: share the running ones, or start them.

Each server has a keeper, a small process apart that starts it, and stops it when nobody uses it any more. Who uses a
server holds a shared lock on one file; the keeper waits for the exclusive lock on the same file. The kernel gives
locks back even after `kill -9`, so that a server neither outlives its last user nor dies under one that is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from omni.devstack.home import PROJECT, Lock, open_home, secret_key

START_SECONDS_MAX = 90
STOP_SECONDS_MAX = 60


class ServerDidNotStart(Exception):
    """An embedded server gave up; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Place:
    """The folder of one server: its data, its log and the locks around it."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def ready(self) -> Path:
        """Written by the keeper once the server answers; says where."""
        return self.folder / "ready.json"

    @property
    def prepared(self) -> Path:
        """Says which code has prepared the data; gone with the data."""
        return self.folder / "prepared"

    def lock(self, name: str) -> Lock:
        """`users` (shared by all who use the server), `start`, `keeper`, or `server` (held by the server itself)."""
        return Lock(self.folder / f"{name}.lock")


@dataclass
class Lease:
    """The use of one running server; it runs at least until the lease is released or its holder is gone."""

    place: Place
    url: str
    users: Lock = field(repr=False)

    def is_alive(self) -> bool:
        return self.place.lock("keeper").is_held_by_another()

    def release(self) -> None:
        self.users.release()

    def release_and_wait(self) -> bool:
        """Release, and wait until the server has stopped; False when somebody else goes on using it."""
        self.release()
        since = time.monotonic()
        while not is_stopped(self.place):
            waited = time.monotonic() - since
            # The keeper takes its exclusive lock the moment that nobody is left.
            is_leaving = self.place.lock("users").is_held_by_another()
            if waited > STOP_SECONDS_MAX or (waited > 0.5 and not is_leaving and not is_stopped(self.place)):
                return False
            time.sleep(0.02)
        return True


def lease_server(name: str, *, folder: Path, throwaway: bool = False) -> Lease:
    """Share the server `name` (postgres or valkey) of `folder`, starting it if it does not run.

    A throw-away server trades safety for speed, and its data goes with it.

    Raises ServerDidNotStart.
    """
    place = Place(folder / name)
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    users, start = place.lock("users"), place.lock("start")
    # First become a user, then look: a keeper that is leaving makes us wait here, one that stays cannot leave any more.
    users.acquire(shared=True)
    start.acquire()
    try:
        if not (place.lock("keeper").is_held_by_another() and place.ready.exists()):
            _start_keeper(name, place, throwaway=throwaway)
        return Lease(place=place, url=json.loads(place.ready.read_text())["url"], users=users)
    except BaseException:
        users.release()
        raise
    finally:
        start.release()


def running_server(name: str, *, folder: Path) -> dict[str, object] | None:
    """What the keeper of the server wrote when it was ready, or None when the server does not run."""
    place = Place(folder / name)
    if place.lock("keeper").is_held_by_another() and place.ready.exists():
        found: dict[str, object] = json.loads(place.ready.read_text())
        return found
    return None


def is_stopped(place: Place) -> bool:
    """Whether neither the server nor its keeper lives."""
    return not any(place.lock(name).is_held_by_another() for name in ("keeper", "server"))


@contextlib.contextmanager
def use_servers(environ: MutableMapping[str, str] = os.environ) -> Iterator[list[Lease]]:
    """Point DATABASE_URL and REDIS_URL at embedded servers where they are not set, for the time of the block.

    What the environment names is left alone. The secret of this copy comes with its own database, and only then:
    a site that names its database must bring its own secret.
    """
    leases: list[Lease] = []
    wanted = [
        (name, variable)
        for name, variable in (("postgres", "DATABASE_URL"), ("valkey", "REDIS_URL"))
        if not environ.get(variable)
    ]
    if not environ.get("DATABASE_URL") and not environ.get("SECRET_KEY"):
        environ["SECRET_KEY"] = secret_key()
    try:
        for name, variable in wanted:
            lease = lease_server(name, folder=open_home())
            leases.append(lease)
            environ[variable] = lease.url
        yield leases
    finally:
        for lease in leases:
            lease.release()


@contextlib.contextmanager
def use_throwaway_servers(
    folder: Path, environ: MutableMapping[str, str] = os.environ
) -> Iterator[list[Lease]]:
    """Like `use_servers`, with fresh servers under `folder` that are gone, data and all, when the block ends."""
    leases: list[Lease] = []
    try:
        for name, variable in (("postgres", "DATABASE_URL"), ("valkey", "REDIS_URL")):
            if not environ.get(variable):
                lease = lease_server(name, folder=folder, throwaway=True)
                leases.append(lease)
                environ[variable] = lease.url
        yield leases
    finally:
        for lease in leases:
            lease.release()
        for lease in leases:
            lease.release_and_wait()
        shutil.rmtree(folder, ignore_errors=True)


def _start_keeper(name: str, place: Place, *, throwaway: bool) -> None:
    argv = [sys.executable, "-m", "omni.devstack.keeper", name, str(place.folder)]
    with subprocess.Popen(
        [*argv, *(["--throwaway"] if throwaway else [])],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C in the terminal is for the user of the server, not for the server
    ) as process:
        # The process that we started ends as soon as the keeper stands on its own feet or has given up.
        output, _ = process.communicate(timeout=START_SECONDS_MAX)
    if process.returncode:
        raise ServerDidNotStart(f"{name} did not start: {output.strip()}\n{_last_lines(place.log)}".strip())


def _last_lines(log: Path, count: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else ""
