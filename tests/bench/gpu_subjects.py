"""What is measured on a GPU, and how: a prompt that is read, one that is extended, and 24 tokens.

Knows the measurement and this project's own engine. The peer is in ``gpu_peer``; who is measured
when, and what is printed, in ``gpu``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from codegen_lsp.converters.shape import Shape
from codegen_lsp.engines.base import Engine
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.errors import GenerationError
from codegen_lsp.types import GenerationRequest, Prompt
from tests.bench.gpu_shapes import write_ct2

__all__ = [
    "ANCHORED",
    "LENGTH",
    "MORE",
    "NEW_TOKENS",
    "PLAIN",
    "Ct2Subject",
    "Sample",
    "Subject",
    "Text",
    "draw_text",
    "told",
]

LENGTH: Final = 1000
"""Tokens of a prompt."""

MORE: Final = 8
"""New tokens at its end."""

NEW_TOKENS: Final = 24
"""Tokens of an answer."""

TAIL: Final = 24
"""Tokens at the end of a prompt that the server does not call stable, and that are read anew."""

WIDEST: Final = 160
"""Characters of a failure in the table."""

PLAIN: Final = "no anchors"
ANCHORED: Final = "anchors"


@dataclass(frozen=True, slots=True)
class Text:
    """What is read in one round, the same for everybody."""

    ids: tuple[int, ...]
    """:data:`LENGTH` and :data:`MORE` token ids."""

    @property
    def first(self) -> tuple[int, ...]:
        """The prompt before it is extended."""
        return self.ids[:LENGTH]


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one subject. Milliseconds."""

    cold_ms: float
    """To the first token of a prompt never seen before."""

    warm_ms: float
    """To the first token, when the prompt has grown by :data:`MORE` tokens."""

    step_ms: float
    """From one token to the next after that, in the mean of the answer: some engines hand tokens
    over in bunches."""

    tokens: tuple[int, ...]
    """What was answered to the longer prompt."""


class Subject(Protocol):
    """Something that is measured. Calls come from one thread, :meth:`load` first."""

    @property
    def engine(self) -> str:
        """Its name in the table."""
        ...

    @property
    def kind(self) -> str:
        """The type it computes in."""
        ...

    @property
    def modes(self) -> tuple[str, ...]:
        """In which ways it is measured, each a line of the table."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """Why a mode is not measured, by mode; known once loaded."""
        ...

    def load(self) -> None:
        """Read the weights. Raises whatever its library raises."""
        ...

    def measure(self, text: Text) -> Mapping[str, Sample]:
        """One round, by mode, of those that can be measured. *text* was not measured before."""
        ...

    def close(self) -> None:
        """Free the memory."""
        ...


def draw_text(shape: Shape, number: int) -> Text:
    """The text of round *number*: random ids, end-of-text not among them."""
    rng = np.random.default_rng(number)
    return Text(tuple(int(i) for i in rng.integers(1, shape.vocab_size, LENGTH + MORE)))


def told(error: BaseException) -> str:
    """What a foreign library's *error* says, fit for a cell of a table."""
    text = " ".join(str(error).split()) or type(error).__name__
    return shorten(text.replace("|", "/"), WIDEST, placeholder=" …")


class Ct2Subject:
    """This project's CTranslate2 engine, with anchors and without, on the same weights."""

    engine = "CTranslate2"
    modes = (PLAIN, ANCHORED)
    notes: Mapping[str, str] = MappingProxyType({})

    def __init__(self, source: Path, spec: EngineSpec) -> None:
        """*source* is the Hugging Face folder from which the one that *spec* names is made."""
        self.kind = spec.compute_type
        self._source = source
        self._spec = spec
        self._runner = asyncio.Runner()
        self._engine: Engine | None = None

    @property
    def _loaded(self) -> Engine:
        if self._engine is None:
            raise GenerationError("the engine was not loaded")
        return self._engine

    def load(self) -> None:
        """Convert the weights to the type they are computed in, and open the model.

        :raises CodegenError: library, device, memory or room for files are missing.
        """
        write_ct2(self._source, self._spec.folder, self.kind)
        self._engine = create_engine("ct2", self._spec)
        self._runner.run(self._engine.load())

    def measure(self, text: Text) -> Mapping[str, Sample]:
        """Without anchors first: what is kept of a text serves whoever asks for it."""
        return {
            PLAIN: self._runner.run(self._sample(text, LENGTH + MORE)),
            ANCHORED: self._runner.run(self._sample(text, TAIL)),
        }

    async def _sample(self, text: Text, tail: int) -> Sample:
        """A prompt, then a longer one; in both what precedes the last *tail* tokens of the first
        is called stable, and is what the engine keeps."""
        stable = max(0, LENGTH - tail)
        cold, _ = await self._ask(Prompt(text.first[:stable], text.first[stable:]), 1)
        times, tokens = await self._ask(Prompt(text.ids[:stable], text.ids[stable:]), NEW_TOKENS)
        step = (times[-1] - times[0]) / (NEW_TOKENS - 1)
        return Sample(cold[0], times[0], step, tokens)

    async def _ask(
        self, prompt: Prompt, new_tokens: int
    ) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """When each token came, in milliseconds, and which it was."""
        times, tokens = [], []
        begin = time.perf_counter()
        async for token in self._loaded.generate(GenerationRequest(prompt, new_tokens)):
            times.append((time.perf_counter() - begin) * 1000)
            tokens.append(token.id)
        if len(tokens) != new_tokens:
            raise GenerationError(f"{len(tokens)} tokens came, {new_tokens} were asked for")
        return tuple(times), tuple(tokens)

    def close(self) -> None:
        """Close engine and event loop."""
        if self._engine is not None:
            self._runner.run(self._engine.close())
        self._engine = None
        self._runner.close()
