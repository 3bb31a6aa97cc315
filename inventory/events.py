"""What this room lets the rooms above know."""

from __future__ import annotations

from dataclasses import dataclass

from omni.kernel.events import Event


@dataclass(frozen=True)
class StockRaised(Event):
    """More of these SKUs can be promised than before: what is short may be filled."""

    sku_ids: tuple[int, ...]


@dataclass(frozen=True)
class PromisesWithdrawn(Event):
    """These order lines held stock that turned out not to exist, and are short now."""

    line_keys: tuple[str, ...]


@dataclass(frozen=True)
class ShortagesFilled(Event):
    """These order lines were short and hold a promise of all their units now."""

    line_keys: tuple[str, ...]
