"""A server that stumbles, lies, hangs or goes away: nobody waits for it longer than he must."""

from __future__ import annotations

import asyncio

import pytest

from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from tests.support.cursor import says, word_tokenizer

pytest.importorskip("httpx2", reason="the HTTP client is not installed")
pytest.importorskip("uvicorn", reason="the test server needs it")

from codegen_lsp.errors import RemoteAwayError
from tests.support.remote_engine import WORDS, answer, engine_at, request, server_of, text_of
from tests.support.remote_server import Fault, Spelling, serving, until


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_what_passes_is_tried_again(status: int, times: int) -> None:
    """Nobody notices a server that stumbles."""
    served = server_of()
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        served.faults.append(Fault(status=status, times=times))
        assert text_of(await answer(engine, request())) == "return total"
        assert engine.away is None


async def test_a_busy_server_says_when_to_come_again() -> None:
    """Where that is before the deadline it is asked again, else it is left alone."""
    served = server_of()
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        busy = Fault(status=429, headers={"Retry-After": "0"})
        served.faults.append(busy)
        assert text_of(await answer(engine, request())) == "return total"
        busy.times, busy.headers = 1, {"Retry-After": "50"}
        with pytest.raises(RemoteAwayError, match="busy"):
            await answer(engine, request())
        asked = len(served.streams)
        with pytest.raises(RemoteAwayError, match="busy"):
            await answer(engine, request())
        assert len(served.streams) == asked


async def test_a_server_that_is_away_is_told_at_once_and_used_again_when_it_is_back() -> None:
    """After some failures nobody waits for it; trials in the background find it again."""
    served = server_of()
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        everything = Fault(path="", status=503, times=1000)
        served.faults.append(everything)
        with pytest.raises(RemoteAwayError, match="503"):
            await answer(engine, request())
        used = everything.times
        with pytest.raises(RemoteAwayError, match="503"):
            await answer(engine, request())
        assert (everything.times, engine.away is None) == (used, False)
        everything.times = 0
        await until(lambda: engine.away is None)
        assert text_of(await answer(engine, request())) == "return total"


async def test_a_server_may_come_back_with_another_model() -> None:
    """Then nothing of what it says is shown: its tokens are other words."""
    served = server_of()
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        served.faults.append(Fault(status=503, times=3))
        with pytest.raises(RemoteAwayError):
            await answer(engine, request())
        served.tokenizer = word_tokenizer(["ret", "urn tot", "class ", "row"])
        await until(lambda: isinstance(engine.away, EngineUnavailableError))
        with pytest.raises(EngineUnavailableError, match="other tokens"):
            await answer(engine, request())


async def test_a_server_that_was_killed_is_used_again() -> None:
    """The port is closed for a while; connections that were kept are of no use afterwards."""
    served = server_of()
    async with serving(served) as url:
        pass
    port = int(url.rpartition(":")[2])
    async with engine_at(url) as engine:
        with pytest.raises(RemoteAwayError, match="refused"):
            await engine.load()
        async with serving(served, port=port):
            await until(lambda: engine.away is None)
            assert text_of(await answer(engine, request())) == "return total"
        with pytest.raises(RemoteAwayError):
            await answer(engine, request())
        async with serving(served, port=port):
            await until(lambda: engine.away is None)
            assert text_of(await answer(engine, request())) == "return total"


@pytest.mark.parametrize(
    ("fault", "error", "says_so"),
    [
        (Fault(cut_after=1), GenerationError, "broke off"),
        (Fault(drip=True), RemoteAwayError, "in time"),
        (Fault(silent=True), RemoteAwayError, "in time"),
        (Fault(status=200, body=b"<html>"), GenerationError, "does not answer as OpenAI"),
        (Fault(status=200, body=b'{"choices": 3}'), GenerationError, "does not answer as OpenAI"),
        (Fault(status=200, body=b'{"error": {}}'), GenerationError, "failed while it answered"),
        (Fault(status=400, body=b'{"error": {"code": "too_long"}}'), GenerationError, "too_long"),
        (Fault(status=401), EngineUnavailableError, "CODEGEN_LSP_API_KEY"),
        (Fault(status=404), EngineUnavailableError, "serverModel"),
        (Fault(status=413), GenerationError, "413"),
        (Fault(status=302, headers={"Location": "http://x/"}), EngineUnavailableError, "elsewhere"),
        (
            Fault(
                status=200,
                headers={"content-type": "text/event-stream"},
                body=b'data: {"choices": [{"text": "a", "token_ids": [5]}]}\n\n',
            ),
            GenerationError,
            "broke off",
        ),
    ],
)
async def test_a_misbehaving_server_is_told_in_one_line(
    fault: Fault, error: type[Exception], says_so: str
) -> None:
    """Nothing hangs; the line says what is wrong, and nothing of the prompt or of the answer."""
    served = server_of()
    async with serving(served) as url, engine_at(url, deadline=1.0) as engine:
        await engine.load()
        served.faults.append(Fault(**{**vars(fault), "times": 3}))
        with pytest.raises(error, match=says_so) as raised:
            await answer(engine, request("secret_code"))
    assert "\n" not in str(raised.value)
    assert "secret_code" not in str(raised.value)
    assert "<html>" not in str(raised.value)


async def test_a_stream_that_breaks_before_its_first_token_is_asked_for_again() -> None:
    """Nothing was received, so nothing can be said twice."""
    served = server_of()
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        served.faults.append(Fault(cut_after=0))
        assert text_of(await answer(engine, request())) == "return total"
        assert len(served.streams) == 2


async def test_a_whole_answer_will_do() -> None:
    """Some servers know no streams."""
    served = server_of()
    async with serving(served) as url, engine_at(url, speller=Spelling(WORDS)) as engine:
        await engine.load()
        body = b'{"choices": [{"text": "for", "token_ids": [%d], "finish_reason": "stop"}]}'
        served.faults.append(Fault(status=200, body=body % WORDS.encode("for")[0]))
        assert text_of(await answer(engine, request())) == "for"


async def test_a_server_that_says_more_than_was_asked_is_not_heard_out() -> None:
    """No engine yields more tokens than it was asked for."""
    served = server_of(style="ollama")
    async with serving(served) as url, engine_at(url) as engine:
        await engine.load()
        body = b'{"choices": [{"text": "return return return", "finish_reason": "stop"}]}'
        served.faults.append(Fault(status=200, body=body))
        assert text_of(await answer(engine, request(n=2))) == "return "


@pytest.mark.parametrize("begun", [True, False])
async def test_closing_the_engine_ends_what_runs(begun: bool) -> None:
    """The reader is told, and the server sees its client go."""
    gate = asyncio.Event()
    scripted = ScriptedEngine(says(WORDS, "return total " * 200), gate=gate)
    served = server_of(engine=scripted)
    async with serving(served) as url, engine_at(url, speller=None) as engine:
        await engine.load()
        reader = asyncio.create_task(answer(engine, request(n=900)))
        await until(lambda: bool(served.streams))
        if begun:
            gate.set()
            await until(lambda: served.streams[0].tokens > 3)
            gate.clear()
        await engine.close()
        with pytest.raises((GenerationError, EngineUnavailableError)):
            await reader
        await asyncio.wait_for(served.streams[0].gone.wait(), 10)


async def test_a_closed_engine_stays_closed() -> None:
    """Closing is idempotent, ends the trials, and is final."""
    async with engine_at("http://127.0.0.1:9") as engine:
        with pytest.raises(RemoteAwayError):
            await engine.load()
        await engine.close()
        await engine.close()
        with pytest.raises((EngineUnavailableError, RemoteAwayError)):
            await answer(engine, request())
    async with engine_at("") as engine:
        with pytest.raises(EngineUnavailableError, match="no URL"):
            await engine.load()
