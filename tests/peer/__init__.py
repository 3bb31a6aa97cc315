"""Tests against real third-party servers: `pytest -m peer` while they run."""
