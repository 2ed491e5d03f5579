"""Filling in, end to end but for the model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
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
        ("codegen25", "<eom>", "A<mask_1>B<|endoftext|><sep><mask_1>"),
        ("starcoder", "<|endoftext|>", "<fim_prefix>A<fim_suffix>B<fim_middle>"),
        ("starcoder", "<fim_suffix>", "<fim_prefix>A<fim_suffix>B<fim_middle>"),
        ("santacoder", "<|endoftext|>", "<fim-prefix>A<fim-suffix>B<fim-middle>"),
        ("codet5p", "<extra_id_1>", "<s>A<extra_id_0>B</s>"),
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
