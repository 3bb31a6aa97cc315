"""The web application with something broken on purpose, to see that a test notices."""

from __future__ import annotations

import os

from omni.wsgi import application

exec(os.environ["OMNI_MUTANT"])  # noqa: S102 - the test that starts this server says what to break

__all__ = ["application"]
