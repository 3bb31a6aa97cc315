"""The life cycles of this room as tables of allowed steps."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models
from django.utils.translation import gettext_lazy as _


class Stage(models.TextChoices):
    """How far a sales order is. Holds, shortages and partial shipment are not stages.

    They are shown beside it.
    """

    PENDING_PAYMENT = "pending_payment", _("pending payment")
    CAPTURED = "captured", _("captured")  # paid, reserved or short, waiting for the automatic review
    IN_REVIEW = "in_review", _("in review")  # a rule wants a person to look
    APPROVED = "approved", _("approved")  # may be sourced as soon as nothing holds it and nothing is short
    SOURCED = "sourced", _("sourced")  # its locations are known; the warehouses have not taken all of it yet
    RELEASED = "released", _("released")  # every warehouse has taken its part
    SHIPPED = "shipped", _("shipped")
    COMPLETED = "completed", _("completed")
    CANCELLED = "cancelled", _("cancelled")


# Nothing of these is open any more.
OVER: frozenset[Stage] = frozenset({Stage.SHIPPED, Stage.COMPLETED, Stage.CANCELLED})

NEXT_STAGE: Mapping[Stage, frozenset[Stage]] = {
    Stage.PENDING_PAYMENT: frozenset({Stage.CAPTURED, Stage.CANCELLED}),
    Stage.CAPTURED: frozenset({Stage.IN_REVIEW, Stage.APPROVED, Stage.CANCELLED, Stage.SHIPPED}),
    Stage.IN_REVIEW: frozenset({Stage.CAPTURED, Stage.APPROVED, Stage.CANCELLED, Stage.SHIPPED}),
    Stage.APPROVED: frozenset({Stage.IN_REVIEW, Stage.SOURCED, Stage.CANCELLED, Stage.SHIPPED}),
    Stage.SOURCED: frozenset({Stage.APPROVED, Stage.RELEASED, Stage.CANCELLED, Stage.SHIPPED}),
    Stage.RELEASED: frozenset({Stage.APPROVED, Stage.SOURCED, Stage.SHIPPED, Stage.CANCELLED}),
    Stage.SHIPPED: frozenset({Stage.COMPLETED}),
    Stage.COMPLETED: frozenset(),
    Stage.CANCELLED: frozenset(),
}


class FulfilmentState(models.TextChoices):
    """How far a fulfilment order is with its warehouse."""

    PLANNED = "planned", _("planned")
    REQUESTED = "requested", _("requested")  # sent; the answer is not known yet
    ACCEPTED = "accepted", _("accepted")
    REFUSED = "refused", _("refused by warehouse")
    PART_SHIPPED = "part_shipped", _("part shipped")
    SHIPPED = "shipped", _("shipped")
    CANCEL_REQUESTED = "cancel_requested", _("cancel requested")
    CANCELLED = "cancelled", _("cancelled")


NEXT_FULFILMENT: Mapping[FulfilmentState, frozenset[FulfilmentState]] = {
    # A request that was thought not to have arrived may have: its parcel is a fact.
    FulfilmentState.PLANNED: frozenset(
        {
            FulfilmentState.REQUESTED,
            FulfilmentState.PART_SHIPPED,
            FulfilmentState.SHIPPED,
            FulfilmentState.CANCELLED,
        }
    ),
    # A warehouse may confirm before its answer to the request has arrived.
    FulfilmentState.REQUESTED: frozenset(
        {
            FulfilmentState.PLANNED,
            FulfilmentState.ACCEPTED,
            FulfilmentState.REFUSED,
            FulfilmentState.PART_SHIPPED,
            FulfilmentState.SHIPPED,
        }
    ),
    FulfilmentState.ACCEPTED: frozenset(
        {
            FulfilmentState.REFUSED,
            FulfilmentState.PART_SHIPPED,
            FulfilmentState.SHIPPED,
            FulfilmentState.CANCEL_REQUESTED,
            FulfilmentState.CANCELLED,
        }
    ),
    FulfilmentState.REFUSED: frozenset({FulfilmentState.PLANNED, FulfilmentState.CANCELLED}),
    # The last confirmation may never come: what is still open can be stopped, or given back by the warehouse itself.
    FulfilmentState.PART_SHIPPED: frozenset(
        {FulfilmentState.SHIPPED, FulfilmentState.CANCEL_REQUESTED, FulfilmentState.CANCELLED}
    ),
    FulfilmentState.SHIPPED: frozenset(),
    # The question may be answered no, and the parcel may leave while we ask.
    FulfilmentState.CANCEL_REQUESTED: frozenset(
        {
            FulfilmentState.ACCEPTED,
            FulfilmentState.PART_SHIPPED,
            FulfilmentState.SHIPPED,
            FulfilmentState.CANCELLED,
        }
    ),
    FulfilmentState.CANCELLED: frozenset(),
}
