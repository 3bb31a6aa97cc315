"""The roof: settings, addresses, and the wiring that lets the rooms hear of each other.

Nothing is imported here: `omni.devstack` must start before the packages are installed.
"""
