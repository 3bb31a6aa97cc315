"""Take alerts in hand: who looks after them, and what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.models import StockAlert
from omni.kernel.audit import record_acts
from omni.kernel.sql import execute, fetch_all

# By id, as the watch locks them.
HOLD = "SELECT id FROM inventory_stockalert WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
TAKE = (
    "UPDATE inventory_stockalert SET taken_by = %s, note = coalesce(nullif(%s, ''), note) WHERE id = ANY(%s)"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one alert. `detail`: why nothing was done."""

    alert_id: int
    ok: bool
    detail: str = ""


@transaction.atomic
def take_alerts(
    *, alert_ids: Sequence[int], note: str = "", owner: str = "", at: datetime, by: str
) -> list[Taken]:
    """Note in whose hands open alerts are (`owner`, an actor; empty: whoever asks), and what is known of them.

    They stay open until there is enough again. An empty note keeps the one that is there. One result per alert, in
    the order given.
    """
    fetch_all(HOLD, [list(alert_ids)])
    found = StockAlert.objects.in_bulk(alert_ids)
    results = []
    for pk in alert_ids:
        row = found.get(pk)
        if row is None:
            results.append(Taken(pk, False, _("It is not there any more.")))
        elif row.state != StockAlert.State.OPEN:
            results.append(Taken(pk, False, _("It is over: there is enough again.")))
        else:
            results.append(Taken(pk, True))
    ids = [each.alert_id for each in results if each.ok]
    execute(TAKE, [owner or by, note.strip()[:200], ids])
    record_acts(
        by=by,
        action="alert.taken",
        kind=StockAlert,
        object_ids=ids,
        reason=note.strip(),
        detail={"owner": owner or by},
        at=at,
    )
    return results
