"""What CTranslate2 keeps of prompts: the same answers, fewer tokens read, memory that ends."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen_lsp.engines import ct2
from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.ct2_networks import Question
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.types import GenerationRequest, Prompt, Sampling, Token
from tests.support.tiny import TOKENS, make_tiny

WORDS = tuple(1 + i * 7 % (TOKENS - 1) for i in range(60))
"""A prompt that fills the tiny model's context of 64 tokens, almost."""

KEPT = 512
"""Bytes that the tiny model keeps of a token: keys and values, 2 layers of 32 numbers of 4."""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    folder = make_tiny(tmp_path_factory.mktemp("anchors")).ct2
    return EngineSpec(folder, "tiny", 64, "cpu", "float32", threads=1)


class Watched(Ct2Engine):
    """An engine that remembers what it gave to CTranslate2 and how often it opened the model."""

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__(spec)
        self.asked: list[Question] = []
        self.opened = 0

    def _run(self, question: Question, step: Callable[[object], bool]) -> object:
        self.asked.append(question)
        return super()._run(question, step)

    def _open(self) -> object:
        self.opened += 1
        return super()._open()


@pytest.fixture
async def engine(spec: EngineSpec) -> AsyncIterator[Watched]:
    made = Watched(spec)
    yield made
    await made.close()


def holding(engine: Ct2Engine, tokens: int) -> None:
    """Let *engine* keep at most *tokens* tokens."""
    engine._anchors._capacity = tokens * KEPT


def cut(ids: tuple[int, ...], place: int) -> Prompt:
    return Prompt(ids[:place], ids[place:])


async def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def answer(
    engine: Ct2Engine, prompt: Prompt, n: int = 3, *, first: tuple[int, ...] = (), seed: int = -1
) -> list[Token]:
    sampling = Sampling(1.0, 1.0, 0, seed) if seed >= 0 else Sampling()
    request = GenerationRequest(prompt, n, sampling, first_ids=first)
    return [token async for token in engine.generate(request)]


def log_probs(tokens: list[Token]) -> list[float]:
    return [0.0 if token.log_prob is None else token.log_prob for token in tokens]


@functools.cache
def bundled(purpose: str) -> Ct2Engine:
    """The bundled model in float32, where nothing is rounded to 8 bits; one for each purpose."""
    del purpose
    return Ct2Engine(EngineSpec(bundled_folder(), "bundled", 2048, "cpu", "float32", threads=1))


IDS = st.lists(st.integers(1, 8000), min_size=2, max_size=160).map(tuple)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(IDS, st.lists(st.floats(0, 1), min_size=1, max_size=4), st.sampled_from([(), (5, 77)]))
def test_anchors_change_nothing(
    ids: tuple[int, ...], places: list[float], first: tuple[int, ...]
) -> None:
    """Wherever a prompt is cut and whatever was kept before: the same tokens, as likely."""

    async def both() -> None:
        expected = await answer(bundled("whole"), Prompt((), ids), 4, first=first)
        for place in places:
            prompt = cut(ids, int(place * (len(ids) - 1)))
            for _ in range(2):
                tokens = await answer(bundled("anchored"), prompt, 4, first=first)
                assert [t.id for t in tokens] == [t.id for t in expected]
                assert log_probs(tokens) == pytest.approx(log_probs(expected), abs=1e-4)

    asyncio.run(both())


async def test_what_was_read_is_kept(engine: Watched) -> None:
    """The stable part goes to CTranslate2 apart, the same as long as one types behind it."""
    await answer(engine, cut(WORDS[:45], 40))
    for more in range(46, 56):
        assert engine.warm(cut(WORDS[:more], more - 1)) == 40
        await answer(engine, cut(WORDS[:more], more - 1))
    assert {question.anchor for question in engine.asked} == {WORDS[:40]}
    assert all(question.options["cache_static_prompt"] for question in engine.asked)
    assert engine.asked[-1].batch == ([[engine._words.all[i] for i in WORDS[40:55]]],)
    assert engine._anchors.size == 40 * KEPT


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(cut(WORDS[:40], 20), id="short"),
        pytest.param(cut(WORDS * 3, 160), id="longer than the context"),
        pytest.param(cut(WORDS[:40], 40), id="all of it stable"),
        pytest.param(Prompt((), ()), id="empty"),
    ],
)
async def test_what_does_not_return_is_not_kept(engine: Watched, prompt: Prompt) -> None:
    """Nothing of such a prompt is given to CTranslate2 to keep."""
    await answer(engine, prompt)
    (question,) = engine.asked
    assert question.options["static_prompt"] is None
    assert not question.options["cache_static_prompt"]
    assert engine._anchors.size == engine.warm(prompt) == 0


async def test_a_first_token_that_is_asked_for_reads_no_second_time(engine: Watched) -> None:
    """Where the likeliest token is none of those wished for, the second half goes on from there."""
    tokens = await answer(engine, cut(WORDS[:45], 40), first=(77,))
    assert tokens[0].id == 77
    assert [question.anchor for question in engine.asked] == [WORDS[:40]] * 2


async def test_prewarm_reads_what_is_stable(engine: Watched) -> None:
    """The next request finds it; whoever asks for what is warm asks for nothing."""
    prompt = cut(WORDS[:50], 40)
    await engine.prewarm(prompt)
    assert engine.opened == 0, "it loads nothing"
    await engine.load()
    assert engine.warm(prompt) == 0
    await engine.prewarm(prompt)
    await engine.prewarm(prompt)
    assert engine.warm(prompt) == 40
    (question,) = engine.asked
    assert question.anchor == WORDS[:40]
    assert [len(batch[0]) for batch in question.batch] == [1]
    await answer(engine, prompt)
    assert engine._anchors.size == 40 * KEPT


async def test_a_prewarm_that_waited_looks_again(engine: Watched) -> None:
    """What the job before it has read it need not read."""
    prompt = cut(WORDS[:50], 40)
    await engine.load()
    with engine._inside:  # as the job does that it waits for
        waiting = asyncio.create_task(engine.prewarm(prompt))
        await until(lambda: bool(engine._jobs))
        engine._anchors.add(prompt.stable)
    await waiting
    assert engine.asked == []


async def test_a_prewarm_that_fails_or_is_cancelled_is_silent(
    engine: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error, no job left inside, and the engine goes on."""
    await engine.load()

    def fail(*_: object) -> None:
        raise GenerationError("no")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_run", fail)
        await engine.prewarm(cut(WORDS[:50], 40))
    task = asyncio.create_task(engine.prewarm(cut(WORDS[:50], 40)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not engine._jobs
    assert await answer(engine, cut(WORDS[:50], 40))


async def test_a_seed_forgets(engine: Watched) -> None:
    """Only a new worker draws anew, and that has read nothing."""
    prompt = cut(WORDS[:50], 40)
    await answer(engine, prompt)
    other = cut(tuple(reversed(WORDS))[:50], 40)
    await answer(engine, other, seed=1)
    assert (engine.warm(prompt), engine.warm(other)) == (0, 40)


async def test_far_too_much_is_forgotten_at_once(engine: Watched) -> None:
    """Never more than one and a half of what may be kept; the answers stay what they were."""
    await engine.load()
    holding(engine, 80)
    before = await answer(engine, cut(WORDS[:50], 40))
    for start in range(1, 8):
        await answer(engine, cut(WORDS[start : start + 45], 38))
        assert engine._anchors.size <= 120 * KEPT
    assert engine.opened == 1 + 2
    assert engine.warm(cut(WORDS[:50], 40)) == 0, "that went with the rest"
    assert await answer(engine, cut(WORDS[:50], 40)) == before


async def test_who_leaves_while_the_model_is_reopened_is_not_read(
    engine: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening takes its time; the prompt of a job that was given up meanwhile is not begun."""
    await engine.load()
    holding(engine, 50)
    await answer(engine, cut(WORDS[:45], 38))
    opened = engine._open

    def slow() -> object:
        for job in engine._jobs:
            job.cancelled.set()
        return opened()

    monkeypatch.setattr(engine, "_open", slow)
    asked = len(engine.asked)
    assert await answer(engine, cut(WORDS[1:46], 38)) == []
    assert (engine.opened, len(engine.asked)) == (2, asked)
    assert await answer(engine, cut(WORDS[1:46], 38))


async def test_too_much_is_forgotten_when_nobody_waits(
    engine: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not between two requests, but behind the last; what was read last is read again."""
    monkeypatch.setattr(ct2, "IDLE_SECONDS", 0.2)
    await engine.load()
    holding(engine, 80)
    one, two, three = (cut(WORDS[start : start + 45], 38) for start in range(3))
    for prompt in (one, two, three, one, three, one):
        await answer(engine, prompt)
    assert engine.opened == 1
    await until(lambda: engine.opened == 2 and engine.warm(one) == 38)
    assert engine.warm(two) == engine.warm(three) == 0
    assert engine._anchors.size == 38 * KEPT
    await answer(engine, two)
    await asyncio.sleep(0.4)
    assert engine.opened == 2, "there is room again"


async def test_closing_ends_the_wait(engine: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for a quiet moment keeps nobody from leaving."""
    monkeypatch.setattr(ct2, "IDLE_SECONDS", 600.0)
    await engine.load()
    holding(engine, 60)
    await answer(engine, cut(WORDS[:45], 38))
    await answer(engine, cut(WORDS[1:46], 38))
    threads = [thread for thread in threading.enumerate() if thread.name == "codegen-lsp job"]
    assert threads
    await engine.close()
    await until(lambda: not any(thread.is_alive() for thread in threads))
    assert engine.opened == 1
    assert engine.warm(cut(WORDS[:45], 38)) == 0


async def test_a_model_that_was_lost_is_opened_again(
    engine: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there was no memory to reopen it, the next request tries once more."""
    await engine.load()
    holding(engine, 50)
    await answer(engine, cut(WORDS[:45], 38))

    def refuse() -> None:
        raise EngineUnavailableError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_open", refuse)
        with pytest.raises(EngineUnavailableError):
            await answer(engine, cut(WORDS[1:46], 38))
        asked = len(engine.asked)
        await engine.prewarm(cut(WORDS[1:46], 38))
        assert not engine._jobs
        assert len(engine.asked) == asked
    assert engine.warm(cut(WORDS[:45], 38)) == 0
    assert await answer(engine, cut(WORDS[1:46], 38))


async def test_memory_is_what_was_asked_for(spec: EngineSpec) -> None:
    """The setting counts MiB; a thousand tokens of the tiny model take half of one."""
    engine = Ct2Engine(replace(spec, cache_memory=2))
    await engine.load()
    assert engine._anchors._capacity == 2 << 20
    await engine.close()
