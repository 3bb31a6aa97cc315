"""The roof: settings, addresses, and the wiring that lets the rooms hear of each other."""
