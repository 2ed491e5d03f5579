"""The shared words: plain, frozen values that every layer speaks in.

Offsets are code-point offsets into ``Snapshot.text`` (Python string indices). Only ``server``
knows about lines, UTF-16 and LSP positions; only ``engines`` knows what a model is made of.
Nothing here does any work.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = [
    "Completion",
    "CompletionContext",
    "CompletionQuery",
    "GenerationRequest",
    "Kept",
    "Odds",
    "Origin",
    "Piece",
    "Prompt",
    "Sampling",
    "Snapshot",
    "Snippet",
    "Source",
    "Timings",
    "Token",
    "Trigger",
]


class Trigger(enum.Enum):
    """Why a completion was asked for."""

    AUTOMATIC = "automatic"
    """The user typed or moved; a doubtful suggestion is better not shown."""

    INVOKED = "invoked"
    """The user asked; any sensible suggestion is welcome and nothing is debounced."""


class Source(enum.Enum):
    """Where a completion came from (the word shown in logs, ``--json`` and benchmarks)."""

    TYPED = "typed"
    """What is left of a suggestion that was shown."""

    CACHE = "cache"
    """It was worked out before, for this place or ahead."""

    SAID = "said"
    """The model said it before, and now that more is known it is worth showing."""

    FLIGHT = "flight"
    """It was on its way for an earlier request."""

    WARM = "warm"
    """Of the model, which had read most of the prompt."""

    COLD = "cold"
    """Of the model, which had not."""

    COPY = "copy"
    """It stands elsewhere, word for word."""

    REMOTE = "remote"
    """Of a model on a server."""


class Origin(enum.Enum):
    """Why a snippet was chosen (the words of the setting ``contextSources`` and of ablations)."""

    OPEN = "open"
    """Similar code in a document that the user has open or edited recently."""

    IMPORTS = "imports"
    """What a module offers that the document imports."""

    DEFINITIONS = "definitions"
    """The definition of a name that stands near the cursor."""

    SIMILAR = "similar"
    """Similar code anywhere in the workspace."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of one document, taken when a request was dispatched."""

    uri: str
    """The document's URI, or its path for documents that no editor opened."""

    language_id: str
    """The LSP language identifier, for example ``python``; ``""`` if unknown."""

    text: str
    """The whole text, line ends as the editor has them."""

    version: int | None = None
    """The editor's version number, where there is one."""


@dataclass(frozen=True, slots=True)
class CompletionQuery:
    """A request for a completion at one offset of one snapshot."""

    snapshot: Snapshot

    offset: int
    """Cursor, a code-point offset with ``0 <= offset <= len(snapshot.text)``."""

    trigger: Trigger = Trigger.AUTOMATIC


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code from elsewhere that is put into a prompt."""

    path: str
    """Where it is from, as a reader of the prompt should see it: relative to the workspace."""

    language_id: str
    text: str
    """Whole lines, ``"\\n"`` only."""

    origin: Origin = Origin.SIMILAR


@dataclass(frozen=True, slots=True)
class Kept:
    """Lines of the document that a prompt begins with, where its prefix begins behind them."""

    offset: int
    """Where they begin, relative to the beginning of the prefix; negative before it."""

    text: str
    """Whole lines, ``"\\n"`` only: an import, the signature of an enclosing class or function."""

    opens: bool = False
    """Whether they open a block that the cursor is in."""


@dataclass(frozen=True, slots=True)
class CompletionContext:
    """What the model may see of the world around the cursor."""

    prefix: str
    """Text before the cursor, possibly cut on the left at a line start."""

    suffix: str
    """Text after the cursor, possibly cut on the right."""

    language_id: str = ""

    path: str = ""

    snippets: tuple[Snippet, ...] = ()

    starts_document: bool = True
    """Whether ``prefix`` begins where the document begins (nothing was cut on the left)."""

    line_end: str = "\n"
    """The line end the document mostly uses. ``prefix`` and ``suffix`` have ``"\\n"`` only."""

    comment: tuple[str, str] = ("# ", "")
    """What stands before and after a line that is to be a comment; ``#`` where the language has
    none."""

    cuts: tuple[int, ...] = ()
    """Offsets into ``prefix`` at which a definition or a top-level statement begins, ascending:
    where a prompt that has no room for all of it begins best."""

    kept: tuple[Kept, ...] = ()
    """What of the document must survive a cut, in its order."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids for an engine: a stable part that seldom changes, then the volatile tail."""

    stable: tuple[int, ...]

    tail: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.stable) + len(self.tail)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The whole prompt."""
        return self.stable + self.tail


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. The default is greedy, which is deterministic."""

    temperature: float = 0.0
    """0 is greedy."""

    top_p: float = 1.0
    top_k: int = 0
    """0 means no limit."""

    seed: int | None = None
    """Same seed, same request, same engine: same tokens. ``None`` draws a fresh one."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One job for an engine."""

    prompt: Prompt

    max_new_tokens: int
    """At least 1."""

    sampling: Sampling = Sampling()

    stop_ids: tuple[int, ...] = ()
    """Token ids that end the answer, beside the model's own end-of-text; never yielded."""

    first_ids: tuple[int, ...] = ()
    """The first token should be the likeliest of these; empty: any. A wish: an engine that
    cannot choose may ignore it, and callers look at what they get."""

    answer_prefix: tuple[int, ...] = ()
    """Tokens the answer begins with that are given, not generated, and never yielded; for
    encoder-decoders, ignored by others."""

    odds: int = 0
    """Of how many tokens, the first ones, the odds are wanted, too. A wish, like the above."""


class Odds(Protocol):
    """How likely other tokens were at one step of an answer, as far as that is known."""

    def among(self, ids: Sequence[int]) -> tuple[float, float] | None:
        """Log-probabilities (natural): of any of *ids* (at least one), and of the likeliest.

        ``None`` where the engine told too little of them: then only the engine can be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token."""

    id: int

    log_prob: float | None = None
    """Natural logarithm of the probability the model gave this token, where known."""

    text: str | None = None
    """Only from engines that answer in text; else the model's tokenizer decodes ``id``."""

    odds: Odds | None = field(default=None, compare=False, repr=False)
    """From engines that were asked for it and know it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The text that one token brought, and how likely the model held the token."""

    text: str
    """Empty where the token ends within a character, or belongs to what stands there already."""

    log_prob: float | None = None
    """Natural logarithm, where the engine gives it."""

    given: str = ""
    """What of the token stands before ``text`` in the document already."""

    odds: Odds | None = field(default=None, compare=False, repr=False)
    """How likely other tokens were, where that is known."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one completion went, in milliseconds."""

    queue_ms: float = 0.0
    """Waiting for the engine (and, the first time, for the model to load)."""

    first_token_ms: float = 0.0
    """From entering the engine to its first token."""

    total_ms: float = 0.0
    """From the query to the completion."""

    prompt_tokens: int = 0
    warm_tokens: int = 0
    """Those of the prompt that had been read before."""

    new_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A suggestion: replace ``text[start:end]`` of the snapshot by ``text``."""

    text: str
    """Never empty."""

    start: int
    """Code-point offset; ``start <= offset <= end``, all on the cursor's line."""

    end: int

    source: Source
    model: str

    log_prob: float | None = None
    """Mean log-probability per token (natural logarithm), where the engine gives it."""

    confidence: float | None = None
    """How likely the first line is right, between 0 and 1, where that can be said."""

    pieces: tuple[Piece, ...] = ()
    """What ``text`` was made of, as far as it came from the model."""

    timings: Timings = field(default_factory=Timings)
