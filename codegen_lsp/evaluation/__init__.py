"""Measurements: how fast and how good completions are, seen from outside the server."""
