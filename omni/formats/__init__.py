"""How dates and numbers look, per language, where Django's own formats do not suit a table."""
