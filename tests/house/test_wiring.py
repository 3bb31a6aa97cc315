"""The house keeps its own rules: every event is wired, and a room writes only its own tables."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from omni.kernel.events import Event
from omni.wiring import REACTIONS

ROOT = Path(__file__).parents[2]
ROOMS = (
    "products",
    "inventory",
    "orders",
    "members",
    "distribution",
    "reconciliation",
    "reports",
    "integrations",
)
WRITES = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM|COPY)\s+(?:ONLY\s+)?([a-z]+)_[a-z]+", re.IGNORECASE)


def declared_events() -> set[type[Event]]:
    found = set()
    for room in ROOMS:
        if (ROOT / room / "events.py").exists():
            module = importlib.import_module(f"{room}.events")
            found |= {
                value
                for _, value in inspect.getmembers(module, inspect.isclass)
                if issubclass(value, Event) and value is not Event and value.__module__ == module.__name__
            }
    return found


def test_every_event_stands_in_the_wiring_and_nothing_else_does() -> None:
    assert set(REACTIONS) == declared_events()


def test_no_two_events_share_a_name() -> None:
    kinds = [event.kind() for event in declared_events()]

    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_sql_writes_only_its_own_tables(room: str) -> None:
    foreign = []
    for path in (ROOT / room).rglob("*.py"):
        if "migrations" in path.parts:
            continue
        for match in WRITES.finditer(path.read_text()):
            if match.group(1).lower() in ROOMS and match.group(1).lower() != room:
                foreign.append(f"{path.relative_to(ROOT)}: {match.group(0)}")

    assert foreign == []
