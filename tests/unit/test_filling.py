"""Filling in, end to end but for the model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Trigger
from tests.support.cursor import query_at
from tests.support.marks import family_tokenizer

ASKED = Trigger.INVOKED

MARKED = {name: family_tokenizer(name, [".append", "return"]) for name in FAMILIES}


def filling(family: str, answer: str, end: str) -> tuple[CompletionService, ScriptedEngine]:
    """A service of *family* whose model says *answer*, the mark *end*, and then nonsense."""
    tokenizer = MARKED[family]
    stop = tokenizer.id_of(end)
    assert stop is not None

    def said(request: GenerationRequest) -> Sequence[int]:
        ids = tokenizer.encode(answer)
        assert not request.first_ids or ids[0] in request.first_ids
        return [*ids, stop, *tokenizer.encode("nonsense")]

    engine = ScriptedEngine(said)

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, tokenizer, FAMILIES[family], "scripted")

    return CompletionService(Settings(), open_model=open_model), engine


def read(tokenizer: CodeTokenizer, engine: ScriptedEngine) -> str:
    """What the engine was given, marks shown."""
    (request,) = engine.requests
    return tokenizer.render(request.prompt.tokens)


@pytest.mark.parametrize(
    ("family", "end", "prompt"),
    [
        ("causal", "<|endoftext|>", "<|endoftext|>A"),
        ("codegen2", "<eom>", "A<mask_1>B<|endoftext|><sep><mask_1>"),
        ("codegen2", "<mask_2>", "A<mask_1>B<|endoftext|><sep><mask_1>"),
        ("codegen2", "<python>", "A<mask_1>B<|endoftext|><sep><mask_1>"),
        ("codegen25", "<eom>", "A<mask_1>B<|endoftext|><sep><mask_1>"),
        ("starcoder", "<|endoftext|>", "<fim_prefix>A<fim_suffix>B<fim_middle>"),
        ("starcoder", "<fim_suffix>", "<fim_prefix>A<fim_suffix>B<fim_middle>"),
        ("starcoder", "<fim_pad>", "<fim_prefix>A<fim_suffix>B<fim_middle>"),
        ("santacoder", "<|endoftext|>", "<fim-prefix>A<fim-suffix>B<fim-middle>"),
        ("codet5p", "<extra_id_1>", "<s>A<extra_id_0>B</s>"),
        ("codet5p", "<mask>", "<s>A<extra_id_0>B</s>"),
        ("codet5p", "</s>", "<s>A<extra_id_0>B</s>"),
    ],
)
async def test_filling_in(family: str, end: str, prompt: str) -> None:
    """Every family reads its own format; its answer ends at its marks, and is whole there."""
    service, engine = filling(family, "sum(items", end)
    code = "def f(items):\n    total =¦)\n    return total\n"
    completion = await service.complete(query_at(code, ASKED))
    assert completion is not None
    assert completion.text == "sum(items"  # an answer cut short would lose its last word
    assert completion.timings.new_tokens == len("sum(items")
    before, _, after = code.partition("¦")
    assert read(MARKED[family], engine) == prompt.replace("A", before).replace("B", after)
    given = MARKED[family].render(engine.requests[0].answer_prefix)
    assert given == ("<extra_id_0>" if family == "codet5p" else "")
    assert await service.explain(query_at(code)) == (
        before if family == "causal" else read(MARKED[family], engine) + given
    )


@pytest.mark.parametrize("family", ["codegen2", "codegen25"])
async def test_filling_in_heals(family: str) -> None:
    """The answer begins with what was held back, although the suffix stands between."""
    service, engine = filling(family, ".append(x)", "<eom>")
    completion = await service.complete(query_at("self.app¦\nreturn self\n", ASKED))
    assert completion is not None
    assert completion.text == "end(x)"
    prompt = "self<mask_1>\nreturn self\n<|endoftext|><sep><mask_1>"
    assert read(MARKED[family], engine) == prompt
    assert await service.explain(query_at("self.app¦\nreturn self\n")) == "self.app" + prompt[4:]


async def test_what_was_said_of_a_healed_end_stands_behind_the_last_mark() -> None:
    """An answer that is begun and chosen anew goes on where it was, not where the cursor is."""
    tokenizer = MARKED["codegen25"]

    def answer(request: GenerationRequest) -> Sequence[int]:
        said = tokenizer.render(request.prompt.tokens)
        return tokenizer.encode(".x" if said.endswith("<mask_1>") else "append(x)")

    engine = ScriptedEngine(answer)

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, tokenizer, FAMILIES["codegen25"], "scripted")

    service = CompletionService(Settings(), open_model=open_model)
    completion = await service.complete(query_at("self.app¦\nreturn self\n", ASKED))
    assert completion is not None
    assert completion.text == "end(x)"
    prompts = [tokenizer.render(request.prompt.tokens) for request in engine.requests]
    first = "self<mask_1>\nreturn self\n<|endoftext|><sep><mask_1>"
    assert prompts == [first, first + "."]


class Small(ScriptedEngine):
    """A model of few tokens."""

    length = 1

    @property
    def info(self) -> EngineInfo:
        """A context of :attr:`length` tokens."""
        return replace(super().info, context_length=self.length)


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.integers(2, 24) | st.integers(24, 90),
    st.integers(1, 120),
    st.text("ab.( \n", max_size=99),
    st.text("ab.) \n", max_size=99),
    st.booleans(),
)
@example("starcoder", 60, 120, "a" * 99, "b\n" * 20, False)
def test_prompt_and_answer_share_the_context(
    family: str, length: int, most: int, prefix: str, suffix: str, healable: bool
) -> None:
    """However much is asked for; an encoder-decoder has room for either apart."""
    tokenizer = MARKED[family]

    def answer(request: GenerationRequest) -> Sequence[int]:
        return tokenizer.encode("." if request.first_ids and healable else "a" * 200)

    engine = Small(answer)
    engine.length = length

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, tokenizer, FAMILIES[family], "scripted")

    settings = Settings(max_new_tokens=most, max_line_tokens=most)
    service = CompletionService(settings, open_model=open_model)
    asyncio.run(service.complete(query_at(f"{prefix}¦{suffix}", ASKED)))
    assert engine.requests
    for request in engine.requests:
        begun = len(request.answer_prefix) + request.max_new_tokens
        if family == "codet5p":
            # The engine begins an answer with a mark of its own.
            assert len(request.prompt) <= length
            assert begun + 1 <= max(length, 3)
        else:
            assert len(request.prompt) + begun <= length
        assert request.max_new_tokens <= most


async def test_an_answer_that_fills_the_context_was_cut() -> None:
    """What the context had no room for is missing as much as what was not asked for."""
    tokenizer = MARKED["starcoder"]
    engine = Small(lambda _: tokenizer.encode("return some_thing_long"))
    engine.length = 24

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, tokenizer, FAMILIES["starcoder"], "scripted")

    service = CompletionService(Settings(), open_model=open_model)
    completion = await service.complete(query_at("def f(a, b, c):\n    a = 1\n    ¦", ASKED))
    assert completion is not None
    assert completion.text == "return"


async def test_an_encoder_reads_as_much_as_it_can() -> None:
    """The answer takes nothing from the context of an encoder-decoder's prompt."""
    tokenizer = MARKED["codet5p"]
    engine = Small(lambda _: tokenizer.encode("return"))
    engine.length = 100

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, tokenizer, FAMILIES["codet5p"], "scripted")

    service = CompletionService(Settings(max_line_tokens=80), open_model=open_model)
    await service.complete(query_at("a = 1\n" * 30 + "¦\nb\n", ASKED))
    (request,) = engine.requests
    assert 80 < len(request.prompt) <= 100


CODE = "def f(items):\n    self.append(items)\n    return [g(x) for x in items]\n\n\nprint(f(1))\n"


@given(st.sampled_from(["\n", "\r\n"]), st.data())
def test_a_model_that_knows_what_is_missing(line_end: str, data: st.DataObject) -> None:
    """Every family shows the same, whatever is held back and however lines end."""
    start = data.draw(st.integers(0, len(CODE) - 2))
    stop = data.draw(st.integers(start + 1, len(CODE)))
    before, missing, after = CODE[:start], CODE[start:stop], CODE[stop:]
    shown = {asyncio.run(filled(name, before, missing, after, line_end)) for name in FAMILIES}
    assert len(shown) == 1
    (text,) = shown
    assert text.replace(line_end, "\n") in missing


async def filled(family: str, before: str, missing: str, after: str, line_end: str) -> str:
    """What is shown of *missing*, which a model of whole tokens says."""
    tokenizer = MARKED[family]
    stop = tokenizer.eos_id

    def answer(request: GenerationRequest) -> Sequence[int]:
        said = tokenizer.render(request.prompt.tokens)
        assert "\r" not in said
        head = said.partition("<mask_1>")[0].removeprefix("<|endoftext|>")
        held_back = before.removeprefix(head) if request.first_ids else ""
        ids = tokenizer.encode(held_back + missing)
        assert not request.first_ids or ids[0] in request.first_ids
        return [*ids, stop]

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(ScriptedEngine(answer), tokenizer, FAMILIES[family], "scripted")

    service = CompletionService(Settings(), open_model=open_model)
    code = f"{before}¦{after}".replace("\n", line_end)
    completion = await service.complete(query_at(code, ASKED))
    return "" if completion is None else completion.text
