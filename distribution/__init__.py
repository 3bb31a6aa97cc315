"""Dealers and consignees, their contracts, their money, their portal (its tables come with their issue)."""
