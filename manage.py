#!/usr/bin/env python3
"""Run a management command; with no DATABASE_URL it uses this copy's own PostgreSQL and Valkey."""

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

from omni.devstack.embedded import ServerDidNotStart, use_servers

# Commands that look at code only; they must also work where no server can be started.
WITHOUT_SERVERS = {
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "drill",  # it starts a copy with servers of its own
    "help",
    "makemessages",
    "sandbox",
    "spectacular",
    "version",
}


def main() -> None:
    """Start the servers if the command needs them, then hand over to Django."""
    if importlib.util.find_spec("django") is None:
        run_in_venv()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omni.settings")
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "help")
    alone = (command in WITHOUT_SERVERS and "--database" not in sys.argv) or {"-h", "--help"} & set(sys.argv)

    from django.core.management import execute_from_command_line

    try:
        with contextlib.nullcontext() if alone else use_servers():
            execute_from_command_line(sys.argv)
    except ServerDidNotStart as failure:
        sys.exit(str(failure))


def run_in_venv() -> None:
    """Go on with the project's own environment, so that a bare `python3 manage.py` works after `make up`."""
    python = Path(__file__).resolve().parent / ".venv/bin/python"
    if not python.exists() or sys.executable == str(python):
        sys.exit("Django is not installed: run `make up` or `make .venv` first")
    os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    main()
