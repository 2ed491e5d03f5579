"""Where something may have changed, and which places can never matter.

Knows names of folders. What a project ignores besides is known to ``ignoring``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["NEVER", "Hint", "counts"]

Hint = Callable[[str | None], None]
"""Told a path relative to the root, with slashes, that may have changed; ``None``: any may."""

NEVER: Final = frozenset(
    {
        ".git",
        ".hg",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "site-packages",
    }
)
"""Folders in which much happens and nothing counts..."""

_EXCEPT: Final = ("/.git/HEAD", "/.git/index", "/.git/info/exclude")
"""...but a branch switch does, and an ignore file."""


def counts(place: str) -> bool:
    """Whether what happens at *place* can matter."""
    *folders, _ = place.split("/")
    inside = NEVER.intersection(folders)
    return not inside or (inside == {".git"} and f"/{place}".endswith(_EXCEPT))
