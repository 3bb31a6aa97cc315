"""`manage.py connect_medusa`: the Medusa that `make peer-medusa` started becomes the demo's web shop."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from omni.demo.webshop import NoWebshop, connect_webshop
from omni.devstack.peers.medusa.server import find_home, read_description


class Command(BaseCommand):
    help = "Connect the demo's web shop to the Medusa that `make peer-medusa` started."

    def handle(self, *args: Any, **options: Any) -> None:
        about = read_description(home=find_home())
        if about is None:
            raise CommandError("Medusa does not run: `make peer-medusa` starts it.")
        try:
            found = connect_webshop(about=about, at=timezone.now())
        except NoWebshop as missing:
            raise CommandError(str(missing)) from None
        self.stdout.write(f"connected to {about['base_url']}: {found.listings} listings")
        if found.unknown:
            self.stdout.write(f"sold there and unknown here: {', '.join(found.unknown)}")
