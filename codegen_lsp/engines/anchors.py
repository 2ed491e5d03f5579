"""Anchors: beginnings of prompts that an engine has read and keeps.

Knows which beginnings are kept, which one a prompt should be read from, what they cost and how
much they may cost. Does not know the engine: whoever reads tells it here, and whoever forgets
forgets everything at once, because CTranslate2 cannot forget one.

*When a new one is read.* An anchor serves while one types behind it; each request reads what lies
between it and the cursor, so the further one types the dearer each answer is. A new anchor costs a
reading of the whole prompt. With a request every few tokens, the sum of both is smallest at about
the square root of eight times the prompt's length: a hundred tokens for a prompt of a thousand.
Whoever reads ahead, while nobody waits, reads anew earlier.
"""

from __future__ import annotations

from typing import Final

from codegen_lsp.types import Prompt

__all__ = ["AHEAD", "MEBIBYTE", "SHORTEST", "SLACK", "Anchors", "capacity_of"]

SHORTEST: Final = 32
"""Reading fewer tokens costs no more than fetching them does."""

SLACK: Final = 112
"""An anchor serves while the stable part of a prompt is at most so many tokens longer."""

AHEAD: Final = 48
"""The same for whoever reads ahead."""

MEBIBYTE: Final = 1 << 20

_SHARE: Final = 16
_LEAST: Final = 128 * MEBIBYTE
_MOST: Final = 1024 * MEBIBYTE
_AVAILABLE_SHARE: Final = 4
_CONTEXTS: Final = 8


def capacity_of(asked: int, memory: int, available: int, context: int = 0) -> int:
    """Most bytes that anchors may take.

    *asked* MiB; where that is 0, a sixteenth of the machine's *memory* (bytes), at least 128 MiB
    and at most one GiB, never more than a quarter of what is *available* now (bytes), nor than
    eight times what a full *context* takes (bytes; 0: unknown): small models are to stay small.
    """
    if asked:
        return asked * MEBIBYTE
    most = min(memory // _SHARE, _MOST, _CONTEXTS * context or _MOST)
    return min(max(_LEAST, most), available // _AVAILABLE_SHARE)


class Anchors:
    """What one loaded model has read. One thread changes it at a time; any may look."""

    def __init__(self, token_bytes: int, capacity: int) -> None:
        """*token_bytes* are kept for each token; where that is 0, nothing is to be kept."""
        self._token_bytes = token_bytes
        self._capacity = capacity
        self._kept: tuple[tuple[int, ...], ...] = ()
        """Longest first. Replaced, never changed: the event loop looks while a job adds."""
        self._newest: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._token_bytes * sum(map(len, self._kept))

    @property
    def newest(self) -> tuple[int, ...]:
        """The anchor that served last; empty where there is none."""
        return self._newest

    @property
    def crowded(self) -> bool:
        """Whether everything should be forgotten as soon as nobody waits."""
        return self.size > self._capacity

    def bursts(self, anchor: tuple[int, ...]) -> bool:
        """Whether everything must be forgotten before *anchor* is read."""
        if anchor in self._kept:
            return False
        return 2 * (self.size + self._token_bytes * len(anchor)) > 3 * self._capacity

    def choose(self, prompt: Prompt, slack: int = SLACK) -> tuple[int, ...]:
        """The beginning of *prompt* to read it from: one that is kept, else its stable part.

        Shorter than the prompt; empty where keeping would not pay or would take too much memory.
        """
        kept = self._longest(prompt.tokens)
        if kept and len(prompt.stable) - len(kept) <= slack:
            return kept
        return prompt.stable if self._pays(prompt) else kept

    def warm(self, prompt: Prompt) -> int:
        """How many tokens of *prompt* need not be read if it is read now."""
        chosen = self.choose(prompt)
        return len(chosen) if chosen in self._kept else 0

    def unread(self, prompt: Prompt, slack: int) -> bool:
        """Whether :meth:`choose` gives something that would have to be read."""
        chosen = self.choose(prompt, slack)
        return chosen != () and chosen not in self._kept

    def add(self, anchor: tuple[int, ...]) -> None:
        """*anchor* has been read, or has served; nothing happens where it is empty."""
        if not anchor:
            return
        self._newest = anchor
        if anchor not in self._kept:
            self._kept = tuple(sorted((*self._kept, anchor), key=len, reverse=True))

    def forget(self) -> None:
        """Nothing is kept any more."""
        self._kept, self._newest = (), ()

    def _pays(self, prompt: Prompt) -> bool:
        length = len(prompt.stable)
        fits = 0 < self._token_bytes * length <= self._capacity
        return fits and length >= SHORTEST and prompt.tail != ()

    def _longest(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """The longest anchor that *tokens* go on from; empty where there is none."""
        for anchor in self._kept:
            length = len(anchor)
            # Anchors of one document begin alike: their ends tell them apart sooner.
            alike = length < len(tokens) and anchor[-1] == tokens[length - 1]
            if alike and tokens[:length] == anchor:
                return anchor
        return ()
