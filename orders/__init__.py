"""What was bought, from where it ships, how far it is, and what comes back."""
