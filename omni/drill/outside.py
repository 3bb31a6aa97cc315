"""The two sandboxes, by their control planes: to place orders, to switch faults, and to ask for the truth."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

TRIES = 20


class Sandbox:
    """One sandbox of the drilled copy, on loopback."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/_control/"

    def ask(self, path: str) -> Any:
        return self._send(path, None)

    def tell(self, path: str, **body: Any) -> Any:
        return self._send(path, json.dumps(body).encode())

    def _send(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own sandbox on loopback
            self._base + path, data=body, headers={"Content-Type": "application/json"}
        )
        for attempt in range(TRIES):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                if error.code in (400, 409):
                    return {"error": error.read().decode("utf-8", "replace")}
                if attempt == TRIES - 1:
                    raise
            except (OSError, ValueError):
                if attempt == TRIES - 1:
                    raise
            time.sleep(0.3)
        raise AssertionError("unreachable")
