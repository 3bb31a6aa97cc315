"""The HTTP doors of this room: who may come in, and the call-backs of warehouses."""
