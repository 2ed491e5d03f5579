"""Which folders are worth an index, and where a path lies in them.

Pure questions about paths: nothing here looks at the disk, so that the event loop may ask.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

__all__ = ["ANY_CASE", "State", "lies_in", "outermost", "spelled", "too_wide"]

State = Literal["refused", "missing", "reading", "ready"]
"""How far a folder is. ``refused``: too wide to be a project; ``missing``: not there yet, or not
readable; ``reading``: its index does not hold everything yet."""

ANY_CASE = sys.platform in {"win32", "darwin"}
"""Where the usual file systems take ``A.py`` and ``a.py`` for one file."""


def spelled(path: Path) -> Path:
    """*path* made absolute, without ``.``, ``..`` and doubled separators; links stay."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps ".."


def too_wide(folder: Path, home: Path) -> bool:
    """Whether *folder* is a drive, the home folder or around it: no project, but everything."""
    return folder == folder.parent or lies_in(folder, home) is not None


def outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    """*folders* without repetitions and without those inside others, in their order."""
    kept: list[Path] = []
    for folder in folders:
        if any(lies_in(other, folder) is not None for other in kept):
            continue
        kept = [other for other in kept if lies_in(folder, other) is None]
        kept.append(folder)
    return tuple(kept)


def lies_in(folder: Path, path: Path) -> str | None:
    """*path* relative to *folder* with slashes, ``""`` for itself; ``None``: it is elsewhere."""
    outer, inner = folder.parts, path.parts
    if len(inner) < len(outer) or _folded(inner[: len(outer)]) != _folded(outer):
        return None
    return "/".join(inner[len(outer) :])


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts) if ANY_CASE else parts
