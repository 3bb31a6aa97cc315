"""Do the books of both sides agree (its tables come with their issue)."""
