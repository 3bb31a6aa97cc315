"""The HTTP door of this room."""
