"""The work queues of this room: what waits, for whom, and the columns that answer the question of the queue."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import Queue
from orders.admin.filters import (
    AgeFilter,
    HoldKindFilter,
    ParkedAgeFilter,
    ParkedReasonFilter,
    StateAgeFilter,
    TroubleFilter,
)
from orders.backlog import waits_in
from orders.states import FulfilmentState
from products.admin.scoped import ShopFilter

ORDER_QUEUES = {
    queue.code: queue
    for queue in (
        Queue(
            "captured",
            _("Captured"),
            _("Paid orders that the automatic review has not looked at yet. Usually empty within seconds."),
            waits_in("captured"),
            ("number", "show_shop", "show_total", "receiver_mask", "show_trouble", "show_waiting"),
            "inbox",
            "stage_at",
            ("approve", "hold", "cancel"),
            (ShopFilter, TroubleFilter, AgeFilter),
        ),
        Queue(
            "in_review",
            _("In review"),
            _(
                "A rule asks a person to look. Approve what is right, hold what is unclear, cancel what is wrong."
            ),
            waits_in("in_review"),
            (
                "number",
                "show_shop",
                "show_total",
                "show_asked_by",
                "receiver_mask",
                "show_message",
                "show_waiting",
            ),
            "rule",
            "stage_at",
            ("approve", "hold", "cancel"),
            (ShopFilter, TroubleFilter, AgeFilter),
        ),
        Queue(
            "held",
            _("Held"),
            _("Something must be settled before these may ship: each hold says what. All must be resolved."),
            waits_in("held"),
            (
                "number",
                "show_shop",
                "show_stage",
                "show_holds",
                "show_hold_reason",
                "show_total",
                "show_waiting",
            ),
            "front_hand",
            "stage_at",
            ("resolve", "outside", "allow", "cancel"),
            (ShopFilter, HoldKindFilter, AgeFilter),
        ),
        Queue(
            "short",
            _("Short"),
            _(
                "Taken, but stock was not enough. They are filled by themselves, oldest first, when stock comes in."
            ),
            waits_in("short"),
            (
                "number",
                "show_shop",
                "show_stage",
                "show_missing",
                "show_total",
                "show_ship_by",
                "show_waiting",
            ),
            "production_quantity_limits",
            "captured_at",
            ("fill", "cancel"),
            (ShopFilter, AgeFilter),
        ),
        Queue(
            "to_source",
            _("To source"),
            _(
                "Approved and waiting for a location. What stays here is held, short, or no location can send it."
            ),
            waits_in("approved"),
            ("number", "show_shop", "show_total", "receiver_mask", "show_trouble", "show_waiting"),
            "alt_route",
            "stage_at",
            ("resource", "allow", "hold", "cancel"),
            (ShopFilter, TroubleFilter, AgeFilter),
        ),
        Queue(
            "to_release",
            _("To release"),
            _("Sourced, but a warehouse has not taken its part yet: not sent, not answered, or refused."),
            waits_in("sourced"),
            ("number", "show_shop", "show_parts", "show_total", "show_ship_by", "show_waiting"),
            "outbox",
            "stage_at",
            ("resource", "hold", "cancel"),
            (ShopFilter, AgeFilter),
        ),
        Queue(
            "unpaid",
            _("Awaiting payment"),
            _("Placed, not paid. They hold no stock unless the shop says so."),
            waits_in("pending_payment"),
            ("number", "show_shop", "show_total", "receiver_mask", "show_waiting"),
            "hourglass_empty",
            "stage_at",
            ("cancel",),
            (ShopFilter, AgeFilter),
        ),
    )
}

FULFILMENT_QUEUES = {
    queue.code: queue
    for queue in (
        Queue(
            "refused",
            _("Refused by warehouse"),
            _("The warehouse said no, and why. Mend the cause and release again, or send it from elsewhere."),
            waits_in("refused"),
            ("number", "show_location", "show_orders", "show_units", "show_refusal", "show_waiting"),
            "cancel_schedule_send",
            "state_at",
            ("release_again", "resource"),
            (StateAgeFilter,),
        ),
        Queue(
            "to_ship",
            _("To ship"),
            _("Taken by a warehouse; the parcel has not left yet, or not all of it."),
            Q(state__in=[FulfilmentState.ACCEPTED, FulfilmentState.PART_SHIPPED]),
            (
                "number",
                "show_location",
                "show_orders",
                "show_units",
                "show_state",
                "show_ship_by",
                "show_waiting",
            ),
            "local_shipping",
            "state_at",
            ("stop",),
            (StateAgeFilter,),
        ),
        Queue(
            "unanswered",
            _("Unanswered by warehouse"),
            _("Sent, but no answer has come. The warehouse is asked again before anything is sent twice."),
            waits_in("unanswered"),
            ("number", "show_location", "show_orders", "show_units", "attempts", "show_waiting"),
            "pending",
            "state_at",
            (),
            (StateAgeFilter,),
        ),
        Queue(
            "cancelling",
            _("Cancel asked"),
            _("We asked the warehouse to stop. It may still answer no, and the parcel may leave meanwhile."),
            waits_in("cancelling"),
            ("number", "show_location", "show_orders", "show_units", "show_waiting"),
            "block",
            "state_at",
            (),
            (StateAgeFilter,),
        ),
    )
}

PARKED_QUEUES = {
    "open": Queue(
        "open",
        _("Parked orders"),
        _("Orders from a channel that could not be taken, each with its reason. Mend the cause, then retry."),
        waits_in("parked"),
        ("outer_id", "show_shop", "show_reason", "show_detail", "attempts", "show_waiting"),
        "car_crash",
        "parked_at",
        ("retry", "dismiss"),
        (ShopFilter, ParkedReasonFilter, ParkedAgeFilter),
    )
}

NOTICE_QUEUES = {
    "failed": Queue(
        "failed",
        _("Failed dispatch notices"),
        _("The channel does not take our word that a parcel left. Mend the cause, then send again."),
        waits_in("dispatch_failed"),
        ("show_order", "show_shop", "show_parcel", "last_error", "attempts", "show_waiting"),
        "mark_email_unread",
        "created_at",
        ("send_again",),
        (ShopFilter,),
    )
}
