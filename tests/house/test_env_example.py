"""The example file names what the code reads."""

from __future__ import annotations

import re

from omni.devstack.home import PROJECT

# Read by tools around Omni or set by Omni itself, never by whoever runs it.
NOT_FOR_PEOPLE = {
    "PIP_",
    "PIP_CONFIG_FILE",
    "PYTEST_XDIST_WORKER",
    "OMNI_TESTS_OWN_VALKEY",
    "PYTHONUNBUFFERED",
    "PATH",
}
READS = re.compile(r"""(?:environ(?:\.get\(|\[)|\benv(?:_list)?\()\s*["']([A-Z][A-Z0-9_]*)["']""")


def test_env_example_names_every_variable_that_the_code_reads() -> None:
    sources = [
        PROJECT / "manage.py",
        *(path for path in (PROJECT / "omni").rglob("*.py") if "peers" not in path.parts),
    ]

    read = {name for path in sources for name in READS.findall(path.read_text())}

    assert "DATABASE_URL" in read
    assert read - NOT_FOR_PEOPLE <= documented()


def test_env_example_names_no_variable_that_nobody_reads() -> None:
    text = "".join(path.read_text() for path in (PROJECT / "omni").rglob("*.py"))

    unread = {name for name in documented() if f'"{name}"' not in text}

    assert unread == set()


def documented() -> set[str]:
    return set(re.findall(r"^([A-Z][A-Z0-9_]*)=", (PROJECT / ".env.example").read_text(), re.MULTILINE))
