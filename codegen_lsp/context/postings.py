"""Which files have which words: an inverted index in arrays, and the ranking by it.

Knows ids of words, paths and groups of languages. Does not know where they come from.

Files are in segments, which are never changed but for files that die; a new file is a segment of
its own, and segments that have become as large as the one before them become one with it. So
there are about log2(files) segments, a change costs little, and nothing has to be numbered for
ever. Becoming one (:meth:`Postings.merge`) is the only work that takes long, and the only one that
may be done without the lock that its owner holds.

A file's score is that of BM25 (Robertson and Zaragoza, 2009), with every word counted once:
the inverse document frequencies of the words it shares with the query, less for long files.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Entry", "Postings"]

_SATURATION: Final = 1.2
_LENGTH: Final = 0.35
"""BM25's k1 and b. A file of ten times the average length keeps 37% of its score. With less of a
penalty the best files are longer and hold the words that come next a little more often, but there
is much more of them to be searched for the right lines."""

_COMMON: Final = 0.15
"""Words in a larger share of the files tell little and cost most of the time..."""

_ENOUGH: Final = 8
"""...and are left out where the query has so many others."""

Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One version of one file."""

    path: str
    words: bytes
    """Ids of its distinct words, ascending: an array of this machine's uint32."""

    group: int
    """Which languages it is in; at least 1."""


class _Segment:
    """The words of some files, which have numbers in it."""

    __slots__ = (
        "alive",
        "entries",
        "files",
        "frequencies",
        "groups",
        "ids",
        "lengths",
        "living",
        "starts",
    )

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        lengths = np.array([len(entry.words) // 4 for entry in entries], np.int32)
        numbers = np.repeat(np.arange(len(entries), dtype=np.uint64), lengths)
        ids = np.frombuffer(b"".join([entry.words for entry in entries]), np.uint32)
        pairs = ids.astype(np.uint64) << 32 | numbers
        pairs.sort()
        self.files = (pairs & 0xFFFFFFFF).astype(np.int32)
        """The numbers of the files with a word, one word after another."""
        ids = (pairs >> 32).astype(np.uint32)
        first = np.flatnonzero(np.diff(ids, prepend=ids[:1] + np.uint32(1)))
        self.ids = ids[first]
        self.starts = np.append(first, len(ids)).astype(np.int32)
        """Where in ``files`` the ones with a word begin, and one more."""
        self.frequencies = np.diff(self.starts)
        """How many living files have a word."""
        self.lengths = lengths
        self.groups = np.array([entry.group for entry in entries], np.uint16)
        self.alive = np.ones(len(entries), bool)
        self.living = len(entries)

    def find(self, words: Ids) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where in ``ids`` these words are, and whether."""
        if not len(self.ids):
            return np.zeros(len(words), np.intp), np.zeros(len(words), bool)
        places = self.ids.searchsorted(words)
        places[places == len(self.ids)] = 0
        return places, self.ids[places] == words

    def kill(self, number: int) -> None:
        self.alive[number] = False
        self.living -= 1
        places, _ = self.find(np.frombuffer(self.entries[number].words, np.uint32))
        self.frequencies[places] -= 1

    def sums(self, words: Ids, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weights of the words that each file has, added up."""
        places, there = self.find(words)
        places = places[there]
        begins, ends = self.starts[places], self.starts[places + 1]
        pieces = [
            self.files[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
        if not pieces:
            return np.zeros(len(self.entries))
        each = np.repeat(weights[there], ends - begins)
        return np.bincount(np.concatenate(pieces), each, len(self.entries)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Merge:
    """Segments that are to become one."""

    old: tuple[_Segment, ...]
    entries: tuple[Entry, ...]

    def build(self) -> _Segment:
        """The one; takes long, and needs no lock."""
        return _Segment(self.entries)


class Postings:
    """The words of all files. Its owner holds a lock around every call."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._where: dict[str, tuple[_Segment, int]] = {}
        self._words = 0
        """Words of all living files."""

    def add(self, entry: Entry) -> None:
        """Take a file, which must not be there yet."""
        segment = _Segment((entry,))
        self._segments.append(segment)
        self._where[entry.path] = segment, 0
        self._words += len(entry.words) // 4

    def remove(self, path: str) -> None:
        """Forget a file, which must be there."""
        segment, number = self._where.pop(path)
        segment.kill(number)
        self._words -= len(segment.entries[number].words) // 4

    def due(self) -> Merge | None:
        """The segments that should become one; ``None`` where all is well."""
        segments = self._segments
        first, total = len(segments), 0
        for place in range(len(segments) - 1, -1, -1):
            segment = segments[place]
            hollow = 2 * segment.living < len(segment.entries)
            if hollow or (total and total >= segment.living):
                first = place
            total += segment.living
        old = tuple(segments[first:])
        living = tuple(
            entry
            for segment in old
            for entry, alive in zip(segment.entries, segment.alive.tolist(), strict=True)
            if alive
        )
        return Merge(old, living) if old else None

    def merge(self, merge: Merge, new: _Segment) -> None:
        """Put *new*, built of *merge*, in its place; what died meanwhile dies in it, too."""
        for number, entry in enumerate(new.entries):
            segment, place = self._where.get(entry.path, (None, 0))
            if segment is not None and segment.entries[place] is entry:
                self._where[entry.path] = new, number
            else:
                new.kill(number)
        place = self._segments.index(merge.old[0])
        self._segments[place : place + len(merge.old)] = [new] if new.living else []

    @property
    def held(self) -> int:
        """How many files take memory: the living, and at most as many dead ones."""
        return sum(len(segment.entries) for segment in self._segments)

    def rarity(self, words: Ids) -> NDArray[np.float64]:
        """How much each word tells: its inverse document frequency, above 0."""
        return self._weights(self._frequencies(words))

    def rank(
        self, words: Ids, limit: int, exclude: Collection[str], group: int
    ) -> list[tuple[str, float]]:
        """At most *limit* files that share words with a query, the likest first.

        :param words: distinct ids
        :param exclude: paths that are not wanted
        :param group: what languages are wanted; 0: all
        """
        words, weights = self._telling(words)
        if not len(words) or limit < 1:
            return []
        best = [
            found
            for segment in self._segments
            for found in self._best(segment, segment.sums(words, weights), limit, exclude, group)
        ]
        return [(path, -score) for score, path in heapq.nsmallest(limit, best)]

    def _best(
        self,
        segment: _Segment,
        scores: NDArray[np.float64],
        limit: int,
        exclude: Collection[str],
        group: int,
    ) -> list[tuple[float, str]]:
        """The best files of one segment, and more where they are equally good."""
        average = max(1.0, self._words / max(1, len(self._where)))
        length = 1 - _LENGTH + _LENGTH * segment.lengths / average
        scores = scores * segment.alive * ((1 + _SATURATION) / (1 + _SATURATION * length))
        if group:
            scores *= segment.groups == group
        for path in exclude:
            there, number = self._where.get(path, (None, 0))
            if there is segment:
                scores[number] = 0.0
        numbers = np.flatnonzero(scores)
        if len(numbers) > limit:
            least = np.partition(scores[numbers], len(numbers) - limit)[len(numbers) - limit]
            numbers = numbers[scores[numbers] >= least]
        return [
            (-float(scores[number]), segment.entries[number].path) for number in numbers.tolist()
        ]

    def _telling(self, words: Ids) -> tuple[Ids, NDArray[np.float64]]:
        """The words of a query that are worth looking for, and their weights."""
        frequencies = self._frequencies(words)
        known = frequencies > 0
        rare = known & (frequencies <= max(1.0, _COMMON * len(self._where)))
        chosen = rare if int(rare.sum()) >= _ENOUGH else known
        return words[chosen], self._weights(frequencies[chosen])

    def _frequencies(self, words: Ids) -> NDArray[np.int64]:
        """How many files have each word."""
        total = np.zeros(len(words), np.int64)
        for segment in self._segments:
            places, there = segment.find(words)
            total[there] += segment.frequencies[places[there]]
        return total

    def _weights(self, frequencies: NDArray[np.int64]) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = np.log1p(
            (len(self._where) - frequencies + 0.5) / (frequencies + 0.5)
        )
        return weights
