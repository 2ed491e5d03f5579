"""A completion service with a scripted engine, for what happens from key to key."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Collection

from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.copies import Text
from codegen_lsp.context.copies_texts import Searched
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.types import Completion, CompletionQuery, GenerationRequest, Snippet, Token
from tests.support.cursor import says, word_tokenizer

TOKENIZER = word_tokenizer()
"""Every byte is a token, so that nothing is healed."""
QUIET = Settings(prefetch=False)
"""Nothing but what is asked for."""
EAGER = Settings(prefetch=False, suggestions="eager")


ELSEWHERE = """
def first(rows):
    for row in rows:
        connection.execute(INSERT_ROW, row.values())

def second(rows):
    for row in rows:
        connection.execute(INSERT_ROW, row.values())
"""


class Neighbours:
    """Nothing is around; documents are edited."""

    def __init__(self) -> None:
        self.edits = 0
        self.broken = False

    def prepare(self, query: CompletionQuery) -> None:
        """Nothing to prepare."""

    def snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        """Nothing to find."""
        return ()

    def texts(self, query: CompletionQuery) -> Searched:
        """The document itself, and one that says the same three times."""
        if self.broken:
            raise OSError
        own = Text("a.py", query.snapshot.text)
        return Searched((own, Text("b.py", ELSEWHERE, 1)), query.offset)

    def stamp(self, uri: str) -> int:
        """How many edits there were."""
        return self.edits

    def forget(self, uri: str) -> None:
        """Nothing to forget."""


def serving(
    engine: ScriptedEngine,
    settings: Settings = QUIET,
    *,
    neighbours: Neighbours | None = None,
    parameters: int = 0,
    far: ScriptedEngine | None = None,
) -> CompletionService:
    """A service whose model is *engine*, and whose server's is *far*."""

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, TOKENIZER, FAMILIES["causal"], "scripted", parameters)

    async def open_remote(_: Settings) -> LoadedModel:
        assert far is not None, "no server is to be asked"
        await far.load()
        return LoadedModel(far, TOKENIZER, FAMILIES["causal"], "far", 0)

    return CompletionService(
        settings, open_model=open_model, open_remote=open_remote, neighbours=neighbours
    )


def saying(text: str, *likely: float, gate: asyncio.Event | None = None) -> ScriptedEngine:
    """An engine that says *text*, with these probabilities of its tokens."""
    return ScriptedEngine(says(TOKENIZER, text), log_probs=[math.log(p) for p in likely], gate=gate)


def shown(completion: Completion | None) -> str | None:
    return None if completion is None else completion.text


async def settle() -> None:
    """Let everything run that can, threads too."""
    for _ in range(30):
        await asyncio.sleep(0.001)


class Halting(ScriptedEngine):
    """Says a few tokens, then waits until it may go on."""

    def __init__(self, text: str, halt: int) -> None:
        self.go_on = asyncio.Event()
        super().__init__(says(TOKENIZER, text))
        self._halt = halt

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Halts before the token of that number."""
        count = 0
        stream = super().generate(request)
        try:
            async for token in stream:
                if count == self._halt:
                    await self.go_on.wait()
                count += 1
                yield token
        finally:
            await stream.aclose()
