"""`python3 -m omni.devstack COMMAND`: works with any Python from 3.11 on, before anything is installed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from omni.devstack.venv import FOLDER, NoEnvironment, ensure_venv

COMMANDS = {
    "up": "start everything; Ctrl-C stops it in order",
    "down": "stop the copy that runs from OMNI_HOME",
    "status": "say what of it runs",
    "reset": "remove its data",
    "venv": "only make .venv and install the locked packages",
    "venv-dev": "the same, with the packages for development and tests",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m omni.devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    command = parser.parse_args().command

    if command in {"up", "venv", "venv-dev"}:
        try:
            python = ensure_venv(dev=command == "venv-dev")
        except NoEnvironment as failure:
            print(f"No environment: {failure}", file=sys.stderr)
            return 1
        if command != "up":
            return 0
        if Path(sys.prefix).resolve() != FOLDER.resolve():
            os.execv(python, [str(python), "-m", "omni.devstack", command])

    from omni.devstack import up

    return {"up": up.up, "down": up.down, "status": up.status, "reset": up.reset}[command]()


if __name__ == "__main__":
    sys.exit(main())
