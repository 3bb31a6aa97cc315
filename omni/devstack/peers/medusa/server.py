"""Installs, starts and stops the shop's two processes: its PostgreSQL and Medusa itself."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from omni.devstack.binaries import NoServerProgram, RootNotAllowed, postgres_bin, without_root

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
ADMIN_EMAIL = "admin@peer.test"
PACKAGE_FILES = ("package.json", "package-lock.json", ".npmrc", "medusa-config.js")


class PeerFailed(Exception):
    """The peer could not be installed or started; the message says what to do or which log to read."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one peer: packages, data, logs, secrets. Nothing outside it is touched."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "pg"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def secrets_file(self) -> Path:
        return self.folder / "secrets.json"

    @property
    def run_file(self) -> Path:
        return self.folder / "run.json"

    @property
    def seeded_file(self) -> Path:
        return self.folder / "seeded.json"


def find_home() -> Home:
    """`.peer/medusa` in the project, or below OMNI_PEER_HOME."""
    return Home(Path(os.environ.get("OMNI_PEER_HOME", ROOT / ".peer")).resolve() / "medusa")


def install_packages(*, home: Home) -> bool:
    """Exactly the locked packages, from the npm registry that npm is configured for. False: they were there already."""
    home.folder.mkdir(parents=True, exist_ok=True)
    wanted = "".join((HERE / name).read_text() for name in ("package.json", "package-lock.json", ".npmrc"))
    stamp = home.folder / "installed.lock"
    shutil.copy(HERE / "medusa-config.js", home.folder)
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    _check_node()
    say("Medusa: installing some 1,060 packages from the npm registry, once: a minute or two")
    for name in PACKAGE_FILES:
        shutil.copy(HERE / name, home.folder)
    # The packages' own install scripts fetch telemetry and prebuilt binaries from elsewhere; Medusa runs without them.
    _call(["npm", "ci", "--ignore-scripts", "--no-progress"], home=home, log="npm.log", env=os.environ)
    stamp.write_text(wanted)
    return True


def _check_node() -> None:
    """Older versions install, with warnings that nobody reads, and then fail at the start."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise PeerFailed("Node and npm are not installed: Medusa needs Node 20.19 or newer")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    major, minor = (int(part) for part in version.lstrip("v").split(".")[:2])
    if (major, minor) < (20, 19) or major == 21 or (major == 22 and minor < 12):
        raise PeerFailed(f"Node {version} is too old: Medusa needs 20.19, 22.12 or newer")


def start_servers(*, home: Home, port: int | None = None) -> dict[str, Any]:
    """PostgreSQL, migrations, the admin user, Medusa; returns when it answers. Running already: says where."""
    running = read_running(home=home)
    if running:
        return running
    stop_servers(home=home)  # what a crash may have left of the two
    keys = _read_secrets(home=home)
    home.logs.mkdir(exist_ok=True)
    pg_port = _free_port()
    pids: dict[str, list[int]] = {}
    try:
        pids["postgres"] = _start_postgres(home=home, port=pg_port, password=keys["database"])
        _write_run(home=home, run={"pids": pids})
        web_port = port or _same_port(home=home)
        base_url = f"http://127.0.0.1:{web_port}"
        env = {
            **os.environ,
            "DATABASE_URL": f"postgres://medusa:{keys['database']}@127.0.0.1:{pg_port}/medusa",
            "MEDUSA_BASE_URL": base_url,
            "MEDUSA_JWT_SECRET": keys["jwt"],
            "MEDUSA_COOKIE_SECRET": keys["cookie"],
            "MEDUSA_DISABLE_TELEMETRY": "true",
            "NODE_ENV": "production",
        }
        medusa = str(home.folder / "node_modules" / ".bin" / "medusa")
        migrated = home.data / "migrated"
        if not migrated.exists():
            _call([medusa, "db:migrate", "--execute-safe-links"], home=home, log="migrate.log", env=env)
            _call(
                [medusa, "user", "-e", ADMIN_EMAIL, "-p", keys["admin"]],
                home=home,
                log="migrate.log",
                env=env,
            )
            migrated.touch()
        pids["medusa"] = _spawn(
            [medusa, "start", "--host", "127.0.0.1", "--port", str(web_port)],
            home=home,
            log="medusa.log",
            env=env,
        )
        _write_run(home=home, run={"pids": pids})
        _wait_until_healthy(base_url=base_url, pid=pids["medusa"], home=home)
    except BaseException:
        stop_servers(home=home)
        raise
    run = {
        "base_url": base_url,
        "email": ADMIN_EMAIL,
        "password": keys["admin"],
        "pids": pids,
    }
    _write_run(home=home, run=run)
    return run


def read_running(*, home: Home) -> dict[str, Any] | None:
    """What `start` wrote, if both processes still live."""
    run = _read_run(home=home)
    if "base_url" not in run or not all(_lives(pid) for pid in run["pids"].values()):
        return None
    return run


def read_description(*, home: Home) -> dict[str, Any] | None:
    """Everything that a connection of Omni and a shopper need; None: the shop does not run."""
    running = read_running(home=home)
    if running is None:
        return None
    seeded = json.loads(home.seeded_file.read_text()) if home.seeded_file.exists() else {}
    return {"is_running": True, **running, **seeded}


def stop_servers(*, home: Home) -> list[str]:
    """Medusa first, its database after it. Returns the names of those that ran."""
    pids: dict[str, list[int]] = _read_run(home=home).get("pids", {})
    stopped = []
    for name, gently in (("medusa", signal.SIGTERM), ("postgres", signal.SIGINT)):
        pid = pids.get(name)
        if pid is None or not _lives(pid):
            continue
        os.kill(pid[0], gently)
        if not _waits(partial(_is_gone, pid), seconds=15):
            os.kill(pid[0], signal.SIGKILL)
            _waits(partial(_is_gone, pid), seconds=5)
        stopped.append(name)
    home.run_file.unlink(missing_ok=True)
    return stopped


def remove_data(*, home: Home) -> None:
    """An empty shop at the next start; the installed packages stay. Only while nothing runs."""
    shutil.rmtree(home.data, ignore_errors=True)
    for path in (home.secrets_file, home.seeded_file):
        path.unlink(missing_ok=True)


def _start_postgres(*, home: Home, port: int, password: str) -> list[int]:
    try:
        binaries, as_other = postgres_bin(), without_root()
    except (NoServerProgram, RootNotAllowed) as missing:
        raise PeerFailed(str(missing)) from None
    if not (home.data / "PG_VERSION").exists():
        password_file = home.folder / "pwfile"
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        try:
            _call(
                [
                    *(*as_other, str(binaries / "initdb"), "-D", str(home.data), "-U", "medusa"),
                    *("-A", "scram-sha-256", "--pwfile", str(password_file)),
                    *("-E", "UTF8", "--locale=C.UTF-8"),
                ],
                home=home,
                log="postgres.log",
                env=os.environ,
            )
        finally:
            password_file.unlink()
    pid = _spawn(
        [
            *(*as_other, str(binaries / "postgres"), "-D", str(home.data)),
            *("-h", "127.0.0.1", "-p", str(port)),
            # No socket: its path could grow beyond the 107 bytes that a socket may have.
            *("-c", "unix_socket_directories="),
            # A test shop may lose its last second when the machine falls.
            *("-c", "fsync=off", "-c", "synchronous_commit=off"),
        ],
        home=home,
        log="postgres.log",
        env=os.environ,
    )
    address = f"host=127.0.0.1 port={port} user=medusa password={password}"

    def answers() -> bool:
        if not _lives(pid):
            raise PeerFailed(f"PostgreSQL did not start: see {home.logs / 'postgres.log'}")
        try:
            with psycopg.connect(
                f"{address} dbname=postgres", autocommit=True, connect_timeout=2
            ) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'medusa'").fetchone()
                if not found:
                    connection.execute("CREATE DATABASE medusa")
        except psycopg.OperationalError:
            return False
        return True

    if not _waits(answers, seconds=30):
        raise PeerFailed(f"PostgreSQL does not answer: see {home.logs / 'postgres.log'}")
    return pid


def _call(command: Sequence[str], *, home: Home, log: str, env: Mapping[str, str]) -> None:
    home.logs.mkdir(exist_ok=True)
    path = home.logs / log
    with path.open("ab") as sink:
        done = subprocess.run(
            command, cwd=home.folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    if done.returncode:
        raise PeerFailed(f"{' '.join(command[:3])} … ended with {done.returncode}: see {path}")


def _spawn(command: Sequence[str], *, home: Home, log: str, env: Mapping[str, str]) -> list[int]:
    with (home.logs / log).open("ab") as sink:
        process = subprocess.Popen(
            command,
            cwd=home.folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    return [process.pid, _started_at(process.pid)]


def _started_at(pid: int) -> int:
    """The kernel's start tick of a process: with it a pid names one process for ever. 0 where there is no /proc."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _lives(pid: Sequence[int]) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid[0], os.WNOHANG)  # a child of ours that ended stays a zombie until somebody asks
    try:
        os.kill(pid[0], 0)
    except ProcessLookupError:
        return False
    return _started_at(pid[0]) == pid[1]


def _is_gone(pid: Sequence[int]) -> bool:
    return not _lives(pid)


def _waits(question: Callable[[], bool], *, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if question():
            return True
        time.sleep(0.1)
    return False


def _wait_until_healthy(*, base_url: str, pid: Sequence[int], home: Home) -> None:
    def answers() -> bool:
        if not _lives(pid):
            raise PeerFailed(f"Medusa did not start: see {home.logs / 'medusa.log'}")
        try:
            with urllib.request.urlopen(f"{base_url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    if not _waits(answers, seconds=120):
        raise PeerFailed(f"Medusa does not answer: see {home.logs / 'medusa.log'}")


def _same_port(*, home: Home) -> int:
    """The port of the last start if nobody else has it now: connections to the shop stay right over a restart."""
    remembered = home.folder / "port"
    last = int(remembered.read_text()) if remembered.exists() else 0
    try:
        port = _free_port(wanted=last)
    except OSError:
        port = _free_port()
    remembered.write_text(str(port))
    return port


def _free_port(*, wanted: int = 0) -> int:
    """`wanted` if nobody listens there, any free one for 0. Raises OSError."""
    with socket.socket() as probe:
        # As servers do it: else the port of a server that has just ended looks taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        return int(probe.getsockname()[1])


def _read_secrets(*, home: Home) -> dict[str, str]:
    if not home.secrets_file.exists():
        home.secrets_file.touch(mode=0o600)
        home.secrets_file.write_text(
            json.dumps({name: secrets.token_hex(16) for name in ("database", "jwt", "cookie", "admin")})
        )
    found: dict[str, str] = json.loads(home.secrets_file.read_text())
    return found


def _read_run(*, home: Home) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(home.run_file.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _write_run(*, home: Home, run: Mapping[str, Any]) -> None:
    """Written after every step, so that `stop` finds also what a start killed half-way left behind."""
    home.run_file.touch(mode=0o600)
    home.run_file.write_text(json.dumps(run, indent=2))


def say(text: str) -> None:
    """Progress goes to standard error: standard output carries nothing but JSON."""
    print(text, file=sys.stderr, flush=True)
