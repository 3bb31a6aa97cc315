"""A database of the bench's own in the same server, gone when the bench ends: no bench touches anybody's data."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections

NAME = "omni_bench"


def bench_url() -> str:
    """The address of the bench's database."""
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{NAME}"))


@contextlib.contextmanager
def own_database() -> Iterator[str]:
    """Create and migrate the database, point Django and every child process at it, drop it at the end.

    A second bench waits until the first has ended: both would measure each other. What a killed bench left is removed.
    """
    usual, url = os.environ["DATABASE_URL"], bench_url()
    with psycopg.connect(usual, autocommit=True) as keeper:
        keeper.execute("SELECT pg_advisory_lock(hashtext('omni bench'))")
        keeper.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        # template0 takes the encoding and the collation that we name, whatever somebody did to template1
        keeper.execute(f"CREATE DATABASE {NAME} TEMPLATE template0")
        os.environ["DATABASE_URL"] = url
        try:
            with _django_at(NAME):
                call_command("migrate", verbosity=0, interactive=False)
                yield url
        finally:
            os.environ["DATABASE_URL"] = usual
            keeper.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


@contextlib.contextmanager
def _django_at(name: str) -> Iterator[None]:
    connection = connections["default"]
    before, bells, rate = connection.settings_dict["NAME"], settings.OMNI_DOORBELL, settings.OMNI_API_RATE
    connection.close()
    connection.settings_dict["NAME"] = name
    # No worker listens here, and a bell would wake the workers of another copy.
    settings.OMNI_DOORBELL = False
    os.environ["OMNI_DOORBELL"] = "0"
    # Counted like everybody, but never refused.
    os.environ["OMNI_API_RATE"] = "1000000000/10"
    settings.OMNI_API_RATE = (1_000_000_000, 10)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
        settings.OMNI_DOORBELL, settings.OMNI_API_RATE = bells, rate
        os.environ.pop("OMNI_DOORBELL")
        os.environ.pop("OMNI_API_RATE")
