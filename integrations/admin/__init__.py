"""Where people see how the outside world is doing, and mend what it refuses."""

from integrations.admin.access import ApiKeyAdmin
from integrations.admin.connection import ConnectionAdmin
from integrations.admin.drifts import ListingDriftAdmin
from integrations.admin.messages import InboundMessageAdmin, MessageLogAdmin

__all__ = ["ApiKeyAdmin", "ConnectionAdmin", "InboundMessageAdmin", "ListingDriftAdmin", "MessageLogAdmin"]
