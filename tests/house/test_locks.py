"""Lock files name hashes and no host, and are in step with what is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni.devstack import locks
from omni.devstack.home import PROJECT


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock files and what they were made from, in a place where they may be spoiled."""
    for name in (
        "pyproject.toml",
        "requirements.txt",
        "requirements-dev.txt",
        "package.json",
        "package-lock.json",
    ):
        (tmp_path / name).write_text((PROJECT / name).read_text())
    monkeypatch.setattr(locks, "PROJECT", tmp_path)
    return tmp_path


def test_the_committed_lock_files_are_sound() -> None:
    assert locks.lock_faults() == []


def test_a_changed_dependency_is_noticed_until_the_packages_are_locked_again(copy: Path) -> None:
    text = (copy / "pyproject.toml").read_text()
    (copy / "pyproject.toml").write_text(text.replace('"redis==8.1.*"', '"redis==8.2.*"'))

    faults = locks.lock_faults()

    assert [fault.split(":")[0] for fault in faults] == ["requirements.txt", "requirements-dev.txt"]


def test_other_changes_of_pyproject_need_no_new_lock(copy: Path) -> None:
    (copy / "pyproject.toml").write_text((copy / "pyproject.toml").read_text() + "\n[tool.other]\nx = 1\n")

    assert locks.lock_faults() == []


def test_an_address_and_a_missing_hash_are_noticed(copy: Path) -> None:
    with (copy / "requirements.txt").open("a") as lock:
        lock.write("--index-url https://packages.example/simple\nleftpad==1.0\n")

    faults = locks.lock_faults()

    assert faults == [
        "requirements.txt: names an address, https://packages.example/simple",
        "requirements.txt: leftpad==1.0 has no hash",
    ]


def test_an_npm_lock_may_not_name_where_its_packages_come_from(copy: Path) -> None:
    lock = json.loads((copy / "package-lock.json").read_text())
    lock["packages"]["node_modules/echarts"]["resolved"] = "https://packages.example/echarts.tgz"
    (copy / "package-lock.json").write_text(json.dumps(lock))

    assert locks.lock_faults() == [
        "package-lock.json: node_modules/echarts names the address https://packages.example/echarts.tgz"
    ]
