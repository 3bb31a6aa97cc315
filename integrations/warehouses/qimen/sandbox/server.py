"""The HTTP side: the gateway for the customer, the control plane for drills and tests, a page to look at."""

from __future__ import annotations

import html
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from integrations.warehouses.qimen.sandbox.callbacks import Identity, Messenger
from integrations.warehouses.qimen.sandbox.deliveries import hold_delivery
from integrations.warehouses.qimen.sandbox.faults import MEANINGS, Faults, UnknownFault
from integrations.warehouses.qimen.sandbox.floor import STEPS_REPORTED, Floor
from integrations.warehouses.qimen.sandbox.gateway import Gateway
from integrations.warehouses.qimen.sandbox.shelves import ItemUnknown, StockShort, add_stock
from integrations.warehouses.qimen.sandbox.store import Store
from integrations.warehouses.qimen.sandbox.truth import tell_truth, tell_truth_briefly
from integrations.warehouses.qimen.sandbox.wire import BODY_BYTES_MAX

logger = logging.getLogger(__name__)

GATEWAY_PATH = "/router/qimen/service"
_STOCK_FILE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    identity: Identity
    state: Path
    port: int = 0
    seed: int = 7
    stock: Path | None = None
    callback: str = ""
    pace: float = 2.0
    faults: Mapping[str, float] | None = None
    threads: int = 8
    steps: tuple[str, ...] = STEPS_REPORTED


class Sandbox:
    """The whole warehouse in one process: `start`, `stop`, and the address in between."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.store = Store(options.state)
        self.faults = Faults(seed=options.seed, probabilities=options.faults)
        self.messenger = Messenger(
            store=self.store,
            faults=self.faults,
            identity=options.identity,
            url=options.callback,
            threads=options.threads,
        )
        self.floor = Floor(
            store=self.store,
            faults=self.faults,
            messenger=self.messenger,
            seed=options.seed,
            pace=options.pace,
            steps=options.steps,
        )
        self.gateway = Gateway(
            store=self.store,
            faults=self.faults,
            floor=self.floor,
            messenger=self.messenger,
            identity=options.identity,
        )
        self._stock_seen_at = 0.0
        self._is_stopping = threading.Event()
        self._server = _Server(("127.0.0.1", options.port), self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self.read_stock_file()
        self.floor.start()
        self.messenger.start()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self._watch_stock_file, daemon=True).start()

    def stop(self) -> None:
        self._is_stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self.floor.stop()
        self.messenger.stop()
        self.store.close()

    def read_stock_file(self) -> None:
        """Add what the file names and the shelves do not know yet; a file that is being written is read again later."""
        path = self._options.stock
        if path is None or not path.exists() or path.stat().st_mtime == self._stock_seen_at:
            return
        seen_at = path.stat().st_mtime
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            with self.store.transaction() as db:
                add_stock(db, entries)
        except (ValueError, KeyError, TypeError):
            logger.exception("%s is not a list of warehouseCode, ownerCode, itemCode, quantity", path)
        self._stock_seen_at = seen_at

    def _watch_stock_file(self) -> None:
        while not self._is_stopping.wait(_STOCK_FILE_SECONDS):
            self.read_stock_file()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        super().__init__(address, _Door)


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one segment per answer: head and body apart cost 40 ms of delayed acknowledgement
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/":
            self._send(200, _page(self.server.sandbox).encode(), "text/html;charset=utf-8")
        else:
            self._control("GET", path, dict(parse_qsl(query)), {})

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        body = self._read_body()
        if body is None:
            return
        if parts.path == GATEWAY_PATH:
            self._reply(dict(parse_qsl(parts.query, keep_blank_values=True)), body)
            return
        try:
            given = json.loads(body or b"{}")
        except ValueError:
            given = None
        if not isinstance(given, dict):
            self._send_json(400, {"error": "the body is not a JSON object"})
            return
        self._control("POST", parts.path, dict(parse_qsl(parts.query)), given)

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._send(413, b"a Content-Length of at most 10 MB is wanted", "text/plain")
            return None
        return self.rfile.read(int(length))

    def _reply(self, query: Mapping[str, str], body: bytes) -> None:
        reply = self.server.sandbox.gateway.answer(query, body)
        if reply.is_dropped:
            self.close_connection = True
            return
        self._send(reply.status, reply.body, "text/xml;charset=utf-8")

    def _control(self, verb: str, path: str, query: Mapping[str, str], given: Mapping[str, Any]) -> None:
        act = _CONTROLS.get((verb, path))
        if act is None:
            self._send_json(
                404, {"error": f"there is no {verb} {path}", "known": [" ".join(k) for k in _CONTROLS]}
            )
            return
        try:
            self._send_json(200, act(self.server.sandbox, query, given))
        except (UnknownFault, ItemUnknown, StockShort) as problem:
            self._send_json(400, {"error": str(problem)})
        except (KeyError, TypeError, ValueError) as problem:
            self._send_json(400, {"error": f"missing or wrong: {problem}"})

    def _send_json(self, status: int, content: object) -> None:
        self._send(status, json.dumps(content, ensure_ascii=False).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)


# --- the control plane: unsigned, on loopback only ---

Control = Callable[[Sandbox, Mapping[str, str], Mapping[str, Any]], object]


def _show_truth(sandbox: Sandbox, query: Mapping[str, str], given: Mapping[str, Any]) -> object:
    return tell_truth_briefly(sandbox.store) if query.get("brief") else tell_truth(sandbox.store)


def _show_faults(sandbox: Sandbox, query: Mapping[str, str], given: Mapping[str, Any]) -> object:
    switched = sandbox.faults.probabilities()
    return {name: {"probability": switched[name], "meaning": meaning} for name, meaning in MEANINGS.items()}


def _switch_faults(sandbox: Sandbox, query: Mapping[str, str], given: Mapping[str, Any]) -> object:
    sandbox.faults.switch(given)
    return sandbox.faults.probabilities()


def _change_stock(sandbox: Sandbox, query: Mapping[str, str], given: Mapping[str, Any]) -> object:
    quantity = given["quantity"]
    if type(quantity) is not int or quantity == 0:
        raise ValueError("quantity is a whole number, not 0")
    out_biz_code = sandbox.floor.change_stock(
        warehouse=str(given["warehouseCode"]),
        owner=str(given["ownerCode"]),
        item=str(given["itemCode"]),
        quantity=quantity,
        reason=str(given.get("reason") or ("found" if quantity > 0 else "broken")),
    )
    return {"outBizCode": out_biz_code}


def _set_pace(sandbox: Sandbox, query: Mapping[str, str], given: Mapping[str, Any]) -> object:
    pace = float(given["pace"])
    if not 0 <= pace < 86_400:
        raise ValueError("pace is a number of seconds, 0 or more")
    sandbox.floor.pace = pace
    return {"pace": pace}


def _hold(sandbox: Sandbox, query: Mapping[str, str], given: Mapping[str, Any]) -> object:
    is_held = bool(given.get("is_held", True))
    with sandbox.store.transaction() as db:
        hold_delivery(db, str(given["code"]), is_held=is_held)
    sandbox.floor.hurry()
    return {"code": given["code"], "is_held": is_held}


def _reset(sandbox: Sandbox, query: Mapping[str, str], given: Mapping[str, Any]) -> object:
    sandbox.store.reset()
    return {"reset": True}


_CONTROLS: Mapping[tuple[str, str], Control] = {
    ("GET", "/_control/truth"): _show_truth,
    ("GET", "/_control/faults"): _show_faults,
    ("POST", "/_control/faults"): _switch_faults,
    ("POST", "/_control/stock_change"): _change_stock,
    ("POST", "/_control/pace"): _set_pace,
    ("POST", "/_control/hold"): _hold,
    ("POST", "/_control/reset"): _reset,
}


def _page(sandbox: Sandbox) -> str:
    truth = tell_truth_briefly(sandbox.store)
    with sandbox.store.transaction() as db:
        latest = db.execute(
            "SELECT code, state, created_at, asked FROM delivery ORDER BY created_at DESC LIMIT 50"
        )
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(str(value))}</td>' for value in row)}</tr>" for row in latest
        )
    faults = ", ".join(f"{name} {value:g}" for name, value in sandbox.faults.probabilities().items() if value)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Qimen sandbox</title>'
        "<h1>Qimen sandbox</h1><p>A simulated warehouse.</p>"
        f"<p>Faults: {html.escape(faults or 'none')}</p><pre>{html.escape(json.dumps(truth, indent=1))}</pre>"
        f"<table><thead><tr><th>Delivery<th>State<th>Created<th>Asked</thead><tbody>{rows}</tbody></table></html>"
    )
