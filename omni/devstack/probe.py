"""Ask the web server of this machine whether it lives: the health check of containers and of `make up`."""

from __future__ import annotations

import http.client
import os
import sys

PATH = "/livez"


def is_alive(port: int, *, host: str | None = None, seconds_max: float = 4) -> bool:
    """Whether the server on `port` answers with anything but an error of its own.

    A redirect to https counts as life: behind a proxy that is what a plain request gets.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds_max)
    try:
        connection.request("GET", PATH, headers={"Host": host or _allowed_host()})
        return connection.getresponse().status < http.client.BAD_REQUEST
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _allowed_host() -> str:
    # A name that the settings accept; any other would be answered with 400.
    first = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip()
    return first.lstrip(".") if first and first != "*" else "localhost"


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(sys.argv[1])) else 1)
