"""The outside world: channels in front, warehouses behind, and what was said between them."""
