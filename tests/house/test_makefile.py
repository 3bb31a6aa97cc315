"""`make` alone tells a newcomer everything there is to do."""

from __future__ import annotations

import re
import subprocess

from omni.devstack.home import PROJECT

INNER = {"dev"}  # what other targets need first


def test_help_lists_every_target() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE)) - INNER

    shown = subprocess.run(
        ["make", "-s", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout

    assert set(re.findall(r"make ([a-z0-9-]+) ", shown)) == targets


def test_no_target_can_be_shadowed_by_a_file_of_its_name() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))

    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)).split()

    assert set(phony) == targets
