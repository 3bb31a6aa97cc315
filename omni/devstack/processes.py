"""What runs beside PostgreSQL and Valkey, as data: the programs of `make up`, in the order in which they start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omni.devstack.home import PROJECT

# Queues by blast radius: a hanging channel must not hold up the stock. The routes stand in the settings.
CORE_QUEUES = ("inventory", "default")
CHANNEL_QUEUES = ("pull", "push")
# A flood of call-backs must not keep the channels from hearing of parcels.
INBOUND_QUEUES = ("webhook", "bulk")


@dataclass(frozen=True)
class Program:
    """One process of ours; programs stop in order of `stops`."""

    name: str
    argv: tuple[str, ...]
    stops: int
    grace_seconds: int = 15
    # On a small machine starting costs more than running: the pages come first, what works unseen a moment later.
    behind_web: bool = False
    needs: tuple[str, ...] = ()  # patterns of files without which the program is left out


@dataclass(frozen=True)
class Setting:
    """Where this copy listens and keeps its data, and with which Python it runs."""

    python: Path
    home: Path
    port: int


def programs(setting: Setting) -> list[Program]:
    """The programs of this copy. Sandboxes take the ports after the web's own."""
    python, tools = str(setting.python), setting.python.parent
    web = Program(
        "web",
        (
            *(str(tools / "granian"), "--interface", "wsgi", "omni.wsgi:application"),
            *("--host", "127.0.0.1", "--port", str(setting.port)),
            *("--workers", "2", "--blocking-threads", "4", "--backlog", "512"),
            *(
                "--no-ws",
                "--respawn-failed-workers",
                "--respawn-interval",
                "0.5",
                "--workers-kill-timeout",
                "10",
            ),
        ),
        stops=1,
    )
    beat = Program(
        "beat",
        (*_celery(python), "beat", "-l", "WARNING", "--pidfile="),
        stops=2,
        behind_web=True,
    )
    found = [
        _sandbox("top", setting, offset=1),
        _sandbox("qimen", setting, offset=2),
        web,
        _worker("core", CORE_QUEUES, python),
        _worker("channels", CHANNEL_QUEUES, python, processes=3),
        _worker("inbound", INBOUND_QUEUES, python),
        beat,
    ]
    return [program for program in found if all(any(PROJECT.glob(needed)) for needed in program.needs)]


def _celery(python: str) -> tuple[str, ...]:
    # Celery reminds root that it is root, at length and each time; in a container there is nobody else.
    return (
        python,
        "-W",
        "ignore:You're running the worker with superuser",
        "-m",
        "celery",
        "-q",
        "-A",
        "omni",
    )


def _worker(name: str, queues: Iterable[str], python: str, *, processes: int = 2) -> Program:
    return Program(
        f"worker-{name}",
        (
            *(*_celery(python), "worker", "-l", "WARNING", "-n", f"{name}@%h"),
            *(
                "-Q",
                ",".join(queues),
                "-c",
                str(processes),
                "-O",
                "fair",
                "--without-gossip",
                "--without-mingle",
            ),
        ),
        stops=3,
        behind_web=True,
        grace_seconds=45,  # longer than the worker's own soft shutdown, so that running tasks end or are handed back
    )


def _sandbox(name: str, setting: Setting, *, offset: int) -> Program:
    return Program(
        f"sandbox-{name}",
        (str(setting.python), "manage.py", "sandbox", name, "--port", str(setting.port + offset)),
        stops=4,
        needs=("*/management/commands/sandbox.py", f"integrations/*/{name}/sandbox*"),
    )
