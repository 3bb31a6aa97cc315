"""Who hears of what: every event of the house and everyone who reacts to it, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omni.kernel.events import Event
from omni.kernel.relay import Reaction

REACTIONS: Mapping[type[Event], Sequence[Reaction]] = {}
