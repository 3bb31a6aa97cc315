"""Starts the sandbox: `python -m integrations.channels.top.sandbox --port 9001 --seed 7`."""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from .catalogue import BadCatalogue, Listing, built_in_catalogue, load_catalogue
from .faults import FAULTS, Dice, UnknownFault, choose_faults
from .gateway import Gateway, Seller
from .market import Market
from .pace import Pacemaker
from .server import SandboxServer
from .store import Store


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m integrations.channels.top.sandbox")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--state", type=Path, help="SQLite file that keeps orders and stock; without it, memory only"
    )
    parser.add_argument(
        "--catalogue", type=Path, help="JSON list of listings; without it a small built-in one"
    )
    parser.add_argument("--rate", type=float, default=0.5, help="random orders a second")
    parser.add_argument("--faults", default="none", help="all, none, or names: drop,slow=0.5")
    parser.add_argument("--hang-seconds", type=float, default=20)
    parser.add_argument("--expiry-seconds", type=float, default=3)
    parser.add_argument("--lag-seconds", type=float, default=10)
    parser.add_argument("--app-key", default="12345678")
    parser.add_argument("--secret", default="helloworld")
    parser.add_argument("--session", default="test")
    parser.add_argument("--list-faults", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = read_options(arguments)
    if options.list_faults:
        return _list_faults()
    try:
        server, market, pacemaker = build(options)
    except (BadCatalogue, UnknownFault, ValueError, OSError, sqlite3.Error) as wrong:
        sys.stderr.write(f"the sandbox cannot start: {type(wrong).__name__}: {wrong}\n")
        return 2
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    pacemaker.start()
    sys.stdout.write(f"TOP sandbox on http://127.0.0.1:{server.server_port}/router/rest\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.1)
    pacemaker.stop()
    server.server_close()
    market.close()
    return 0


def build(options: argparse.Namespace) -> tuple[SandboxServer, Market, Pacemaker]:
    """The server with everything behind it, bound to its port but not yet serving."""
    dice = Dice(seed=options.seed, probabilities=choose_faults(options.faults))
    market = Market(
        seed=options.seed,
        dice=dice,
        store=Store(options.state),
        listings=_read_listings(options),
        lag_seconds=options.lag_seconds,
    )
    gateway = Gateway(
        market=market,
        dice=dice,
        seller=Seller(options.app_key, options.secret, options.session),
        hang_seconds=options.hang_seconds,
        expiry_seconds=options.expiry_seconds,
    )
    pacemaker = Pacemaker(market=market, rate=options.rate)
    server = SandboxServer(port=options.port, market=market, gateway=gateway, pacemaker=pacemaker)
    return server, market, pacemaker


def _read_listings(options: argparse.Namespace) -> list[Listing]:
    if options.catalogue is None:
        return built_in_catalogue(options.seed)
    return load_catalogue(options.catalogue)


def _list_faults() -> int:
    for fault in FAULTS.values():
        sys.stdout.write(f"{fault.name:22} {fault.in_all:<7} {fault.description}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
