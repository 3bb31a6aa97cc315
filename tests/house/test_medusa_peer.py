"""The house of the real Medusa: locked packages, and processes that are found again and ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from omni.demo.goods import demo_goods
from omni.devstack.peers.medusa import server
from omni.devstack.peers.medusa.server import HERE, Home, read_running, stop_servers


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_the_locked_packages_name_no_host_and_every_one_has_its_sum() -> None:
    text = (HERE / "package-lock.json").read_text()
    packages = {name: about for name, about in json.loads(text)["packages"].items() if name}

    assert "://" not in text
    assert len(packages) > 1000
    assert [name for name, about in packages.items() if not about.get("integrity")] == []


def test_the_package_file_asks_for_exact_versions() -> None:
    package = json.loads((HERE / "package.json").read_text())
    locked = json.loads((HERE / "package-lock.json").read_text())["packages"]

    for name, version in package["dependencies"].items():
        assert locked[f"node_modules/{name}"]["version"] == version


def test_the_shop_sells_articles_of_the_demo_at_the_demo_s_prices() -> None:
    demo = {sku.code: sku.price for spu in demo_goods() for sku in spu.skus}
    catalogue = json.loads((HERE / "catalogue.json").read_text(encoding="utf-8"))

    assert len({entry["title"] for entry in catalogue}) == 12
    assert {entry["sku_code"]: Decimal(entry["price"]) for entry in catalogue}.items() <= demo.items()


def test_without_a_start_there_is_nothing_running_and_nothing_to_stop(home: Home) -> None:
    assert read_running(home=home) is None
    assert stop_servers(home=home) == []


def test_stop_ends_what_a_start_that_was_killed_half_way_left_behind(
    home: Home, sleeper: subprocess.Popen[bytes]
) -> None:
    home.run_file.write_text(
        json.dumps({"pids": {"postgres": [sleeper.pid, server._started_at(sleeper.pid)]}})
    )

    assert read_running(home=home) is None, "it never got as far as answering"
    assert stop_servers(home=home) == ["postgres"]

    assert not home.run_file.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(sleeper.pid, 0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times are read from /proc")
def test_a_stranger_who_got_the_number_of_a_dead_process_is_left_alone(
    home: Home, sleeper: subprocess.Popen[bytes]
) -> None:
    long_ago = server._started_at(sleeper.pid) - 1
    home.run_file.write_text(
        json.dumps({"base_url": "http://x", "pids": {"medusa": [sleeper.pid, long_ago]}})
    )

    assert read_running(home=home) is None
    assert stop_servers(home=home) == []

    assert sleeper.poll() is None


def test_the_shop_keeps_its_port_unless_somebody_else_took_it(home: Home) -> None:
    first = server._same_port(home=home)

    assert server._same_port(home=home) == first

    with socket.socket() as rival:
        rival.bind(("127.0.0.1", first))
        rival.listen()
        assert server._same_port(home=home) != first
