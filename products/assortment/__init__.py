"""What each shop may sell and is meant to sell: catalogues, rules, and what follows from them."""
