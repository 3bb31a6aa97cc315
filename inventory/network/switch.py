"""Switch what a location is used for, and let the pooling rules decide where it sells then."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.models import Location
from inventory.network.group import Regrouped, read_locked, settle_location
from omni.kernel.audit import changes_by, record_act
from omni.kernel.errors import BadInput


class UnknownUse(BadInput):
    """A location is used for no such thing."""

    code = "unknown_use"


class Use(StrEnum):
    """What can be switched; the names of the columns."""

    SHIPS_ONLINE = "ships_online"
    SHIPS_DEALERS = "ships_dealers"
    OFFERS_PICKUP = "offers_pickup"
    TAKES_RETURNS = "takes_returns"
    IS_ACTIVE = "is_active"


@transaction.atomic
def switch_location(
    *, location_id: int, use: str, is_on: bool, reason: str, at: datetime, by: str
) -> Regrouped | None:
    """Switch one use of a location on or off, then apply the pooling rules to it. What that moved, or None.

    A location that is not active, or does not ship online orders, stops being sold online at once: where no rule for
    such locations fits it joins the group `off`, on which no shop draws. Promises that are committed there stay with
    their units. Switched on again it goes where the rules want it, or back to the group from which it came.

    Switching what is switched so already changes nothing. Raises UnknownUse, UnknownPlace.
    """
    if use not in set(Use):
        raise UnknownUse(
            _("“%(use)s” is no use of a location; there are %(uses)s.") % {"use": use, "uses": ", ".join(Use)}
        )
    location = read_locked(location_id)
    if getattr(location, use) == is_on:
        return None
    setattr(location, use, is_on)
    with changes_by(by):
        Location.objects.filter(pk=location.pk).update(**{use: is_on})
    detail = {"use": str(use), "is_on": is_on}
    record_act(by=by, action="switch_location", subject=location, reason=reason, detail=detail)
    return settle_location(location, reason=reason, at=at, by=by)
