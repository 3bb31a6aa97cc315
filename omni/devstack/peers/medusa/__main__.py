"""`python -m omni.devstack.peers.medusa [install|start|status|stop|reset]`; without a word: install and start."""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
from pathlib import Path
from typing import Any

from omni.devstack.peers.medusa.api import open_admin
from omni.devstack.peers.medusa.seed import seed_shop
from omni.devstack.peers.medusa.server import (
    HERE,
    Home,
    PeerFailed,
    find_home,
    install_packages,
    read_description,
    remove_data,
    say,
    start_servers,
    stop_servers,
)


def main() -> int:
    """Exit code 0: done, or running; 1: not running, or failed with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m omni.devstack.peers.medusa", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        default="start",
        choices=["install", "start", "status", "stop", "reset"],
        help="start (the default) installs first; reset removes the shop's data and keeps its packages",
    )
    parser.add_argument(
        "--catalogue", type=Path, default=HERE / "catalogue.json", help="what the shop sells, as JSON"
    )
    parser.add_argument("--port", type=int, default=None, help="port on loopback; default: a free one")
    asked = parser.parse_args()
    home = find_home()
    home.folder.mkdir(parents=True, exist_ok=True)
    with (home.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return _obey(asked, home=home)
        except PeerFailed as failed:
            say(str(failed))
            return 1


def _obey(asked: argparse.Namespace, *, home: Home) -> int:
    if asked.command == "install":
        say("installed" if install_packages(home=home) else "installed already")
        return 0
    if asked.command == "start":
        print(json.dumps(_start(home=home, catalogue=asked.catalogue, port=asked.port), indent=2))
        return 0
    if asked.command == "status":
        found = read_description(home=home)
        print(json.dumps(found or {"is_running": False}, indent=2))
        return 0 if found else 1
    stopped = stop_servers(home=home)
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing runs")
    if asked.command == "reset":
        remove_data(home=home)
        say("its data is gone, its packages stay")
    return 0


def _start(*, home: Home, catalogue: Path, port: int | None) -> dict[str, Any]:
    began = time.monotonic()
    install_packages(home=home)
    say("Medusa: starting")
    running = start_servers(home=home, port=port)
    say(f"Medusa: filling the shop ({time.monotonic() - began:.0f} s)")
    admin = open_admin(base_url=running["base_url"], email=running["email"], password=running["password"])
    ids = seed_shop(admin=admin, catalogue=json.loads(catalogue.read_text(encoding="utf-8")))
    home.seeded_file.write_text(json.dumps(ids, indent=2))
    say(f"Medusa: ready at {running['base_url']} ({time.monotonic() - began:.0f} s)")
    return read_description(home=home) or {}


if __name__ == "__main__":
    sys.exit(main())
