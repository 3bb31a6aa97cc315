"""Set stock aside for a buyer for some minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.holds.limits import limits_of
from inventory.models.holds import HoldLimit, StockHold, StockHoldLine
from inventory.reserve import Demand, NothingDemanded, find_standings, lock_sources, share_out, write_promises
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.sql import as_array, execute, fetch_all
from products.bundles import components_of
from products.models import Sku

# A hold's promise has the same name on every try and machine.
HOLD_NAMESPACE = UUID("0c1b7a52-0b0e-4c2e-9a52-6a0f3b0f4d10")


class HoldTooLong(BadInput):
    """More minutes than the shop lets anybody hold, or less than one."""

    code = "hold_too_long"


class HoldConflict(DomainError):
    """The key was used before, for a hold of other goods, another buyer or another time."""

    code = "hold_conflict"


class HoldLimitReached(DomainError):
    """The buyer, or the buyers of the shop together, would hold more than they may; `extra` says which limit."""

    code = "hold_limit_reached"


class NotEnoughToHold(DomainError):
    """There is not enough free of at least one SKU: nothing is held."""

    code = "not_enough_stock"


# Its number of holds is the buyer's whole, whatever the SKUs: no row of a pool stands for it. Nothing else takes this
# lock, nobody asks for it who holds another one, and a crash gives it back.
ONE_OF_A_BUYER = (
    "SELECT pg_advisory_xact_lock(hashtextextended('inventory.hold ' || %s::text || ' ' || %s::text, 0))"
)

# The unique key makes a second maker of the same hold wait for the first, and then write nothing. By the database's
# clock, as all that asks whether a hold is over.
INSERT_HOLD = """
    INSERT INTO inventory_stockhold (shop_id, key, buyer, expires_at, created_at, created_by)
    VALUES (%s, %s, %s, now() + %s::int * interval '1 minute', now(), %s)
    ON CONFLICT (shop_id, key) DO NOTHING RETURNING id
"""
COUNT_HOLDS = """
    SELECT count(*) FROM inventory_stockhold
    WHERE shop_id = %s AND buyer = %s AND state = 'held' AND expires_at > now() AND id <> %s
"""
# After the pools: whoever holds more of these SKUs for this shop has the same pools locked. Plan: hold_by_buyer, its
# live rows of the shop, then a_hold_names_a_sku_once.
COUNT_UNITS = """
    SELECT l.sku_id, coalesce(sum(l.quantity) FILTER (WHERE h.buyer = %(buyer)s), 0), sum(l.quantity)
    FROM inventory_stockhold h JOIN inventory_stockholdline l ON l.hold_id = h.id
    WHERE h.shop_id = %(shop)s AND h.state = 'held' AND h.expires_at > now() AND l.sku_id = ANY(%(skus)s::bigint[])
    GROUP BY l.sku_id
"""
SET_EXPIRY = """
    UPDATE inventory_reservation r SET expires_at = h.expires_at
    FROM inventory_stockhold h WHERE h.id = %s AND r.line_key = ANY(%s::uuid[])
"""


def hold_line_key(*, shop_id: int, key: str, sku_id: int) -> UUID:
    """The name under which a hold's units of a SKU are promised."""
    return uuid5(HOLD_NAMESPACE, f"{shop_id}\0{key}\0{sku_id}")


@transaction.atomic
def hold_stock(
    *,
    shop_id: int,
    key: str,
    buyer: str,
    lines: Sequence[tuple[int, int]],
    minutes: int | None = None,
    at: datetime,
    by: str,
) -> StockHold:
    """Promise a buyer all of these (SKU id, units) for so many minutes, or nothing of it.

    Of a bundle its components are held. `minutes` None: as long as the shop allows. The same key again, with the same
    content, returns the hold as it stands now, also one that is over.

    Two locks keep the limits: one per shop and buyer (advisory), for the number of holds; and the shop's pools of the
    SKUs, by id and after the first, for the units of the buyer and of the shop.

    Raises NothingDemanded, HoldTooLong, HoldConflict, HoldLimitReached, NotEnoughToHold.
    """
    units = _add_up(lines)
    if not key or not buyer:
        raise BadInput(_("A hold needs a key and a buyer."))
    fetch_all(ONE_OF_A_BUYER, [shop_id, buyer])
    known = StockHold.objects.filter(shop_id=shop_id, key=key).first()
    if known is not None:
        return _same(known, buyer=buyer, units=units, minutes=minutes)
    limits = limits_of(shop_id)
    lasts = _minutes(minutes, limits)
    made = fetch_all(INSERT_HOLD, [shop_id, key, buyer, lasts, by])
    if not made:  # a rival with another buyer was faster
        known = StockHold.objects.get(shop_id=shop_id, key=key)
        return _same(known, buyer=buyer, units=units, minutes=minutes)
    ((hold_id,),) = made
    demands = [
        Demand(hold_line_key(shop_id=shop_id, key=key, sku_id=sku_id), shop_id, sku_id, quantity)
        for sku_id, quantity in sorted(units.items())
    ]
    sources, pools = lock_sources(demands, at=at)
    _check_limits(limits, hold_id=hold_id, shop_id=shop_id, buyer=buyer, units=units)
    draws, short = share_out(demands, sources=sources, pools=pools, stand_together=True)
    if short:
        raise _not_enough(short)
    StockHoldLine.objects.bulk_create(
        StockHoldLine(hold_id=hold_id, sku_id=d.sku_id, quantity=d.quantity, line_key=d.line_key)
        for d in demands
    )
    # A key whose hold was forgotten may be used again: its lines have numbers of parts behind them.
    standings = find_standings(demand.line_key for demand in demands)
    write_promises(draws, standings=standings, at=at, by=by)
    execute(SET_EXPIRY, [hold_id, as_array(standings)])
    return StockHold.objects.get(pk=hold_id)


def _add_up(lines: Sequence[tuple[int, int]]) -> Counter[int]:
    """Units by SKU; of a bundle those of its components."""
    if not lines or any(quantity <= 0 for _sku, quantity in lines):
        raise NothingDemanded(_("The quantity must be at least 1."))
    inside = components_of({sku_id for sku_id, _quantity in lines})
    units = Counter[int]()
    for sku_id, quantity in lines:
        for part_id, each in [(part.sku_id, part.units) for part in inside.get(sku_id, ())] or [(sku_id, 1)]:
            units[part_id] += quantity * each
    return units


def _minutes(minutes: int | None, limits: HoldLimit) -> int:
    lasts = limits.minutes_max if minutes is None else minutes
    if not 0 < lasts <= limits.minutes_max:
        text = _("A hold lasts from 1 to %(most)s minutes.") % {"most": limits.minutes_max}
        raise HoldTooLong(text, fields={"minutes": [text]}, extra={"minutes_max": limits.minutes_max})
    return lasts


def _same(known: StockHold, *, buyer: str, units: Mapping[int, int], minutes: int | None) -> StockHold:
    held = dict(known.lines.values_list("sku_id", "quantity"))
    lasts = known.expires_at - known.created_at
    if known.buyer != buyer or held != dict(units) or minutes not in (None, lasts // timedelta(minutes=1)):
        raise HoldConflict(
            _("The key “%(key)s” holds something else already: take a new one.") % {"key": known.key},
            extra={"key": known.key},
        )
    return known


def _check_limits(
    limits: HoldLimit, *, hold_id: int, shop_id: int, buyer: str, units: Mapping[int, int]
) -> None:
    ((holds,),) = fetch_all(COUNT_HOLDS, [shop_id, buyer, hold_id])
    if holds >= limits.holds_per_buyer:
        text = _("The buyer has %(there)s holds already, and may have %(most)s at once.")
        raise _reached(text, "holds_per_buyer", there=holds, most=limits.holds_per_buyer)
    rows = fetch_all(COUNT_UNITS, {"shop": shop_id, "buyer": buyer, "skus": as_array(units)})
    held = {sku_id: (of_buyer, of_shop) for sku_id, of_buyer, of_shop in rows}
    for sku_id, quantity in sorted(units.items()):
        of_buyer, of_shop = held.get(sku_id, (0, 0))
        if of_buyer + quantity > limits.units_per_buyer:
            text = _("The buyer holds %(there)s units of %(sku)s already, and may hold %(most)s.")
            raise _reached(text, "units_per_buyer", sku_id, there=of_buyer, most=limits.units_per_buyer)
        if limits.units_per_shop is not None and of_shop + quantity > limits.units_per_shop:
            text = _(
                "Buyers of the shop hold %(there)s units of %(sku)s already, and may hold %(most)s in all."
            )
            raise _reached(text, "units_per_shop", sku_id, there=of_shop, most=limits.units_per_shop)


def _reached(text: str, limit: str, sku_id: int | None = None, *, there: int, most: int) -> HoldLimitReached:
    sku = Sku.objects.values_list("code", flat=True).get(pk=sku_id) if sku_id else ""
    facts = {"limit": limit, "sku": sku, "held": int(there), "most": most}
    return HoldLimitReached(text % {"there": there, "most": most, "sku": sku}, extra=facts)


def _not_enough(short: Sequence[Demand]) -> NotEnoughToHold:
    codes = dict(Sku.objects.filter(pk__in=[d.sku_id for d in short]).values_list("pk", "code"))
    names = [codes.get(demand.sku_id, str(demand.sku_id)) for demand in short]
    text = _("There is not enough free of %(skus)s; nothing is held.") % {"skus": ", ".join(names[:10])}
    return NotEnoughToHold(text, fields={"lines": [text]}, extra={"skus": names})
