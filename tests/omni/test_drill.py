"""A small drill: a whole copy of Omni under faults and kills ends with both sides agreeing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
@pytest.mark.capability("O1", "V9", "V12", "O22", "O24")
def test_after_faults_and_kills_every_order_exists_once_and_nothing_ships_twice() -> None:
    command = [sys.executable, "manage.py", "drill", "--orders", "150", "--kill-seconds", "5", "--json"]

    done = subprocess.run(
        [*command, "--settle-seconds-max", "240"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    report = json.loads(done.stdout)
    assert report["findings"] == []
    assert report["ok"]
    assert done.returncode == 0
    assert report["orders"]["placed"] == 150
    assert min(report["kills"].values()) >= 2
    assert report["stages"]["shipped"] > 100
