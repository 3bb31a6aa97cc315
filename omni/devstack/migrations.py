"""Check that the models and the migrations agree, and that a migration can run beside the version before it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django.apps import apps
from django.core.management import CommandError, call_command

from omni.devstack.embedded import use_servers
from omni.devstack.home import PROJECT


def main() -> int:
    """Return 0 when both hold; print what does not."""
    from django_migration_linter import MigrationLinter

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omni.settings")
    django.setup()
    ours = [app.label for app in apps.get_app_configs() if _is_ours(Path(app.path))]
    try:
        call_command("makemigrations", check_changes=True, dry_run=True)
    except (CommandError, SystemExit):
        return 1
    # An initial migration makes tables that nobody uses yet; from the first release on nothing else is initial.
    linter = MigrationLinter(
        path=str(PROJECT),
        include_apps=ours,
        ignore_initial_migrations=True,
        no_cache=True,
        quiet=["ok", "ignore"],
    )
    linter.lint_all_migrations()
    linter.print_summary()
    return 1 if linter.has_errors else 0


def _is_ours(folder: Path) -> bool:
    return folder.is_relative_to(PROJECT) and not folder.is_relative_to(PROJECT / ".venv")


if __name__ == "__main__":
    with use_servers():
        sys.exit(main())
