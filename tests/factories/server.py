"""A real web server on a test's own database."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from omni.devstack.home import PROJECT


@contextmanager
def web_server(mutant: str = "") -> Iterator[int]:
    """A granian with two workers on the test's own database; yields its port.

    `mutant`: Python that breaks something in it, to see that a test notices.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    parts = urlsplit(os.environ["DATABASE_URL"])
    url = urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))
    target = "omni.wsgi:application"
    environ = {**os.environ, "DATABASE_URL": url, "OMNI_MUTANT": mutant, "LOG_LEVEL": "CRITICAL"}
    if mutant:
        target = "tests.factories.mutant_wsgi:application"
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "2", "--blocking-threads", "6", "--no-ws", "--log-level", "error", target,
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=PROJECT, env=environ)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                ask = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                ask.request("GET", "/livez")
                if ask.getresponse().status == 200:
                    break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)
