"""A warehouse that speaks Qimen: an authority of its own over its shelves, with the faults of real ones on switches.

Written from the public field tables with the standard library alone; it shares no code with the adapter, so that
a mistake in one is not repeated in the other. Its channel is honesty level C: a simulator, nothing more.
"""
