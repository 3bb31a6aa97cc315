"""The schema is complete and committed; its pages work under the strict content policy and ask nobody else."""

from __future__ import annotations

import io
import re

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from omni.devstack.schema import COMMITTED

pytestmark = pytest.mark.capability("I3")


def test_the_committed_schema_is_the_codes() -> None:
    written = io.StringIO()

    call_command("spectacular", validate=True, fail_on_warn=True, stdout=written)

    assert written.getvalue() == COMMITTED.read_text(), "make fix"


def test_every_operation_has_a_name_and_tells_of_its_problems() -> None:
    schema = yaml.safe_load(COMMITTED.read_text())
    names = []

    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            names.append(operation["operationId"])
            problems = {status for status in operation["responses"] if status.startswith(("4", "5"))}
            assert {"400", "401", "403", "404", "503"} <= problems, (path, method)
            for status in problems:
                assert "application/problem+json" in operation["responses"][status]["content"]

    assert len(names) == len(set(names)) == 130


def test_every_act_asks_for_its_idempotency_key() -> None:
    schema = yaml.safe_load(COMMITTED.read_text())

    for path, methods in schema["paths"].items():
        # Asking changes nothing, and a picture is known by its content.
        if "post" in methods and path not in ("/api/v1/availability", "/api/v1/images"):
            headers = {row["name"] for row in methods["post"]["parameters"] if row["in"] == "header"}
            assert "Idempotency-Key" in headers, path


@pytest.mark.parametrize("path", ["/api/docs/", "/api/redoc/"])
def test_the_pages_load_nothing_from_elsewhere(client: Client, path: str) -> None:
    answer = client.get(path)

    text = answer.content.decode()
    assert answer.status_code == 200
    assert not re.search(r"(src|href)=[\"'](https?:)?//", text)
    assert "<style" not in text
    assert "<script>" not in text
    assert "script-src 'self'" in answer["Content-Security-Policy"]


def test_only_redoc_may_write_styles_into_its_page(client: Client) -> None:
    assert "unsafe-inline" in client.get("/api/redoc/")["Content-Security-Policy"]
    assert "unsafe-inline" not in client.get("/api/docs/")["Content-Security-Policy"]


def test_the_schema_is_served_to_everybody(client: Client) -> None:
    answer = client.get("/api/schema/")

    assert answer.status_code == 200
    assert yaml.safe_load(answer.content)["info"]["title"] == "Omni API"
