"""The container files start what `make up` starts: no queue without a worker, no variable without a value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from omni.devstack.home import PROJECT
from omni.devstack.processes import Setting, programs


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    return found


def words_after(argv: list[str], word: str) -> str:
    return argv[argv.index(word) + 1]


def test_every_queue_that_tasks_are_routed_to_has_a_worker(services: dict[str, Any]) -> None:
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()} | {
        settings.CELERY_TASK_DEFAULT_QUEUE
    }

    here = [list(program.argv) for program in programs(Setting(Path("python"), PROJECT, 8000))]
    served_here = {queue for argv in here if "-Q" in argv for queue in words_after(argv, "-Q").split(",")}
    there = [service["command"] for name, service in services.items() if name.startswith("worker-")]
    served_there = {queue for argv in there for queue in words_after(argv, "-Q").split(",")}

    assert routed <= served_here
    assert served_here == served_there


def test_containers_and_make_up_start_the_workers_with_the_same_words(services: dict[str, Any]) -> None:
    for program in programs(Setting(Path("python"), PROJECT, 8000)):
        if program.name.startswith("worker-"):
            argv = list(program.argv)
            assert services[program.name]["command"][1:] == argv[argv.index("-q") :]


def test_a_running_task_gets_as_long_to_end_in_a_container_as_here(services: dict[str, Any]) -> None:
    for program in programs(Setting(Path("python"), PROJECT, 8000)):
        if program.name.startswith("worker-"):
            assert services[program.name]["stop_grace_period"] == f"{program.grace_seconds}s"
            assert program.grace_seconds > settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT


def test_every_variable_that_the_compose_file_takes_is_in_the_example(services: dict[str, Any]) -> None:
    taken = set(re.findall(r"\$\{([A-Z_]+)", (PROJECT / "docker-compose.yml").read_text()))

    documented = set(re.findall(r"^#? ?([A-Z_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE))

    assert taken <= documented
