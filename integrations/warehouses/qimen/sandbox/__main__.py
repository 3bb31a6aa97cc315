"""`python -m integrations.warehouses.qimen.sandbox`: the simulated warehouse as a process of its own."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from integrations.warehouses.qimen.sandbox.callbacks import Identity
from integrations.warehouses.qimen.sandbox.faults import MEANINGS, UnknownFault, parse_faults
from integrations.warehouses.qimen.sandbox.floor import STEPS_REPORTED
from integrations.warehouses.qimen.sandbox.server import GATEWAY_PATH, Options, Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    parser = build_parser()
    given = parser.parse_args(arguments)
    if given.list_faults:
        for name, meaning in MEANINGS.items():
            sys.stdout.write(f"{name:20} {meaning}\n")
        return 0
    if given.state is None:
        parser.error("--state is missing")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        sandbox = Sandbox(read_options(given))
    except UnknownFault as problem:
        parser.error(str(problem))
    serve_until_told(sandbox)
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qimen-sandbox", description="A simulated Qimen warehouse on loopback."
    )
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--state", type=Path, help="SQLite file that outlives a restart")
    parser.add_argument(
        "--stock", type=Path, help="JSON list of warehouseCode, ownerCode, itemCode, quantity"
    )
    parser.add_argument("--callback", default="", help="where confirms and reports go")
    parser.add_argument("--pace", type=float, default=2.0, help="seconds from order to parcel; 0: at once")
    parser.add_argument("--faults", default="", help="name=probability,…; `*` means all")
    parser.add_argument("--steps", default=",".join(STEPS_REPORTED), help="steps told by orderprocess.report")
    parser.add_argument("--threads", type=int, default=8, help="threads that send call-backs")
    parser.add_argument("--app-key", default="qimen-app")
    parser.add_argument("--secret", default="qimen-secret")
    parser.add_argument("--customer-id", default="omni")
    parser.add_argument("--list-faults", action="store_true", help="name the faults and leave")
    return parser


def read_options(given: argparse.Namespace) -> Options:
    return Options(
        identity=Identity(app_key=given.app_key, secret=given.secret, customer_id=given.customer_id),
        state=given.state,
        port=given.port,
        seed=given.seed,
        stock=given.stock,
        callback=given.callback,
        pace=given.pace,
        faults=parse_faults(given.faults),
        threads=given.threads,
        steps=tuple(filter(None, given.steps.split(","))),
    )


def serve_until_told(sandbox: Sandbox) -> None:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    sandbox.start()
    sys.stdout.write(f"qimen sandbox at {sandbox.url}{GATEWAY_PATH}\n")
    sys.stdout.flush()
    told.wait()
    sandbox.stop()


if __name__ == "__main__":
    sys.exit(main())
