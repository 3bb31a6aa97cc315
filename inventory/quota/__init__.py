"""Quotas: how shops share in one stock, who is granted how much of it, and what is taken back."""
