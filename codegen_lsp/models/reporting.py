"""How work that takes a while tells what it is doing.

Knows the words of a report. Does not know terminals (``cli.reporting``).
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Reporter", "Silent"]


class Reporter(Protocol):
    """What pulling and converting tell whoever asked for it."""

    def step(self, text: str) -> None:
        """A part of the work begins."""

    def progress(self, what: str, done: int, total: int) -> None:
        """*done* of *total* (bytes, or tensors) of the part called *what*."""

    def note(self, text: str) -> None:
        """Something worth knowing that is no failure."""


class Silent:
    """A reporter that keeps everything to itself."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
