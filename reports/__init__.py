"""The reader: it keeps rollups and writes nothing else (its tables come with their issue)."""
