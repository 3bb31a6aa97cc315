"""Compare the API's schema with the committed one: nobody changes the API without seeing it in the diff."""

from __future__ import annotations

import difflib
import io
import os
import sys

import django
from django.core.management import call_command

from omni.devstack.home import PROJECT

COMMITTED = PROJECT / "docs/openapi.yaml"


def generated_schema() -> str:
    """The OpenAPI schema of the code as it is; raises when it is not a valid one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omni.settings")
    django.setup()
    written = io.StringIO()
    call_command("spectacular", validate=True, stdout=written)
    return written.getvalue()


def main() -> int:
    """With `write`, write the schema; else print how the committed one differs and return 1 if it does."""
    fresh = generated_schema()
    if sys.argv[1:] == ["write"]:
        COMMITTED.write_text(fresh)
        return 0
    old = COMMITTED.read_text() if COMMITTED.exists() else ""
    diff = list(
        difflib.unified_diff(old.splitlines(), fresh.splitlines(), "committed", "generated", lineterm="")
    )
    print("\n".join(diff[:60]) or "the committed schema is the code's")
    return 1 if diff else 0


if __name__ == "__main__":
    sys.exit(main())
