"""What a difference may come from, guessed from what the house itself knows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from inventory.network.compare import BOOKED
from omni.kernel.sentences import sentence
from omni.kernel.sql import fetch_all

# In the order in which they are looked at: each is a fact that would explain the very difference, the last one only
# makes it likely. `units`: theirs − ours.
CAUSES = """
    SELECT d.id, d.theirs - d.ours AS units, d.basis,
           coalesce(v.on_hand, 0), coalesce(v.committed, 0),
           coalesce(g.coming, 0), coalesce(g.going, 0), g.number,
           coalesce(m.moved, 0)
    FROM inventory_stockdifference d
    LEFT JOIN LATERAL (
        SELECT sum(s.on_hand)::int AS on_hand, sum(s.committed)::int AS committed
        FROM inventory_stocklevel s
        WHERE s.location_id = d.location_id AND s.sku_id = d.sku_id AND s.grade = d.grade) v ON true
    LEFT JOIN LATERAL (
        SELECT sum(l.shipped - l.received - l.lost) FILTER (WHERE t.destination_id = d.location_id)::int AS coming,
               sum(l.shipped - l.received - l.lost) FILTER (WHERE t.source_id = d.location_id)::int AS going,
               min(t.number) AS number
        FROM inventory_transferline l JOIN inventory_transfer t ON t.id = l.transfer_id
        WHERE l.sku_id = d.sku_id AND t.state = 'shipped' AND l.shipped > l.received + l.lost
          AND d.location_id IN (t.source_id, t.destination_id)) g ON true
    LEFT JOIN LATERAL (
        SELECT sum(CASE WHEN n.to_id = s.id AND n.to_account IN (10, 11) THEN n.quantity ELSE 0 END
                 - CASE WHEN n.from_id = s.id AND n.from_account IN (10, 11) THEN n.quantity ELSE 0 END)::int AS moved
        FROM inventory_stocklevel s
        JOIN inventory_stockmovement n ON n.sku_id = d.sku_id AND n.at > d.cut_off_at
            AND n.document NOT LIKE %(booked)s
            AND (n.to_id = s.id AND n.to_account IN (10, 11) OR n.from_id = s.id AND n.from_account IN (10, 11))
        WHERE s.location_id = d.location_id AND s.sku_id = d.sku_id AND s.grade = d.grade) m ON true
    WHERE d.id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Cause:
    """`code`: for machines. `text`: a sentence as it is stored (`read_sentence`); empty: nothing is known."""

    code: str
    text: str


NONE_KNOWN = Cause("unknown", "")


def causes_of(difference_ids: Collection[int]) -> dict[int, Cause]:
    """The likeliest cause of each difference, by its id."""
    if not difference_ids:
        return {}
    rows = fetch_all(CAUSES, {"ids": list(difference_ids), "booked": f"{BOOKED}%"})
    return {row[0]: _guess(*row[1:]) for row in rows}


def _guess(
    units: int, basis: str, on_hand: int, committed: int, coming: int, going: int, number: Any, moved: int
) -> Cause:
    if units and moved == units:
        return Cause(
            "moved_since",
            sentence("exactly what moved here since the cut-off: their figure may be newer than they say"),
        )
    if coming and units == coming:
        text = sentence("the transfer %(number)s: it may have arrived, and was not received here")
        return Cause("transfer_arrived", text % {"number": number})
    if going and units == going:
        text = sentence("the transfer %(number)s: it may not have left there yet")
        return Cause("transfer_not_left", text % {"number": number})
    if basis == "gross" and committed and units == -committed:
        return Cause(
            "basis",
            sentence(
                "exactly what is committed to orders: sent already, with the confirmation still on its way, or the "
                "figure is less our open orders"
            ),
        )
    if basis == "net" and committed and units == committed:
        return Cause("basis", sentence("exactly what is committed to orders: the figure may be gross"))
    if basis == "gross" and 0 < -units < committed:
        return Cause(
            "shipping",
            sentence("fewer than are committed to orders: parcels may have left that were not confirmed yet"),
        )
    if coming or going:
        return Cause("transfer", sentence("the transfer %(number)s is open") % {"number": number})
    if moved:
        return Cause(
            "moved_since", sentence("%(units)s units moved since the cut-off") % {"units": f"{moved:+d}"}
        )
    if units < 0 and on_hand == -units:
        return Cause("not_known_there", sentence("nothing of it lies there, according to them"))
    return NONE_KNOWN
