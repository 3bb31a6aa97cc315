"""The HTTP door on loopback: the gateway at /router/rest, the control plane at /_control/, a page for
people at /.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .control import Control
from .gateway import Gateway, Reply
from .market import Market
from .pace import Pacemaker
from .page import show_page

_BODY_MAX = 10_000_000


class SandboxServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, *, port: int, market: Market, gateway: Gateway, pacemaker: Pacemaker) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.market = market
        self.gateway = gateway
        self.control = Control(market=market, gateway=gateway, pacemaker=pacemaker)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller may hang up in the middle; anything else is told on stderr."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "TopSandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    server: SandboxServer

    def do_HEAD(self) -> None:  # some clients look whether the host is there
        self._send(Reply(content_type="text/plain"))

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/":
            self._send(Reply(body=show_page(self.server.market)))
        elif parts.path == "/router/rest":
            self._send(self.server.gateway.answer(query))
        elif parts.path.startswith("/_control/"):
            self._send_json(*self.server.control.read(parts.path.removeprefix("/_control/"), query))
        else:
            self._send(Reply(status=404, content_type="text/plain", body=b"not found"))

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        body = self._read_body()
        if body is None:
            return
        if parts.path == "/router/rest":
            self._send(self.server.gateway.answer(_merge(parts.query, body)))
        elif parts.path.startswith("/_control/"):
            self._act(parts.path.removeprefix("/_control/"), body)
        else:
            self._send(Reply(status=404, content_type="text/plain", body=b"not found"))

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: at hundreds of requests a second nobody reads it."""

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _BODY_MAX:
            self.close_connection = True
            self._send(Reply(status=413, content_type="text/plain", body=b"the body is too large"))
            return None
        return self.rfile.read(int(length))

    def _act(self, name: str, body: bytes) -> None:
        try:
            told = json.loads(body or b"{}")
            if not isinstance(told, dict):
                raise ValueError("not an object")
        except ValueError as wrong:
            self._send_json(400, {"error": f"the body is not a JSON object: {wrong}"})
            return
        self._send_json(*self.server.control.act(name, told))

    def _send_json(self, status: int, told: Mapping[str, Any]) -> None:
        body = json.dumps(told, ensure_ascii=False).encode()
        self._send(Reply(status=status, content_type="application/json", body=body))

    def _send(self, reply: Reply) -> None:
        if reply.wait_seconds:
            time.sleep(reply.wait_seconds)
        if reply.is_cut:
            self.close_connection = True
            return
        with contextlib.suppress(ConnectionError):
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            self.wfile.flush()


def _merge(query: str, body: bytes) -> dict[str, str]:
    """Clients differ in what they put in the query and what in the form: TOP takes both together."""
    form = body.decode("utf-8", errors="replace")
    return dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(form, keep_blank_values=True))
