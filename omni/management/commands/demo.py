"""`manage.py demo`: fill an empty copy with the demo, and set beat's schedule."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from omni.demo.furnish import furnish_demo
from omni.schedule import set_schedule


class Command(BaseCommand):
    help = "Make the demo data (brands, stock, shops, connections to the sandboxes, logins). Never in production."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("OMNI_ENV is production: the demo's logins and keys are known to everybody.")
        set_schedule()
        port = int(os.environ.get("PORT") or 8000)
        found = furnish_demo(port=port, folder=Path(settings.OMNI_HOME) / "sandbox", at=timezone.now())
        made = ", ".join(f"{count} {name}" for name, count in found.counts.items())
        self.stdout.write(f"demo data {'made' if found.is_new else 'is there'}: {made}")
        logins = ", ".join(f"{login}/{password}" for login, password in found.logins.items())
        self.stdout.write(f"logins: {logins}")
        if found.api_key:
            self.stdout.write(f"API key (shown once): {found.api_key}")
