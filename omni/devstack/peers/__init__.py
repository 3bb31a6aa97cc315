"""Real third-party servers that Omni is tested against: installed from the registries, run on this machine only."""
