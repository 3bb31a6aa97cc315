"""The embedded servers live exactly as long as somebody uses them, however their users end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from omni.devstack.embedded import (
    Place,
    ServerDidNotStart,
    is_stopped,
    lease_server,
    running_server,
    use_servers,
)
from omni.devstack.home import PROJECT, UnsafeSocketFolder, socket_folder

HOLD = """
import sys
from pathlib import Path
from omni.devstack.embedded import lease_server
lease = lease_server(sys.argv[1], folder=Path(sys.argv[2]))
print(lease.url, flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that uses a server until it is told to end."""

    def __init__(self, name: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, name, str(folder)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[str], Holder]]:
    holders: list[Holder] = []

    def start(name: str) -> Holder:
        holders.append(Holder(name, tmp_path))
        return holders[-1]

    yield start
    for holder in holders:
        holder.kill()
    eventually(lambda: all(is_stopped(Place(tmp_path / name)) for name in ("postgres", "valkey")))


def eventually(holds: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.02)


def test_a_server_stops_when_its_last_user_is_killed_and_not_before(
    tmp_path: Path, hold: Callable[[str], Holder]
) -> None:
    first, second = hold("valkey"), hold("valkey")
    url = first.url()
    assert second.url() == url

    first.kill()
    time.sleep(0.3)
    assert redis.from_url(url).ping()

    second.kill()
    eventually(lambda: is_stopped(Place(tmp_path / "valkey")))
    with pytest.raises(redis.ConnectionError):
        redis.from_url(url).ping()


def test_commands_that_start_at_the_same_moment_share_one_server(
    tmp_path: Path, hold: Callable[[str], Holder]
) -> None:
    holders = [hold("valkey") for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(Holder.url, holders))

    assert len(urls) == 1
    assert redis.from_url(urls.pop()).info("clients")["connected_clients"] == 1


def test_a_command_that_starts_while_the_server_is_leaving_gets_a_new_one_with_the_same_data(
    tmp_path: Path,
) -> None:
    lease = lease_server("valkey", folder=tmp_path)
    redis.from_url(lease.url).set("kept", "yes")
    first = running_server("valkey", folder=tmp_path)
    lease.release()

    again = lease_server("valkey", folder=tmp_path)

    try:
        assert redis.from_url(again.url).get("kept") == b"yes"
        assert first is not None
        assert again.is_alive()
    finally:
        assert again.release_and_wait()


def test_killing_the_keeper_takes_the_server_along_and_the_next_start_recovers(
    tmp_path: Path, hold: Callable[[str], Holder]
) -> None:
    url = hold("postgres").url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    ready = json.loads(Place(tmp_path / "postgres").ready.read_text())

    os.kill(ready["keeper"], signal.SIGKILL)

    again = hold("postgres").url()
    with psycopg.connect(again) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    fresh = json.loads(Place(tmp_path / "postgres").ready.read_text())
    assert fresh["pid"] != ready["pid"]


def test_a_pid_file_left_by_a_crash_does_not_stop_the_next_start(tmp_path: Path) -> None:
    lease = lease_server("postgres", folder=tmp_path)
    assert lease.release_and_wait()
    # Our own number: PostgreSQL would take us for a server that still runs.
    (tmp_path / "postgres/data/postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n0\n5432\n\n\n\n")

    lease = lease_server("postgres", folder=tmp_path)

    assert lease.is_alive()
    assert lease.release_and_wait()


def test_the_database_finds_chinese_text_and_keeps_what_it_has_committed(
    tmp_path: Path, hold: Callable[[str], Holder]
) -> None:
    with psycopg.connect(hold("postgres").url(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
        connection.execute("CREATE EXTENSION btree_gist")
        trigrams = connection.execute("SELECT show_trgm('红色连衣裙')").fetchone()
        settings: dict[str, str] = dict(
            connection.execute("SELECT name, setting FROM pg_settings").fetchall()
        )

    assert trigrams is not None
    assert len(trigrams[0]) == 6
    assert (settings["fsync"], settings["synchronous_commit"], settings["jit"]) == ("on", "on", "off")
    assert settings["listen_addresses"] == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a disguise")
def test_root_becomes_nobody_where_user_namespaces_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(tempfile.mkdtemp(prefix="omni-home-"))
    tools = home / "tools"
    tools.mkdir()
    (tools / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tools / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")

    try:
        lease = lease_server("postgres", folder=home)
        with psycopg.connect(lease.url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("omni",)
        server = running_server("postgres", folder=home)
        assert server is not None
        assert Path(f"/proc/{server['pid']}").stat().st_uid == 65534

        os.kill(int(str(server["keeper"])), signal.SIGKILL)
        eventually(lambda: is_stopped(Place(home / "postgres")))
        lease.release()
        again = lease_server("postgres", folder=home)
        assert again.release_and_wait()
    finally:
        shutil.rmtree(home)


def test_a_home_that_nobody_can_reach_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root needs a disguise")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (closed / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{closed}:{os.environ['PATH']}")

    with pytest.raises(ServerDidNotStart, match="cannot reach"):
        lease_server("postgres", folder=closed / "home")


def test_servers_that_the_environment_names_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    environ = {
        "DATABASE_URL": "postgresql://db.example/omni",
        "REDIS_URL": "redis://cache.example/0",
        "SECRET_KEY": "s",
    }
    before = dict(environ)

    with use_servers(environ) as leases:
        assert leases == []

    assert environ == before
    assert list(tmp_path.iterdir()) == []


def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    place = socket_folder(tmp_path)
    place.chmod(0o755)

    with pytest.raises(UnsafeSocketFolder):
        socket_folder(tmp_path)

    place.rmdir()
