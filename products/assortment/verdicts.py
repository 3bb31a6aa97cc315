"""What the rules mean for the SKUs of a shop: which fit, which decides, and what follows; worked out in sets.

First, once for all shops, which rules fit each SKU: a row of bits, one per rule. Many SKUs have the same bits, so what
a shop's rules say is worked out per row of bits and not per SKU. Both stand in temporary tables of the connection; then
each shop is one statement.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from omni.kernel.sql import execute, fetch_all
from products.assortment.conditions import FITS_PRODUCT, FITS_SKU, HOLDS
from products.assortment.holding import CATALOGUES, GOODS, PICK
from products.assortment.rules import Say

TABLES = """
    CREATE TEMP TABLE IF NOT EXISTS assorted_sku (
        sku_id bigint NOT NULL, brand_id bigint NOT NULL, is_active boolean NOT NULL, choice int NOT NULL, bits varbit);
    CREATE TEMP TABLE IF NOT EXISTS assorted_choice (choice int NOT NULL, bits varbit NOT NULL);
    CREATE TEMP TABLE IF NOT EXISTS assorted_held (catalogue_id bigint NOT NULL, sku_id bigint NOT NULL);
    TRUNCATE assorted_sku, assorted_choice, assorted_held
"""
# What is said of the product is asked once for all of its SKUs; only a price is asked of each SKU.
FIT = f"""
    WITH w AS MATERIALIZED (
        SELECT r.id, r.brand_id, t.path, r.tags, r.seasons, r.price_from, r.price_to, r.currency,
               set_bit(repeat('0', %(count)s)::varbit, (v.place - 1)::int, 1) AS bit,
               r.price_from IS NOT NULL OR r.price_to IS NOT NULL AS is_priced
        FROM unnest(%(rules)s::bigint[]) WITH ORDINALITY AS v(id, place)
        JOIN products_assortmentrule r ON r.id = v.id
        LEFT JOIN products_category t ON t.id = r.category_id
    ), plain AS MATERIALIZED (
        SELECT p.id, bit_or(w.bit) AS bits
        FROM products_spu p LEFT JOIN products_category c ON c.id = p.category_id
        JOIN w ON NOT w.is_priced AND {FITS_PRODUCT}
        WHERE %(skus)s::bigint[] IS NULL OR p.id IN (SELECT spu_id FROM products_sku WHERE id = ANY(%(skus)s::bigint[]))
        GROUP BY p.id
    ), priced AS MATERIALIZED (
        SELECT k.id, bit_or(w.bit) AS bits
        FROM {GOODS} JOIN w ON w.is_priced AND {FITS_PRODUCT} AND {FITS_SKU}
        WHERE %(skus)s::bigint[] IS NULL OR k.id = ANY(%(skus)s::bigint[])
        GROUP BY k.id
    ), fitting AS (
        SELECT k.id, p.brand_id, k.is_active, coalesce(plain.bits | priced.bits, plain.bits, priced.bits) AS bits
        FROM products_sku k JOIN products_spu p ON p.id = k.spu_id
        LEFT JOIN plain ON plain.id = k.spu_id LEFT JOIN priced ON priced.id = k.id
        WHERE (plain.id IS NOT NULL OR priced.id IS NOT NULL)
          AND (%(skus)s::bigint[] IS NULL OR k.id = ANY(%(skus)s::bigint[]))
    )
    INSERT INTO assorted_sku SELECT id, brand_id, is_active, dense_rank() OVER (ORDER BY bits), bits FROM fitting
"""  # noqa: S608 - constants
CHOOSE = (
    "INSERT INTO assorted_choice SELECT DISTINCT ON (choice) choice, bits FROM assorted_sku ORDER BY choice"
)
HOLD = f"""
    INSERT INTO assorted_held
    SELECT w.id, k.id FROM ({CATALOGUES}) w
    CROSS JOIN assorted_sku a JOIN ({GOODS}) ON k.id = a.sku_id
    LEFT JOIN {PICK}
    WHERE w.id = ANY(%(catalogues)s::bigint[]) AND {HOLDS}
"""  # noqa: S608 - constants
ANALYZE = "ANALYZE assorted_sku; ANALYZE assorted_choice; ANALYZE assorted_held"

# Of one shop, or of the whole master, everything is joined at once: in memory, not in files. For the transaction only.
ROOM = "SET LOCAL work_mem = '32MB'"

# Who else than the house takes a listing off sale means it: no rule puts it back.
BY_THE_HOUSE = "(l.state_by IN ('', 'system') OR l.state_by LIKE 'assortment:%%')"
JUDGED = f"""
    WITH rule AS (
        SELECT * FROM unnest(%(rules)s::int[], %(places)s::int[], %(kinds)s::boolean[]) AS r(id, place, is_include)
    ), said AS MATERIALIZED (
        SELECT c.choice, array_agg(r.id ORDER BY r.place) AS rules,
               (array_agg(r.is_include ORDER BY r.place))[1] AS is_included
        FROM assorted_choice c JOIN rule r ON get_bit(c.bits, r.place) = 1 GROUP BY c.choice
    ), wanted AS MATERIALIZED (
        SELECT s.sku_id, d.rules, d.is_included, s.is_active,
               %(catalogue)s::bigint IS NULL OR h.sku_id IS NOT NULL AS is_held
        FROM assorted_sku s JOIN said d ON d.choice = s.choice
        LEFT JOIN assorted_held h ON h.catalogue_id = %(catalogue)s::bigint AND h.sku_id = s.sku_id
        WHERE %(brand)s::bigint IS NULL OR s.brand_id = %(brand)s::bigint
    ), asked AS MATERIALIZED (
        SELECT listing_id, act FROM products_listingrequest WHERE shop_id = %(shop)s AND state = 'due'
    ), shown AS (
        SELECT l.id, l.sku_id, l.state, l.state_by, l.outer_item_id FROM products_listing l
        WHERE l.shop_id = %(shop)s AND (%(skus)s::bigint[] IS NULL OR l.sku_id = ANY(%(skus)s::bigint[]))
    ), offered AS (
        SELECT l.sku_id, bool_or(l.state = 'listed') AS is_listed,
               max(l.id) FILTER (WHERE l.state = 'approved' AND l.outer_item_id IS NOT NULL) AS approved,
               max(l.id) FILTER (WHERE l.state = 'delisted' AND {BY_THE_HOUSE}) AS delisted,
               bool_or(l.state <> 'delisted') AS is_on_its_way
        FROM shown l GROUP BY l.sku_id
    ), included AS (
        SELECT w.sku_id, coalesce(o.approved, o.delisted) AS listing_id, w.rules,
               CASE WHEN o.sku_id IS NULL THEN 'draft'
                    WHEN o.is_listed THEN 'kept'
                    WHEN coalesce(o.approved, o.delisted) IS NOT NULL THEN 'publish'
                    WHEN o.is_on_its_way THEN 'waiting'
                    ELSE 'held_back' END AS outcome
        FROM wanted w LEFT JOIN offered o ON o.sku_id = w.sku_id
        WHERE w.is_included AND w.is_held AND w.is_active
    ), unwanted AS (
        SELECT l.id, l.sku_id, w.rules,
               CASE WHEN NOT w.is_included THEN 'excluded' WHEN NOT k.is_active THEN 'inactive'
                    WHEN w.sku_id IS NULL THEN 'no_rule' ELSE 'outside' END AS cause
        FROM shown l JOIN products_sku k ON k.id = l.sku_id
        LEFT JOIN wanted w ON w.sku_id = l.sku_id
        LEFT JOIN products_placedlisting p ON p.listing_id = l.id
        WHERE l.state = 'listed' AND (w.is_included AND w.is_held AND w.is_active) IS NOT TRUE
          AND (p.listing_id IS NOT NULL OR NOT w.is_included)
    ), judged AS MATERIALIZED (
        SELECT i.sku_id, CASE WHEN i.outcome IN ('publish', 'held_back') THEN i.listing_id END AS listing_id, i.rules,
               CASE WHEN i.outcome = 'publish' AND a.listing_id IS NOT NULL THEN 'waiting'
                    ELSE i.outcome END AS outcome,
               'included' AS cause
        FROM included i LEFT JOIN asked a ON a.listing_id = i.listing_id AND a.act = 'publish'
        UNION ALL
        SELECT u.sku_id, u.id, u.rules, CASE WHEN a.listing_id IS NULL THEN 'withdraw' ELSE 'waiting' END, u.cause
        FROM unwanted u LEFT JOIN asked a ON a.listing_id = u.id AND a.act = 'withdraw'
    )
"""  # noqa: S608 - constants
WRITE = f"""
    {JUDGED}, written AS (
        INSERT INTO products_assortmentrow (run_id, shop_id, sku_id, listing_id, outcome, cause, rule_id, rules, state)
        SELECT %(run)s, %(shop)s, sku_id, listing_id, outcome, cause, rules[1], rules,
               CASE WHEN outcome = 'held_back' THEN 'skipped' ELSE 'planned' END
        FROM judged WHERE outcome IN ('draft', 'publish', 'withdraw', 'held_back') ORDER BY outcome, sku_id
    )
    SELECT outcome, count(*) FROM judged GROUP BY outcome
"""  # noqa: S608 - constants
READ = f"{JUDGED} SELECT sku_id, listing_id, outcome FROM judged"  # noqa: S608 - constants


@transaction.atomic
def find_fitting(say: Say, *, sku_ids: Collection[int] | None = None) -> None:
    """Work out which rules fit which SKUs (None: all), and which of these the catalogues hold; for `judge_…` below."""
    skus = None if sku_ids is None else sorted(sku_ids)
    execute(ROOM)
    execute(TABLES)
    if say.rules:
        rules = [rule.rule_id for rule in say.rules]
        execute(FIT, {"rules": rules, "count": len(rules), "skus": skus})
        execute(CHOOSE)
        catalogues = sorted({ident for ident, _version in say.catalogues.values()})
        if catalogues:
            execute(HOLD, {"catalogues": catalogues})
    execute(ANALYZE)


def judge_shop(say: Say, *, run_id: int, shop_id: int, brand_id: int | None) -> dict[str, int]:
    """Write down what the rules would change in a shop. Returns how many SKUs, or listings, have each outcome.

    `kept` are on sale as they should be, `waiting` have been drafted or asked for already: of both there are no rows.
    Call it in a transaction.
    """
    execute(ROOM)
    return dict(fetch_all(WRITE, {**_params(say, shop_id, brand_id, None), "run": run_id}))


def judge_skus(
    say: Say, *, shop_id: int, brand_id: int | None, sku_ids: Collection[int]
) -> set[tuple[int, int | None, str]]:
    """What the rules would change now of these SKUs in a shop: (SKU, listing or None, outcome)."""
    return {
        (sku, listing, said)
        for sku, listing, said in fetch_all(READ, _params(say, shop_id, brand_id, sku_ids))
    }


def _params(say: Say, shop_id: int, brand_id: int | None, sku_ids: Collection[int] | None) -> dict[str, Any]:
    rules = say.of_shop(shop_id)
    catalogue = say.catalogues.get(shop_id)
    return {
        "shop": shop_id,
        "brand": brand_id,
        "catalogue": catalogue[0] if catalogue else None,
        "skus": None if sku_ids is None else sorted(sku_ids),
        "rules": [rule.rule_id for _place, rule in rules],
        "places": [place for place, _rule in rules],
        "kinds": [rule.is_include for _place, rule in rules],
    }
