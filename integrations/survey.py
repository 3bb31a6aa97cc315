"""Survey what a channel shows: every item of a shop, on sale or not, is written down as it is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone

from integrations.detect import detect_drifts
from integrations.lease import Lease
from integrations.models import Connection
from integrations.registry import capabilities, open_channel
from integrations.run import Run, run_stream
from products.observe import note_gone, observe_items

ITEMS = "items"
EVERY = timedelta(hours=1)
# Differences that nobody saw before are looked at again soon, once: what was only under way has arrived by then.
LOOK_AGAIN_IN = timedelta(minutes=6)


def survey_items(
    *, connection_id: int, at: datetime, tell: Callable[[int], None] | None = None
) -> Run | None:
    """Read a shop's whole shelf, page by page, and note where it differs from what we say.

    What was there before and is not now counts as off sale. A survey that breaks off leaves what it has seen, and
    draws no conclusion about the rest. `tell` is called after each page, with the items so far.
    """

    def work(connection: Connection, lease: Lease) -> Run:
        shop_id, count, began = connection.shop_id, 0, timezone.now()
        if shop_id is None:
            raise ValueError(f"{connection.code} is not a channel")
        with open_channel(connection) as channel:
            pages, asked_at = channel.read_items(), began
            while (page := next(pages, None)) is not None:
                now = timezone.now()
                count += observe_items(
                    shop_id=shop_id, items=page, source="channel", asked_at=asked_at, at=now
                )
                if tell:
                    tell(count)
                asked_at = timezone.now()
        note_gone(shop_id=shop_id, before=began)
        found = detect_drifts(shop_id=shop_id, began=began, can=capabilities(connection), at=timezone.now())
        was_long_ago = lease.last_run_at is None or began - lease.last_run_at > EVERY / 2
        return Run(count, due_in=LOOK_AGAIN_IN if found.fresh and was_long_ago else EVERY)

    return run_stream(connection_id=connection_id, stream=ITEMS, work=work, at=at)
