"""What this room lets the rooms above know."""

from __future__ import annotations

from dataclasses import dataclass

from omni.kernel.events import Event


@dataclass(frozen=True)
class ListingsChanged(Event):
    """A shop lists these SKUs anew: for the first time, again, or under another item of its channel.

    What its channel shows for them now, nobody here has said.
    """

    shop_id: int
    sku_ids: tuple[int, ...]


@dataclass(frozen=True)
class ProductsChanged(Event):
    """Products (with all of their SKUs) and SKUs of their own were made, or are described otherwise than before."""

    spu_ids: tuple[int, ...]
    sku_ids: tuple[int, ...]


@dataclass(frozen=True)
class BundlesChanged(Event):
    """These SKUs hold other components than before: they became bundles, are none any more, or others lie in them."""

    sku_ids: tuple[int, ...]
