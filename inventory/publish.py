"""Tell the channels what they may sell: the newest number wins, and nothing is believed before they say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from inventory.availability import SELLABLE, SELLABLE_WITH_BUNDLES
from inventory.models import PublishedStock
from inventory.supply.watch import watch_soon
from omni.kernel import doorbell
from omni.kernel.answers import Answer, Told, record_told
from omni.kernel.audit import record_acts
from omni.kernel.sql import fetch_all

PUSH = "integrations.tasks.push_due_stock"
# A call that was not answered for so long is taken as lost, and its number is due again.
ANSWER_WITHIN = timedelta(seconds=60)
# Changes of one listing that come closer together become one call.
TOLD = Told("inventory_publishedstock", "quantity", pause=timedelta(seconds=1))

# One planner at a time: two could compute from two moments and the older numbers be written last. Nothing else
# takes this lock, and a crash gives it back.
ONE_PLANNER = "SELECT pg_advisory_xact_lock(hashtext('inventory.plan_published_stock'))"

# A change row is written in the transaction of the change, so that whoever can take the row sees the change. What is
# sold of a bundle follows its components: `bundle_id` is a bundle that the change concerns, as itself or as the home of
# a component. Where there are none, that is one look into an empty index per SKU.
TAKE_CHANGES = """
    WITH taken AS (
        DELETE FROM inventory_stockchange WHERE id IN (
            SELECT id FROM inventory_stockchange ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
        ) RETURNING sku_id, shop_id
    )
    SELECT sku_id, shop_id, NULL::bigint AS bundle_id FROM taken
    UNION ALL
    SELECT c.component_id, NULL, c.bundle_id FROM taken t JOIN products_bundlecomponent c ON c.component_id = t.sku_id
    UNION ALL
    SELECT c.component_id, NULL, c.bundle_id FROM taken t JOIN products_bundlecomponent c ON c.bundle_id = t.sku_id
"""

# Writes only numbers that changed, locked in id order as `record_told` does. A call that is under way is
# waited for (its `not_before`), or two calls could overtake each other on their way. `desired_at` is since when the
# channel does not show what it should, however often that has changed since. New rows are sorted: otherwise the look
# for missing ones could go over those that it has just written, again for each.
_PLAN = """
    WITH computed AS MATERIALIZED (
        SELECT l.id AS listing_id, l.shop_id, coalesce(s.quantity, 0) AS quantity,
               (l.shop_id, l.sku_id) IN (
                   SELECT * FROM unnest(%(sold_shops)s::bigint[], %(sold_skus)s::bigint[])) AS is_sold
        FROM products_listing l
        LEFT JOIN ({sellable}) s ON s.shop_id = l.shop_id AND s.sku_id = l.sku_id
        WHERE l.state = 'listed' AND (%(skus)s::bigint[] IS NULL OR l.sku_id = ANY(%(skus)s::bigint[]))
    ), locked AS MATERIALIZED (
        SELECT p.id, c.quantity FROM inventory_publishedstock p JOIN computed c ON c.listing_id = p.listing_id
        WHERE p.desired_quantity <> c.quantity OR c.is_sold ORDER BY p.id FOR NO KEY UPDATE OF p
    ), changed AS (
        UPDATE inventory_publishedstock p
        SET desired_quantity = c.quantity, desired_version = p.desired_version + 1, attempts = 0,
            desired_at = CASE WHEN p.acked_version = p.desired_version THEN %(at)s ELSE p.desired_at END,
            not_before = CASE
                WHEN p.not_before > %(at)s::timestamptz + interval '1 hour' THEN %(at)s
                ELSE greatest(p.not_before, p.sent_at + %(interval)s) END
        FROM locked c WHERE p.id = c.id RETURNING 1
    ), made AS (
        INSERT INTO inventory_publishedstock
            (listing_id, shop_id, desired_quantity, desired_version, desired_at, not_before)
        SELECT c.listing_id, c.shop_id, c.quantity, 1, %(at)s, %(at)s FROM computed c
        WHERE NOT EXISTS (SELECT FROM inventory_publishedstock p WHERE p.listing_id = c.listing_id)
        ORDER BY c.listing_id
        ON CONFLICT (listing_id) DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM made)
"""
# Where no bundle is concerned, nothing is done for bundles.
PLAN = _PLAN.replace("{sellable}", SELLABLE)
PLAN_WITH_BUNDLES = _PLAN.replace("{sellable}", SELLABLE_WITH_BUNDLES)

# Less first: what a channel shows too high is sold twice, what it shows too low is only sold later. What it shows
# now is what it acknowledged or what was sent without an answer: the lower of the two counts. Plan: published_due.
CLAIM = """
    UPDATE inventory_publishedstock p
    SET sent_quantity = p.desired_quantity, sent_version = p.desired_version, sent_at = %(at)s,
        attempts = p.attempts + 1, not_before = %(until)s
    FROM (
        SELECT d.id, l.outer_item_id, l.outer_sku_id, k.code,
               d.desired_quantity > least(coalesce(d.acked_quantity, 0), coalesce(d.sent_quantity, 0)) AS is_increase
        FROM inventory_publishedstock d
        JOIN products_listing l ON l.id = d.listing_id
        JOIN products_sku k ON k.id = l.sku_id
        WHERE d.shop_id = %(shop)s AND d.desired_version > d.acked_version AND d.not_before <= %(at)s
          AND l.state = 'listed'
        ORDER BY is_increase, d.desired_quantity > 0, d.desired_at, d.id
        LIMIT %(limit)s FOR NO KEY UPDATE OF d SKIP LOCKED
    ) due
    WHERE p.id = due.id
    RETURNING p.listing_id, p.id, due.outer_item_id, due.outer_sku_id, due.code, p.sent_quantity, p.sent_version,
              due.is_increase
"""

# By a person who saw what the channel shows. It counts as what was sent last, so that more than that is an increase:
# units that were sold there and are not known here yet must not come back on sale.
AGAIN = """
    UPDATE inventory_publishedstock p
    SET desired_version = p.desired_version + 1, attempts = 0, not_before = greatest(%(at)s, p.sent_at + %(interval)s),
        sent_quantity = least(p.sent_quantity, due.shown),
        desired_at = CASE WHEN p.acked_version = p.desired_version THEN %(at)s ELSE p.desired_at END
    FROM (
        SELECT d.id, v.shown FROM unnest(%(ids)s::bigint[], %(shown)s::int[]) AS v(listing_id, shown)
        JOIN inventory_publishedstock d ON d.listing_id = v.listing_id
        JOIN products_listing l ON l.id = d.listing_id AND l.state = 'listed'
        ORDER BY d.id FOR NO KEY UPDATE OF d
    ) due
    WHERE p.id = due.id RETURNING p.id, p.listing_id
"""


@dataclass(frozen=True, slots=True)
class DueStock:
    """A number that a channel is to be told now. `is_increase`: pull the shop's orders before telling it."""

    listing_id: int
    published_id: int
    outer_item_id: str
    outer_sku_id: str
    sku_code: str
    quantity: int
    version: int
    is_increase: bool


@transaction.atomic
def plan_published_stock(*, limit: int, at: datetime) -> int:
    """Take up to `limit` changes and compute anew what the listings of their SKUs should show, and of their bundles.

    A number gets a new version if it is another one, or if the channel has changed it by itself (`mark_sold`); a
    listing without a number gets its first. Returns how
    many changes were taken: `limit` means that there may be more.
    """
    fetch_all(ONE_PLANNER)
    rows = fetch_all(TAKE_CHANGES, [limit])
    taken = [(sku_id, shop_id) for sku_id, shop_id, bundle_id in rows if bundle_id is None]
    bundles = {bundle_id for _sku_id, _shop_id, bundle_id in rows if bundle_id is not None}
    if taken:
        sold = sorted({(shop_id, sku_id) for sku_id, shop_id in taken if shop_id is not None})
        skus = sorted({sku_id for sku_id, _shop_id in taken} | bundles)
        _plan(PLAN_WITH_BUNDLES if bundles else PLAN, skus, sold, at)
        watch_soon(skus)
    return len(taken)


@transaction.atomic
def push_stock_again(*, shown: Mapping[int, int], reason: str = "", at: datetime, by: str) -> set[int]:
    """Tell the channels our numbers once more, now. `shown`: what each shows at present, by the id of its listing.

    A number above that is sent after the shop's newest orders were pulled. Returns the listings that will be told.
    """
    params = {
        "ids": list(shown),
        "shown": [max(units, 0) for units in shown.values()],
        "at": at,
        "interval": TOLD.pause,
    }
    rows = fetch_all(AGAIN, params)
    idents = [ident for ident, _listing in rows]
    record_acts(
        by=by, action="stock.told_again", kind=PublishedStock, object_ids=idents, reason=reason, at=at
    )
    doorbell.ring_after_commit(PUSH)
    return {listing_id for _id, listing_id in rows}


@transaction.atomic
def plan_all_published_stock(*, at: datetime) -> int:
    """Compute anew what every listing should show: the nightly net under `plan_published_stock`.

    Returns how many numbers are others now, or there for the first time.
    """
    fetch_all(ONE_PLANNER)
    return _plan(PLAN_WITH_BUNDLES, None, [], at)


def _plan(plan: str, sku_ids: list[int] | None, sold: Sequence[tuple[int, int]], at: datetime) -> int:
    """`sku_ids` None: all. `sold`: (shop, SKU) whose channel has changed its number. Returns how many were written."""
    ((written,),) = fetch_all(
        plan,
        {
            "skus": sku_ids,
            "sold_shops": [shop_id for shop_id, _sku_id in sold],
            "sold_skus": [sku_id for _shop_id, sku_id in sold],
            "at": at,
            "interval": TOLD.pause,
        },
    )
    return int(written)


@transaction.atomic
def claim_due_stock(*, shop_id: int, limit: int, at: datetime) -> list[DueStock]:
    """Take up to `limit` numbers that the shop's channel is to be told: decreases first, zeroes before others.

    They are noted as sent before the call is made, and are nobody else's until they are answered or
    ANSWER_WITHIN has passed. Call it outside a transaction: it must be committed before the channel is called.
    """
    rows = fetch_all(CLAIM, {"shop": shop_id, "limit": limit, "at": at, "until": at + ANSWER_WITHIN})
    due = [DueStock(*row) for row in rows]
    return sorted(due, key=lambda number: (number.is_increase, number.quantity > 0, number.published_id))


@transaction.atomic
def record_stock_answers(*, answers: Sequence[Answer], at: datetime) -> None:
    """Note what the channel said to published rows, each with the version that was sent. See `record_told`."""
    record_told(TOLD, answers=answers, at=at)
