"""A copy of a repository that a replay may write into, without files that give answers away.

Knows files (by ``context.files``: what is ignored, secret, too large or no source is not copied),
line ends (line feeds afterwards) and near duplicates: of files that share most of their lines one
stays, because from the other one any answer could be copied; and a file that stands in a larger one
(a bundle, a vendored helper) goes. Does not know what is hidden.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codegen_lsp.context.files import Refusal, read_source, walk
from codegen_lsp.context.ignoring import Ignore
from codegen_lsp.errors import CorpusError
from codegen_lsp.evaluation.replay.corpora import Repository, unpack

__all__ = ["CONTAINED", "SIMILARITY", "WorkingCopy", "contained", "duplicates", "make_copy"]

SIMILARITY: Final = 0.7
"""Jaccard similarity of the sets of lines from which two files count as near duplicates."""

CONTAINED: Final = 0.9
"""Share of a file's lines from which it counts as a part of a larger file."""

FEWEST_LINES: Final = 5
"""Files with fewer different lines are never duplicates: an empty ``__init__.py`` gives nothing
away."""

LEFT_OUT: Final = ("site-packages", "dist-packages", "__pycache__", "test", "idle_test")
"""Folders of CPython's library that are no part of it, or tests of it."""


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """A folder of our own."""

    root: Path
    texts: Mapping[str, str]
    """Path relative to ``root``, with slashes, to text; in the order of the paths."""

    duplicates: int
    """Files that were left out."""

    sha256: str
    """Of all paths and texts."""


def make_copy(repository: Repository, scratch: Path) -> WorkingCopy:
    """Copy *repository* into a new folder below *scratch*.

    :raises CorpusError: nothing in it can be read, or it cannot be copied.
    """
    source = unpack(repository, scratch)
    texts = _texts(source, LEFT_OUT if repository.corpus == "stdlib" else ())
    near = duplicates(texts)
    near |= contained({path: text for path, text in texts.items() if path not in near})
    kept = {path: text for path, text in sorted(texts.items()) if path not in near}
    if not kept:
        raise CorpusError(f"{repository.name} has no source files", mend="name another folder")
    root = scratch / "copy" / Path(repository.name).name
    try:
        for path, text in kept.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
        if source == scratch / "wheel":
            shutil.rmtree(source)
    except OSError as error:
        raise CorpusError(
            f"{repository.name} cannot be copied ({error.strerror})", mend="make room"
        ) from error
    return WorkingCopy(root, kept, len(near), _digest(kept))


def _texts(source: Path, left_out: Iterable[str]) -> dict[str, str]:
    omitted = frozenset(left_out)
    found: dict[str, str] = {}
    for path, _ in walk(source, Ignore(source)):
        if omitted.isdisjoint(path.split("/")[:-1]):
            text = read_source(source / path)
            if not isinstance(text, Refusal):
                found[path] = text
    return found


def _digest(texts: Mapping[str, str]) -> str:
    whole = hashlib.sha256()
    for path, text in texts.items():
        whole.update(f"{path}\0{text}\0".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def duplicates(texts: Mapping[str, str]) -> set[str]:
    """The files that nearly repeat one that comes before them in the order of paths.

    Exact, by prefix filtering: two sets that are similar enough share one of their rarest
    elements (Chaudhuri et al., "A primitive operator for similarity joins", 2006).
    """
    lines = {path: _line_set(text) for path, text in sorted(texts.items())}
    often = Counter(line for held in lines.values() for line in held)
    kept: dict[str, list[str]] = {}
    found: set[str] = set()
    for path, held in lines.items():
        if len(held) < FEWEST_LINES:
            continue
        rarest = sorted(held, key=lambda line: (often[line], line))
        rarest = rarest[: len(held) - math.ceil(SIMILARITY * len(held)) + 1]
        others = {other for line in rarest for other in kept.get(line, ())}
        if any(_similarity(held, lines[other]) >= SIMILARITY for other in others):
            found.add(path)
            continue
        for line in rarest:
            kept.setdefault(line, []).append(path)
    return found


def contained(texts: Mapping[str, str]) -> set[str]:
    """The files nearly all of whose lines another, at least as large one has, which stays.

    Exact, by the same filter: a set that holds so much of a file has one of its rarest lines.
    """
    lines = {path: _line_set(text) for path, text in texts.items()}
    often = Counter(line for held in lines.values() for line in held)
    rarest = {
        path: sorted(held, key=lambda line: (often[line], line))[: _spare(len(held)) + 1]
        for path, held in lines.items()
        if len(held) >= FEWEST_LINES
    }
    holders: dict[str, list[str]] = {line: [] for few in rarest.values() for line in few}
    for path, held in sorted(lines.items()):
        for line in holders.keys() & held:
            holders[line].append(path)
    found: set[str] = set()
    for path in sorted(rarest, key=lambda path: (len(lines[path]), path)):
        others = {other for line in rarest[path] for other in holders[line]} - found - {path}
        held = lines[path]
        if any(
            len(lines[other]) >= len(held) and len(held & lines[other]) >= CONTAINED * len(held)
            for other in others
        ):
            found.add(path)
    return found


def _spare(count: int) -> int:
    """How many of so many lines may be missing in a file that holds the rest."""
    return count - math.ceil(CONTAINED * count)


def _line_set(text: str) -> frozenset[str]:
    return frozenset(line.strip() for line in text.split("\n")) - {""}


def _similarity(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
