"""What carries the program on a developer's machine: its own PostgreSQL and Valkey, one supervisor, the checks."""
