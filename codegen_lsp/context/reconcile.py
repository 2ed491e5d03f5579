"""What the disk shows: of everything below a folder, or of the places where something happened.

Only looks: at names, kinds, sizes and times, never into files, and never through a link. Does
not know what was known before (``ledger``). Survives whatever changes while it looks; what it
missed, an event tells.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codegen_lsp.context.files import Stamp, newest, stamp_of, walk, wanted
from codegen_lsp.context.ignoring import Ignore

__all__ = ["Interrupted", "Seen", "look_at", "look_everywhere"]

_BREATH: Final = 64
"""After so many entries other threads are let in: walking is Python, which runs one at a time."""

_PAUSE: Final = 0.001


class Interrupted(Exception):  # noqa: N818 - not an error: nobody wants to know any more
    """Nobody wants the result any more."""


Interrupt = Callable[[], bool]
"""Asked now and then whether to stop."""


class _Breath:
    """Called for every entry: lets other threads in, and stops where nobody wants to know."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._count = 0

    def __call__(self) -> None:
        if self._count % _BREATH == 0:
            if self._interrupt():
                raise Interrupted
            time.sleep(_PAUSE)
        self._count += 1


@dataclass(slots=True)
class Seen:
    """What a look at some places showed."""

    found: dict[str, Stamp] = field(default_factory=dict)

    hollow: set[str] = field(default_factory=set)
    """Places that were looked at and are not files that count: what was known at or below them
    and is not in ``found`` is gone."""

    def gone(self, known: Collection[str]) -> list[str]:
        """Which of the *known* files are gone."""
        return [path for path in known if path not in self.found and self._covers(path)]

    def _covers(self, path: str) -> bool:
        end = len(path)
        while end > 0:
            if path[:end] in self.hollow:
                return True
            end = path.rfind("/", 0, end)
        return False


def look_everywhere(root: Path, ignore: Ignore, interrupt: Interrupt) -> dict[str, Stamp]:
    """Every file below *root* that counts, the most recently modified ones first.

    :raises Interrupted: *interrupt* said so.
    """
    return dict(newest(walk(root, ignore, tick=_Breath(interrupt))))


def look_at(root: Path, ignore: Ignore, places: Collection[str], interrupt: Interrupt) -> Seen:
    """The files that count at and below *places*.

    :raises Interrupted: *interrupt* said so.
    """
    seen = Seen()
    folders: dict[str, bool] = {"": True}
    breath = _Breath(interrupt)
    for place in sorted(places):
        breath()
        _look_at(root, ignore, place, folders, seen, breath)
    return seen


def _look_at(
    root: Path,
    ignore: Ignore,
    place: str,
    folders: dict[str, bool],
    seen: Seen,
    breath: _Breath,
) -> None:
    """Enter into *seen* what is at *place*; *folders* remembers which parents are folders."""
    mode = _mode(root, place) if _in_folder(root, place, folders) else 0
    if stat.S_ISREG(mode):
        stamp = stamp_of(root / place) if wanted(place, ignore) else None
        if stamp is not None:
            seen.found[place] = stamp
            return
    else:
        ignore.forget(place)  # its ignore files came or went with it
    seen.hollow.add(place)
    if stat.S_ISDIR(mode):
        seen.found.update(newest(walk(root, ignore, place, tick=breath)))


def _in_folder(root: Path, place: str, folders: dict[str, bool]) -> bool:
    """Whether *place* is reached through folders alone, and through no link."""
    parent = place.rpartition("/")[0]
    if parent not in folders:
        if not _in_folder(root, parent, folders):
            folders[parent] = False
        else:
            folders[parent] = stat.S_ISDIR(_mode(root, parent))
    return folders[parent]


def _mode(root: Path, place: str) -> int:
    """What kind of thing is there; 0 for nothing."""
    try:
        return (root / place).lstat().st_mode
    except (OSError, ValueError):
        return 0
