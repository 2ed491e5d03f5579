"""A remote engine, a server for it to ask, and what passes between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from codegen_lsp.engines.remote import RemoteEngine
from codegen_lsp.engines.remote_access import Server
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.types import GenerationRequest, Prompt, Token
from tests.support.cursor import says, word_tokenizer
from tests.support.remote_server import RemoteServer, Spelling

WORDS = word_tokenizer(["return", " total", " rows", "for", "self"])


def request(text: str = "def f():", n: int = 16) -> GenerationRequest:
    ids = [WORDS.eos_id, *WORDS.encode(text)]
    return GenerationRequest(Prompt(tuple(ids), ()), n, stop_ids=(WORDS.eos_id,))


def text_of(tokens: list[Token]) -> str:
    return "".join(
        WORDS.decode([token.id]) if token.text is None else token.text for token in tokens
    )


def server_of(said: str = "return total", **more: Any) -> RemoteServer:
    engine = more.pop("engine", None) or ScriptedEngine(
        says(WORDS, said), log_probs=more.pop("log_probs", ())
    )
    return RemoteServer(engine, more.pop("tokenizer", WORDS), **more)


@asynccontextmanager
async def engine_at(url: str, **more: Any) -> AsyncIterator[RemoteEngine]:
    length = more.pop("length", 2048)
    server = Server(url, **{"speller": Spelling(WORDS), "deadline": 5.0, **more})
    engine = RemoteEngine(EngineSpec(Path(), "tiny", length, server=server))
    try:
        yield engine
    finally:
        await engine.close()


async def answer(engine: RemoteEngine, asked: GenerationRequest) -> list[Token]:
    return [token async for token in engine.generate(asked)]
