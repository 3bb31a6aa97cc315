"""Note which listings are on sale although the catalogue of their shop does not hold them: a list for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db import transaction

from omni.kernel import doorbell
from omni.kernel.sql import execute, fetch_all
from products.assortment.conditions import HOLDS
from products.assortment.holding import CATALOGUES, GOODS, PICK

CHECK_CATALOGUES = "products.tasks.check_catalogues"

# What is on sale in a shop with a catalogue in force; NULL: all shops, all SKUs. Plan: listing_by_sku for some SKUs.
FOUND = f"""
    SELECT l.id, w.id AS catalogue_id FROM products_listing l
    JOIN products_shopcatalogue s ON s.shop_id = l.shop_id
    JOIN ({CATALOGUES}) w ON w.id = s.catalogue_id AND w.is_active
    JOIN ({GOODS}) ON k.id = l.sku_id
    LEFT JOIN {PICK}
    WHERE l.state = 'listed' AND (%(shops)s::bigint[] IS NULL OR l.shop_id = ANY(%(shops)s::bigint[]))
      AND (%(skus)s::bigint[] IS NULL OR l.sku_id = ANY(%(skus)s::bigint[])) AND NOT {HOLDS}
"""  # noqa: S608 - constants
# One after the other who notes the same; what stays outside keeps its moment. Before any row of a shop's catalogue.
LOCK = "LOCK TABLE products_outsidelisting IN SHARE ROW EXCLUSIVE MODE"
NOTE = f"""
    WITH found AS ({FOUND}), gone AS (
        DELETE FROM products_outsidelisting o USING products_listing l
        WHERE l.id = o.listing_id AND (%(shops)s::bigint[] IS NULL OR l.shop_id = ANY(%(shops)s::bigint[]))
          AND (%(skus)s::bigint[] IS NULL OR l.sku_id = ANY(%(skus)s::bigint[]))
          AND NOT EXISTS (SELECT FROM found f WHERE f.id = o.listing_id)
    )
    INSERT INTO products_outsidelisting (listing_id, catalogue_id, since)
    SELECT id, catalogue_id, %(at)s FROM found ORDER BY id
    ON CONFLICT (listing_id) DO UPDATE SET catalogue_id = EXCLUDED.catalogue_id
    WHERE products_outsidelisting.catalogue_id <> EXCLUDED.catalogue_id
"""  # noqa: S608 - constants
UNCHECKED = """
    SELECT s.shop_id, s.catalogue_id, c.version FROM products_shopcatalogue s
    JOIN products_catalogue c ON c.id = s.catalogue_id WHERE NOT s.is_checked ORDER BY s.shop_id
"""
# Not if the catalogue changed while its listings were being looked at.
CHECKED = """
    UPDATE products_shopcatalogue s SET is_checked = true FROM products_catalogue c
    WHERE c.id = s.catalogue_id AND s.shop_id = %s AND s.catalogue_id = %s AND c.version = %s AND NOT s.is_checked
"""


def lock_outside() -> None:
    """Nobody else notes anything until the end of the transaction. Call it before a shop's catalogue is changed."""
    execute(LOCK)


@transaction.atomic
def note_outside_listings(
    *, shop_ids: Collection[int] | None = None, sku_ids: Collection[int] | None = None, at: datetime
) -> None:
    """Bring the list up to date for these shops and SKUs (None: all); said again it changes nothing."""
    lock_outside()
    execute(
        NOTE,
        {
            "shops": None if shop_ids is None else sorted(shop_ids),
            "skus": None if sku_ids is None else sorted(sku_ids),
            "at": at,
        },
    )


def recheck_catalogues(catalogue_ids: Iterable[int]) -> None:
    """The listings of these catalogues' shops have to be looked at again; a sweep does it after the commit."""
    marked = execute(
        "UPDATE products_shopcatalogue SET is_checked = false WHERE catalogue_id = ANY(%s)",
        [sorted(catalogue_ids)],
    )
    if marked:
        doorbell.ring_after_commit(CHECK_CATALOGUES)


def check_changed_catalogues(*, at: datetime) -> int:
    """Look at the listings of every shop whose catalogue changed. Returns how many shops that were."""
    waiting = fetch_all(UNCHECKED)
    for shop_id, catalogue_id, version in waiting:
        with transaction.atomic():
            note_outside_listings(shop_ids=[shop_id], at=at)
            execute(CHECKED, [shop_id, catalogue_id, version])
    return len(waiting)
