"""The remote engine against real servers on loopback, in the manner of those that exist."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.remote_access import Server
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import EngineUnavailableError
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt, Sampling
from tests.support.cursor import says, word_tokenizer

pytest.importorskip("httpx2", reason="the HTTP client is not installed")
pytest.importorskip("uvicorn", reason="the test server needs it")

from codegen_lsp.engines.remote_probe import served_model
from tests.support.remote_engine import WORDS, answer, engine_at, request, server_of, text_of
from tests.support.remote_server import Spelling, Style, serving, until

OTHERS = word_tokenizer(["ret", "urn tot", "class ", "row"])


@pytest.mark.parametrize(
    ("style", "ids", "odds"),
    [("vllm", True, True), ("llama", True, True), ("ollama", False, False)],
)
async def test_each_kind_of_server_says_the_same(style: Style, ids: bool, odds: bool) -> None:
    """Token ids go to a server that takes them, text to others; what comes back is the same."""
    served = server_of(style=style, log_probs=(-0.5, -0.25))
    async with serving(served) as url, engine_at(url) as engine:
        tokens = await answer(engine, request())
        assert engine.takes_ids == ids
    assert text_of(tokens) == "return total"
    assert [token.id for token in tokens] == WORDS.encode("return total")
    assert [token.log_prob for token in tokens] == ([-0.5, -0.25] if odds else [None, None])
    (sent,) = served.streams
    assert sent.body["prompt"] == (list(request().prompt.tokens) if ids else "def f():")
    assert (sent.body["temperature"], sent.body["max_tokens"]) == (0.0, 16)


@pytest.mark.parametrize("style", ["vllm", "llama", "ollama"])
async def test_the_bundled_model_says_there_what_it_says_here(style: Style) -> None:
    """Greedy text is the local engine's, whether prompts are ids or text."""
    folder = bundled_folder()
    tokenizer = CodeTokenizer.from_folder(folder)
    local = Ct2Engine(EngineSpec(folder, "bundled", 1024, "cpu", "float32", 1))
    prompt = tokenizer.encode("def mean(values):\n    return sum(values) /")
    asked = GenerationRequest(Prompt((tokenizer.eos_id, *prompt), ()), 12, stop_ids=(0,))
    try:
        here = [token async for token in local.generate(asked)]
        served = server_of(engine=local, tokenizer=tokenizer, style=style)
        served.mark = (tokenizer.eos_id,)
        async with serving(served) as url, engine_at(url, speller=Spelling(tokenizer)) as engine:
            there = [token async for token in engine.generate(asked)]
    finally:
        await local.close()
    assert here
    assert [token.id for token in there] == [token.id for token in here]
    if style != "ollama":
        assert [token.log_prob for token in there] == pytest.approx([t.log_prob for t in here])


@pytest.mark.parametrize("chooses", [True, False])
@pytest.mark.parametrize(("wish", "requests"), [("tot", 3), ("ret", 1)])
async def test_the_first_token_can_be_wished(chooses: bool, wish: str, requests: int) -> None:
    """What the model says of itself costs nothing; else its token is chosen, where a server can."""

    def say(asked: GenerationRequest) -> list[int]:
        if asked.first_ids:
            return [asked.first_ids[0]]
        ends_with = asked.prompt.tokens[-1] == WORDS.encode("t")[0]
        return WORDS.encode("for rows" if ends_with else "return total")

    served = server_of(engine=ScriptedEngine(say))
    served.chooses = chooses
    asked = GenerationRequest(
        Prompt(tuple(WORDS.encode("x ")), ()), 16, first_ids=WORDS.continuations(wish)
    )
    async with serving(served) as url, engine_at(url) as engine:
        said = text_of(await answer(engine, asked))
    if wish == "ret" or not chooses:
        assert (said, len(served.streams)) == ("return total", 1)
    else:
        assert (said, len(served.streams)) == ("tfor rows", requests)
        assert served.streams[1].body["max_tokens"] == 1
        assert "allowed_token_ids" not in served.streams[2].body


async def test_closing_the_stream_stops_the_server() -> None:
    """The server sees its client go, and makes no further token: over HTTP/1.1."""
    scripted = ScriptedEngine(says(WORDS, "return total " * 200), delay=0.005)
    served = server_of(engine=scripted)
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        async with aclosing(engine.generate(request(n=900))) as tokens:
            await anext(tokens)
        (sent,) = served.streams
        await asyncio.wait_for(sent.gone.wait(), 10)
        made = sent.tokens
        assert scripted.cancelled == 1
        assert await answer(engine, request(n=2))  # the engine is free for the next job
        assert sent.tokens == made < 900


async def test_cancelling_the_reader_stops_the_server_before_a_token_came() -> None:
    """Also where the request waits for its first token."""
    scripted = ScriptedEngine(says(WORDS, "return"), gate=asyncio.Event())
    served = server_of(engine=scripted)
    async with serving(served) as url, engine_at(url, speller=None) as engine:
        await engine.load()
        reader = asyncio.create_task(answer(engine, request()))
        await until(lambda: bool(served.streams))
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await asyncio.wait_for(served.streams[0].gone.wait(), 10)


async def test_a_server_of_another_family_is_refused() -> None:
    """Its ids would mean other words. Where ours are known to be other ones, text is sent."""
    served = server_of(tokenizer=OTHERS, engine=ScriptedEngine(says(OTHERS, "ret x")))
    async with serving(served) as url:
        async with engine_at(url) as engine:
            with pytest.raises(EngineUnavailableError, match="has other tokens than tiny"):
                await engine.load()
        async with engine_at(url, same_tokens=False) as engine:
            assert text_of(await answer(engine, request())) == "ret x"
            assert not engine.takes_ids


async def test_a_mark_that_the_server_puts_before_a_text_is_no_other_family() -> None:
    """Some tokenizers begin every text with one."""
    for style in ("vllm", "llama"):
        served = server_of(style=style)
        served.mark = (WORDS.eos_id,)
        async with serving(served) as url, engine_at(url) as engine:
            await engine.load()
            assert engine.takes_ids


async def test_a_strict_server_gets_nothing_but_what_openai_has() -> None:
    """No other field is sent to one that refuses them."""
    served = server_of()
    served.strict = True
    async with serving(served) as url, engine_at(url) as engine:
        assert text_of(await answer(engine, request())) == "return total"
    assert set(served.streams[0].body) == {
        *("model", "prompt", "max_tokens", "temperature", "stream", "stop")
    }


@pytest.mark.parametrize("length", [1, 60, 61, 128, 200, 500])
async def test_long_prompts_begin_at_steps(length: int) -> None:
    """What is sent leaves room for the answer, and has lost a multiple of 128 tokens."""
    served = server_of(context_length=200)
    prompt = tuple(WORDS.encode("x" * length))
    async with serving(served) as url, engine_at(url) as engine:
        await answer(engine, GenerationRequest(Prompt(prompt, ()), 40))
        assert engine.info.context_length == 200
        (sent,) = (one.body["prompt"] for one in served.streams)
        assert len(sent) <= 160
        assert (length - len(sent)) % 128 == 0
        assert tuple(sent) == prompt[length - len(sent) :]
        kept = engine.warm(Prompt(prompt, ()))
        assert kept % 128 == 0
        assert kept <= len(sent)


async def test_what_was_sent_is_warm_even_if_its_answer_was_not_heard_out() -> None:
    """In whole blocks, as long as the prompts begin alike."""
    served = server_of("return total " * 9)
    prompt = tuple(WORDS.encode("x" * 300))
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        assert engine.warm(Prompt(prompt, ())) == 0
        async with aclosing(engine.generate(GenerationRequest(Prompt(prompt, ()), 9))) as tokens:
            await anext(tokens)
        assert engine.warm(Prompt(prompt, (1, 2, 3))) == 256
        assert engine.warm(Prompt((5, *prompt), ())) == 0


async def test_stop_ids_end_an_answer() -> None:
    """Whether the server knows of them or not."""
    stop = WORDS.encode("for")[0]
    prompt = Prompt(tuple(WORDS.encode("x")), ())
    served = server_of("return for total")
    async with serving(served) as url, engine_at(url) as engine:
        tokens = await answer(engine, GenerationRequest(prompt, 9, stop_ids=(stop,)))
        sampled = GenerationRequest(prompt, 2, Sampling(0.5, top_p=0.9, top_k=4, seed=3))
        assert len(await answer(engine, sampled)) == 2
    assert text_of(tokens) == "return "
    assert {"top_p": 0.9, "top_k": 4, "seed": 3}.items() <= served.streams[1].body.items()


async def test_the_models_name_is_asked_or_set() -> None:
    """The first is taken, or the one that is named; another one is an error that names them."""
    served = server_of(context_length=512)
    served.models = ["codegen-350M-mono", "codegen-16B-mono"]
    async with serving(served) as url:
        first = await served_model(Server(url))
        assert (first.id, first.context_length) == ("codegen-350M-mono", 512)
        assert (await served_model(Server(url, "codegen-16B-mono"))).id == "codegen-16B-mono"
        with pytest.raises(EngineUnavailableError, match="one of codegen-350M-mono, codegen-16B"):
            await served_model(Server(url, "gpt"))
        served.models = []
        with pytest.raises(EngineUnavailableError, match="serves no model"):
            await served_model(Server(url))


async def test_warming_up_sends_no_code() -> None:
    """A connection is opened, and nothing of the prompt leaves the machine."""
    served = server_of()
    async with serving(served) as url, engine_at(url) as engine:
        await engine.prewarm(request().prompt)
        assert served.listed == 0  # nothing is loaded by that
        await engine.load()
        asked = len(served.asked)
        await engine.prewarm(request().prompt)
        assert (len(served.asked), served.listed) == (asked, 2)
        await answer(engine, request())
        assert len({one.client for one in served.asked}) == 1
