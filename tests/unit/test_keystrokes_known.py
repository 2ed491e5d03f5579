"""Answers that are known: what is typed as it was said, or gone back to, needs no engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.types import GenerationRequest, Source, Trigger
from tests.support.cursor import query_at, word_tokenizer
from tests.support.keystrokes import EAGER, QUIET, Neighbours, saying, serving, shown


async def test_what_was_doubtful_may_become_likely() -> None:
    """What the gate held back, and the user then types, needs no engine to go on."""
    engine = saying("fetch(url)\n", 0.01, 0.01, *[0.999] * 20)
    service = serving(engine)
    assert await service.complete(query_at("x = ¦\n")) is None
    assert len(engine.requests) == 1
    completion = await service.complete(query_at("x = fe¦\n"))
    assert shown(completion) == "tch(url)"
    assert completion is not None
    assert completion.source is Source.SAID
    assert len(engine.requests) == 1
    typed = await service.complete(query_at("x = fet¦\n"))
    assert (shown(typed), typed and typed.source) == ("ch(url)", Source.TYPED)


async def test_the_rest_of_a_doubtful_word_is_asked_for() -> None:
    """How likely it is now that its beginning was typed, only the model can tell."""
    tokenizer = word_tokenizer(["fetch"])

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, tokenizer, FAMILIES["causal"], "scripted")

    def answer(request: GenerationRequest) -> Sequence[int]:
        fresh = tokenizer.decode(request.prompt.tokens).endswith("= ")
        return tokenizer.encode("fetch(url)\n" if fresh or request.first_ids else "tch(url)\n")

    engine = ScriptedEngine(answer, log_probs=[math.log(0.05)] * 20)
    service = CompletionService(QUIET, open_model=open_model)
    assert await service.complete(query_at("x = ¦\n")) is None
    await service.complete(query_at("x = fe¦\n"))
    assert len(engine.requests) == 2
    await service.complete(query_at("x = fetch¦\n"))  # a whole word: that can be told
    assert len(engine.requests) == 2


async def test_going_back_and_on_again() -> None:
    """Typing something else and deleting it leads to what was known; so does partial accepting."""
    engine = saying("fetch(url)\n")
    service = serving(engine)
    assert shown(await service.complete(query_at("x = ¦\n"))) == "fetch(url)"
    await service.complete(query_at("x = q¦\n"))
    asked = len(engine.requests)
    back = await service.complete(query_at("x = ¦\n"))
    assert (shown(back), back and back.source) == ("fetch(url)", Source.CACHE)
    part = await service.complete(query_at("x = fetch¦\n"))
    assert (shown(part), part and part.source) == ("(url)", Source.TYPED)
    assert len(engine.requests) == asked


async def test_there_was_nothing_and_there_is_nothing() -> None:
    """A question that had no answer is not asked again, unless by the user."""
    engine = saying("fetch(url)\n", *[0.01] * 20)
    service = serving(engine)
    for _ in range(3):
        assert await service.complete(query_at("x = ¦\n")) is None
    assert len(engine.requests) == 1
    invoked = await service.complete(query_at("x = ¦\n", Trigger.INVOKED))
    assert shown(invoked) == "fetch(url)"  # said before, and now welcome
    assert len(engine.requests) == 1
    counts = service.statistics()
    assert (counts["cached"], counts["said"]) == (2, 1)


async def test_further_lines_are_there_when_the_first_is_accepted() -> None:
    """What was said beyond what was shown is not said again."""
    engine = saying("if a:\n        b()\n        c()\n\n\n", *[0.99] * 6, *[0.02] * 60)
    service = serving(engine)
    first = await service.complete(query_at("def f(a):\n    ¦\n"))
    assert first is not None
    asked = len(engine.requests)
    text = f"def f(a):\n    {first.text}¦\n"
    await service.complete(query_at(text))
    assert len(engine.requests) == asked


async def test_brackets_that_the_editor_closes() -> None:
    """The bracket that an editor puts behind the cursor is no news."""
    engine = saying("fetch(url) + 1\n")
    service = serving(engine)
    assert shown(await service.complete(query_at("x = ¦\n"))) == "fetch(url) + 1"
    completion = await service.complete(query_at("x = fetch(¦)\n"))
    assert shown(completion) == "url) + 1"
    assert completion is not None
    assert completion.end - completion.start == 1
    assert len(engine.requests) == 1


async def test_other_documents_count() -> None:
    """When another document was edited, the answer may be another one."""
    engine, neighbours = saying("value\n"), Neighbours()
    service = serving(engine, neighbours=neighbours)
    for edits, asked in ((0, 1), (0, 1), (1, 2), (1, 2)):
        neighbours.edits = edits
        assert shown(await service.complete(query_at("x = ¦\n"))) == "value"
        assert len(engine.requests) == asked


async def test_other_settings_count() -> None:
    """Nothing of what was answered by other settings is left."""
    engine = saying("value\n")
    service = serving(engine)
    await service.complete(query_at("x = ¦\n"))
    service.configure(EAGER)
    await service.complete(query_at("x = ¦\n"))
    assert len(engine.requests) == 2
