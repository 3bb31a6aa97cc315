"""Give a test run a PostgreSQL and a Valkey of its own, before Django reads its settings.

It has to be an early plugin (`-p` in the project's options): from a conftest.py it would come too late, because
pytest-django has read DATABASES by then.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from omni.devstack.embedded import use_throwaway_servers
from omni.devstack.translations import compile_catalogues

VALKEY_DATABASES = 16


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Start the servers; pytest stops them when it takes its configuration down, after the last worker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        compile_catalogues()
        folder = Path(tempfile.mkdtemp(prefix="omni-tests-"))
        (folder / "static").mkdir()  # where the static files of a production site would lie
        os.environ["OMNI_HOME"] = str(folder)
        os.environ.setdefault("SECRET_KEY", "only-for-tests")
        # Tests ask faster than any caller should; those of the limit set one.
        os.environ.setdefault("OMNI_API_RATE", "0")
        os.environ.setdefault("OMNI_API_FAILURES", "0")
        os.environ["OMNI_TESTS_OWN_VALKEY"] = "" if os.environ.get("REDIS_URL") else "1"
        stack = contextlib.ExitStack()
        early_config.add_cleanup(stack.close)
        stack.enter_context(use_throwaway_servers(folder))
    elif os.environ.get("OMNI_TESTS_OWN_VALKEY"):
        # The workers inherit the servers. pytest-django gives each a database of its own; so do we in Valkey.
        number = (int(worker.removeprefix("gw")) + 1) % VALKEY_DATABASES
        os.environ["REDIS_URL"] = os.environ["REDIS_URL"].replace("?db=0", f"?db={number}")
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "capability(*ids): the capabilities, by their ids in the specification, that this test shows",
    )
