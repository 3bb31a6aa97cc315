"""Connections to the outside world and what was said over them."""

from integrations.models.access import ApiKey
from integrations.models.connection import Connection, Cursor
from integrations.models.drift import ListingDrift
from integrations.models.messages import InboundMessage, MessageLog

__all__ = ["ApiKey", "Connection", "Cursor", "InboundMessage", "ListingDrift", "MessageLog"]
