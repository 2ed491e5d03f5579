"""Completing, end to end but for the model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion import answering, judging, parsing, preparing, stopping
from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.scheduler import Superseded
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import DocumentError, GenerationError, ModelDamagedError
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.syntax import grammars
from codegen_lsp.types import (
    Completion,
    CompletionQuery,
    GenerationRequest,
    Snapshot,
    Source,
    Trigger,
)
from tests.support.cursor import query_at, says, word_tokenizer

TOKENIZER = word_tokenizer([".append", "return", " self", "re"])
ASKED = Trigger.INVOKED


def service_with(engine: ScriptedEngine, settings: Settings | None = None) -> CompletionService:
    """A service whose model is *engine*."""

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, TOKENIZER, FAMILIES["causal"], "scripted")

    return CompletionService(settings or Settings(), open_model=open_model)


def saying(text: str, settings: Settings | None = None) -> CompletionService:
    """A service whose model always says *text*."""
    return service_with(ScriptedEngine(says(TOKENIZER, text)), settings)


async def test_a_completion_says_everything() -> None:
    """Text, range, source, model and timings."""
    query = query_at("def f(a):\n    b = ¦\n")
    completion = await saying("a + 10\nmore").complete(query)
    assert completion is not None
    assert (completion.text, completion.start, completion.end) == ("a + 10", 18, 18)
    assert (completion.source, completion.model) == (Source.COLD, "scripted")
    assert completion.timings.prompt_tokens == 18  # the beginning of the document is a token
    assert completion.timings.new_tokens == len("a + 10\n")
    assert 0 <= completion.timings.first_token_ms <= completion.timings.total_ms


async def test_the_engine_is_stopped_when_the_answer_is_whole() -> None:
    """What would be thrown away is not computed."""
    engine = ScriptedEngine(says(TOKENIZER, "abc\n" + "x" * 100))
    await service_with(engine).complete(query_at("y =¦"))
    assert engine.cancelled == 1


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
async def test_the_documents_line_ends(line_end: str) -> None:
    """The model writes LF; the document gets what it has."""
    code = "def f(a):\n    ¦\n\n\ndef g():\n".replace("\n", line_end)
    completion = await saying("b = a\n    return b\n\n\n").complete(query_at(code))
    assert completion is not None
    assert completion.text == f"b = a{line_end}    return b"


async def test_closers_after_the_cursor_are_replaced() -> None:
    """The range covers what the answer writes again."""
    completion = await saying("a) + g(b)\n").complete(query_at("x = f(¦)\ny\n"))
    assert completion is not None
    assert (completion.text, completion.end - completion.start) == ("a) + g(b", 0)
    completion = await saying("a) + 1\n").complete(query_at("x = f(¦)\ny\n"))
    assert completion is not None
    assert (completion.text, completion.end - completion.start) == ("a) + 1", 1)


def choosing(text: str, *, obedient: bool) -> ScriptedEngine:
    """An engine that says *text* after ``self``; *obedient* to wishes about its first token."""

    def answer(request: GenerationRequest) -> Sequence[int]:
        said = TOKENIZER.decode(request.prompt.tokens)
        if request.first_ids and not obedient:
            return TOKENIZER.encode("!")
        ids = TOKENIZER.encode(text.removeprefix(said[said.find("self") + 4 :]))
        return ids if not request.first_ids or ids[0] in request.first_ids else []

    return ScriptedEngine(answer)


@pytest.mark.parametrize("obedient", [True, False])
async def test_healing(obedient: bool) -> None:
    """A cursor inside a token: the answer begins where the cursor stands, whatever the engine."""
    engine = choosing(".append(x)", obedient=obedient)
    completion = await service_with(engine).complete(query_at("self.app¦", ASKED))
    assert completion is not None
    assert completion.text == "end(x)"
    first = engine.requests[0]
    assert TOKENIZER.decode(first.prompt.tokens) == "self"
    assert all(
        ".app".startswith(text) or text.startswith(".app")
        for text in map(TOKENIZER.token_text, first.first_ids)
        if text
    )
    assert len(engine.requests) == (1 if obedient else 2)


async def test_healing_in_parts() -> None:
    """What the engine begins and does not finish is chosen again from there."""
    ids = {name: TOKENIZER.encode(name)[0] for name in ("re", "t", "!", "return")}

    def answer(request: GenerationRequest) -> Sequence[int]:
        if request.prompt.tokens[-1] == ids["re"]:
            assert set(request.first_ids) == {ids["t"]}
            return [ids["t"], *TOKENIZER.encode("ries = 3")]
        return [ids["re"], ids["!"]]

    engine = ScriptedEngine(answer)
    completion = await service_with(engine).complete(query_at("x\nret¦", ASKED))
    assert completion is not None
    assert completion.text == "ries = 3"
    assert len(engine.requests) == 2


async def test_typing_what_was_suggested_needs_no_engine() -> None:
    """The rest of the answer is still the answer; anything else is asked anew."""
    engine = ScriptedEngine(says(TOKENIZER, "value + 1"))
    service = service_with(engine)
    assert await service.complete(query_at("x =¦\n"))
    typed = await service.complete(query_at("x =val¦\n"))
    assert typed is not None
    assert (typed.text, typed.start, typed.end, typed.source) == ("ue + 1", 6, 6, Source.TYPED)
    assert len(engine.requests) == 1
    for other in ("x =vex¦\n", "x =v¦\ny", "xx =v¦\n"):
        service_asked = len(engine.requests)
        await service.complete(query_at(other))
        assert len(engine.requests) > service_asked


async def test_typing_to_the_end_asks_again() -> None:
    """When all was typed, something new may come."""
    engine = ScriptedEngine(says(TOKENIZER, "value"))
    service = service_with(engine)
    await service.complete(query_at("x = ¦"))
    await service.complete(query_at("x = value¦"))
    assert len(engine.requests) > 1


async def test_warm_and_cold() -> None:
    """Warm is a prompt whose stable part the engine has just read."""
    service = service_with(ScriptedEngine(says(TOKENIZER, "a + 10"), keeps=True))
    lines = "".join(f"a{i} = b{i}\n" for i in range(9))
    sources = []
    for code in (f"{lines}x = ¦", f"{lines}xy = ¦", f"z = 1\n{lines}x = ¦"):
        completion = await service.complete(query_at(code))
        sources.append(completion.source if completion else None)
    assert sources == [Source.COLD, Source.WARM, Source.COLD]
    # Two prompts of which nothing is stable have nothing in common.
    for code in ("x = ¦", "y = ¦"):
        completion = await service.complete(query_at(code))
        assert completion is not None
        assert completion.source is Source.COLD


async def test_what_the_settings_do_not_allow_is_not_offered() -> None:
    """Disabled is disabled for what comes unasked; who asks gets an answer."""
    for settings in (Settings(enabled=False), Settings(disabled_languages=("python",))):
        service = saying("value", settings)
        assert await service.complete(query_at("x = ¦")) is None
        assert await service.complete(query_at("x = ¦", ASKED)) is not None


async def test_in_the_middle_of_a_line_nothing_is_offered() -> None:
    """No model is opened for it."""

    async def open_model(_: Settings) -> LoadedModel:
        raise ModelDamagedError("broken")

    service = CompletionService(Settings(), open_model=open_model)
    assert await service.complete(query_at("x = ¦ + y\n")) is None
    with pytest.raises(ModelDamagedError):
        await service.complete(query_at("x = ¦\n"))


@pytest.mark.parametrize("offset", [-1, 4])
async def test_offsets_outside_the_text(offset: int) -> None:
    """A position that is not there is named."""
    query = CompletionQuery(Snapshot("a.py", "python", "abc"), offset)
    with pytest.raises(DocumentError, match="outside the text of 3"):
        await saying("x").complete(query)


async def test_a_newer_query_supersedes() -> None:
    """The older caller is told; the engine is free for the newer one."""
    gate = asyncio.Event()
    engine = ScriptedEngine(says(TOKENIZER, "value"), gate=gate)
    service = service_with(engine)
    older = asyncio.create_task(service.complete(query_at("x = ¦")))
    await asyncio.sleep(0.01)
    newer = asyncio.create_task(service.complete(query_at("xy = ¦")))
    await asyncio.sleep(0.01)
    gate.set()
    with pytest.raises(Superseded):
        await older
    assert await newer
    assert engine.cancelled >= 1


async def test_a_query_without_an_answer_supersedes_too() -> None:
    """Where the user went on, the older answer is of no use."""
    engine = ScriptedEngine(says(TOKENIZER, "value"), gate=asyncio.Event())
    service = service_with(engine)
    older = asyncio.create_task(service.complete(query_at("x = ¦")))
    await asyncio.sleep(0.01)
    assert await service.complete(query_at("x = ¦y")) is None
    with pytest.raises(Superseded):
        await older


async def test_engine_failures_pass_through() -> None:
    """And the next query is answered."""
    failing = True

    def answer(_: GenerationRequest) -> Sequence[int]:
        if failing:
            raise GenerationError("out of memory")
        return TOKENIZER.encode("value")

    service = service_with(ScriptedEngine(answer))
    with pytest.raises(GenerationError):
        await service.complete(query_at("x = ¦"))
    failing = False
    assert await service.complete(query_at("x = ¦"))


async def test_live_settings() -> None:
    """New settings count from the next query on, and nothing remembered survives them."""
    engine = ScriptedEngine(says(TOKENIZER, "value"))
    service = service_with(engine)
    assert await service.complete(query_at("x = ¦"))
    service.configure(Settings(max_new_tokens=3))
    await service.complete(query_at("x = ¦"))
    assert engine.requests[-1].max_new_tokens == 3
    service.configure(Settings(enabled=False))
    assert await service.complete(query_at("x = ¦")) is None


async def test_forget_and_close() -> None:
    """A closed document's work is cancelled; a closed service's engine is closed."""
    engine = ScriptedEngine(says(TOKENIZER, "value"), gate=asyncio.Event())
    service = service_with(engine)
    task = asyncio.create_task(service.complete(query_at("x = ¦")))
    await asyncio.sleep(0.01)
    service.forget("file:///a.py")
    with pytest.raises(Superseded):
        await task
    task = asyncio.create_task(service.complete(query_at("x = ¦")))
    await asyncio.sleep(0.01)
    await service.close()
    await service.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.closed


async def test_explain_is_the_text_before_the_cursor() -> None:
    """What the model reads, healed or not."""
    assert await saying("x").explain(query_at("a = 1\r\nself.app¦\r\n")) == "a = 1\nself.app"


WEIRD = [
    "é",
    "🐍",
    "\u0301",
    "\t",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "(",
    ")",
    "a",
    " ",
    "\ud800",
    '"""',
    "#",
]


@given(
    st.lists(st.sampled_from(WEIRD), max_size=30),
    st.lists(st.sampled_from([*WEIRD[:-3], "return", "\ufffd"]), max_size=12),
    st.data(),
)
def test_any_text(document: list[str], said: list[str], data: st.DataObject) -> None:
    """Whatever the document and the model say, the answer replaces part of the cursor's line."""
    text = "".join(document)
    offset = data.draw(st.integers(0, len(text)))
    query = CompletionQuery(Snapshot("a", "python", text), offset, ASKED)
    answer = "".join(said).encode("utf-8", "replace").decode()
    completion = asyncio.run(_once(query, answer))
    if completion is not None:
        assert completion.text.strip()
        assert completion.start == offset <= completion.end <= len(text)
        assert not {"\r", "\n"} & set(text[completion.start : completion.end])


async def _once(query: CompletionQuery, said: str) -> Completion | None:
    service = saying(said)
    try:
        return await service.complete(query)
    finally:
        await service.close()


@pytest.mark.parametrize("language", ["python", "javascript", "markdown"])
async def test_nothing_is_parsed_on_the_event_loop(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a text is cut, stopped and tidied by runs on another thread, from first to last."""
    threads: dict[str, set[int]] = {}

    def watch(module: object, name: str) -> None:
        whole = getattr(module, name)

        def noted(*given: object, **named: object) -> object:
            threads.setdefault(name, set()).add(threading.get_ident())
            return whole(*given, **named)

        monkeypatch.setattr(module, name, noted)

    for module, name in (
        (grammars, "parse"),
        (parsing, "_judge"),
        (stopping, "same_line"),
        (preparing, "collect"),
        (judging, "tidy"),
        (answering, "weights_for"),
    ):
        watch(module, name)
    code = "class A {\n  f() {\n    ¦\n\n  }\n}\n"
    said = "if (a) {\n      b();\n    }\n    c();\n"
    if language == "python":
        code, said = "def f(a):\n    ¦\n\n\ng()\n", "if a:\n        b()\n    c()\n"
    service = saying(said)
    assert await service.complete(query_at(code, ASKED, language=language)) is not None
    assert {"collect", "tidy", "weights_for", "parse", "same_line"} <= set(threads)
    assert threading.get_ident() not in set().union(*threads.values())
    await service.close()
