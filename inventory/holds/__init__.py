"""Holds: stock that is kept for a buyer for some minutes, before there is an order."""
