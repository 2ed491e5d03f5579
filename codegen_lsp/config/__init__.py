"""Settings: what comes over the wire, what the program uses, and who wins."""
