"""Bring translations, schema and demo data up to date: what has to happen once before the programs start."""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.management import call_command, get_commands

from omni.devstack.translations import compile_catalogues


def main() -> None:
    """Do it all in one process: starting Django costs more than most of these steps."""
    compile_catalogues()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "omni.settings")
    django.setup()
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    if "Manifest" in settings.STORAGES["staticfiles"]["BACKEND"]:
        call_command("collectstatic", interactive=False, verbosity=0)
    call_command("migrate", interactive=False, verbosity=0)
    if "demo" in get_commands():
        call_command("demo")


if __name__ == "__main__":
    main()
