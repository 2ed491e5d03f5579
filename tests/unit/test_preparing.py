"""What is asked of a model, and begun before it is asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection

import pytest

from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.preparing import Preparer
from codegen_lsp.completion.worker import Worker
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.types import CompletionQuery, Snippet
from tests.support.cursor import query_at
from tests.support.keystrokes import TOKENIZER, Neighbours, settle

MODEL = LoadedModel(ScriptedEngine({}), TOKENIZER, FAMILIES["causal"], "scripted")
SETTINGS = Settings()


class Counting(Neighbours):
    """Says how often it was asked, and from when on it may answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        """None, once it may."""
        self.asked += 1
        self.go_on.wait(5)
        return ()


async def test_what_was_begun_is_not_done_again() -> None:
    """For the same request; it says what it would have said."""
    around = Counting()
    preparer, query = Preparer(around, Worker()), query_at("x = ¦\n")
    preparer.begin(query, MODEL, SETTINGS, 100)
    await settle()
    begun = await preparer.prepare(query, MODEL, SETTINGS, 100)
    assert around.asked == 1
    again = await preparer.prepare(query, MODEL, SETTINGS, 100)
    assert (around.asked, again) == (2, begun)
    preparer.close()


@pytest.mark.parametrize(
    ("code", "settings", "budget"),
    [
        ("y = ¦\n", SETTINGS, 100),
        ("x = ¦\n", Settings(suggestions="quiet"), 100),
        ("x = ¦\n", SETTINGS, 50),
    ],
)
async def test_what_was_begun_for_something_else(
    code: str, settings: Settings, budget: int
) -> None:
    """It is nothing to who asks otherwise, and ends."""
    around = Counting()
    preparer, query = Preparer(around, Worker()), query_at("x = ¦\n")
    around.go_on.clear()
    preparer.begin(query, MODEL, SETTINGS, 100)
    await settle()
    task = preparer._early.task if preparer._early else None
    around.go_on.set()
    other = query if code == "x = ¦\n" else query_at(code)
    asked = await preparer.prepare(other, MODEL, settings, budget)
    assert asked.context.prefix == other.snapshot.text[: other.offset]
    assert task is not None
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    preparer.close()


async def test_nobody_asked() -> None:
    """What was begun in vain ends, and fails in silence."""
    worker = Worker()
    preparer, query = Preparer(None, worker), query_at("x = ¦\n")
    preparer.begin(query, MODEL, SETTINGS, 100)
    preparer.drop()
    preparer.drop()
    assert preparer._early is None
    broken = LoadedModel(ScriptedEngine({}), TOKENIZER, None, "broken")  # type: ignore[arg-type]
    preparer.begin(query, broken, SETTINGS, 100)
    await settle()
    preparer.close()
    assert await worker.run(lambda: 1) == 1
    worker.close()
