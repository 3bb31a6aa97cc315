"""Survey what a channel shows: every item of a shop, on sale or not, is written down as it is there."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from integrations.lease import Lease
from integrations.models import Connection
from integrations.registry import open_channel
from integrations.run import Run, run_stream
from products.observe import note_gone, observe_items

ITEMS = "items"
EVERY = timedelta(hours=1)


def survey_items(*, connection_id: int, at: datetime) -> Run | None:
    """Read a shop's whole shelf, page by page; what was there before and is not now counts as off sale.

    A survey that breaks off leaves what it has seen, and draws no conclusion about the rest.
    """

    def work(connection: Connection, lease: Lease) -> Run:
        shop_id, count, began = connection.shop_id, 0, timezone.now()
        if shop_id is None:
            raise ValueError(f"{connection.code} is not a channel")
        with open_channel(connection) as channel:
            for page in channel.read_items():
                count += observe_items(shop_id=shop_id, items=page, source="channel", at=timezone.now())
        note_gone(shop_id=shop_id, before=began)
        return Run(count, due_in=EVERY)

    return run_stream(connection_id=connection_id, stream=ITEMS, work=work, at=at)
