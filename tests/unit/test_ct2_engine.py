"""The CTranslate2 engine on a tiny random model: the real library, no network."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.converters.to_hf import to_hf_folder
from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.ct2_networks import NETWORKS
from codegen_lsp.engines.table import ENGINES, EngineSpec, create_engine
from codegen_lsp.errors import (
    EngineUnavailableError,
    GenerationError,
)
from codegen_lsp.models.manifest import Manifest
from codegen_lsp.types import GenerationRequest, Prompt, Sampling
from tests.support.tiny import TOKENS, Tiny, make_tiny

PROMPT = (5, 100, 40, 270, 33, 7)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("engine"))


def spec_of(tiny: Tiny, **changes: object) -> EngineSpec:
    spec = EngineSpec(tiny.ct2, "tiny", 64, device="cpu", compute_type="float32", threads=1)
    return replace(spec, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def engine(tiny: Tiny) -> AsyncIterator[Ct2Engine]:
    made = Ct2Engine(spec_of(tiny))
    yield made
    await made.close()


def no_anchor(_: Prompt) -> tuple[int, ...]:
    return ()


def request(prompt: tuple[int, ...] = PROMPT, n: int = 8, **options: object) -> GenerationRequest:
    return GenerationRequest(Prompt(prompt[:1], prompt[1:]), n, **options)  # type: ignore[arg-type]


async def answer(engine: Ct2Engine, asked: GenerationRequest) -> list[int]:
    return [token.id async for token in engine.generate(asked)]


def greedy(tiny: Tiny, prompt: tuple[int, ...], n: int) -> tuple[list[int], list[float]]:
    """What the numpy reference generates, padding entries left out, with log-probabilities."""
    ids, log_probs = list(prompt), []
    for _ in range(n):
        logits = forward(tiny.plain, tiny.shape, ids)[-1][:TOKENS]
        log_prob = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        chosen = int(log_prob.argmax())
        if chosen == 0:
            break
        ids.append(chosen)
        log_probs.append(float(log_prob[chosen]))
    return ids[len(prompt) :], log_probs


@pytest.mark.parametrize("prompt", [PROMPT, (1,), tuple(range(1, 50)), (0, 200, 0)])
async def test_greedy_equals_reference(
    engine: Ct2Engine, tiny: Tiny, prompt: tuple[int, ...]
) -> None:
    """Temperature 0 gives the likeliest token at each step, padding entries never."""
    expected, _ = greedy(tiny, prompt, 8)
    assert await answer(engine, request(prompt)) == expected


async def test_log_probs_are_natural_logarithms(engine: Ct2Engine, tiny: Tiny) -> None:
    """Every token comes with the logarithm of its probability among the real tokens."""
    _, expected = greedy(tiny, PROMPT, 8)
    tokens = [token async for token in engine.generate(request())]
    assert [token.log_prob for token in tokens] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("wished", [False, True])
@pytest.mark.parametrize("wanted", [0, 1, 3, 99])
async def test_odds_of_the_first_tokens(engine: Ct2Engine, wanted: int, wished: bool) -> None:
    """As many as are wanted, the first one's too where it was chosen among a few."""
    plain = [token async for token in engine.generate(request())]
    first = (plain[1].id, plain[2].id) if wished else ()
    asked = request(odds=wanted, first_ids=first)
    tokens = [token async for token in engine.generate(asked)]
    assert [token.odds is not None for token in tokens] == [n < wanted for n in range(len(tokens))]
    for token in tokens[:wanted]:
        assert token.odds is not None
        assert token.log_prob is not None
        assert token.odds.among([token.id]) == pytest.approx((token.log_prob,) * 2, abs=0.01)
        assert (token.odds.among(range(50)) or (1.0,))[0] <= 0.01


@pytest.mark.parametrize("among", ["greedy", "others", "one"])
async def test_the_first_token_is_the_likeliest_of_those_wished_for(
    engine: Ct2Engine, tiny: Tiny, among: str
) -> None:
    """The answer begins with one of ``first_ids`` and goes on as if it had been in the prompt."""
    best = greedy(tiny, PROMPT, 1)[0][0]
    wished = {"greedy": (best, 9), "others": (9, 17, 23, 41), "one": (77,)}[among]
    logits = forward(tiny.plain, tiny.shape, list(PROMPT))[-1]
    first = max(wished, key=lambda i: float(logits[i]))
    tokens = [token async for token in engine.generate(request(n=5, first_ids=wished))]
    real = logits[:TOKENS] - logits[:TOKENS].max()
    assert tokens[0].id == first
    assert tokens[0].log_prob == pytest.approx(real[first] - np.log(np.exp(real).sum()), abs=1e-3)
    assert [token.id for token in tokens[1:]] == greedy(tiny, (*PROMPT, first), 4)[0]
    _, log_probs = greedy(tiny, (*PROMPT, first), 4)
    assert [token.log_prob for token in tokens[1:]] == pytest.approx(log_probs, abs=1e-3)
    assert len(await answer(engine, request(n=1, first_ids=wished))) == 1
    # What the model would have said instead may be that there is nothing to say.
    ended = await answer(engine, request(n=1, first_ids=wished, stop_ids=(best,)))
    assert ended == ([] if first == best else [first])


@pytest.fixture(scope="module", params=["extra_id", "padding"])
def loud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A model to which its padding is likeliest of all, under either of its names."""
    folder = tmp_path_factory.mktemp("loud")
    quiet = make_tiny(folder / "quiet")
    bias = np.array(quiet.plain["lm_head.bias"], np.float32)
    bias[TOKENS:] += 50
    plain = {**quiet.plain, "lm_head.bias": bias}
    hf = to_hf_folder(plain, quiet.shape, quiet.hf / "tokenizer.json", folder / "hf")
    convert(hf, folder / "ct2", Manifest(name="loud", context_length=2), "float32")
    words = (folder / "ct2" / "vocabulary.json").read_text().replace("extra_id", request.param)
    (folder / "ct2" / "vocabulary.json").write_text(words)
    return Tiny(plain, quiet.shape, hf, folder / "ct2")


def test_the_padding_is_loud(loud: Tiny) -> None:
    """Otherwise the next test would show nothing."""
    assert forward(loud.plain, loud.shape, list(PROMPT))[-1].argmax() >= TOKENS


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("first_ids", [(), (9, 300), (300, 319), (9, 17)])
async def test_padding_is_never_generated(
    loud: Tiny, first_ids: tuple[int, ...], temperature: float
) -> None:
    """However likely it is and whatever is wished for."""
    engine = Ct2Engine(spec_of(loud))
    for prompt in (PROMPT, (1,), (0, 200, 0), (290, 310)):
        sampling = Sampling(temperature, 1.0, 0)
        asked = request(prompt, n=12, first_ids=first_ids, sampling=sampling)
        tokens = [token async for token in engine.generate(asked)]
        assert tokens
        assert all(token.id < TOKENS for token in tokens)
        if temperature == 0:
            assert all(token.log_prob is not None and token.log_prob > -30 for token in tokens)
    await engine.close()


async def test_a_given_beginning_is_ignored(engine: Ct2Engine) -> None:
    """A decoder's answer begins where its prompt ends; ``answer_prefix`` is for others."""
    assert await answer(engine, request(answer_prefix=(9, 9))) == await answer(engine, request())


async def test_an_empty_prompt_is_the_beginning_of_a_document(engine: Ct2Engine) -> None:
    """No tokens at all are read as a single end-of-text token."""
    assert await answer(engine, request(())) == await answer(engine, request((0,)))


async def test_a_long_prompt_keeps_its_end(engine: Ct2Engine) -> None:
    """What does not fit into the context together with the answer is cut off in front."""
    long = tuple(1 + i % 250 for i in range(200))
    assert await answer(engine, request(long)) == await answer(engine, request(long[-56:]))


@pytest.mark.parametrize("n", [1, 3, 20])
async def test_the_answer_has_at_most_as_many_tokens_as_asked(engine: Ct2Engine, n: int) -> None:
    """``max_new_tokens`` counts answer tokens only."""
    assert len(await answer(engine, request(n=n))) <= n


async def test_stop_ids_end_the_answer_and_are_not_yielded(engine: Ct2Engine) -> None:
    """An answer ends before the first of its stop ids."""
    whole = await answer(engine, request())
    stop = whole[3]
    assert await answer(engine, request(stop_ids=(stop,))) == whole[: whole.index(stop)]


async def test_closing_the_stream_frees_the_engine(engine: Ct2Engine) -> None:
    """After ``aclose()`` no job is inside, and the next answer is what it would have been."""
    whole = await answer(engine, request())
    async with aclosing(engine.generate(request(n=50))) as stream:
        await anext(stream)
    assert not engine._jobs
    assert await answer(engine, request()) == whole


async def test_no_thread_is_an_error_not_a_hang(
    engine: Ct2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system refuses a thread, the reader hears of it."""
    await engine.load()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(GenerationError, match="thread"):
            await answer(engine, request())
    assert await answer(engine, request())


class Broken:
    """A generator that fails."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def generate_batch(self, *_: object, **__: object) -> None:
        raise self._failure


@pytest.mark.parametrize("failure", [RuntimeError("CUDA failed"), KeyError("odd")], ids=repr)
async def test_a_failure_inside_reaches_the_reader(
    engine: Ct2Engine, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """Whatever goes wrong while generating is a GenerationError, and the next job runs."""
    await engine.load()

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_model", Broken(failure))
        with pytest.raises(GenerationError):
            await answer(engine, request())
    assert await answer(engine, request())


async def test_a_failure_between_two_tokens_reaches_the_reader(
    engine: Ct2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is raised on CTranslate2's own thread."""
    await engine.load()

    def fail(_: object) -> None:
        raise MemoryError("no room for logits")

    with monkeypatch.context() as patch:
        patch.setattr("codegen_lsp.engines.ct2._floats", fail)
        with pytest.raises(GenerationError, match="no room for logits"):
            await answer(engine, request(odds=3))
    assert await answer(engine, request())


async def test_cancelling_the_reader_frees_the_engine(engine: Ct2Engine) -> None:
    """A cancelled task stops its job; cancellation passes through as such."""
    await engine.load()
    task = asyncio.create_task(answer(engine, request(n=50)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not engine._jobs


async def test_two_answers_at_once_are_both_right(engine: Ct2Engine) -> None:
    """A second job waits outside; neither sees the other's tokens."""
    other = (9, 8, 7)
    alone = [await answer(engine, request()), await answer(engine, request(other))]
    both = await asyncio.gather(answer(engine, request()), answer(engine, request(other)))
    assert list(both) == alone


def test_event_loops_may_come_and_go(tiny: Tiny) -> None:
    """One engine serves several loops, one after the other."""
    engine = Ct2Engine(spec_of(tiny))
    answers = [asyncio.run(answer(engine, request())) for _ in range(3)]
    asyncio.run(engine.close())
    assert answers[0] == answers[1] == answers[2]


async def test_the_loop_turns_while_the_model_loads(tiny: Tiny) -> None:
    """Loading happens on another thread."""
    engine = Ct2Engine(spec_of(tiny))
    loading = asyncio.create_task(engine.load())
    turns = 0
    while not loading.done():
        await asyncio.sleep(0)
        turns += 1
    await engine.close()
    assert turns > 1


async def test_load_and_close_twice(tiny: Tiny) -> None:
    """Both are idempotent; a closed engine says so."""
    engine = Ct2Engine(spec_of(tiny))
    await asyncio.gather(engine.load(), engine.load())
    await engine.load()
    assert engine.info.compute_type == "float32"
    await engine.close()
    await engine.close()
    with pytest.raises(EngineUnavailableError, match="closed"):
        await engine.load()


async def test_closing_while_loading_leaves_nothing_loaded(tiny: Tiny) -> None:
    """Close does not wait for the weights; what was being loaded is dropped."""
    engine = Ct2Engine(spec_of(tiny))
    loading = asyncio.create_task(engine.load())
    await asyncio.sleep(0)
    await engine.close()
    with contextlib.suppress(EngineUnavailableError):
        await loading
    assert engine._model is None


async def test_close_cancels_what_runs(tiny: Tiny) -> None:
    """A stream that is being read ends early, without an error."""
    engine = Ct2Engine(spec_of(tiny))
    stream = engine.generate(request(n=50))
    await anext(stream)
    await engine.close()
    assert len([token async for token in stream]) < 50


async def test_sampling_is_reproducible_by_seed(engine: Ct2Engine) -> None:
    """The same seed gives the same tokens, another seed others."""

    async def draw(seed: int) -> list[int]:
        return await answer(engine, request(sampling=Sampling(1.0, 0.95, 0, seed), n=16))

    first, again, other = await draw(1), await draw(1), await draw(2)
    assert first == again != other


async def test_an_unknown_id_is_an_error_and_the_engine_goes_on(engine: Ct2Engine) -> None:
    """Ids outside the vocabulary are named."""
    with pytest.raises(GenerationError, match="999"):
        await answer(engine, request((999,)))
    assert await answer(engine, request())


def test_a_small_model_gets_one_thread(tiny: Tiny) -> None:
    """Two would wait for each other; who asks for more gets more."""
    assert Ct2Engine(spec_of(tiny, threads=0)).info.threads == 1
    assert Ct2Engine(spec_of(tiny, threads=3)).info.threads == 3


def test_the_answer_never_outgrows_the_context() -> None:
    """A request for more than the context holds still leaves room for one prompt token."""
    words = ["e", "a", "b", "c"]
    asked = NETWORKS["decoder"].ask(request((1, 2, 3), 500), words, 0, 64, no_anchor)
    assert (asked.batch, asked.options["max_length"]) == (([["c"]],), 63)


def test_engines_are_made_by_name(tiny: Tiny) -> None:
    """Every name in the table leads to an engine; another name is an error."""
    for name in ENGINES:
        assert create_engine(name, spec_of(tiny)).info.model == "tiny"
    with pytest.raises(EngineUnavailableError, match="auto"):
        create_engine("none", spec_of(tiny))
