"""Find where a channel's shelf shows something else than we do, and when both agree again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from integrations.contract import Capabilities
from omni.kernel.sql import fetch_all
from products.titles import LEADS, TITLE

# What we want and have not been told yet to have arrived is under way for so long; after that it is a difference.
GRACE = timedelta(minutes=15)
# A difference asks for a person when it was there in two surveys that lie so far apart.
CONFIRMED_AFTER = timedelta(minutes=5)
# A push that is tried again only after so long was refused for good.
REFUSED = timedelta(hours=1)

# What each survey row `o` tells was true at some moment from `o.asked_at` on. So what was said or decided after that
# moment is `unclear`: it may or may not show. `version` names what we said; causes that are no word of ours have none.
JUDGED = f"""
    WITH shelf AS MATERIALIZED (
        SELECT l.id AS listing_id, l.sku_id, l.state, l.state_at, l.outer_item_id, {TITLE} AS title, {LEADS} AS leads,
               s.currency, o.title AS their_title, o.price AS their_price, o.currency AS their_currency,
               o.quantity AS their_quantity, o.is_listed AS is_on_sale,
               coalesce(o.asked_at >= %(began)s, false) AS is_there,
               CASE WHEN o.asked_at >= %(began)s THEN o.asked_at ELSE %(began)s END AS asked_at
        FROM products_listing l
        JOIN products_shop s ON s.id = l.shop_id
        JOIN products_sku k ON k.id = l.sku_id
        JOIN products_spu u ON u.id = k.spu_id
        LEFT JOIN products_outeritem o ON o.shop_id = l.shop_id AND o.outer_item_id = l.outer_item_id
            AND o.outer_sku_id = l.outer_sku_id AND o.source = 'channel'
        WHERE l.shop_id = %(shop)s AND l.outer_item_id IS NOT NULL AND l.state IN ('listed', 'delisted')
    ), titles AS (
        SELECT h.listing_id, 'title' AS what, h.title AS ours, h.their_title AS theirs,
               hashtext(h.title)::bigint AS version,
               CASE WHEN btrim(h.their_title) = btrim(h.title) THEN 'equal'
                    WHEN r.state = 'due' AND r.requested_at > h.asked_at - %(grace)s
                         OR r.answered_at >= h.asked_at THEN 'unclear'
                    ELSE 'differs' END AS verdict,
               CASE WHEN r.state = 'due' THEN 'unanswered'
                    WHEN r.content = h.title AND r.state = 'refused' THEN 'refused'
                    WHEN r.content = h.title AND r.state = 'done' THEN 'changed'
                    ELSE 'unsaid' END AS cause,
               CASE WHEN r.state = 'due' OR r.content = h.title THEN r.answer ELSE '' END AS detail
        FROM shelf h
        LEFT JOIN LATERAL (
            SELECT state, content, answer, requested_at, answered_at FROM products_listingrequest r
            WHERE r.listing_id = h.listing_id AND r.act = 'update' ORDER BY r.id DESC LIMIT 1) r ON true
        WHERE %(titles)s AND h.is_there AND h.leads AND h.their_title <> ''
    ), prices AS (
        SELECT h.listing_id, 'price', trim_scale(p.desired_amount)::text, trim_scale(h.their_price)::text,
               CASE WHEN p.desired_version = p.acked_version THEN p.acked_version ELSE -1 END,
               CASE WHEN abs(h.their_price - round(p.desired_amount, 2)) < 0.005 THEN 'equal'
                    WHEN p.desired_version = p.acked_version AND p.acked_at >= h.asked_at THEN 'unclear'
                    WHEN p.desired_version > p.acked_version AND p.desired_at > h.asked_at - %(grace)s
                         AND NOT (p.last_error <> '' AND p.not_before > %(refused_until)s) THEN 'unclear'
                    ELSE 'differs' END,
               CASE WHEN p.desired_version = p.acked_version THEN 'changed'
                    WHEN p.last_error <> '' AND p.not_before > %(refused_until)s THEN 'refused'
                    WHEN p.sent_version = 0 THEN 'unsaid' ELSE 'unanswered' END,
               p.last_error
        FROM shelf h JOIN products_publishedprice p ON p.listing_id = h.listing_id
        WHERE %(prices)s AND h.is_there AND h.state = 'listed' AND h.their_price IS NOT NULL
          AND h.their_currency IN ('', p.currency)
    ), stock AS (
        SELECT h.listing_id, 'stock', p.desired_quantity::text, h.their_quantity::text,
               CASE WHEN p.desired_version = p.acked_version THEN p.acked_version ELSE -1 END,
               CASE WHEN h.their_quantity = p.desired_quantity THEN 'equal'
                    WHEN p.desired_version = p.acked_version AND p.acked_at >= h.asked_at THEN 'unclear'
                    WHEN EXISTS (SELECT FROM inventory_stockchange c WHERE c.sku_id = h.sku_id) THEN 'unclear'
                    WHEN p.desired_version > p.acked_version AND p.desired_at > h.asked_at - %(grace)s
                         AND NOT (p.last_error <> '' AND p.not_before > %(refused_until)s) THEN 'unclear'
                    ELSE 'differs' END,
               CASE WHEN p.desired_version = p.acked_version THEN 'changed'
                    WHEN p.last_error <> '' AND p.not_before > %(refused_until)s THEN 'refused'
                    WHEN p.sent_version = 0 THEN 'unsaid' ELSE 'unanswered' END,
               p.last_error
        FROM shelf h JOIN inventory_publishedstock p ON p.listing_id = h.listing_id
        WHERE h.is_there AND h.state = 'listed' AND h.their_quantity IS NOT NULL
    ), states AS (
        SELECT h.listing_id, 'state', h.state,
               CASE WHEN NOT h.is_there THEN 'gone' WHEN h.is_on_sale THEN 'listed' ELSE 'delisted' END,
               hashtext(h.state)::bigint,
               CASE WHEN h.state = CASE WHEN h.is_there AND h.is_on_sale THEN 'listed' ELSE 'delisted' END
                    THEN 'equal'
                    -- Taken off while the rest of its item stays: it has nothing to sell, and that is all there is.
                    WHEN h.state = 'delisted' AND h.their_quantity = 0 THEN 'equal'
                    WHEN h.state_at >= h.asked_at OR EXISTS (
                        SELECT FROM products_listingrequest r
                        WHERE r.listing_id = h.listing_id AND r.act <> 'update'
                          AND (r.state = 'due' AND r.scheduled_at <= %(at)s OR r.answered_at >= h.asked_at))
                    THEN 'unclear'
                    ELSE 'differs' END,
               CASE WHEN h.is_there THEN 'changed' ELSE 'gone' END,
               ''
        FROM shelf h WHERE %(listings)s AND (NOT h.is_there OR h.is_on_sale IS NOT NULL)
    ), judged AS MATERIALIZED (
        SELECT * FROM titles UNION ALL SELECT * FROM prices UNION ALL SELECT * FROM stock
        UNION ALL SELECT * FROM states
    )
"""  # noqa: S608 - put together from constants

# One survey of a shop at a time, under the lease of its stream; people who push again lock the same rows by id. A new
# word of ours starts the watch anew: what was seen before it proves nothing about it. The full join is one pass over
# both sides however many rows they have: there is no plan that looks through the shelf for every difference.
DETECT = f"""
    {JUDGED}, known AS MATERIALIZED (
        SELECT d.id, d.listing_id, d.what FROM integrations_listingdrift d
        WHERE d.shop_id = %(shop)s AND d.closed_at IS NULL ORDER BY d.id FOR NO KEY UPDATE
    ), found AS MATERIALIZED (
        SELECT o.id, j.listing_id, j.what, left(j.ours, 240) AS ours, left(j.theirs, 240) AS theirs, j.version,
               j.verdict, j.cause, j.detail
        FROM judged j FULL JOIN known o ON o.listing_id = j.listing_id AND o.what = j.what
        WHERE o.id IS NOT NULL OR j.verdict = 'differs'
    ), again AS (
        UPDATE integrations_listingdrift d
        SET ours = j.ours, theirs = j.theirs, cause = j.cause, detail = j.detail, version = j.version,
            seen_at = %(at)s,
            held_since = CASE WHEN d.version = j.version THEN d.held_since ELSE %(at)s END,
            confirmed_at = CASE WHEN d.version <> j.version THEN NULL
                                WHEN d.held_since <= %(confirmable)s THEN coalesce(d.confirmed_at, %(at)s)
                                ELSE d.confirmed_at END,
            pushed_at = CASE WHEN d.pushed_at < %(began)s THEN NULL ELSE d.pushed_at END
        FROM found j WHERE d.id = j.id AND j.verdict = 'differs'
        RETURNING d.confirmed_at
    ), over AS (
        UPDATE integrations_listingdrift d
        SET closed_at = %(at)s, ending = CASE WHEN j.verdict = 'equal' THEN 'equal' ELSE 'moot' END,
            theirs = CASE WHEN j.verdict = 'equal' THEN j.theirs ELSE d.theirs END
        FROM found j WHERE d.id = j.id AND (j.verdict = 'equal' OR j.verdict IS NULL)
        RETURNING 1
    ), fresh AS (
        INSERT INTO integrations_listingdrift (listing_id, shop_id, what, ours, theirs, version, cause, detail,
            since, held_since, seen_at)
        SELECT j.listing_id, %(shop)s, j.what, j.ours, j.theirs, j.version, j.cause, j.detail, %(at)s, %(at)s, %(at)s
        FROM found j WHERE j.id IS NULL
        ORDER BY j.listing_id, j.what
        ON CONFLICT (listing_id, what) WHERE closed_at IS NULL DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM again WHERE confirmed_at IS NULL),
           (SELECT count(*) FROM again WHERE confirmed_at IS NOT NULL), (SELECT count(*) FROM over)
"""  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class Detected:
    """How many differences were seen for the first time, how many stand, how many are over."""

    fresh: int
    standing: int
    over: int


@transaction.atomic
def detect_drifts(*, shop_id: int, began: datetime, can: Capabilities, at: datetime) -> Detected:
    """Compare what a complete survey that began then has seen with what we say, listing by listing.

    A difference is no news while we are telling, nor where we leave the word to the channel: prices before the first
    one of ours, attributes that the channel takes from nobody. It is confirmed by a second survey, and over as soon as
    both sides agree or nobody compares any more.
    """
    params = {
        "shop": shop_id,
        "began": began,
        "at": at,
        "grace": GRACE,
        "refused_until": at + REFUSED,
        "confirmable": at - CONFIRMED_AFTER,
        "titles": can.titles,
        "prices": can.prices,
        "listings": can.listings,
    }
    ((fresh, standing, over),) = fetch_all(DETECT, params)
    return Detected(fresh, standing, over)
