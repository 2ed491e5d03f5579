"""The command line: one module per command, one visible table of them in ``main``."""
