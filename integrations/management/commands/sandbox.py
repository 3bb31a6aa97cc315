"""`manage.py sandbox top|qimen`: become the simulated marketplace or warehouse of this copy."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

# The connection of the demo data at which the warehouse calls back.
QIMEN_CONNECTION = "qimen-shanghai"


class Sandbox(NamedTuple):
    """Where the module is, which port it takes after the web's, and which file the demo data writes for it."""

    module: str
    port_offset: int
    file_flag: str
    file_name: str


SANDBOXES = {
    "top": Sandbox("integrations.channels.top.sandbox", 1, "--catalogue", "top-catalogue.json"),
    "qimen": Sandbox("integrations.warehouses.qimen.sandbox", 2, "--stock", "qimen-stock.json"),
}


class Command(BaseCommand):
    help = (
        "Run a sandbox server on loopback. What follows its name goes to it as it stands (--port --seed --rate --faults"
        " …); its port, its files and its call-back address are filled in where they are not given."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(SANDBOXES))
        parser.add_argument("flags", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.OMNI_HOME) / "sandbox"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = options["name"]
        web_port = int(os.environ.get("PORT") or 8000)
        line = command_line(name, given=options["flags"], web_port=web_port, folder=folder)
        # Not a child: signals of whoever supervises us must reach the sandbox itself.
        os.execv(sys.executable, [sys.executable, "-m", SANDBOXES[name].module, *line])  # noqa: S606


def command_line(name: str, *, given: Sequence[str], web_port: int, folder: Path) -> list[str]:
    """What was given, and what this copy knows where nothing was given."""
    box = SANDBOXES[name]
    known = {
        "--port": str(web_port + box.port_offset),
        "--state": str(folder / f"{name}.sqlite3"),
    }
    if (folder / box.file_name).exists():
        known[box.file_flag] = str(folder / box.file_name)
    if name == "qimen":
        known["--callback"] = f"http://127.0.0.1:{web_port}/api/v1/webhooks/qimen/{QIMEN_CONNECTION}/"
    line = list(given)
    for flag, value in known.items():
        if not any(word == flag or word.startswith(f"{flag}=") for word in given):
            line += [flag, value]
    return line
