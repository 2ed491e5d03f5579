"""The real server with its model, which also writes every prompt that the model reads to a file.

The file is named by the variable ``SPIED_PROMPTS``; one JSON string in each line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

from codegen_lsp.cli.main import main
from codegen_lsp.completion import model
from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.config.settings import Settings
from codegen_lsp.models.store import ModelFolder
from codegen_lsp.types import GenerationRequest, Token


class Spy:
    """An engine, and somebody who reads along."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loaded.engine, name)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """What the engine says, once the prompt is written down."""
        prompt = self._loaded.tokenizer.render(request.prompt.tokens)
        _note(prompt)
        stream = self._loaded.engine.generate(request)
        try:
            async for token in stream:
                yield token
        finally:
            await stream.aclose()


def _note(prompt: str) -> None:
    with Path(os.environ["SPIED_PROMPTS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(prompt) + "\n")


def spy() -> None:
    """From now on every model that is opened is read along with."""
    load = model._load

    async def spied(folder: ModelFolder, settings: Settings) -> LoadedModel:
        loaded = await load(folder, settings)
        return replace(loaded, engine=Spy(loaded))

    model._load = spied


if __name__ == "__main__":
    spy()
    sys.exit(main())
