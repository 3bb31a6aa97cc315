"""Medusa 2: the brand's own web shop."""

from integrations.channels.medusa.adapter import MedusaAdapter

__all__ = ["MedusaAdapter"]
