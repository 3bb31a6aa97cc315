"""What happened to an order, on every side: channel, Omni, warehouse and carrier on one line of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from omni.kernel.names import Names, name_actors
from omni.kernel.sentences import read_sentence
from orders.draft import ChannelState
from orders.models import ChannelOrderVersion, OrderEvent, Parcel, SalesOrder
from orders.models.review import HoldKind
from orders.states import Stage

Side = OrderEvent.Side
EVENTS_MAX = 500

# One sentence per kind of event. What is in brackets comes from the event's detail; a kind that is not here is
# shown as its plain word, so that a newer writer is never silent on an older page.
SENTENCES: Mapping[str, Promise] = {
    "captured": gettext_lazy("Captured from the channel (%(state)s)."),
    "channel.changed": gettext_lazy("The platform changed it: %(state)s."),
    "texts.changed": gettext_lazy("The platform changed %(fields)s."),
    "short": gettext_lazy("Stock was not enough: %(units)s units are missing."),
    "filled": gettext_lazy("What was missing is promised now."),
    "hold.placed": gettext_lazy("Held, %(kind)s: %(reason)s"),
    "hold.too_late": gettext_lazy("Too late to hold it, %(kind)s: %(reason)s"),
    "hold.resolved": gettext_lazy("Hold resolved, %(kind)s. %(note)s"),
    "stage.captured": gettext_lazy("Back to the automatic review."),
    "stage.in_review": gettext_lazy("A person is asked to look. %(rules)s"),
    "stage.approved": gettext_lazy("Approved. %(rules)s %(note)s"),
    "stage.sourced": gettext_lazy("Locations are chosen."),
    "stage.released": gettext_lazy("Every warehouse has taken its part."),
    "stage.shipped": gettext_lazy("Shipped."),
    "stage.completed": gettext_lazy("Completed."),
    "stage.cancelled": gettext_lazy("Cancelled."),
    "sourced": gettext_lazy("Sourced to %(locations)s: %(reason)s."),
    "location.allowed": gettext_lazy("May be chosen again although it refused: %(locations)s. %(note)s"),
    "release.requested": gettext_lazy("%(number)s sent to %(location)s."),
    "release.accepted": gettext_lazy("%(location)s has taken %(number)s."),
    "release.refused": gettext_lazy("%(location)s refused %(number)s: %(detail)s"),
    "release.retried": gettext_lazy("%(number)s is offered to %(location)s again."),
    "warehouse.step": gettext_lazy("%(number)s in the warehouse: %(step)s %(detail)s"),
    "shipped": gettext_lazy("The warehouse sent %(units)s units of %(number)s."),
    "shipped.outside": gettext_lazy("%(units)s units were shipped outside Omni: %(note)s"),
    "cancel.asked": gettext_lazy("The warehouse is asked to stop it: %(reason)s"),
    "cancel.accepted": gettext_lazy("The warehouse stopped it. %(detail)s"),
    "lines.cancelled": gettext_lazy("%(units)s units cancelled, %(freed)s given back to stock: %(reason)s"),
    "dispatch.sent": gettext_lazy("The channel knows of the parcel. %(detail)s"),
    "dispatch.failed": gettext_lazy("The channel did not take the dispatch notice: %(detail)s"),
    "dispatch.not_needed": gettext_lazy("The channel is not told of parcel %(tracking)s: %(reason)s"),
    "dispatch.retried": gettext_lazy("The dispatch notice is sent again."),
    "note": gettext_lazy("Remark: %(note)s"),
}
SOURCING_REASONS: Mapping[str, Promise] = {
    "only_candidate": gettext_lazy("the only location that has it"),
    "whole_order": gettext_lazy("it can send the whole order"),
    "units": gettext_lazy("it can send the most units"),
    "serves": gettext_lazy("it serves the receiver's province"),
    "same_province": gettext_lazy("it lies in the receiver's province"),
    "priority": gettext_lazy("it has the higher priority"),
    "location_id": gettext_lazy("all else is equal"),
}
FIELDS: Mapping[str, Promise] = {
    "receiver": gettext_lazy("the receiver"),
    "buyer_message": gettext_lazy("the buyer's message"),
    "seller_memo": gettext_lazy("the seller's memo"),
    "ship_by": gettext_lazy("the promised date"),
}
PLATFORM_STATES: Mapping[str, Promise] = {
    ChannelState.PENDING_PAYMENT: gettext_lazy("pending payment"),
    ChannelState.ON_HOLD: gettext_lazy("on hold"),
    ChannelState.TO_SHIP: gettext_lazy("to ship"),
    ChannelState.PARTIALLY_SHIPPED: gettext_lazy("part shipped"),
    ChannelState.SHIPPED: gettext_lazy("shipped"),
    ChannelState.COMPLETED: gettext_lazy("completed"),
    ChannelState.CANCELLED: gettext_lazy("cancelled"),
    ChannelState.CLOSED: gettext_lazy("closed"),
    ChannelState.UNKNOWN: gettext_lazy("unknown"),
}
# By which way a version of a channel order came.
SOURCES: Mapping[str, Promise] = {
    "pull": gettext_lazy("pulled"),
    "read": gettext_lazy("read again"),
    "refunds": gettext_lazy("with refunds"),
    "retry": gettext_lazy("retried"),
    "api": gettext_lazy("by API"),
}
TONES: Mapping[str, str] = {
    "short": "warn",
    "hold.placed": "warn",
    "hold.too_late": "warn",
    "stage.in_review": "warn",
    "release.refused": "bad",
    "dispatch.failed": "bad",
    "stage.cancelled": "bad",
    "stage.shipped": "good",
    "stage.completed": "good",
    "filled": "good",
    "dispatch.sent": "good",
}


class _Facts(dict[str, Any]):
    """Details that an event did not record are left out of its sentence."""

    def __missing__(self, key: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry. `text`: a sentence in the reader's language; `tone`: good, bad, warn or empty."""

    at: datetime
    side: str
    side_text: str
    text: str
    by: str
    kind: str
    tone: str = ""


def order_timeline(order: SalesOrder, *, request: HttpRequest | None = None) -> list[Moment]:
    """Everything that is known of an order, newest first. Its cost does not depend on its length.

    With a `request`, who did it is a link where its user may open the page.
    """
    events = list(order.events.order_by("-id")[:EVENTS_MAX])
    versions = _later_versions(order)
    actors = [*(event.by for event in events), *(version.source for version in versions)]
    names = name_actors(actors, request=request)
    # Events of one transaction share their moment, and the sort keeps this order among equals: a parcel is known
    # by the event that tells of it, so it stands above; events by their order of writing.
    moments = [_of_parcel(parcel) for parcel in _parcels(order)]
    moments += [_of_version(version, names) for version in versions]
    moments += [_of_event(event, names) for event in events]
    return sorted(moments, key=lambda moment: moment.at, reverse=True)


def platform_state_text(state: str) -> str:
    """The words for a platform's canonical state."""
    return str(PLATFORM_STATES.get(state, state))


def source_text(source: str, names: Names | None = None) -> str:
    """By which way something came; an import, `import:7`, by its name where the caller has looked it up."""
    known = SOURCES.get(source)
    return str(known) if known else (names or Names()).html(source)


def sourcing_reason(code: str) -> str:
    known = SOURCING_REASONS.get(code)
    return str(known) if known else code


def _of_event(event: OrderEvent, names: Names) -> Moment:
    known = SENTENCES.get(event.kind)
    text = str(known) % _readable(event) if known else event.kind.replace(".", ": ").replace("_", " ")
    at = event.at
    if event.kind == "warehouse.step":
        at = parse_datetime(str(event.detail.get("at", ""))) or event.at
    return Moment(
        at,
        event.side,
        event.get_side_display(),
        " ".join(text.split()),
        names.html(event.by),
        event.kind,
        TONES.get(event.kind, ""),
    )


def _readable(event: OrderEvent) -> _Facts:
    facts = _Facts(
        {name: read_sentence(fact) if isinstance(fact, str) else fact for name, fact in event.detail.items()}
    )
    if facts.get("kind") in HoldKind.values:
        facts["kind"] = str(HoldKind(facts["kind"]).label)
    if event.kind in ("captured", "channel.changed"):
        facts["state"] = platform_state_text(str(facts["state"]))
    if event.kind == "sourced":
        facts["reason"] = sourcing_reason(str(facts["reason"]))
    if facts.get("rules"):
        facts["rules"] = _("Rules: %s") % ", ".join(map(str, facts["rules"]))
    if "fields" in facts:
        facts["fields"] = ", ".join(str(FIELDS.get(name, name)) for name in facts["fields"])
    if facts.get("locations"):
        facts["locations"] = ", ".join(facts["locations"])
    return facts


def _later_versions(order: SalesOrder) -> list[ChannelOrderVersion]:
    """What the platform said after the capture; the first version is the capture itself."""
    if order.channel_order_id is None:
        return []
    versions = ChannelOrderVersion.objects.filter(channel_order_id=order.channel_order_id)
    return list(versions.defer("payload").order_by("id")[1:EVENTS_MAX])


def _of_version(version: ChannelOrderVersion, names: Names) -> Moment:
    said = localtime(version.outer_modified_at).strftime("%m-%d %H:%M:%S")
    if version.is_stale:
        text = _("An older version came late (modified %s): kept, not applied.") % said
    else:
        text = _("A new version came from the platform (modified %s).") % said
    return Moment(
        version.received_at,
        Side.CHANNEL,
        str(Side.CHANNEL.label),
        text,
        source_text(version.source, names),
        "version",
        "",
    )


def _parcels(order: SalesOrder) -> list[Parcel]:
    parcels = Parcel.objects.filter(shipment__fulfilment__lines__order=order)
    return list(parcels.select_related("shipment__fulfilment__location").distinct().order_by("id"))


def _of_parcel(parcel: Parcel) -> Moment:
    shipment = parcel.shipment
    facts = {
        "carrier": parcel.carrier_code,
        "tracking": parcel.tracking_no,
        "location": shipment.fulfilment.location.name,
    }
    text = _("Parcel %(tracking)s left %(location)s with %(carrier)s.") % facts
    label = str(Side.CARRIER.label)
    return Moment(shipment.shipped_at, Side.CARRIER, label, text, parcel.carrier_code, "parcel", "good")


def stage_steps(order: SalesOrder) -> list[tuple[str, str]]:
    """The path of an order as (label, `done` | `now` | `later`); a cancelled order shows where it ended."""
    if order.stage == Stage.CANCELLED:
        return [(str(Stage.CANCELLED.label), "now")]
    path = [
        Stage.CAPTURED,
        Stage.IN_REVIEW,
        Stage.APPROVED,
        Stage.SOURCED,
        Stage.RELEASED,
        Stage.SHIPPED,
        Stage.COMPLETED,
    ]
    if order.stage == Stage.PENDING_PAYMENT:
        path.insert(0, Stage.PENDING_PAYMENT)
    if order.stage != Stage.IN_REVIEW:
        path.remove(Stage.IN_REVIEW)
    here = path.index(Stage(order.stage))
    return [
        (str(step.label), "done" if at < here else "now" if at == here else "later")
        for at, step in enumerate(path)
    ]
