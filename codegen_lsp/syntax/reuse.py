"""Reuse: the tree of a text made from that of an earlier text that begins alike.

From one keystroke to the next, and from one attempt to the next to end the same code, texts differ
in their last characters. A parser that is told so keeps the tree of what stands before them, and so
do those who look for something in all of it (:attr:`Parsed.earlier`).

*The tree is the one that the text has without an earlier one.* Of an earlier tree only that part is
used which stands before the first difference, and which is the beginning of a text without errors:
which way a parser goes around an error depends on what it is given at once, and what a word behind
a difference is to it (a type, a name) may depend on what stands before. Only a text that costs
nearly too much to be parsed may be given up without an earlier one, and not with.

Knows texts, trees and edits; does not know what they mean.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

__all__ = ["Base", "Earlier", "Parsed", "Recent"]

REMEMBERED: Final = 8
"""Trees of a thread; a request makes a few, and those of the next begin like them."""

LONGEST: Final = 60_000
"""Characters of a text whose tree is remembered; a tree takes some twenty times as many bytes."""


class Earlier(NamedTuple):
    """What was found in an earlier tree, and how much of that holds."""

    found: dict[str, Any]
    until: int
    """The nodes around characters before this offset are the same in both trees."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text and its syntax tree; the tree's byte offsets are offsets into the text."""

    text: str
    grammar: str
    """Key of :data:`grammars.GRAMMARS`."""

    root: Node

    earlier: Earlier | None = field(default=None, compare=False, repr=False)
    """What is known of an earlier text that begins alike."""

    found: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was looked for in all of the tree, by who looked for it."""

    def of(self, node: Node) -> str:
        """The text of *node*."""
        return self.text[node.start_byte : node.end_byte]


class _Known(NamedTuple):
    source: bytes
    tree: Tree
    clean: int
    """So many bytes at the beginning are those of a text in which there is no error."""

    parsed: Parsed


@dataclass(frozen=True, slots=True)
class Base:
    """An earlier tree, told what is different now."""

    tree: Tree
    same: int
    """So many characters at the beginning are the same, and right."""

    parsed: Parsed

    def earlier(self, tree: Tree, key: str) -> Earlier | None:
        """What holds in *tree*, made from this one, of what was found as *key* before."""
        changed = [one.start_byte for one in self.tree.changed_ranges(tree)]
        until = min(self.same, *changed) if changed else self.same
        if key in self.parsed.found:
            return Earlier(self.parsed.found, until)
        before = self.parsed.earlier
        return None if before is None else Earlier(before.found, min(before.until, until))


class Recent:
    """The last trees. Belongs to one thread."""

    def __init__(self) -> None:
        self._known: deque[_Known] = deque(maxlen=REMEMBERED)

    def same(self, text: str, grammar: str) -> Parsed | None:
        """The tree of this very text."""
        for one in self._known:
            if one.parsed.text == text and one.parsed.grammar == grammar:
                return one.parsed
        return None

    def base(self, source: bytes, grammar: str) -> Base | None:
        """The tree of the text that begins most like *source*, if half of it is the same."""
        old, same = None, -1
        for one in reversed(self._known) if len(source) <= LONGEST else ():
            least = same + 1
            if one.clean < least or one.parsed.grammar != grammar:
                continue
            if source.startswith(one.source[:least]):
                start = min(one.clean, _same_start(one.source, source))
                old, same = (one, start) if start > same else (old, same)
        if old is None or 2 * same < len(source):
            return None
        tree = old.tree.copy()
        ends = len(old.source), len(source)
        points = _point(source, same), _point(old.source, ends[0]), _point(source, ends[1])
        tree.edit(same, *ends, *points)
        return Base(tree, same, old.parsed)

    def remember(self, source: bytes, tree: Tree, parsed: Parsed, base: Base | None) -> None:
        """*tree* is that of *source*, which stands for the text of *parsed*; made from *base*."""
        if len(source) > LONGEST:
            return
        clean = 0 if base is None else base.same
        if not tree.root_node.has_error:
            clean = len(source)
        self._known.append(_Known(source, tree, clean, parsed))


def _same_start(one: bytes, other: bytes) -> int:
    """How many bytes at the beginning are the same."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(source: bytes, offset: int) -> tuple[int, int]:
    """Row and column, from 0."""
    return source.count(b"\n", 0, offset), offset - source.rfind(b"\n", 0, offset) - 1
