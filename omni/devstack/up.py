"""Bring one whole copy up on this machine, take it down, or start its data afresh."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from omni.devstack.embedded import (
    Lease,
    Place,
    ServerDidNotStart,
    running_server,
    use_servers,
)
from omni.devstack.home import PROJECT, Lock, home, open_home
from omni.devstack.keeper import die_with_parent
from omni.devstack.probe import is_alive
from omni.devstack.processes import Setting, programs
from omni.devstack.supervisor import Supervisor

WEB_SECONDS_MAX = 60
DOWN_SECONDS_MAX = 120
DATA_FOLDERS = ("postgres", "valkey", "files", "static", "sandbox")
BEGAN = time.monotonic()


def say(text: str) -> None:
    mark = f"up {time.monotonic() - BEGAN:6.1f} s"
    with contextlib.suppress(OSError, ValueError):
        print(f"\033[1m{mark}\033[0m | {text}" if sys.stdout.isatty() else f"{mark:>16} | {text}", flush=True)


def up() -> int:
    """Start everything and stay until Ctrl-C; return 0 after an orderly stop that was asked for."""
    folder, port = open_home(), int(os.environ.get("PORT") or 8000)
    lock = Lock(folder / "up.lock")
    if not lock.acquire(wait=False):
        print(
            f"Omni is already running from {folder} ({_describe(folder)}). Stop it with `make down`.",
            file=sys.stderr,
        )
        return 1
    if not _is_free(port):
        print(f"Port {port} is taken. Choose another: `PORT={port + 100} make up`.", file=sys.stderr)
        return 1
    (folder / "up.json").write_text(json.dumps({"pid": os.getpid(), "port": port}))
    os.environ["PORT"] = str(port)
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omni.settings")
    try:
        with use_servers() as leases:
            say("PostgreSQL and Valkey are ready" if leases else "using DATABASE_URL and REDIS_URL")
            code = _run_programs(folder, port, leases)
            for lease in reversed(leases):
                name = lease.place.folder.name
                stopped = lease.release_and_wait()
                say(f"stopped {name}" if stopped else f"{name} stays: another command is using it")
        return code
    except ServerDidNotStart as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        (folder / "up.json").unlink(missing_ok=True)


def _run_programs(folder: Path, port: int, leases: list[Lease]) -> int:
    supervisor = Supervisor(
        programs(Setting(python=Path(sys.executable), home=folder, port=port)),
        environ=os.environ,
        locks=[lease.users.fileno() for lease in leases],
        say=say,
    )
    supervisor.listen()
    words = _prepare(
        next((lease.place for lease in leases if lease.place.folder.name == "postgres"), None), supervisor
    )
    if words is None:
        return 0 if supervisor.signals else 1
    try:
        supervisor.start()
        if _wait_for(lambda: is_alive(port, host="localhost"), supervisor, seconds_max=WEB_SECONDS_MAX):
            _print_addresses(port, supervisor, words)
        elif not supervisor.signals:
            say(f"the web server does not answer after {WEB_SECONDS_MAX} s; its lines above say why")
        supervisor.start(behind_web=True)
        return supervisor.run(lambda: _broken(leases))
    finally:
        supervisor.stop()


def down() -> int:
    """Ask the running copy to stop, and wait until it has."""
    folder = home()
    lock = Lock(folder / "up.lock")
    if not lock.is_held_by_another():
        print(f"Omni is not running from {folder}.")
        return 0
    os.kill(int(json.loads((folder / "up.json").read_text())["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + DOWN_SECONDS_MAX
    while lock.is_held_by_another():
        if time.monotonic() > deadline:
            print("It has not stopped within two minutes; look at its output.", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("Stopped.")
    return 0


def status() -> int:
    """Say what of this copy is running; return 0 when all of it is."""
    folder = home()
    is_up = Lock(folder / "up.lock").is_held_by_another()
    print(f"Omni      {_describe(folder) if is_up else 'down'}  ({folder})")
    for name in ("postgres", "valkey"):
        found = running_server(name, folder=folder)
        print(f"{name:9} {'process {pid}, {url}'.format(**found) if found else 'down'}")
    return 0 if is_up else 1


def reset() -> int:
    """Remove the data of this copy, so that the next start begins with the demo data; refused while it is in use."""
    folder = open_home()
    locks = [
        Lock(folder / "up.lock"),
        *(Place(folder / name).lock("users") for name in ("postgres", "valkey")),
    ]
    for lock in locks:
        lock.path.parent.mkdir(mode=0o700, exist_ok=True)
        if not lock.acquire(wait=False):
            print(f"The data in {folder} is in use. Stop Omni first: `make down`.", file=sys.stderr)
            return 1
    # Only what we have put there: OMNI_HOME may be a folder that holds other things.
    for name in DATA_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    print(f"Removed the data in {folder}.")
    return 0


def _prepare(place: Place | None, supervisor: Supervisor) -> str | None:
    """Bring schema, translations and demo data up to date, and return what people should know of them (the logins).

    Data of our own that this very code has prepared before is left as it is. None: it failed, or a signal came.
    """
    digest = _code_digest()
    if place is not None:
        # Missing, or cut short by a crash: either way the preparation runs, and does no harm twice.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            done = json.loads(place.prepared.read_text())
            if done["digest"] == digest:
                return str(done["words"])
    process = subprocess.Popen(
        [sys.executable, "-m", "omni.devstack.prepare"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    supervisor.on_signal = process.terminate
    words = process.communicate()[0].strip()
    supervisor.on_signal = None
    if process.returncode:
        say(
            "stopped while preparing the database"
            if supervisor.signals
            else f"no database to work with:\n{words}"
        )
        return None
    if place is not None:
        # What is shown once must not lie about in a file.
        lasting = "\n".join(line for line in words.splitlines() if "once" not in line)
        place.prepared.write_text(json.dumps({"digest": digest, "words": lasting}))
    return words


def _code_digest() -> str:
    """A digest of the code, the translations and the packages: of all that can change what the preparation does."""
    digest = hashlib.sha256((PROJECT / "requirements.txt").read_bytes())
    rooms = sorted(path.parent for path in PROJECT.glob("*/apps.py"))
    for path in (
        path for room in rooms for suffix in ("py", "po") for path in sorted(room.rglob(f"*.{suffix}"))
    ):
        digest.update(str(path.relative_to(PROJECT)).encode() + path.read_bytes())
    return digest.hexdigest()


def _wait_for(holds: Callable[[], bool], supervisor: Supervisor, *, seconds_max: float) -> bool:
    since = time.monotonic()
    while not holds():
        if supervisor.signals or time.monotonic() - since > seconds_max:
            return False
        supervisor.watch()
        time.sleep(0.05)
    return True


def _print_addresses(port: int, supervisor: Supervisor, words: str) -> None:
    base = f"http://127.0.0.1:{port}"
    say(f"ready: {base}/  admin {base}/admin/  API {base}/api/docs/")
    for child in supervisor.children:
        if child.program.name.startswith("sandbox-"):
            say(f"{child.program.name}: http://127.0.0.1:{child.program.argv[-1]}/")
    for line in words.splitlines():
        say(line)
    say("Ctrl-C stops everything in order")


def _broken(leases: list[Lease]) -> str | None:
    return next((lease.place.folder.name for lease in leases if not lease.is_alive()), None)


def _describe(folder: Path) -> str:
    try:
        found = json.loads((folder / "up.json").read_text())
    except (OSError, ValueError):
        return "starting or stopping"
    return f"process {found['pid']}, http://127.0.0.1:{found['port']}/"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
