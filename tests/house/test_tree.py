"""Nothing committed ties Omni to one package registry or to one machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from omni.devstack import tree

REGISTRY = "py" + "pi.org"  # in two pieces, or this file would be a finding itself
ONE_MACHINE = "/ro" + "ot/omni"


@pytest.fixture(params=["with git", "without git"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tree, "PROJECT", tmp_path)
    if request.param == "with git":
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        (tmp_path / ".gitignore").write_text("/.venv\n")
    else:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/pyvenv.cfg").write_text(f"home = {ONE_MACHINE}\n")
    return tmp_path


def test_the_committed_tree_names_no_registry_and_no_folder_of_one_machine() -> None:
    assert tree.tree_faults() == []


def test_a_registry_and_a_folder_of_one_machine_are_noticed(project: Path) -> None:
    (project / "install.md").write_text(f"see https://{REGISTRY}/simple\n")
    (project / "run.sh").write_text(f"#!/bin/sh\ncd {ONE_MACHINE}\n")

    faults = tree.tree_faults()

    assert faults == [
        f"install.md:1: names a package registry: {REGISTRY}",
        f"run.sh:2: names a folder of one machine: {ONE_MACHINE[:7]}",
    ]


def test_ordinary_addresses_and_paths_are_no_finding(project: Path) -> None:
    (project / "guide.md").write_text(
        "https://docs.example.org /usr/lib /var/lib/omni framework/x /home/omni/app\n"
    )

    assert tree.tree_faults() == []
