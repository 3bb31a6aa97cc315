"""What really happened in the warehouse: the independent witness of drills and tests."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from integrations.warehouses.qimen.sandbox.store import Store


def tell_truth(store: Store) -> dict[str, Any]:
    """Every delivery, every shelf, and the sums of both."""
    with store.transaction() as db:
        lines, parcels = defaultdict(list), defaultdict(list)
        for row in db.execute("SELECT * FROM line ORDER BY rowid"):
            names = ("line_no", "owner", "item", "source_order", "source_line", "plan", "actual")
            lines[row["code"]].append({name: row[name] for name in names})
        for row in db.execute("SELECT * FROM parcel ORDER BY code, number"):
            parcels[row["code"]].append(
                {
                    "carrier": row["carrier"],
                    "waybill": row["waybill"],
                    "confirm": row["confirm"],
                    "items": json.loads(row["items"]),
                }
            )
        deliveries = [
            {
                "code": row["code"],
                "id": row["id"],
                "warehouse": row["warehouse"],
                "state": row["state"],
                "times_created": row["asked"],
                "cancels": row["cancels"],
                "is_cancel_promised": bool(row["is_cancel_promised"]),
                "times_shipped": row["shipments"],
                "lines": lines[row["code"]],
                "parcels": parcels[row["code"]],
            }
            for row in db.execute("SELECT * FROM delivery ORDER BY code")
        ]
        stock = [dict(row) for row in db.execute("SELECT * FROM stock ORDER BY warehouse, owner, item")]
    return {**tell_truth_briefly(store), "deliveries": deliveries, "stock": stock}


def tell_truth_briefly(store: Store) -> dict[str, Any]:
    """The sums alone; cheap enough to be asked every second."""
    with store.transaction() as db:
        states = {
            row["state"]: row["n"]
            for row in db.execute("SELECT state, count(*) AS n FROM delivery GROUP BY state")
        }
        units = db.execute(
            "SELECT coalesce(sum(opening), 0) AS opening, coalesce(sum(quantity), 0) AS on_hand,"
            " coalesce(sum(locked), 0) AS locked, coalesce(sum(shipped), 0) AS shipped,"
            " coalesce(sum(changed), 0) AS changed FROM stock"
        ).fetchone()
        callbacks = [
            dict(row)
            for row in db.execute(
                "SELECT method, kind, count(*) AS queued, sum(is_done) AS done, sum(is_accepted) AS accepted,"
                " sum(tries) AS sent FROM callback GROUP BY method, kind ORDER BY method, kind"
            )
        ]
        pending = db.execute("SELECT count(*) AS n FROM callback WHERE is_done = 0").fetchone()["n"]
        repeated = db.execute("SELECT count(*) AS n FROM delivery WHERE asked > 1").fetchone()["n"]
        twice = db.execute(
            "SELECT count(*) AS n FROM (SELECT 1 FROM line WHERE actual > 0 AND source_line <> ''"
            " GROUP BY source_order, source_line, item HAVING count(*) > 1)"
        ).fetchone()["n"]
    return {
        "deliveries_by_state": states,
        "units": dict(units),
        "callbacks": callbacks,
        "callbacks_pending": pending,
        "creates_repeated": repeated,
        "source_lines_in_several_deliveries": twice,
    }
