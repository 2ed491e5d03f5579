"""Documents as the choice of snippets reads them: lines, words by line, an outline.

Knows where a text comes from (what an editor has open wins over what the disk has) and keeps the
last of what it read. Does not know which of it is worth showing.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.context.buffers import Buffer, Buffers
from codegen_lsp.context.files import MAX_FILES, Refusal, Stamp, read_source
from codegen_lsp.context.uris import name_of, path_key
from codegen_lsp.context.words import ids_of
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.syntax.outline import Definition, Outline, outline

if TYPE_CHECKING:
    from codegen_lsp.context.index import Index

__all__ = ["Folders", "Library", "Occurrences", "Page", "akin", "plain", "within"]

logger = logging.getLogger(__name__)

MOST_PAGES: Final = 128
"""How many documents are kept with their words."""

MOST_CHARACTERS: Final = 200_000
"""A longer document costs more to read than its code is worth to another one."""

_GROUPS: Final[Mapping[str, str]] = {
    "c": "c",
    "cpp": "c",
    "javascript": "script",
    "javascriptreact": "script",
    "typescript": "script",
    "typescriptreact": "script",
}
"""Languages whose code is worth showing in each other's documents; others stand alone."""

_TOKEN: Final = re.compile(r"[^\W\d]\w*|\n")

NEVER: Final = -(1 << 30)
"""The line of an occurrence that is not there."""


class Folders(Protocol):
    """What is asked of a workspace."""

    @property
    def ready(self) -> bool:
        """Whether every index holds what its folder holds."""

    def indexes(self) -> tuple[tuple[Path, Index], ...]:
        """The folders and what is known of each."""

    def root_of(self, path: Path) -> tuple[Path, str] | None:
        """The folder that *path* is in, and where in it."""


class Occurrences:
    """Which words stand on which lines; blank lines are not counted.

    Parallel arrays, one entry for each time a word stands somewhere.
    """

    __slots__ = ("before", "inverse", "rows", "spans", "words")

    def __init__(self, text: str, filled: Sequence[int]) -> None:
        """*filled* are the numbers of the lines of *text* that are not blank."""
        codes: dict[str, int] = {"\n": 0}
        tokens = np.array([codes.setdefault(t, len(codes)) for t in _TOKEN.findall(text)], np.intp)
        each = [_ids_of(name) for name in codes]
        counts = np.array([len(ids) for ids in each], np.intp)
        ids = np.fromiter((word for ids in each for word in ids), np.uint32, counts.sum())
        lines = np.cumsum(tokens == 0)
        numbers = np.zeros((int(lines[-1]) if len(lines) else 0) + 1, np.intp)
        numbers[list(filled)] = np.arange(len(filled))
        self.rows: NDArray[np.intp] = np.repeat(numbers[lines], counts[tokens])
        """The number of the line among those that are not blank."""
        self.words: NDArray[np.uint32]
        """The distinct words, ascending."""
        self.words, places = np.unique(ids, return_inverse=True)
        self.inverse: NDArray[np.intp] = places[_spans(counts, tokens)]
        """Which of the distinct words."""
        self.before: NDArray[np.intp] = self._before()
        """The line at which the same word stood last, or :data:`NEVER`."""
        self.spans: dict[int, tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        """By height, see :meth:`windows`."""

    def windows(self, height: int, rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The last lines of the windows in which an occurrence is the first of its word.

        From the first array's to before the second one's. *rows* is how many lines there are.
        """
        if height not in self.spans:
            begins = np.minimum(np.maximum(self.rows, self.before + height), rows)
            self.spans[height] = begins, np.minimum(self.rows + height, rows)
        return self.spans[height]

    def _before(self) -> NDArray[np.intp]:
        order = np.argsort(self.inverse, kind="stable")
        rows, words = self.rows[order], self.inverse[order]
        same = words[1:] == words[:-1]
        before = np.full(len(rows), NEVER, np.intp)
        before[order[1:][same]] = rows[:-1][same]
        return before


@lru_cache(maxsize=65_536)
def _ids_of(name: str) -> tuple[int, ...]:
    """The words of one identifier; the larger a repository, the more of them come again."""
    return tuple(ids_of((name,))) if name != "\n" else ()


def _spans(counts: NDArray[np.intp], tokens: NDArray[np.intp]) -> NDArray[np.intp]:
    """Places of what belongs to each token, where what belongs to all codes is in one array."""
    repeats = counts[tokens]
    starts = (np.cumsum(counts) - counts)[tokens]
    within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    result: NDArray[np.intp] = np.repeat(starts, repeats) + within
    return result


class Page:
    """One text of one document."""

    def __init__(self, key: str, shown: str, language_id: str, text: str) -> None:
        self.key = key
        """The same for every text of one document."""
        self.shown = shown
        """Its path as a reader of a prompt should see it."""
        self.language_id = language_id
        self.text = plain(text)
        self.weights: tuple[object, NDArray[np.float64]] | None = None
        """How much each distinct word tells, and what it was found out by."""

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return self.text.split("\n")

    @cached_property
    def filled(self) -> list[int]:
        """The numbers of the lines that are not blank."""
        return [number for number, line in enumerate(self.lines) if line and not line.isspace()]

    @cached_property
    def numbers(self) -> NDArray[np.intp]:
        """:attr:`filled` as an array."""
        return np.array(self.filled, np.intp)

    @cached_property
    def occurrences(self) -> Occurrences:
        """The words of the lines that are not blank."""
        return Occurrences(self.text, self.filled)

    @cached_property
    def outline(self) -> Outline | None:
        """What it defines and imports; ``None`` where there is no grammar."""
        return outline(self.text, self.language_id)

    @cached_property
    def defined(self) -> dict[str, list[Definition]]:
        """The definitions of its outline by name, in document order."""
        found: dict[str, list[Definition]] = {}
        for definition in () if self.outline is None else self.outline.definitions:
            found.setdefault(definition.name, []).append(definition)
        return found

    @cached_property
    def starts(self) -> list[int]:
        """The offset of each line."""
        return [0, *accumulate(len(line) + 1 for line in self.lines[:-1])]

    def line_at(self, offset: int) -> int:
        """The number of the line that *offset* stands on."""
        return bisect_right(self.starts, offset) - 1


def akin(one: str, other: str) -> bool:
    """Whether code in one language helps to write code in the other."""
    return _GROUPS.get(one, one) == _GROUPS.get(other, other)


def within(root: Path, relative: str, folders: int) -> str:
    """The path of a file of the workspace for a reader, the folder's name only where it tells."""
    return f"{root.name}/{relative}" if folders > 1 else relative


def plain(text: str) -> str:
    r"""*text* with ``\n`` as the only line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class Library:
    """The pages that were read last. For one thread at a time."""

    def __init__(self, buffers: Buffers, workspace: Folders | None) -> None:
        self._buffers = buffers
        self._workspace = workspace
        self._pages: OrderedDict[str, tuple[object, Page]] = OrderedDict()
        """By key: what tells one text from another, and the page."""

    def of_buffer(self, buffer: Buffer) -> Page | None:
        """The page of an open or lately edited document; ``None`` where there is nothing."""
        if buffer.text is None:
            return None if buffer.path is None else self._of_closed(Path(buffer.path))
        text = buffer.text
        if len(text) > MOST_CHARACTERS:
            return None
        key = buffer.uri if buffer.path is None else path_key(buffer.path)
        shown = name_of(buffer.uri) if buffer.path is None else self.shown(Path(buffer.path))
        return self._page(key, buffer.version, shown, buffer.language_id, lambda: text)

    def of_file(self, root: Path, relative: str) -> Page | None:
        """The page of a file of the workspace; what an editor has open wins over the disk."""
        path = root / relative
        buffer = self._buffers.at(str(path))
        if buffer is not None and buffer.text is not None:
            return self.of_buffer(buffer)
        try:
            status = path.stat()
        except OSError as error:
            logger.debug("no snippet of %s: %s", path, error)
            return None
        stamp = Stamp(status.st_size, status.st_mtime_ns)
        shown = self._within(root, relative)
        return self._page(path_key(path), stamp, shown, language_of(relative), lambda: _read(path))

    def shown(self, path: Path) -> str:
        """A path as a reader of a prompt should see it: relative to its folder."""
        place = self.place(path)
        return path.name if place is None else self._within(*place)

    def indexed(self, buffer: Buffer) -> bool:
        """Whether an index knows the file that a document is."""
        return buffer.path is not None and self._known(Path(buffer.path)) is not None

    def hidden(self, buffer: Buffer) -> bool:
        """Whether a document is a file that is kept from others: an ignored one.

        That is what a file is that exists in a folder whose index is complete and does not know
        it. Where the index is not complete, an open document is taken for what the user works on.
        """
        place = None if buffer.path is None else self.place(Path(buffer.path))
        if place is None or self._workspace is None or not self._workspace.ready:
            return False
        index = next((one for root, one in self._workspace.indexes() if root == place[0]), None)
        if index is None or index.stamp(place[1]) is not None or len(index) >= MAX_FILES:
            return False
        return Path(buffer.path or "").exists()

    def place(self, path: Path) -> tuple[Path, str] | None:
        """The folder of the workspace that *path* is in, and where in it."""
        return None if self._workspace is None else self._workspace.root_of(path)

    def clear(self) -> None:
        """Forget all pages."""
        self._pages.clear()

    def _of_closed(self, path: Path) -> Page | None:
        """Only what an index holds: it is neither ignored nor secret."""
        place = self._known(path)
        return None if place is None else self.of_file(*place)

    def _known(self, path: Path) -> tuple[Path, str] | None:
        """The folder and the relative path of a file, if the folder's index knows it."""
        place = self.place(path)
        if place is None or self._workspace is None:
            return None
        known = (index for root, index in self._workspace.indexes() if root == place[0])
        return place if any(index.stamp(place[1]) is not None for index in known) else None

    def _within(self, root: Path, relative: str) -> str:
        return within(
            root, relative, 0 if self._workspace is None else len(self._workspace.indexes())
        )

    def _page(
        self,
        key: str,
        version: object,
        shown: str,
        language_id: str,
        read: Callable[[], str | None],
    ) -> Page | None:
        known = self._pages.get(key)
        if known is not None and known[0] == version and known[1].shown == shown:
            self._pages.move_to_end(key)
            return known[1]
        text = read()
        if text is None or len(text) > MOST_CHARACTERS:
            return None
        page = Page(key, shown, language_id, text)
        self._pages[key] = version, page
        self._pages.move_to_end(key)
        while len(self._pages) > MOST_PAGES:
            self._pages.popitem(last=False)
        return page


def _read(path: Path) -> str | None:
    text = read_source(path)
    if isinstance(text, Refusal):
        logger.debug("no snippet of %s: %s", path, text.name.lower())
        return None
    return text
