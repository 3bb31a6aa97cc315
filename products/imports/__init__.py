"""Products and listings that come as files: what the engine must know of them, one target per kind of file."""
