"""The llama.cpp engine with the bundled model's weights: the real library, no network."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise

import pytest

from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.llama import LlamaEngine
from codegen_lsp.engines.llama_support import NAMED
from codegen_lsp.engines.odds import Likeliest
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.types import Prompt, Sampling
from tests.support.llama import IDS, TOKENIZER, answer, asked, ids_of, llama_spec

pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")

TIE = 0.05
"""Two tokens whose log-probabilities are this near may come in either order: the weights are
rounded in two ways."""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    return llama_spec(tmp_path_factory.mktemp("llama"))


@pytest.fixture
async def engine(spec: EngineSpec) -> AsyncIterator[LlamaEngine]:
    made = LlamaEngine(spec)
    yield made
    await made.close()


@pytest.fixture
async def other(spec: EngineSpec) -> AsyncIterator[Ct2Engine]:
    made = Ct2Engine(spec)
    yield made
    await made.close()


@pytest.mark.parametrize("length", [1, 7, 40, 64, 65, 129, 300, len(IDS)])
async def test_greedy_equals_ctranslate2(
    engine: LlamaEngine, other: Ct2Engine, length: int
) -> None:
    """The same weights say the same, each token as likely; where not, it was a tie."""
    request = asked(IDS[:length], 16)
    ours, theirs = await answer(engine, request), await answer(other, request)
    assert ours or not theirs
    for mine, his in zip(ours, theirs, strict=False):
        assert mine.log_prob is not None
        assert his.log_prob is not None
        assert mine.log_prob == pytest.approx(his.log_prob, abs=0.25)
        if mine.id != his.id:
            assert mine.log_prob == pytest.approx(his.log_prob, abs=TIE)
            return
    assert len(ours) == len(theirs)


async def test_at_most_so_many_tokens(engine: LlamaEngine) -> None:
    """No more than asked for; a stop id ends the answer and is not part of it."""
    whole = ids_of(await answer(engine, asked(IDS[:100], 10)))
    assert len(whole) == 10
    for n in (1, 2, 9):
        assert ids_of(await answer(engine, asked(IDS[:100], n))) == whole[:n]
    stopped = ids_of(await answer(engine, asked(IDS[:100], 10, stop_ids=(whole[4],))))
    assert stopped == whole[: whole.index(whole[4])]


async def test_what_was_read_is_kept(engine: LlamaEngine) -> None:
    """Typing on reads only what is new, and what was written counts as read, too."""
    assert engine.warm(asked(IDS[:200]).prompt) == 0
    said = ids_of(await answer(engine, asked(IDS[:200], 6)))
    assert engine.warm(asked(IDS[:200]).prompt) == 199
    assert engine.warm(asked((*IDS[:200], *said, 5)).prompt) == 205
    assert engine.warm(asked((*IDS[:150], 7, 7, 7)).prompt) == 150
    assert engine.warm(asked(IDS[1:200]).prompt) == 0


async def test_what_is_called_warm_is_not_read(engine: LlamaEngine) -> None:
    """What llama.cpp says it had kept is what was warm."""
    kept: list[int] = []
    await answer(engine, asked(IDS[:180], 5))
    inner = engine._model

    class Spy:
        def handle_completions(self, body: str, hear: object) -> None:
            def note(chunk: str) -> bool:
                progress = json.loads(chunk).get("prompt_progress")
                if progress is not None:
                    kept.append(progress["cache"])
                return bool(hear(chunk))  # type: ignore[operator]

            inner.handle_completions(body, note)

    engine._model = Spy()
    for ids in (IDS[:188], IDS[:196], IDS[:150], (*IDS[:120], *IDS[300:330]), IDS[200:280]):
        warm = engine.warm(asked(ids).prompt)
        await answer(engine, asked(ids, 3))
        assert kept[-1] == warm
    engine._model = inner


async def test_two_places_are_kept_side_by_side(engine: LlamaEngine) -> None:
    """A jump to another place and back reads nothing again; both answer as if alone."""
    here, there = IDS[:160], IDS[40:240]
    first = ids_of(await answer(engine, asked(here)))
    second = ids_of(await answer(engine, asked(there)))
    assert engine.warm(asked(here).prompt) == len(here) - 1
    assert engine.warm(asked(there).prompt) == len(there) - 1
    assert ids_of(await answer(engine, asked(here))) == first
    assert ids_of(await answer(engine, asked(there))) == second


async def test_reading_ahead(engine: LlamaEngine) -> None:
    """The stable part is read once; an engine that is not loaded is not loaded for it."""
    prompt = Prompt(IDS[:150], IDS[150:160])
    await engine.prewarm(prompt)
    assert engine.warm(prompt) == 0
    await engine.load()
    await engine.prewarm(prompt)
    assert engine.warm(prompt) == 150
    jobs: list[object] = []
    engine._perform = jobs.append  # type: ignore[method-assign, assignment]
    await engine.prewarm(prompt)
    assert not jobs


async def test_cancelling_frees_the_engine(engine: LlamaEngine) -> None:
    """Who closes a stream early can ask the next thing at once, and gets all of it."""
    expected = ids_of(await answer(engine, asked(IDS[:120], 12)))
    async with aclosing(engine.generate(asked(IDS[:120], 400))) as tokens:
        async for _ in tokens:
            break
    assert not engine._inside.locked()
    assert ids_of(await answer(engine, asked(IDS[:120], 12))) == expected


async def test_cancelling_while_reading(engine: LlamaEngine) -> None:
    """Reading stops in the middle, what was read by then is kept, and the answer is the same."""
    await engine.load()
    long = (IDS * 4)[:900]
    task = asyncio.create_task(answer(engine, asked(long, 4)))
    await asyncio.sleep(0.05)  # a fifth of what reading takes
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not engine._inside.locked()
    assert engine.warm(asked(long).prompt) < 899
    after = ids_of(await answer(engine, asked(long, 4)))
    alone = LlamaEngine(engine._spec)
    try:
        assert ids_of(await answer(alone, asked(long, 4))) == after
    finally:
        await alone.close()


async def test_one_job_at_a_time(engine: LlamaEngine) -> None:
    """Several at once wait for each other, and each gets its own answer."""
    requests = [asked(IDS[start : start + 60], 6) for start in (0, 50, 100, 150, 200, 250)]
    alone = [ids_of(await answer(engine, request)) for request in requests]
    together = await asyncio.gather(*(answer(engine, request) for request in requests))
    assert [ids_of(tokens) for tokens in together] == alone


@pytest.mark.parametrize(
    "text", ["# 日本語のコメント これは関数です\n# 日本語", "s = '🎉🎊🚀🎉🎊🚀🎉🎊🚀🎉"]
)
async def test_no_character_is_lost(engine: LlamaEngine, other: Ct2Engine, text: str) -> None:
    """Tokens that end within a character come with the one that ends it, text and all."""
    request = asked(tuple(TOKENIZER.encode(text)), 24)
    decoder, said = TOKENIZER.stream(), ""
    for token in await answer(engine, request):
        said += decoder.push(token.id) if token.text is None else token.text
    expected = TOKENIZER.decode(ids_of(await answer(other, request)))
    assert said
    assert not said.isascii()
    assert expected.startswith(said[: max(1, len(said) // 2)])


async def test_the_first_token_of_those_wished_for(engine: LlamaEngine, other: Ct2Engine) -> None:
    """The likeliest of them comes first, as CTranslate2 chooses it, and the answer goes on."""
    for start in ("r", "s", "    ", "x", "def", "_"):
        first = TOKENIZER.continuations(start)
        request = asked(IDS[:210], 6, first_ids=first)
        ours, theirs = await answer(engine, request), await answer(other, request)
        assert ours[0].id in first
        assert ours[0].log_prob is not None
        assert ours[0].log_prob == pytest.approx(theirs[0].log_prob, abs=0.25)
        if abs(ours[0].log_prob - (theirs[0].log_prob or 0.0)) > TIE:
            continue
        assert ours[0].id == theirs[0].id
        after = await answer(engine, asked((*IDS[:210], ours[0].id), 5))
        assert ids_of(ours)[1:] == ids_of(after)


async def test_a_wish_that_is_not_ascii(engine: LlamaEngine, other: Ct2Engine) -> None:
    """The answer goes on behind it, too."""
    for text in ("─", "│", "══"):
        (wished,) = TOKENIZER.encode(text)
        request = asked(IDS[:200], 6, first_ids=(wished,))
        ours, theirs = await answer(engine, request), await answer(other, request)
        assert (ours[0].id, ours[0].text) == (wished, text)
        assert len(ours) == len(theirs) == 6


async def test_the_likeliest_of_two_that_are_near(engine: LlamaEngine) -> None:
    """However near they are, the likelier one is chosen."""
    await engine.load()
    engine._named = 200
    (token,) = await answer(engine, asked(IDS[:210], 1, odds=1))
    assert isinstance(token.odds, Likeliest)
    ranked = sorted(token.odds._log_probs.items(), key=lambda one: -one[1])
    near = [(a, b) for (a, p), (b, q) in pairwise(ranked[1:]) if 0.002 < p - q < 0.03]
    assert len(near) > 20
    for better, worse in near[:20]:
        request = asked(IDS[:210], 1, first_ids=(worse, better))
        assert ids_of(await answer(engine, request)) == [better]


@pytest.mark.parametrize("wanted", [0, 1, 3])
@pytest.mark.parametrize("wished", [False, True])
async def test_odds_of_the_first_tokens(
    engine: LlamaEngine, other: Ct2Engine, wanted: int, wished: bool
) -> None:
    """As many as are wanted, the same as CTranslate2's, which knows all; or not known."""
    await engine.load()
    assert engine._named == 0, "for so small a model it does not pay"
    engine._named = NAMED
    first = TOKENIZER.continuations("r") if wished else ()
    request = asked(IDS[:210], 6, odds=wanted, first_ids=first)
    ours, theirs = await answer(engine, request), await answer(other, request)
    assert [token.odds is not None for token in ours] == [n < wanted for n in range(len(ours))]
    known = 0
    for mine, his in zip(ours[:wanted], theirs[:wanted], strict=True):
        if mine.id != his.id:
            break
        assert mine.odds is not None
        assert his.odds is not None
        for start in (TOKENIZER.decode([mine.id])[0], "s", "q"):
            ids = TOKENIZER.continuations(start)
            found, whole = mine.odds.among(ids), his.odds.among(ids)
            assert whole is not None
            if found is not None:
                known += 1
                assert found == pytest.approx(whole, abs=0.3)
    assert known or wished or not wanted


async def test_padding_is_never_generated(engine: LlamaEngine) -> None:
    """Not even where somebody wishes for it."""
    await engine.load()
    engine._never = [(IDS[0], False)]
    expected = ids_of(await answer(engine, asked(IDS[:80], 1)))[0]
    engine._words = replace(engine._words, padding=frozenset({expected}))
    engine._never = [(expected, False)]
    assert expected not in ids_of(await answer(engine, asked(IDS[:80], 6)))
    wished = await answer(engine, asked(IDS[:80], 1, first_ids=(expected, IDS[5])))
    assert ids_of(wished) == [IDS[5]]


async def test_sampling(engine: LlamaEngine) -> None:
    """The same seed gives the same tokens, whatever was read before; other seeds give others."""
    drawn = []
    for seed in (1, 1, 2, 3, 1):
        sampling = Sampling(temperature=1.2, seed=seed)
        drawn.append(ids_of(await answer(engine, asked(IDS[:90], 12, sampling=sampling))))
        await answer(engine, asked(IDS[:95], 2))
    assert drawn[0] == drawn[1] == drawn[4]
    assert len({tuple(one) for one in drawn}) > 1
    greedy = ids_of(await answer(engine, asked(IDS[:90], 12)))
    narrow = Sampling(temperature=1.2, top_k=1, seed=5)
    assert ids_of(await answer(engine, asked(IDS[:90], 12, sampling=narrow))) == greedy


async def test_a_long_prompt_loses_its_beginning(engine: LlamaEngine) -> None:
    """What has no room is cut where it is oldest; an empty prompt begins a document."""
    context = engine.info.context_length
    long = (IDS * 5)[: context + 300]
    cut = long[-(context - 8) :]
    assert ids_of(await answer(engine, asked(long, 8))) == ids_of(
        await answer(engine, asked(cut, 8))
    )
    assert await answer(engine, asked((), 3)) == await answer(engine, asked((TOKENIZER.eos_id,), 3))
