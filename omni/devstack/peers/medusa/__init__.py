"""The real Medusa 2 as the brand's own web shop, with a PostgreSQL of its own."""
