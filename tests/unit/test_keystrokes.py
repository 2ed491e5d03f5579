"""What happens from key to key: who answers, and what the engine is spared."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence

import pytest

from codegen_lsp.completion.flight import GRACE_SECONDS
from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.completion.service import AHEAD_SECONDS, REST_SECONDS, CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.copies import Text
from codegen_lsp.context.copies_texts import Searched
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import GenerationError
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.types import (
    Completion,
    CompletionQuery,
    GenerationRequest,
    Snippet,
    Source,
    Trigger,
)
from tests.support.cursor import query_at, says, word_tokenizer

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
) -> CompletionService:
    """A service whose model is *engine*."""

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, TOKENIZER, FAMILIES["causal"], "scripted", parameters)

    return CompletionService(settings, open_model=open_model, neighbours=neighbours)


def saying(text: str, *likely: float, gate: asyncio.Event | None = None) -> ScriptedEngine:
    """An engine that says *text*, with these probabilities of its tokens."""
    return ScriptedEngine(says(TOKENIZER, text), log_probs=[math.log(p) for p in likely], gate=gate)


def shown(completion: Completion | None) -> str | None:
    return None if completion is None else completion.text


async def settle() -> None:
    """Let everything run that can, threads too."""
    for _ in range(30):
        await asyncio.sleep(0.001)


async def test_what_was_doubtful_may_become_likely() -> None:
    """What the gate held back, and the user then types, needs no engine to go on."""
    engine = saying("fetch(url)\n", 0.01, 0.01, *[0.999] * 20)
    service = serving(engine)
    assert await service.complete(query_at("x = ¦\n")) is None
    assert len(engine.requests) == 1
    completion = await service.complete(query_at("x = fe¦\n"))
    assert shown(completion) == "tch(url)"
    assert completion is not None
    assert completion.source is Source.CACHE
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
    assert service.statistics()["cached"] == 3


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


class Halting(ScriptedEngine):
    """Says a few tokens, then waits until it may go on."""

    def __init__(self, text: str, halt: int) -> None:
        self.go_on = asyncio.Event()
        super().__init__(says(TOKENIZER, text))
        self._halt = halt

    async def generate(self, request: GenerationRequest):  # type: ignore[no-untyped-def] # noqa: ANN201
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


@pytest.mark.parametrize("halt", [0, 1, 3])
async def test_an_answer_on_its_way_is_waited_for(halt: int) -> None:
    """Who types what the model is writing, or may be about to, joins; the engine goes on."""
    engine = Halting("fetch(url)\n", halt)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    second = asyncio.ensure_future(service.complete(query_at("x = f¦\n")))
    await settle()
    third = asyncio.ensure_future(service.complete(query_at("x = fe¦\n")))
    await settle()
    engine.go_on.set()
    completion = await third
    assert (shown(completion), completion and completion.source) == ("tch(url)", Source.FLIGHT)
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Superseded)
    assert isinstance((await asyncio.gather(second, return_exceptions=True))[0], Superseded)
    assert (len(engine.requests), engine.cancelled) == (1, 1)  # stopped once, when it was whole
    assert service.statistics()["joined"] == 1


@pytest.mark.parametrize("halt", [0, 2])
async def test_an_answer_that_turns_out_otherwise_ends(halt: int) -> None:
    """As soon as it says something else than what is typed, the engine is asked anew."""
    engine = Halting("fetch(url)\n", halt)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    second = asyncio.ensure_future(service.complete(query_at("x = q¦\n")))
    await settle()
    if halt:
        assert len(engine.requests) == 2  # already known to be something else
    engine.go_on.set()
    assert shown(await second) == "fetch(url)"
    assert len(engine.requests) == 2
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Superseded)


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_cancelled_and_asked_again(cancel_first: bool) -> None:
    """Editors cancel one request and send the next, in either order; nothing is lost."""
    engine = Halting("fetch(url)\n", 2)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    if cancel_first:
        first.cancel()
        await settle()
    second = asyncio.ensure_future(service.complete(query_at("x = f¦\n")))
    await settle()
    first.cancel()
    engine.go_on.set()
    assert shown(await second) == "etch(url)"
    assert len(engine.requests) == 1


async def test_who_cancels_and_leaves_frees_the_engine() -> None:
    """An answer that nobody waits for any more ends."""
    engine = Halting("fetch(url)\n", 2)
    service = serving(engine)
    first = asyncio.ensure_future(service.complete(query_at("x = ¦\n")))
    await settle()
    first.cancel()
    await asyncio.sleep(GRACE_SECONDS + 0.05)
    assert engine.cancelled == 1


async def test_what_follows_is_computed_while_one_looks() -> None:
    """Accepting, and beginning the next line, leads to an answer that is there."""
    engine = saying("fetch(url)\n")
    service = serving(engine, Settings(suggestions="eager"))
    assert shown(await service.complete(query_at("def f():\n    a = ¦\n"))) == "fetch(url)"
    await asyncio.sleep(AHEAD_SECONDS + 0.1)
    assert (len(engine.requests), service.statistics()["ahead"]) == (2, 1)
    assert await service.complete(query_at("def f():\n    a = fetch(url)¦\n")) is None
    there = await service.complete(query_at("def f():\n    a = fetch(url)\n    ¦\n"))
    assert (shown(there), there and there.source) == ("fetch(url)", Source.CACHE)
    assert len(engine.requests) == 2
    await service.close()


async def test_what_there_was_no_time_for_is_said_meanwhile() -> None:
    """An answer that was cut short goes on while it is looked at."""
    engine = ScriptedEngine(
        lambda request: TOKENIZER.encode(
            "call(a1, b2, c3, d4, e5, f6)\n"[len(request.prompt) - len("\0a = ") :]
        )
    )
    settings = Settings(suggestions="eager", deadline=1)
    service = serving(engine, settings, parameters=350_000_000)
    first = await service.complete(query_at("a = ¦\n"))
    assert shown(first) is not None
    assert first is not None
    assert len(first.text) <= 8
    await asyncio.sleep(AHEAD_SECONDS + 0.1)
    assert len(engine.requests) == 2
    there = await service.complete(query_at(f"a = {first.text}¦\n"))
    assert (len(engine.requests), there and there.source) == (2, Source.CACHE)
    await service.close()


async def test_what_runs_ahead_leaves_for_who_asks() -> None:
    """Looking ahead never makes anybody wait; where it was right, it is waited for."""
    for code, requests in (("a = fetch(url)\n¦\n", 2), ("a = fetch(url)\nq = ¦\n", 3)):
        engine = Halting("fetch(url)\n", 2)
        engine.go_on.set()
        service = serving(engine, Settings(suggestions="eager"))
        assert shown(await service.complete(query_at("a = ¦\n"))) == "fetch(url)"
        engine.go_on.clear()
        await asyncio.sleep(AHEAD_SECONDS + 0.1)
        assert len(engine.requests) == 2
        asked = asyncio.ensure_future(service.complete(query_at(code)))
        await settle()
        engine.go_on.set()
        assert shown(await asked) == "fetch(url)"
        assert service.statistics()["joined"] == 3 - requests
        assert len(engine.requests) == requests
        await service.close()


async def test_a_storm_of_requests() -> None:
    """Fifty requests at once: one answer, and hardly a job."""
    engine = saying("value\n")
    service = serving(engine)
    line = "x" * 50
    tasks = [
        asyncio.ensure_future(service.complete(query_at(f"{line[: n + 1]}¦\n"))) for n in range(50)
    ]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in results[:-1]} == {Superseded}
    assert isinstance(results[-1], Completion)
    assert len(engine.requests) <= 2
    assert service.statistics()["superseded"] == 49


async def test_failures_are_everybodys() -> None:
    """Who joined an answer that fails is told; the next request is asked anew."""

    def fail(_: GenerationRequest) -> Sequence[int]:
        raise GenerationError("no")

    engine = ScriptedEngine(fail)
    service = serving(engine)
    for _ in range(2):
        with pytest.raises(GenerationError):
            await service.complete(query_at("x = ¦\n"))
    assert len(engine.requests) == 2


COPYING = "def third(rows):\n    for row in rows:\n        connection.execute(¦\n"


async def test_what_stands_elsewhere_needs_no_model() -> None:
    """It is there at once, goes on while it is typed, and is not what was asked for explicitly."""
    engine, neighbours = saying("value\n"), Neighbours()
    service = serving(engine, neighbours=neighbours)
    completion = await service.complete(query_at(COPYING))
    assert (shown(completion), completion and completion.source) == (
        "INSERT_ROW, row.values())",
        Source.COPY,
    )
    typed = await service.complete(query_at(COPYING.replace("¦", "INS¦")))
    assert (shown(typed), typed and typed.source) == ("ERT_ROW, row.values())", Source.TYPED)
    assert (engine.requests, service.statistics()["copied"]) == ([], 1)
    asked = await service.complete(query_at(COPYING, Trigger.INVOKED))
    assert shown(asked) == "value"


@pytest.mark.parametrize("broken", [True, False])
async def test_without_copies(broken: bool) -> None:
    """Where they are not wanted, or cannot be looked for, the model is asked."""
    engine, neighbours = saying("value\n"), Neighbours()
    neighbours.broken = broken
    settings = QUIET if broken else Settings(prefetch=False, copies=False)
    service = serving(engine, settings, neighbours=neighbours)
    assert shown(await service.complete(query_at(COPYING))) == "value"


LONG = "".join(f"a{i} = b{i}\n" for i in range(200))


@pytest.mark.parametrize(
    ("deadline", "whole"), [(0, True), (60_000, True), (400, False), (1, False)]
)
async def test_requests_are_sized_by_the_clock(deadline: int, whole: bool) -> None:
    """On a slow machine a short prompt is read first, and the long one when nobody waits."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    settings = Settings(deadline=deadline, prefetch=False)
    service = serving(engine, settings, parameters=350_000_000)
    completion = await service.complete(query_at(f"{LONG}x = ¦\n"))
    assert completion is not None
    length = len(engine.requests[0].prompt)
    if whole:
        assert length > 800
        assert engine.requests[0].max_new_tokens == settings.max_new_tokens
        return
    assert 64 <= length <= 128
    assert engine.requests[0].max_new_tokens >= 8
    await asyncio.sleep(REST_SECONDS + 0.1)
    assert service.statistics()["prewarmed"] == 1
    assert len(engine.prewarmed[0]) > 500
    await service.complete(query_at(f"{LONG}x = v¦\n"))
    await service.close()


async def test_closing_leaves_nothing_to_be_read() -> None:
    """What was to be read when nobody waits is not, once the service is closed."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"), keeps=True)
    service = serving(engine, parameters=350_000_000)
    before = asyncio.all_tasks()
    assert await service.complete(query_at(f"{LONG}x = ¦\n"))
    await service.close()
    assert asyncio.all_tasks() == before
    assert engine.prewarmed == []


async def test_a_clock_that_has_seen_a_fast_machine() -> None:
    """What was guessed of a model's speed does not count any more once it was measured."""
    engine = ScriptedEngine(says(TOKENIZER, "value\n"))
    service = serving(engine, parameters=350_000_000)
    lengths = []
    for number in range(12):
        await service.complete(query_at(f"{LONG}x{number} = ¦\n"))
        lengths.append(len(engine.requests[-1].prompt))
    assert lengths[0] <= 128
    assert lengths[-1] > 800
