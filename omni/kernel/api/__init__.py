"""What every API of the house shares: problems, permissions, pages, parsing."""
