"""One folder per sales channel; channels do not know each other."""
