"""Supply: where stock is too low, and how much should be ordered."""
