"""The one way out: time limits, size limits, no redirects, and no address that it should not reach."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2


class HttpFailed(Exception):
    """No usable answer. `was_sent`.

    The request may have reached the other side, so a write may have taken effect.
    """

    def __init__(self, detail: str, *, was_sent: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.was_sent = was_sent


class AddressRefused(HttpFailed):
    """The address is not one that Omni may talk to."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, was_sent=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """The body as UTF-8; what is not UTF-8 is replaced, for messages and logs."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; raises ValueError (also for bytes that are not UTF-8)."""
        return json.loads(self.body)


class HttpClient:
    """Thread-safe; keeps connections open. Built by the door that uses it and closed with `close()`.

    `allow_loopback`: for the sandboxes on this machine and for tests; everything else that is not a public
    address is refused, checked on the address that is connected to (no second look-up, so a name cannot
    change between).
    """

    def __init__(
        self, *, allow_loopback: bool = False, timeout_seconds: float = 15, max_bytes: int = 10_000_000
    ) -> None:
        self.allow_loopback = allow_loopback
        self.max_bytes = max_bytes
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout_seconds, connect=3),
            follow_redirects=False,
            trust_env=False,
            limits=httpx2.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=15),
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self,
        *,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> HttpAnswer:
        """Send one request and read its whole answer. Raises HttpFailed.

        A status of 4xx or 5xx is an answer, not a failure.
        """
        target, host_headers, extensions = self._pin_address(url)
        request = self._client.build_request(
            method,
            target,
            params=params,
            headers={**host_headers, **(headers or {})},
            content=content,
            extensions=extensions,
        )
        try:
            answer = self._client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise HttpFailed(f"no connection: {error}", was_sent=False) from error
        except httpx2.HTTPError as error:
            raise HttpFailed(f"no answer: {type(error).__name__} {error}".strip(), was_sent=True) from error
        try:
            return HttpAnswer(answer.status_code, answer.headers, self._read(answer))
        except httpx2.HTTPError as error:
            raise HttpFailed(
                f"the answer broke off: {type(error).__name__} {error}", was_sent=True
            ) from error
        finally:
            answer.close()

    def _read(self, answer: httpx2.Response) -> bytes:
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > self.max_bytes:
                raise HttpFailed(f"the answer is larger than {self.max_bytes} bytes", was_sent=True)
        return bytes(body)

    def _pin_address(self, url: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Resolve once, refuse what is not public, and connect to the very address that was checked."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise AddressRefused(f"not an http(s) address: {url}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise HttpFailed(f"{parts.hostname} cannot be resolved: {error}", was_sent=False) from error
        address = ipaddress.ip_address(found[0][4][0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if address.is_loopback:
            if not self.allow_loopback:
                raise AddressRefused(f"{parts.hostname} is this machine, which this connection may not use")
        elif not address.is_global or address.is_multicast:
            raise AddressRefused(f"{parts.hostname} is a private address, which no connection may use")
        elif parts.scheme != "https":
            raise AddressRefused(f"{parts.hostname} must be reached by https")
        literal = f"[{address}]" if address.version == 6 else str(address)
        target = parts._replace(netloc=f"{literal}:{port}").geturl()
        return target, {"Host": parts.netloc}, {"sni_hostname": parts.hostname}
