"""The CTranslate2 engine on a tiny random T5: the prompt is read whole, the answer begins anew."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen_lsp.converters.t5 import forward
from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.ct2_networks import NETWORKS
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.errors import EngineUnavailableError, GenerationError, ModelDamagedError
from codegen_lsp.types import GenerationRequest, Prompt, Sampling
from tests.support.tiny_t5 import CONFIG, SENTINELS, TOKENS, TinyT5, Weights, make_tiny_t5

PROMPT = (5, 100, 40, 270, SENTINELS[0], 33, 7)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyT5:
    return make_tiny_t5(tmp_path_factory.mktemp("seq2seq"))


def spec_of(folder: Path, **changes: object) -> EngineSpec:
    spec = EngineSpec(
        folder, "tiny-t5", 64, "cpu", "float32", threads=1, architecture="encoder-decoder"
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def engine(tiny: TinyT5) -> AsyncIterator[Ct2Engine]:
    made = Ct2Engine(spec_of(tiny.ct2))
    yield made
    await made.close()


def no_anchor(_: Prompt) -> tuple[int, ...]:
    return ()


def request(prompt: tuple[int, ...] = PROMPT, n: int = 8, **options: object) -> GenerationRequest:
    return GenerationRequest(Prompt(prompt[:1], prompt[1:]), n, **options)  # type: ignore[arg-type]


async def answer(engine: Ct2Engine, asked: GenerationRequest) -> list[int]:
    return [token.id async for token in engine.generate(asked)]


def log_probs(tiny: TinyT5, prompt: tuple[int, ...], said: tuple[int, ...]) -> np.ndarray:
    """Of the token that follows *said*, padding entries left out."""
    logits = forward(tiny.tensors, CONFIG, prompt, said)[-1][:TOKENS]
    return np.asarray(logits - logits.max() - np.log(np.exp(logits - logits.max()).sum()))


def greedy(
    tiny: TinyT5, n: int, said: tuple[int, ...] = (), prompt: tuple[int, ...] = PROMPT
) -> tuple[list[int], list[float]]:
    """What the numpy reference writes behind *said*, with log-probabilities."""
    ids, found = list(said), []
    for _ in range(n):
        each = log_probs(tiny, prompt, tuple(ids))
        chosen = int(each.argmax())
        if chosen == 0:
            break
        ids.append(chosen)
        found.append(float(each[chosen]))
    return ids[len(said) :], found


@pytest.mark.parametrize("prompt", [PROMPT, (1,), tuple(range(1, 60)), (0, 200, 0)])
async def test_greedy_equals_reference(
    engine: Ct2Engine, tiny: TinyT5, prompt: tuple[int, ...]
) -> None:
    """Temperature 0 gives the likeliest token at each step, with its log-probability."""
    ids, expected = greedy(tiny, 8, prompt=prompt)
    tokens = [token async for token in engine.generate(request(prompt))]
    assert [token.id for token in tokens] == ids
    assert [token.log_prob for token in tokens] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("prefix", [(SENTINELS[0],), (SENTINELS[0], 17, 23), (9, 9, 9, 9, 9)])
@pytest.mark.parametrize("n", [1, 6])
async def test_a_given_beginning_is_not_yielded(
    engine: Ct2Engine, tiny: TinyT5, prefix: tuple[int, ...], n: int
) -> None:
    """The answer goes on behind ``answer_prefix``, which does not count as generated."""
    asked = request(n=n, answer_prefix=prefix)
    assert await answer(engine, asked) == greedy(tiny, n, prefix)[0]


@pytest.mark.parametrize("prefix", [(), (SENTINELS[0],)], ids=["bare", "prefix"])
@pytest.mark.parametrize("among", ["greedy", "others", "one"])
async def test_the_first_token_is_the_likeliest_of_those_wished_for(
    engine: Ct2Engine, tiny: TinyT5, among: str, prefix: tuple[int, ...]
) -> None:
    """The first generated token is one of ``first_ids``; the rest follows it."""
    each = log_probs(tiny, PROMPT, prefix)
    wished = {"greedy": (int(each.argmax()), 9), "others": (9, 17, 23, 41), "one": (77,)}[among]
    first = max(wished, key=lambda i: float(each[i]))
    asked = request(n=5, first_ids=wished, answer_prefix=prefix)
    tokens = [token async for token in engine.generate(asked)]
    rest, expected = greedy(tiny, 4, (*prefix, first))
    assert [token.id for token in tokens] == [first, *rest]
    assert [token.log_prob for token in tokens] == pytest.approx([each[first], *expected], abs=1e-3)
    assert len(await answer(engine, replace(asked, max_new_tokens=1))) == 1


async def test_an_answer_may_be_empty(tmp_path: Path) -> None:
    """Where the end of text is likeliest of all, nothing is said."""
    made = make_tiny_t5(tmp_path, change=lambda w: prefer(w, [0]))
    engine = Ct2Engine(spec_of(made.ct2))
    assert await answer(engine, request()) == []
    assert await answer(engine, request(answer_prefix=(5, 6))) == []
    await engine.close()


async def test_stop_ids_end_the_answer_and_are_not_yielded(engine: Ct2Engine) -> None:
    """An answer ends before the first of its stop ids."""
    whole = await answer(engine, request())
    stop = whole[3]
    assert await answer(engine, request(stop_ids=(stop,))) == whole[: whole.index(stop)]


@pytest.mark.parametrize("prompt", [(), (0,)])
async def test_nothing_to_read_is_answered_with_nothing(
    engine: Ct2Engine, prompt: tuple[int, ...]
) -> None:
    """A prompt without a token is no error, whatever is wished for."""
    assert await answer(engine, request(prompt)) == []
    assert await answer(engine, request(prompt, first_ids=(5,), answer_prefix=(7,))) == []


async def test_a_long_prompt_keeps_its_end(engine: Ct2Engine, tiny: TinyT5) -> None:
    """The encoder's context is its own: the answer takes no room in it."""
    long = tuple(1 + i % 250 for i in range(200))
    words = [str(i) for i in range(CONFIG["vocab_size"])]
    question = NETWORKS["encoder-decoder"].ask(request(long, 60), words, 0, 64, no_anchor)
    assert question.batch == ([[str(i) for i in long[-64:]]],)
    assert await answer(engine, request(long)) == greedy(tiny, 8, prompt=long[-64:])[0]


async def test_nothing_of_a_prompt_is_kept(engine: Ct2Engine) -> None:
    """An encoder reads every token in the light of all others: there is no beginning to keep."""
    asked = GenerationRequest(Prompt(tuple(range(1, 41)), PROMPT), 4)
    await answer(engine, asked)
    await engine.prewarm(asked.prompt)
    assert engine.warm(asked.prompt) == engine._anchors.size == 0


def test_the_answer_never_outgrows_the_context() -> None:
    """Start token, given beginning and answer fit into the decoder's context together."""
    words = ["e", "a", "b", "c"]
    asked = request((1, 2, 3), 500, answer_prefix=(2, 2))
    question = NETWORKS["encoder-decoder"].ask(asked, words, 0, 64, no_anchor)
    assert (question.batch, question.given) == (([["a", "b", "c"]],), 2)
    assert question.options["max_decoding_length"] == 63
    assert question.options["target_prefix"] == [["b", "b"]]


def prefer(weights: Weights, ids: list[int]) -> None:
    """Make *ids* likeliest at every step, whatever was read.

    All answers' last states share one direction then, and the rows of *ids* point into it.
    """
    weights["decoder.final_layer_norm.weight"][0] = 200.0
    weights["shared.weight"][:, 0] = 2.0
    for name, weight in weights.items():
        # Nothing is written into that direction but by the embedding.
        if name.endswith((".o.weight", ".wo.weight")):
            weight[0] = 0.0
    weights["shared.weight"][ids, 0] = 12.0


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> TinyT5:
    """A model to which its padding is likeliest of all, and a sentinel next."""

    def change(weights: Weights) -> None:
        prefer(weights, list(range(TOKENS, CONFIG["vocab_size"])))
        weights["shared.weight"][SENTINELS[3], 0] = 9.0

    return make_tiny_t5(tmp_path_factory.mktemp("loud"), change=change)


def test_the_padding_is_loud(loud: TinyT5) -> None:
    """Otherwise the next test would show nothing."""
    assert forward(loud.tensors, CONFIG, PROMPT, (1, 2))[-1].argmax() >= TOKENS


@given(
    prompt=st.lists(st.integers(1, TOKENS - 1), min_size=1, max_size=12).map(tuple),
    first_ids=st.lists(st.integers(0, CONFIG["vocab_size"] - 1), max_size=3).map(tuple),
    prefix=st.lists(st.integers(1, TOKENS - 1), max_size=2).map(tuple),
    temperature=st.sampled_from([0.0, 1.5]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
def test_padding_is_never_generated(
    loud: TinyT5,
    prompt: tuple[int, ...],
    first_ids: tuple[int, ...],
    prefix: tuple[int, ...],
    temperature: float,
) -> None:
    """However likely it is and whatever is wished for; sentinels are."""

    async def run() -> list[int]:
        engine = Ct2Engine(spec_of(loud.ct2))
        asked = request(
            prompt,
            n=4,
            first_ids=first_ids,
            answer_prefix=prefix,
            sampling=Sampling(temperature, 1.0, 0),
        )
        found = await answer(engine, asked)
        await engine.close()
        return found

    found = asyncio.run(run())
    assert all(0 < token < TOKENS for token in found)
    if temperature == 0 and not first_ids:
        assert found == [SENTINELS[3]] * 4


async def test_sampling_is_reproducible_by_seed(engine: Ct2Engine) -> None:
    """The same seed gives the same tokens, another seed others."""

    async def draw(seed: int) -> list[int]:
        return await answer(engine, request(sampling=Sampling(1.0, 0.95, 0, seed), n=16))

    first, again, other = await draw(1), await draw(1), await draw(2)
    assert first == again != other


async def test_closing_the_stream_frees_the_engine(engine: Ct2Engine) -> None:
    """After ``aclose()`` no job is inside, and the next answer is what it would have been."""
    whole = await answer(engine, request())
    async with aclosing(engine.generate(request(n=50))) as stream:
        await anext(stream)
    assert not engine._jobs
    assert await answer(engine, request()) == whole


async def test_two_answers_at_once_are_both_right(engine: Ct2Engine) -> None:
    """A second job waits outside; neither sees the other's tokens."""
    other = request((9, 8, 7), answer_prefix=(3,))
    alone = [await answer(engine, request()), await answer(engine, other)]
    both = await asyncio.gather(answer(engine, request()), answer(engine, other))
    assert list(both) == alone


async def test_close_cancels_what_runs(tiny: TinyT5) -> None:
    """A stream that is being read ends early, without an error; a closed engine says so."""
    engine = Ct2Engine(spec_of(tiny.ct2))
    stream = engine.generate(request(n=50))
    await anext(stream)
    await engine.close()
    assert len([token async for token in stream]) < 50
    with pytest.raises(EngineUnavailableError, match="closed"):
        await engine.load()


async def test_closing_while_loading_leaves_nothing_loaded(tiny: TinyT5) -> None:
    """Close does not wait for the weights; what was being loaded is dropped."""
    engine = Ct2Engine(spec_of(tiny.ct2))
    loading = asyncio.create_task(engine.load())
    await asyncio.sleep(0)
    await engine.close()
    with contextlib.suppress(EngineUnavailableError):
        await loading
    assert engine._model is None


@pytest.mark.parametrize(
    "wrong",
    [{"prompt": (999,)}, {"answer_prefix": (998,)}, {"first_ids": (997,)}, {"stop_ids": (-1,)}],
    ids=str,
)
async def test_an_unknown_id_is_an_error_and_the_engine_goes_on(
    engine: Ct2Engine, wrong: dict[str, tuple[int, ...]]
) -> None:
    """Ids outside the vocabulary are named, wherever they stand."""
    [(_, (number,))] = wrong.items()
    with pytest.raises(GenerationError, match=f"token id {number} "):
        await answer(engine, request(**wrong))  # type: ignore[arg-type]
    assert await answer(engine, request())


LEAVING = """
import asyncio, sys
from pathlib import Path
from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.types import GenerationRequest, Prompt
engine = Ct2Engine(
    EngineSpec(Path(sys.argv[1]), "tiny", 64, "cpu", "float32", 1, architecture="encoder-decoder")
)
async def main():
    await anext(engine.generate(GenerationRequest(Prompt((), (1, 2)), 60)))
asyncio.run(main())
"""


def test_leaving_without_closing_is_clean(tiny: TinyT5) -> None:
    """An interpreter that exits in the middle of an answer neither hangs nor crashes."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVING, str(tiny.ct2)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def truncate(folder: Path) -> None:
    content = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(content[: len(content) // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no weights": lambda folder: (folder / "model.bin").unlink(),
    "half the weights": truncate,
    "no vocabulary": lambda folder: (folder / "shared_vocabulary.json").unlink(),
    "a decoder's vocabulary": lambda folder: (folder / "shared_vocabulary.json").rename(
        folder / "vocabulary.json"
    ),
    "vocabulary too short": lambda folder: (folder / "shared_vocabulary.json").write_text(
        '["<|endoftext|>", "a"]'
    ),
    "configuration is no JSON": lambda folder: (folder / "config.json").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_folder_is_named(tiny: TinyT5, tmp_path: Path, damage: str) -> None:
    """What is missing or unreadable is one line with the folder in it."""
    folder = tmp_path / "model"
    shutil.copytree(tiny.ct2, folder)
    DAMAGES[damage](folder)
    engine = Ct2Engine(spec_of(folder))
    with pytest.raises(ModelDamagedError) as caught:
        await engine.load()
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    await engine.close()


def test_an_unknown_architecture_is_named(tiny: TinyT5) -> None:
    """What CTranslate2 does not run is said before anything is read."""
    with pytest.raises(EngineUnavailableError, match="'encoder'"):
        create_engine("ct2", spec_of(tiny.ct2, architecture="encoder"))
