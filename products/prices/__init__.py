"""Prices: asked for, approved, in force at their time, and told to the channels."""
