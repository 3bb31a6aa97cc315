"""What has been heard of a shop's orders already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from omni.kernel.sql import as_text_array, fetch_all

# A platform's clock has whole seconds: what was heard within the second of a change may have changed in it once more.
# Five of them, because its clock and ours need not agree.
SETTLED_AFTER = timedelta(seconds=5)

STORED = """
    SELECT w.outer_id FROM unnest(%s::text[], %s::timestamptz[]) AS w(outer_id, changed_at)
    JOIN orders_channelorder c ON c.shop_id = %s AND c.outer_id = w.outer_id AND c.outer_modified_at >= w.changed_at
    JOIN orders_channelorderversion v ON v.channel_order_id = c.id AND v.content_hash = c.content_hash
    WHERE v.received_at >= w.changed_at + %s
"""


def find_stored(changed: Mapping[str, datetime], *, shop_id: int) -> frozenset[str]:
    """Of these outer ids, each with the moment of its last change, those whose newest stored version is as new.

    One statement. A version that was heard as soon as it was made does not count: it may not have been the last of its
    second.
    """
    moments = as_text_array(moment.isoformat() for moment in changed.values())
    rows = fetch_all(STORED, [as_text_array(changed), moments, shop_id, SETTLED_AFTER])
    return frozenset(row[0] for row in rows)
