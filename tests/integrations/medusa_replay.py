"""A server that answers what the real Medusa once answered, and only to the very same questions in the same order."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import integrations.channels.medusa

FIXTURES = Path(integrations.channels.medusa.__file__).parent / "fixtures"


@dataclass
class Replay:
    """`expected`: the exchanges still to come. An exchange whose answer is None hangs up instead of answering."""

    asked: Mapping[str, Any] = field(default_factory=dict)
    expected: deque[dict[str, Any]] = field(default_factory=deque)
    heard: list[dict[str, Any]] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    base_url: str = ""

    @classmethod
    def of(cls, name: str) -> Replay:
        recorded = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
        return cls(asked=recorded["asked"], expected=deque(recorded["exchanges"]))

    def expect(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        answer: Any = None,
        headers: Mapping[str, str] | None = None,
        body: Any = ...,
    ) -> None:
        """One exchange that no recording holds: faults that a healthy server does not show on request."""
        self.expected.append(
            {
                "method": method,
                "path": path,
                "params": ...,
                "body": body,
                "status": status,
                "answer": answer,
                "headers": dict(headers or {}),
            }
        )

    def take(
        self, *, method: str, path: str, params: Mapping[str, str], body: Any, authorised: str
    ) -> dict[str, Any]:
        question = {"method": method, "path": path, "params": dict(params), "body": body}
        self.heard.append({**question, "authorisation": authorised})
        if not self.expected:
            self.surprises.append(f"nothing more was expected, but: {question}")
            return {"status": 418, "answer": {"message": "not expected"}}
        wanted = self.expected.popleft()
        for part, value in question.items():
            if wanted[part] is not ... and wanted[part] != value:
                self.surprises.append(f"{part}: expected {wanted[part]!r}, heard {value!r} in {question}")
        return wanted


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replay: Replay

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        body: Any = json.loads(content) if content else None
        if parts.path == "/auth/user/emailpass":
            body["password"] = "recorded-password"
        exchange = self.replay.take(
            method=self.command,
            path=parts.path,
            params=dict(parse_qsl(parts.query, keep_blank_values=True)),
            body=body,
            authorised=self.headers.get("authorization") or "",
        )
        if exchange["answer"] is None:
            self.close_connection = True
            return
        answer = exchange["answer"]
        text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(exchange["status"])
        for name, value in exchange.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """The test says what went wrong; nothing else is wanted on the screen."""


@contextmanager
def playing(replay: Replay) -> Iterator[Replay]:
    """The replay behind a port on loopback. At the end nothing may be left over and nothing may have surprised it."""
    handler = type("Handler", (_Handler,), {"replay": replay})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    replay.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
    assert not replay.surprises, "\n".join(replay.surprises)
    assert not replay.expected, f"never asked: {[(one['method'], one['path']) for one in replay.expected]}"
