"""Locations at work: which sell together, what goes between them, what was counted, what others say lies there."""
