"""One folder per warehouse protocol."""
