"""Forget what was said over the connections long ago."""

from __future__ import annotations

from datetime import datetime

from omni.kernel.forget import forget_rows


def forget_old_messages(*, before: datetime) -> int:
    """Delete the log before the moment. Returns how many rows went."""
    return forget_rows(table="integrations_messagelog", moment="at", before=before)


def forget_old_inbound(*, before: datetime) -> int:
    """Delete call-backs that were done with before the moment; those that wait or have failed stay. Returns how many.

    Heard once more, such an event changes nothing: what it did has its own key in the room that did it.
    """
    return forget_rows(
        table="integrations_inboundmessage",
        moment="received_at",
        before=before,
        condition="t.state = 'done' AND t.done_at < %(before)s",
    )


def forget_old_drifts(*, before: datetime) -> int:
    """Delete differences that were over before the moment. Returns how many went."""
    return forget_rows(
        table="integrations_listingdrift",
        moment="noted_at",
        before=before,
        condition="t.closed_at < %(before)s",
    )
