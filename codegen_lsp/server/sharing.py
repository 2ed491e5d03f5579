"""One model for several connections.

Each connection has a completion service of its own, which keeps one job at most inside its
engine. The engines they get here are leases on a common one: jobs of different connections wait
for each other, and the common engine is closed with its last lease; one that failed with the first
that is given back, so that nobody who does not ask keeps it from being opened anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

from codegen_lsp.config.settings import Settings, engine_part
from codegen_lsp.engines.base import Engine, EngineInfo
from codegen_lsp.errors import EngineError
from codegen_lsp.types import GenerationRequest, Prompt, Token

if TYPE_CHECKING:
    from codegen_lsp.completion.model import LoadedModel
    from codegen_lsp.completion.service import CompletionService
    from codegen_lsp.context.surroundings import Surroundings

__all__ = ["SharedModels"]

OpenModel = Callable[[Settings], Awaitable["LoadedModel"]]


@dataclasses.dataclass(slots=True)
class _Shared:
    model: LoadedModel
    turn: asyncio.Lock
    leases: int = 0
    failed: bool = False
    """Whether the engine failed at work: who gives it back then gives it back for all."""


class SharedModels:
    """Opens each model once, however many connections use it."""

    def __init__(self, open_model: OpenModel | None = None) -> None:
        self._open_model = open_model
        self._models: dict[tuple[object, ...], _Shared] = {}
        self._opening = asyncio.Lock()

    def service(self, settings: Settings, surroundings: Surroundings) -> CompletionService:
        """A completion service for one connection."""
        from codegen_lsp.completion.service import CompletionService  # late: not needed to start

        return CompletionService(settings, open_model=self.open, neighbours=surroundings)

    async def open(self, settings: Settings) -> LoadedModel:
        """The model that ``settings`` name, with an engine that is a lease.

        :raises CodegenError: the model cannot be opened.
        """
        key = engine_part(settings)
        async with self._opening:
            shared = self._models.get(key)
            if shared is None:
                shared = _Shared(await self._opener()(settings), asyncio.Lock())
                self._models[key] = shared
            shared.leases += 1
        return dataclasses.replace(
            shared.model, engine=_Lease(shared, lambda: self._end(key, shared))
        )

    def _opener(self) -> OpenModel:
        if self._open_model is None:
            from codegen_lsp.completion.model import open_model  # late: not needed to start

            self._open_model = open_model
        return self._open_model

    async def _end(self, key: tuple[object, ...], shared: _Shared) -> None:
        shared.leases -= 1
        if shared.leases and not shared.failed:
            return
        if self._models.get(key) is shared:  # who opens it now gets another one
            del self._models[key]
        await shared.model.engine.close()


class _Lease:
    """One connection's share of an engine."""

    def __init__(self, shared: _Shared, end: Callable[[], Awaitable[None]]) -> None:
        self._shared = shared
        self._engine: Engine = shared.model.engine
        self._turn = shared.turn
        self._end: Callable[[], Awaitable[None]] | None = end

    @property
    def info(self) -> EngineInfo:
        """What runs here."""
        return self._engine.info

    async def load(self) -> None:
        """Load the weights, unless another connection has."""
        async with self._turn:
            await self._engine.load()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Tokens, once the jobs of other connections are done."""
        async with self._turn, contextlib.aclosing(self._engine.generate(request)) as tokens:
            try:
                async for token in tokens:
                    yield token
            except EngineError:
                self._shared.failed = True
                raise

    def warm(self, prompt: Prompt) -> int:
        """What the common engine has read already."""
        return self._engine.warm(prompt)

    async def prewarm(self, prompt: Prompt) -> None:
        """Read ahead, once the jobs of other connections are done."""
        async with self._turn:
            await self._engine.prewarm(prompt)

    async def close(self) -> None:
        """Give the lease back."""
        end, self._end = self._end, None
        if end is not None:
            await end()
