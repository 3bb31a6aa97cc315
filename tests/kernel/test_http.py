"""The one way out reaches what it may, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from omni.kernel.http import AddressRefused, HttpClient, HttpFailed


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/hello")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/hangup":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            self.close_connection = True
            return
        body = b"x" * 5000 if self.path == "/large" else b'{"host": "%s"}' % self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def base_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with HttpClient(allow_loopback=True, timeout_seconds=2, max_bytes=1000) as client:
        yield client


def test_an_answer_is_read_and_the_host_is_the_one_that_was_named(client: HttpClient, base_url: str) -> None:
    answer = client.send(method="GET", url=f"{base_url}/hello")

    assert answer.status == 200
    assert answer.json() == {"host": base_url.removeprefix("http://")}


def test_redirects_are_answers_not_orders(client: HttpClient, base_url: str) -> None:
    assert client.send(method="GET", url=f"{base_url}/redirect").status == 302


def test_an_answer_that_is_too_large_is_cut_off(client: HttpClient, base_url: str) -> None:
    with pytest.raises(HttpFailed, match="larger") as failure:
        client.send(method="GET", url=f"{base_url}/large")

    assert failure.value.was_sent


def test_an_answer_that_breaks_off_may_have_taken_effect(client: HttpClient, base_url: str) -> None:
    with pytest.raises(HttpFailed) as failure:
        client.send(method="GET", url=f"{base_url}/hangup")

    assert failure.value.was_sent


def test_where_nobody_listens_nothing_was_sent(client: HttpClient) -> None:
    with pytest.raises(HttpFailed) as failure:
        client.send(method="GET", url="http://127.0.0.1:9/")

    assert not failure.value.was_sent


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost/",
    ],
)
def test_this_machine_is_refused_unless_configured(url: str) -> None:
    with HttpClient() as client, pytest.raises(AddressRefused):
        client.send(method="GET", url=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "https://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user@127.0.0.1/",
        "http://8.8.8.8/",
    ],
)
def test_private_strange_and_unencrypted_addresses_are_refused(client: HttpClient, url: str) -> None:
    with pytest.raises(AddressRefused):
        client.send(method="GET", url=url)
