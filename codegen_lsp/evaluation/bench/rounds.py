"""One round of measurements on one engine: what a keystroke is made of.

Knows prompts of token ids and clocks. Texts come from ``texts``; which engines there are, and how
often each is measured, are ``subjects``' and ``speed``'s affairs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from codegen_lsp.engines.base import Engine
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["EXTENSIONS", "NEW_TOKENS", "Lengths", "Texts", "lengths_for", "measure_round"]

NEW_TOKENS: Final = 24
"""Tokens of an answer: a line or two."""

EXTENSIONS: Final = (8, 16)
"""New tokens at the end of a prompt that was read before."""

SHORT: Final = 8
"""Tokens of a prompt that is as good as none: CTranslate2 wants some."""

CANCELLED_AFTER: Final = 3

TAIL: Final = 24
"""Tokens at the end of a prompt that are not called stable, as in the server's prompts."""

ROOM: Final = 48
"""Tokens of context that a measurement leaves to answers and extensions."""

FEWEST: Final = 8
"""An answer with fewer tokens says nothing about decoding."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of context at which is measured, as far as a model's context allows."""

    prefill: int = 512
    middle: int = 500
    base: int = 1000
    long: int = 1500

    @property
    def most(self) -> int:
        """Tokens that one round needs of one text."""
        return max(self.prefill, self.base + max(EXTENSIONS), self.long)


@dataclass(frozen=True, slots=True)
class Texts:
    """The token ids that one round reads, the same for every engine."""

    prose: tuple[int, ...]
    """Ordinary code, at least :attr:`Lengths.most` tokens."""

    repetitive: tuple[int, ...]
    """Code that goes on as it began."""


@dataclass(frozen=True, slots=True)
class Run:
    """One generation, in milliseconds from its beginning."""

    first_ms: float
    last_ms: float
    tokens: int

    @property
    def per_token_ms(self) -> float | None:
        """From one token to the next; ``None`` where the answer was too short to say."""
        if self.tokens < FEWEST:
            return None
        return (self.last_ms - self.first_ms) / (self.tokens - 1)


def lengths_for(context_length: int, *, quick: bool = False) -> Lengths:
    """What can be measured in so much context."""
    room = context_length - ROOM
    wanted = Lengths()
    long = wanted.base if quick else wanted.long
    return Lengths(
        prefill=min(wanted.prefill, room),
        middle=min(wanted.middle, room),
        base=min(wanted.base, room),
        long=min(long, room),
    )


async def measure_round(engine: Engine, texts: Texts, lengths: Lengths) -> Mapping[str, float]:
    """Every measure that this round brought, by its name; an answer that ended early has none."""
    found: dict[str, float | None] = {}
    await _decoding(engine, texts.prose, lengths, found)
    await _extending(engine, texts.prose, lengths, found)
    await _repeating(engine, texts.repetitive, found)
    await _cancelling(engine, texts.prose, lengths, found)
    return {name: value for name, value in found.items() if value is not None}


async def _decoding(
    engine: Engine, prose: Sequence[int], lengths: Lengths, found: dict[str, float | None]
) -> None:
    """Speed of writing by context, and of reading; the shortest context first."""
    none = await run(engine, _prompt(prose[-SHORT:]))
    found["decode_ms_0"] = none.per_token_ms
    cold = await run(engine, _prompt(prose[: lengths.prefill]))
    step = cold.per_token_ms
    found[f"decode_ms_{lengths.middle}"] = step
    # The first token costs the prompt and one step.
    reading = cold.first_ms - (step or 0.0)
    found["prefill_tokens_per_s"] = lengths.prefill / max(reading, 1e-3) * 1000
    if lengths.long > lengths.base:
        far = await run(engine, _prompt(prose[: lengths.long]))
        found[f"decode_ms_{lengths.long}"] = far.per_token_ms


async def _extending(
    engine: Engine, prose: Sequence[int], lengths: Lengths, found: dict[str, float | None]
) -> None:
    """What a few more tokens cost when everything before them was read already."""
    stable = lengths.base - TAIL
    for more in EXTENSIONS:
        await run(engine, _prompt(prose[: lengths.base], stable), 1)
        warm = await run(engine, _prompt(prose[: lengths.base + more], stable))
        found[f"extend_{more}_first_ms"] = warm.first_ms
        found[f"extend_{more}_ms"] = _whole(warm)
        if more == EXTENSIONS[0] and lengths.long <= lengths.base:
            found[f"decode_ms_{lengths.base}"] = warm.per_token_ms


async def _repeating(engine: Engine, text: Sequence[int], found: dict[str, float | None]) -> None:
    """Code that repeats itself, everything but the last tokens read before."""
    stable = max(0, len(text) - TAIL)
    await run(engine, _prompt(text[: -EXTENSIONS[0]], stable), 1)
    warm = await run(engine, _prompt(text, stable))
    found["repetitive_ms"] = warm.last_ms  # drafts come in bunches: tokens are not counted


async def _cancelling(
    engine: Engine, prose: Sequence[int], lengths: Lengths, found: dict[str, float | None]
) -> None:
    """From giving up an answer to the engine being free, and to the next one's first token."""
    stable = lengths.base - TAIL
    tokens = engine.generate(GenerationRequest(_prompt(prose[: lengths.base], stable), NEW_TOKENS))
    count = 0
    async with contextlib.aclosing(tokens):
        async for _ in tokens:
            count += 1
            if count == CANCELLED_AFTER:
                break
        begin = time.perf_counter()
    free = (time.perf_counter() - begin) * 1000
    after = await run(engine, _prompt(prose[: lengths.base + 1], stable), 1)
    found["cancel_ms"] = free
    found["cancel_to_first_ms"] = free + after.first_ms


async def run(engine: Engine, prompt: Prompt, new_tokens: int = NEW_TOKENS) -> Run:
    """One generation to its end."""
    request = GenerationRequest(prompt, new_tokens)
    tokens: AsyncGenerator[Token, None] = engine.generate(request)
    begin = time.perf_counter()
    first = last = begin
    count = 0
    async for _ in tokens:
        last = time.perf_counter()
        count += 1
        if count == 1:
            first = last
    return Run((first - begin) * 1000, (last - begin) * 1000, count)


def _whole(one: Run) -> float | None:
    """Milliseconds to the last token, if none is missing."""
    return one.last_ms if one.tokens == NEW_TOKENS else None


def _prompt(tokens: Sequence[int], stable: int | None = None) -> Prompt:
    """A prompt whose first *stable* tokens will stay; without that, all but the last few."""
    cut = max(0, len(tokens) - TAIL) if stable is None else stable
    return Prompt(tuple(tokens[:cut]), tuple(tokens[cut:]))
