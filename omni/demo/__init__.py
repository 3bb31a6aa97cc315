"""Demo data: three brands, their shops and warehouses, the same on every machine."""
