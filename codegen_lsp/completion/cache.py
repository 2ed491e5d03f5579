"""Answers that are there already: who types what was foreseen needs no engine.

Knows texts, offsets and what a model said at them. An answer is found again at its place, at any
place that is reached by typing its beginning (whether that was shown or not), and where accepting
it leads; a trie of prefixes without the nodes: an answer and what was typed of it are compared
directly. Of a document nothing is kept but hashes of what stood before and after the cursor. Does
not know models, nor how an answer is judged.

Bounded, in memory only, least recently used first out. An answer is of no use any more once what
it depended on has changed: the text around it (the hashes), code elsewhere (the *stamp*), settings
or model (:meth:`Cache.clear`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from codegen_lsp.context.window import plain
from codegen_lsp.types import Completion, CompletionQuery, Piece, Source, Timings, Trigger

__all__ = ["Cache", "Entry", "Found", "Said", "decided", "entry_of", "found_in"]

MOST_ENTRIES: Final = 256

MOST_ODDS: Final = 8
"""Answers of which it is kept how likely other words were."""

CLOSERS: Final = frozenset(")]}>\"'`")
"""What editors insert behind the cursor by themselves."""

MOST_CLOSERS: Final = 3
"""So many of them, at most, may have been inserted while an answer was typed."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said at a place, before it was judged."""

    pieces: tuple[Piece, ...]

    over: bool
    """Whether the model had no more to say; else it was stopped."""

    begun: bool = False
    """Whether the beginning of the first piece is missing. How likely the rest of it is, now that
    the beginning is known, nobody said; not less than all of it was."""

    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", "".join(piece.text for piece in self.pieces))

    def after(self, count: int) -> Said:
        """What is left once the first *count* characters have been typed."""
        rest: list[Piece] = []
        begun = self.begun and not count
        for piece in self.pieces:
            if count and count >= len(piece.text):
                count -= len(piece.text)
                continue
            rest.append(_begun(piece, count) if count else piece)
            begun, count = begun or count > 0, 0
        return Said(tuple(rest), self.over, begun)

    def strayed(self, typed: str) -> Piece | None:
        """The piece in place of which something else was *typed*; ``given`` is all of that.

        ``None`` where just that was typed, or more than was said.
        """
        if self.text.startswith(typed):
            return None
        place = 0
        for piece in self.pieces:
            if not typed.startswith(piece.text, place):
                return replace(piece, text="", given=piece.given + typed[place:])
            place += len(piece.text)
        return None

    def plain(self) -> Said:
        """The same without the odds, which take most of the memory."""
        pieces = tuple(replace(piece, odds=None) for piece in self.pieces)
        return Said(pieces, self.over, self.begun)


def _begun(piece: Piece, count: int) -> Piece:
    """*piece* once its first *count* characters were typed."""
    return replace(piece, text=piece.text[count:], given=piece.given + piece.text[:count])


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one place."""

    uri: str
    language_id: str
    trigger: Trigger
    stamp: Hashable
    """Another value when what the answer saw of other documents has changed."""

    offset: int
    length: int
    """Code points of the whole text."""

    before: int
    after: int
    """Hashes of the text before and after the cursor."""

    completion: Completion | None
    """What was worth showing."""

    beyond: int
    """Hash of what stands after the cursor once :attr:`completion` is accepted."""

    said: Said | None
    """``None`` where no model was asked, or nothing was to be sent to it."""

    remote: bool = False
    """Whether a server said it; kept beside what this machine says of the same place."""

    @property
    def replaced(self) -> int:
        """How many characters right of the cursor accepting :attr:`completion` removes."""
        return 0 if self.completion is None else self.completion.end - self.offset


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that has to do with a query."""

    entry: Entry
    typed: str
    """What stands before the query's cursor and was the beginning of the answer."""

    exact: bool
    """Whether nothing else has changed, so that what is left can be shown as it is."""

    def rest(self, query: CompletionQuery) -> Completion | None:
        """What is left of the completion that was worth showing, if it answers *query*."""
        completion, typed = self.entry.completion, len(self.typed)
        if completion is None or not self.exact or typed >= len(completion.text):
            return None
        if not completion.text.startswith(self.typed) or not self._answers(query.trigger):
            return None
        text = completion.text[typed:]
        if not text.strip():
            return None
        return replace(
            completion,
            text=text,
            start=query.offset,
            end=query.offset + self.entry.replaced,
            source=Source.TYPED if typed else Source.CACHE,
            timings=Timings(),
        )

    def is_known_nothing(self, query: CompletionQuery) -> bool:
        """Whether the very same was asked before, and there was nothing to suggest."""
        same = self.exact and not self.typed and self.entry.trigger is query.trigger
        return same and self.entry.completion is None

    def left(self) -> Said | None:
        """What is left of what the model said."""
        said, typed = self.entry.said, plain(self.typed)
        return said.after(len(typed)) if said is not None and said.text.startswith(typed) else None

    def _answers(self, now: Trigger) -> bool:
        """Whether an answer to one trigger is one to the other.

        Who asks explicitly where something automatic is shown may hope for more.
        """
        earlier = self.entry.trigger
        return earlier is now or (bool(self.typed) and now is Trigger.AUTOMATIC)


def decided(query: CompletionQuery, found: Sequence[Found]) -> Entry | None:
    """What is left of what was shown; else that it was found out that there is nothing."""
    for one in found:
        rest = one.rest(query)
        if rest is not None:
            return replace(one.entry, completion=rest)
    return next((one.entry for one in found if one.is_known_nothing(query)), None)


def entry_of(
    query: CompletionQuery, stamp: Hashable, completion: Completion | None, said: Said | None
) -> Entry:
    """What is now known of the place of *query*."""
    snapshot, offset = query.snapshot, query.offset
    hashes = _hashes(snapshot.text)
    replaced = 0 if completion is None else completion.end - offset
    return Entry(
        uri=snapshot.uri,
        language_id=snapshot.language_id,
        trigger=query.trigger,
        stamp=stamp,
        offset=offset,
        length=len(snapshot.text),
        before=hashes.before(offset),
        after=hashes.after(offset),
        completion=completion,
        beyond=hashes.after(offset + replaced),
        said=said,
    )


class Cache:
    """The answers of the last while."""

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._most = most
        self._entries: OrderedDict[tuple[Hashable, ...], Entry] = OrderedDict()
        self._rich: deque[tuple[Hashable, ...]] = deque()
        """Keys of the answers whose odds are kept."""

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Remember *entry*, instead of what was known of its place."""
        # What a model said stays known beside what was copied.
        who = (entry.said is not None, entry.remote)
        key = (entry.uri, entry.offset, entry.before, entry.after, entry.trigger, who)
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        if entry.said is not None:
            self._lean(key)

    def _lean(self, newest: tuple[Hashable, ...]) -> None:
        """Keep the odds of the last few answers only."""
        self._rich.append(newest)
        while len(self._rich) > MOST_ODDS:
            old = self._rich.popleft()
            entry = self._entries.get(old)
            if entry is not None and entry.said is not None and old not in self._rich:
                self._entries[old] = replace(entry, said=entry.said.plain())

    def strayed(self, query: CompletionQuery, stamp: Hashable) -> Iterator[Piece]:
        """In place of which piece of an answer something else has been typed, the latest first.

        ``given`` is what was typed instead.
        """
        for key in reversed(self._rich):
            entry = self._entries.get(key)
            if entry is None or entry.said is None:
                continue
            found = found_in(entry, query, stamp, lambda _: True)
            piece = None if found is None else entry.said.strayed(plain(found.typed))
            if piece is not None and piece.odds is not None:
                yield piece

    def find(self, query: CompletionQuery, stamp: Hashable) -> Iterator[Found]:
        """What has to do with *query*, the best first: the least of it that is left to type.

        Then what was used last.
        """
        matches: list[tuple[int, tuple[Hashable, ...], Found]] = []
        for key, entry in reversed(self._entries.items()):
            found = found_in(entry, query, stamp, partial(_begins_with, entry))
            if found is not None:
                matches.append((len(found.typed), key, found))
        matches.sort(key=lambda one: one[0])
        for _, key, found in matches:
            self._entries.move_to_end(key)
            yield found

    def forget(self, uri: str) -> None:
        """The document was closed."""
        for key in [key for key, entry in self._entries.items() if entry.uri == uri]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget everything: settings or model have changed."""
        self._entries.clear()
        self._rich.clear()


class _Hashes:
    """Hashes of parts of a text, each computed once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._known: dict[tuple[int, int], int] = {}

    def before(self, end: int) -> int:
        return self._of(0, end)

    def after(self, begin: int) -> int:
        return self._of(begin, len(self.text))

    def _of(self, begin: int, end: int) -> int:
        known = self._known.get((begin, end))
        if known is None:
            known = self._known[begin, end] = hash(self.text[begin:end])
        return known


_LATEST: Final = [_Hashes("")]
"""Those of the text that was asked about last: a request asks for the same ones several times."""


def _hashes(text: str) -> _Hashes:
    known = _LATEST[0]
    if known.text is not text:
        known = _LATEST[0] = _Hashes(text)
    return known


def found_in(
    entry: Entry,
    query: CompletionQuery,
    stamp: Hashable,
    agrees: Callable[[str], bool],
) -> Found | None:
    """How *query* has come from the place of *entry*, if by typing what *agrees* with it."""
    snapshot, offset = query.snapshot, query.offset
    if entry.uri != snapshot.uri or entry.language_id != snapshot.language_id:
        return None
    if entry.offset > offset or entry.stamp != stamp:
        return None
    typed = snapshot.text[entry.offset : offset]
    if not agrees(typed):
        return None
    hashes = _hashes(snapshot.text)
    if hashes.before(entry.offset) != entry.before:
        return None
    exact = _what_follows(entry, query, typed, hashes)
    return None if exact is None else Found(entry, typed, exact)


def _what_follows(entry: Entry, query: CompletionQuery, typed: str, hashes: _Hashes) -> bool | None:
    """Whether the same follows the cursor as did; ``None`` where that has nothing to do with it."""
    text, offset = query.snapshot.text, query.offset
    grown = len(text) - entry.length - len(typed)
    if grown == 0 and hashes.after(offset) == entry.after:
        return True
    accepted = entry.completion is not None and typed == entry.completion.text
    if accepted and grown == -entry.replaced and hashes.after(offset) == entry.beyond:
        return False
    if 0 < grown <= MOST_CLOSERS and hashes.after(offset + grown) == entry.after:
        return False if CLOSERS.issuperset(text[offset : offset + grown]) else None
    return None


def _begins_with(entry: Entry, typed: str) -> bool:
    """Whether what was shown, or else what was said, can be typed along like that."""
    if entry.completion is not None and entry.completion.text.startswith(typed):
        return True
    return entry.said is not None and entry.said.text.startswith(plain(typed))
