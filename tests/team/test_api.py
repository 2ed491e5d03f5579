"""The real server in a process of its own, asked by OpenAI's client, curl and plain HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

import codegen_lsp
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt
from tests.support.team import TeamServer

NAME = "codegen-6M-mono"

CODE = "def add(first, second):\n    return first + second\n\n\ndef subtract(first, second):\n    "


def ask(server: TeamServer, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)


def choices(server: TeamServer, **body: Any) -> list[dict[str, Any]]:
    response = ask(server, **{"prompt": CODE, "max_tokens": 12, "temperature": 0, **body})
    assert response.status_code == 200, response.text
    return list(response.json()["choices"])


def text(server: TeamServer, **body: Any) -> str:
    return str(choices(server, **body)[0]["text"])


async def alone(prompts: list[list[int]], new: int) -> list[list[int]]:
    """What the engine of an editor answers to each."""
    spec = EngineSpec(bundled_folder(), "bundled", 1024, device="cpu", compute_type="float32")
    engine = create_engine("ct2", spec)
    found = []
    for prompt in prompts:
        request = GenerationRequest(Prompt((), tuple(prompt)), new)
        found.append([token.id async for token in engine.generate(request)])
    await engine.close()
    return found


async def test_answers_are_those_of_the_engine_alone(server: TeamServer) -> None:
    """Twenty prompts of many lengths at once, as ids and as text: none is mixed up."""
    tokenizer = CodeTokenizer.from_folder(bundled_folder())
    source = (Path(codegen_lsp.__file__).parent / "types.py").read_text()
    texts = [source[place * 97 : place * 97 + 40 + 61 * place] for place in range(20)]
    ids = [tokenizer.encode(one) for one in texts]
    expected = await alone(ids, 24)
    prompts: list[Any] = [*texts, *ids]
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        bodies = [
            {"prompt": one, "max_tokens": 24, "temperature": 0, "return_token_ids": True}
            for one in prompts
        ]
        replies = await asyncio.gather(*(client.post("/v1/completions", json=b) for b in bodies))
    found = [reply.json()["choices"][0] for reply in replies]
    assert [one["token_ids"] for one in found] == expected * 2
    assert [one["text"] for one in found] == [tokenizer.decode(one) for one in expected] * 2


def test_openais_client(server: TeamServer) -> None:
    """Whole answers, streams, several choices, models, and its errors."""
    openai = pytest.importorskip("openai", reason="OpenAI's client is not installed")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == [NAME]
    whole = client.completions.create(
        model=NAME, prompt=CODE, max_tokens=12, temperature=0, n=2, logprobs=1
    )
    assert whole.choices[0].text == whole.choices[1].text == text(server)
    assert len(whole.choices[0].logprobs.tokens) == whole.usage.completion_tokens / 2 == 12
    stream = client.completions.create(
        model=NAME,
        prompt=CODE,
        max_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"
    assert (last.choices, last.usage.completion_tokens) == ([], 12)
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-4", prompt="a")
    assert caught.value.code == "model_not_found"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl(server: TeamServer) -> None:
    """As in the README."""
    body = json.dumps({"prompt": CODE, "max_tokens": 12, "temperature": 0, "stream": True})
    shown = subprocess.run(
        ["curl", "-sN", f"{server.url}/v1/completions", "-d", body],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    events = [line.removeprefix("data: ") for line in shown.splitlines() if line]
    assert events.pop() == "[DONE]"
    assert "".join(json.loads(event)["choices"][0]["text"] for event in events) == text(server)


def test_a_stop_ends_an_answer(server: TeamServer) -> None:
    """It is not part of the text, whole or streamed, and the reason says so."""
    (whole,) = choices(server, stop=["\n", ") "], max_tokens=40)
    assert "\n" not in whole["text"]
    assert whole["finish_reason"] == "stop"
    assert text(server, max_tokens=40).startswith(whole["text"])


def test_several_prompts_and_choices(server: TeamServer) -> None:
    """Choices of the first prompt come first."""
    found = choices(server, prompt=[CODE, "import os\n"], n=2)
    assert [one["index"] for one in found] == [0, 1, 2, 3]
    assert found[0]["text"] == found[1]["text"] == text(server)
    assert found[2]["text"] == found[3]["text"] == text(server, prompt="import os\n")


def test_echo_with_odds_scores_a_prompt(server: TeamServer) -> None:
    """Without a new token; the odds are those that the same tokens have when they are generated."""
    (made,) = choices(server, logprobs=3, return_token_ids=True)
    (scored,) = choices(server, prompt=CODE + made["text"], echo=True, logprobs=3, max_tokens=0)
    assert scored["text"] == CODE + made["text"]
    assert scored["finish_reason"] == "length"
    odds = scored["logprobs"]
    assert odds["token_logprobs"][0] is None
    assert odds["top_logprobs"][0] is None
    shown = "".join(odds["tokens"])
    assert shown == scored["text"]
    assert all(
        scored["text"].startswith(token, at)
        for token, at in zip(odds["tokens"], odds["text_offset"], strict=True)
    )
    if odds["tokens"][-12:] == made["logprobs"]["tokens"]:
        assert odds["token_logprobs"][-12:] == pytest.approx(
            made["logprobs"]["token_logprobs"], abs=1e-3
        )


def test_a_seed_repeats_draws(server: TeamServer) -> None:
    """Beside whatever else is drawn; another seed draws something else."""
    body = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 24, "n": 2}
    first = choices(server, seed=7, **body)
    choices(server, **body)
    assert choices(server, seed=7, **body) == first
    assert choices(server, seed=8, **body) != first
    assert first[0]["text"] != first[1]["text"]


def test_an_empty_prompt_begins_a_document(server: TeamServer) -> None:
    """One token, end-of-text, stands for it."""
    response = ask(server, prompt="", max_tokens=3, temperature=0)
    assert response.json()["usage"]["prompt_tokens"] == 1


def test_marks_in_a_prompt_are_text(server: TeamServer) -> None:
    """Nobody ends a document by writing so."""
    response = ask(server, prompt="<|endoftext|>", max_tokens=1)
    assert response.json()["usage"]["prompt_tokens"] > 1


WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "too many choices": ({"n": 1000}, 400, "n"),
    "too many together": ({"prompt": ["a"] * 9, "n": 2}, 400, "more than 16"),
    "too long": ({"prompt": "a b " * 2000}, 400, "1024 tokens"),
    "too long with the answer": ({"max_tokens": 1024}, 400, "together 1025"),
    "no such model": ({"model": "gpt-4"}, 404, "no such model"),
    "suffix": ({"suffix": "x"}, 400, "only continues text"),
    "a field there is not": ({"tempreature": 1}, 400, "unknown field"),
    "not offered": ({"logit_bias": {"5": 3}}, 400, "not offered"),
    "best of": ({"best_of": 4}, 400, "best_of"),
    "a wrong type": ({"max_tokens": "many"}, 400, "max_tokens"),
    "negative": ({"max_tokens": -1}, 400, "max_tokens"),
    "nothing to do": ({"max_tokens": 0}, 400, "max_tokens"),
    "no token": ({"prompt": [1, 2, 99999]}, 400, "vocabulary"),
    "a negative token": ({"prompt": [-1]}, 400, "vocabulary"),
    "mixed prompts": ({"prompt": ["a", 1]}, 400, "prompt is"),
    "an empty list": ({"prompt": []}, 400, "empty list"),
    "an empty list in a list": ({"prompt": [[]]}, 400, "prompt is"),
    "true is no token": ({"prompt": [True]}, 400, "prompt is"),
    "an empty stop": ({"stop": [""]}, 400, "stop"),
    "hot": ({"temperature": 9}, 400, "temperature"),
    "options of no stream": ({"stream_options": {"include_usage": True}}, 400, "stream"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_refused_with_its_reason(server: TeamServer, case: str) -> None:
    """In OpenAI's form, in one line."""
    body, status, says = WRONG[case]
    response = ask(server, **{"prompt": "a", "max_tokens": 8, **body})
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert says in error["message"]
    assert "\n" not in error["message"]
    assert {"message", "type", "code"} <= set(error)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"prompt": ' + b"[" * 5000, b'{"prompt": NaN}']
)
def test_what_is_no_json_is_refused(server: TeamServer, content: bytes) -> None:
    """With 400, never with 500."""
    response = httpx.post(f"{server.url}/v1/completions", content=content, timeout=30)
    assert response.status_code == 400, response.text


def test_routes(server: TeamServer) -> None:
    """Those that there are, and how others are refused."""
    got = {
        path: httpx.get(server.url + path, timeout=30).status_code
        for path in ("/health", "/v1/models", "/metrics", "/status", "/openapi.json")
    }
    assert set(got.values()) == {200}
    assert httpx.get(f"{server.url}/v1/nothing").json()["error"]["type"]
    response = httpx.get(f"{server.url}/v1/completions")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_metrics_count(server: TeamServer) -> None:
    """Tokens by key, requests by route and status."""
    text(server)
    shown = httpx.get(f"{server.url}/metrics").text
    assert 'codegen_team_tokens_total{direction="written",key="anybody"}' in shown
    assert 'route="/v1/completions",status="200"' in shown
    assert "codegen_team_batch_sequences_bucket" in shown
