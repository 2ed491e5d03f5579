"""Where something may have changed, and which places can never matter.

Knows names of folders. What a project ignores besides is known to ``ignoring``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Hint", "counts", "leads"]

Hint = Callable[[str | None], None]
"""Told a path relative to the root, with slashes, that may have changed; ``None``: any may."""

_NEVER: Final = frozenset(
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

_EXCEPT_FOLDERS: Final = ("/.git", "/.git/info")
_EXCEPT: Final = ("/.git/HEAD", "/.git/index", "/.git/info/exclude")
"""...but a branch switch does, and an ignore file."""


def counts(place: str) -> bool:
    """Whether what happens at *place* can matter."""
    *folders, _ = place.split("/")
    inside = _NEVER.intersection(folders)
    return not inside or (inside == {".git"} and f"/{place}".endswith(_EXCEPT))


def leads(folder: str) -> bool:
    """Whether what happens directly in *folder* can matter."""
    inside = _NEVER.intersection(folder.split("/"))
    return not inside or (inside == {".git"} and f"/{folder}".endswith(_EXCEPT_FOLDERS))
