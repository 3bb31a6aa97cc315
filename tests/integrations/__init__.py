"""Adapters, their sandboxes and what drives them."""
