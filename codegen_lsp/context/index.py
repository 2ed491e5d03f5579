"""The index of one workspace folder: which files are alike, where names are defined, what is where.

In memory, safe to use from several threads, and without I/O: it knows what it was told of files,
not whether that is still so. What it answers depends on the files it holds, not on the order in
which they came.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codegen_lsp.context.facts import FileFacts, Symbol
from codegen_lsp.context.files import Stamp
from codegen_lsp.context.modules import Modules
from codegen_lsp.context.multimap import Multimap
from codegen_lsp.context.postings import Entry, Postings

__all__ = ["Index", "Place"]

MOST_FILES: Final = 50
"""A name that more files define (``__init__``, ``main``) says nothing of what is meant."""

MOST_PLACES: Final = 100

_GROUPS: Final[Mapping[str, str]] = {
    "cpp": "c",
    "javascriptreact": "javascript",
    "typescript": "javascript",
    "typescriptreact": "javascript",
}
"""Languages whose files are worth reading for who writes the other."""


class Place(NamedTuple):
    """Where something is defined."""

    path: str
    start_line: int
    """0-based."""

    end_line: int
    """Exclusive."""

    kind: str
    """``function``, ``method``, ``class``, ``variable`` or ``type``."""


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """What is kept of a file, beside its words."""

    stamp: Stamp
    outline: bytes
    """Symbols and imports, encoded: a tenth of the memory, and decoded in microseconds."""


_Outline = tuple[tuple[Symbol, ...], tuple[str, ...]]
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[_Outline]] = msgspec.msgpack.Decoder(_Outline)
_NONE: Final = _ENCODER.encode(((), ()))


class Index:
    """What is known of the files of one folder. Paths are relative to it, with ``/``."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._merging = threading.Lock()
        """Held by who makes segments one; taken before ``_lock``, never waited for."""
        self._version = 0
        self._files: dict[str, _File] = {}
        self._names = Multimap()
        """What is defined, and the files that do."""
        self._modules = Modules()
        self._postings = Postings()
        self._groups: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._files)

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    def add(self, facts: FileFacts) -> None:
        """Take what is known of a file, in place of what was known of it."""
        with self._lock:
            self._forget(facts.path)
            outline = _ENCODER.encode((facts.symbols, facts.imports))
            self._files[facts.path] = _File(facts.stamp, outline)
            for name in {symbol.name for symbol in facts.symbols}:
                self._names.add(name, facts.path)
            self._modules.add(facts.path)
            group = self._groups.setdefault(_group_of(facts.language_id), len(self._groups) + 1)
            self._postings.add(Entry(facts.path, facts.words, group))
            self._version += 1
        self._tidy()

    def remove(self, path: str) -> None:
        """Forget a file, if it is known."""
        with self._lock:
            if self._forget(path):
                self._version += 1
        self._tidy()

    def stamp(self, path: str) -> Stamp | None:
        """What the file looked like when it was read; ``None`` if it is not known."""
        with self._lock:
            file = self._files.get(path)
        return None if file is None else file.stamp

    def paths(self) -> list[str]:
        """All files, in no order."""
        with self._lock:
            return list(self._files)

    def symbols(self, path: str) -> tuple[Symbol, ...]:
        """What a file defines, in its order; nothing of a file that is not known."""
        return self._outline(path)[0]

    def imports(self, path: str) -> tuple[str, ...]:
        """The modules a file imports, as it writes them."""
        return self._outline(path)[1]

    def defining(self, name: str) -> tuple[Place, ...]:
        """Where *name* is defined: outer definitions first, then by path and line.

        Nothing where more than :data:`MOST_FILES` files define it.
        """
        with self._lock:
            paths = self._names[name]
            files = [self._files[path] for path in paths] if len(paths) <= MOST_FILES else []
        found = [
            (symbol.depth, Place(path, symbol.start_line, symbol.end_line, symbol.kind))
            for path, file in zip(paths, files, strict=False)
            for symbol in _DECODER.decode(file.outline)[0]
            if symbol.name == name
        ]
        return tuple(place for _, place in sorted(found)[:MOST_PLACES])

    def similar(
        self,
        word_ids: NDArray[np.uint32],
        *,
        limit: int,
        exclude: Collection[str] = (),
        language_id: str | None = None,
    ) -> list[tuple[str, float]]:
        """The files that share most with a query, and their scores (above 0), best first.

        :param word_ids: distinct ids of :mod:`~codegen_lsp.context.words`
        :param limit: how many files at most
        :param exclude: paths that are not wanted
        :param language_id: only files in this language, or one so like it that people mix them
        """
        with self._lock:
            group = 0 if language_id is None else self._groups.get(_group_of(language_id))
            if group is None:
                return []
            return self._postings.rank(word_ids, limit, exclude, group)

    def rarity(self, word_ids: NDArray[np.uint32]) -> NDArray[np.float64]:
        """How much each word tells in this folder (its inverse document frequency), above 0."""
        with self._lock:
            return self._postings.rarity(word_ids)

    def resolve(self, module: str, importer: str, language_id: str) -> str | None:
        """The file that a module is, or of a package of several files its foremost one.

        :param module: as it is written; of ``from a import b`` where *b* is a module, ``a.b``
        :param importer: path of the file that imports
        """
        return next(iter(self.resolve_all(module, importer, language_id)), None)

    def resolve_all(self, module: str, importer: str, language_id: str) -> tuple[str, ...]:
        """All files of a module or package, the foremost first."""
        with self._lock:
            return self._modules.resolve(module, importer, language_id)

    def _outline(self, path: str) -> _Outline:
        with self._lock:
            file = self._files.get(path)
        return _DECODER.decode(_NONE if file is None else file.outline)

    def _forget(self, path: str) -> bool:
        file = self._files.pop(path, None)
        if file is None:
            return False
        symbols, _ = _DECODER.decode(file.outline)
        for name in {symbol.name for symbol in symbols}:
            self._names.discard(name, path)
        self._modules.remove(path)
        self._postings.remove(path)
        return True

    def _tidy(self) -> None:
        """Make segments one that should be, without keeping those who ask waiting."""
        while self._merging.acquire(blocking=False):
            try:
                with self._lock:
                    merge = self._postings.due()
                if merge is None:
                    return
                built = merge.build()
                with self._lock:
                    self._postings.merge(merge, built)
            finally:
                self._merging.release()


def _group_of(language_id: str) -> str:
    return _GROUPS.get(language_id, language_id)
