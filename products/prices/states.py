"""The life of a price as a table of allowed steps."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class PriceState(TextChoices):
    DRAFT = "draft", _("draft")
    SUBMITTED = "submitted", _("to approve")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")
    WITHDRAWN = "withdrawn", _("withdrawn")


# An approved price that is in force already is ended, not withdrawn: it was the price, and stays known as that.
NEXT: Mapping[PriceState, frozenset[PriceState]] = {
    PriceState.DRAFT: frozenset({PriceState.SUBMITTED, PriceState.WITHDRAWN}),
    PriceState.SUBMITTED: frozenset({PriceState.APPROVED, PriceState.REJECTED, PriceState.WITHDRAWN}),
    PriceState.APPROVED: frozenset({PriceState.WITHDRAWN}),
    PriceState.REJECTED: frozenset(),
    PriceState.WITHDRAWN: frozenset(),
}
