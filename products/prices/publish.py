"""Tell the channels what things cost: the newest price wins, and nothing is believed before they say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from omni.kernel.answers import Answer, Told, record_told
from omni.kernel.audit import record_acts
from omni.kernel.sql import execute, fetch_all
from products.models import PublishedPrice
from products.prices.effective import AMOUNT, CONCERNS, IN_FORCE, RANK

# A call that was not answered for so long is taken as lost, and its price is due again.
ANSWER_WITHIN = timedelta(seconds=120)
TOLD = Told("products_publishedprice", "amount")

# One planner at a time: two could compute from two moments and the older prices be written last. Nothing else takes
# this lock, and a crash gives it back.
ONE_PLANNER = "SELECT pg_advisory_xact_lock(hashtext('products.plan_published_prices'))"
# Plan: price_change_due. Whoever can take a row sees the change of whose transaction it is a part.
TAKE_CHANGES = """
    DELETE FROM products_pricechange WHERE id IN (
        SELECT id FROM products_pricechange WHERE due_at <= %s ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED
    ) RETURNING sku_id, shop_id
"""

# What a listing should show. It gets its first row with the first approved price that concerns it; before, its
# channel's price is the channel's own. A listing whose every price lies below the floor keeps what it shows:
# `approved_below_floor` lists the prices. Written are only rows that change, locked in id order as
# `record_told` does; a call that is under way is waited for (its `not_before`), or two calls could overtake
# each other on their way. `desired_at` is since when the channel does not show what it should.
PLAN = f"""
    WITH in_force AS MATERIALIZED ({IN_FORCE}), computed AS MATERIALIZED (
        SELECT DISTINCT ON (l.id) l.id AS listing_id, l.shop_id, c.id AS price_id, s.currency, {AMOUNT} AS amount,
               (l.shop_id, l.sku_id) IN (
                   SELECT * FROM unnest(%(relisted_shops)s::bigint[], %(relisted_skus)s::bigint[])) AS is_relisted
        FROM products_listing l
        JOIN products_shop s ON s.id = l.shop_id
        JOIN products_sku k ON k.id = l.sku_id
        LEFT JOIN in_force c ON {CONCERNS}
        WHERE l.state = 'listed' AND (%(skus)s::bigint[] IS NULL OR l.sku_id = ANY(%(skus)s::bigint[]))
        ORDER BY l.id, {RANK}
    ), locked AS MATERIALIZED (
        SELECT p.id, c.price_id, c.currency, c.amount,
               c.is_relisted OR p.desired_amount <> c.amount OR p.currency <> c.currency AS is_other
        FROM products_publishedprice p JOIN computed c ON c.listing_id = p.listing_id
        WHERE c.amount IS NOT NULL
          AND (c.is_relisted OR (p.desired_amount, p.currency, p.price_id)
               IS DISTINCT FROM (c.amount, c.currency, c.price_id))
        ORDER BY p.id FOR NO KEY UPDATE OF p
    ), changed AS (
        UPDATE products_publishedprice p
        SET desired_amount = c.amount, currency = c.currency, price_id = c.price_id,
            desired_version = p.desired_version + c.is_other::int,
            attempts = CASE WHEN c.is_other THEN 0 ELSE p.attempts END,
            desired_at = CASE WHEN c.is_other AND p.acked_version = p.desired_version THEN %(at)s
                              ELSE p.desired_at END,
            not_before = CASE WHEN NOT c.is_other THEN p.not_before
                WHEN p.not_before > %(at)s::timestamptz + interval '1 hour' THEN %(at)s
                ELSE greatest(p.not_before, %(at)s) END
        FROM locked c WHERE p.id = c.id
    )
    INSERT INTO products_publishedprice
        (listing_id, shop_id, price_id, currency, desired_amount, desired_version, desired_at, not_before)
    SELECT c.listing_id, c.shop_id, c.price_id, c.currency, c.amount, 1, %(at)s, %(at)s FROM computed c
    WHERE c.price_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM products_publishedprice p WHERE p.listing_id = c.listing_id)
    ORDER BY c.listing_id
    ON CONFLICT (listing_id) DO NOTHING
"""  # noqa: S608 - put together from constants

# In the order of published_price_due: a change of every price of a shop must not be sorted anew for each claim.
CLAIM = """
    UPDATE products_publishedprice p
    SET sent_amount = p.desired_amount, sent_version = p.desired_version, sent_at = %(at)s,
        attempts = p.attempts + 1, not_before = %(until)s
    FROM (
        SELECT d.id, l.outer_item_id, l.outer_sku_id, k.code
        FROM products_publishedprice d
        JOIN products_listing l ON l.id = d.listing_id
        JOIN products_sku k ON k.id = l.sku_id
        WHERE d.shop_id = %(shop)s AND d.desired_version > d.acked_version AND d.not_before <= %(at)s
          AND l.state = 'listed'
        ORDER BY d.not_before, d.id
        LIMIT %(limit)s FOR NO KEY UPDATE OF d SKIP LOCKED
    ) due
    WHERE p.id = due.id
    RETURNING p.id, due.outer_item_id, due.outer_sku_id, due.code, p.sent_amount, p.currency, p.sent_version
"""
# By a person, who wants to see it now: due at once, and told even if the channel said that it has it.
AGAIN = """
    UPDATE products_publishedprice p
    SET desired_version = p.desired_version + 1, attempts = 0, not_before = %s,
        desired_at = CASE WHEN p.acked_version = p.desired_version THEN %s ELSE p.desired_at END
    FROM (SELECT id FROM products_publishedprice WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE) due
    WHERE p.id = due.id RETURNING p.id
"""


@dataclass(frozen=True, slots=True)
class DuePrice:
    """A price that a channel is to be told now."""

    published_id: int
    outer_item_id: str
    outer_sku_id: str
    sku_code: str
    amount: Decimal
    currency: str
    version: int


@transaction.atomic
def plan_published_prices(*, limit: int, at: datetime) -> int:
    """Take up to `limit` changes whose moment has come and compute anew what the listings of their SKUs should show.

    Returns how many were taken: `limit` means that there may be more.
    """
    fetch_all(ONE_PLANNER)
    taken = fetch_all(TAKE_CHANGES, [at, limit])
    if taken:
        relisted = sorted({(shop_id, sku_id) for sku_id, shop_id in taken if shop_id is not None})
        _plan(sorted({sku_id for sku_id, _shop_id in taken}), relisted, at)
    return len(taken)


@transaction.atomic
def plan_all_published_prices(*, at: datetime) -> None:
    """Compute anew what every listing should show: the nightly net under `plan_published_prices`."""
    fetch_all(ONE_PLANNER)
    _plan(None, [], at)


def _plan(sku_ids: list[int] | None, relisted: Sequence[tuple[int, int]], at: datetime) -> None:
    execute(
        PLAN,
        {
            "skus": sku_ids,
            "relisted_shops": [shop_id for shop_id, _sku_id in relisted],
            "relisted_skus": [sku_id for _shop_id, sku_id in relisted],
            "at": at,
        },
    )


@transaction.atomic
def claim_due_prices(*, shop_id: int, limit: int, at: datetime) -> list[DuePrice]:
    """Take up to `limit` prices that the shop's channel is to be told, those of one item together.

    They are noted as sent before the call is made, and are nobody else's until they are answered or
    ANSWER_WITHIN has passed. Call it outside a transaction: it must be committed before the channel is called.
    """
    rows = fetch_all(CLAIM, {"shop": shop_id, "limit": limit, "at": at, "until": at + ANSWER_WITHIN})
    return sorted(
        (DuePrice(*row) for row in rows), key=lambda price: (price.outer_item_id, price.published_id)
    )


@transaction.atomic
def record_price_answers(*, answers: Sequence[Answer], at: datetime) -> None:
    """Note what the channel said to published rows, each with the version that was sent. See `record_told`."""
    record_told(TOLD, answers=answers, at=at)


@transaction.atomic
def push_prices_again(*, published_ids: Sequence[int], at: datetime, by: str) -> list[int]:
    """Tell the channels these prices once more, now. Returns the ids that are due."""
    idents = [ident for (ident,) in fetch_all(AGAIN, [at, at, list(published_ids)])]
    record_acts(by=by, action="price.told_again", kind=PublishedPrice, object_ids=idents, at=at)
    return idents
