"""The remote engine and llama.cpp's own server, in a process of its own with the bundled model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

pytest.importorskip("httpx2", reason="the HTTP client is not installed")
pytest.importorskip("gguf", reason="the extra [gguf] is not installed")
pytest.importorskip("xllamacpp", reason="the extra [llama] is not installed")

import httpx2

from codegen_lsp.engines.llama import LlamaEngine
from codegen_lsp.engines.remote import RemoteEngine
from codegen_lsp.engines.remote_access import Server
from codegen_lsp.engines.table import EngineSpec
from tests.support.llama import IDS, TOKENIZER, answer, asked, ids_of, llama_spec
from tests.support.remote_server import Spelling


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    return llama_spec(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def url(spec: EngineSpec) -> Iterator[str]:
    """The server's address, once it answers."""
    command = [sys.executable, "-m", "codegen_lsp.evaluation.bench.llama_child"]
    child = subprocess.Popen(
        [*command, str(spec.gguf), "1024", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        address = child.stdout.readline().strip()
        for _ in range(300):
            if _listed(address):
                break
            time.sleep(0.1)
        yield address
    finally:
        child.stdin.close()
        child.wait(20)


def _listed(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/v1/models").status_code == 200
    except httpx2.HTTPError:
        return False


def remote(url: str) -> RemoteEngine:
    server = Server(url, speller=Spelling(TOKENIZER))
    return RemoteEngine(EngineSpec(Path(), "bundled", 1024, server=server))


async def test_it_says_what_the_engine_in_process_says(url: str, spec: EngineSpec) -> None:
    """The same weights, prompt and library: the same tokens, as likely, but for flash attention,
    which our engine turns off. Prompts are ids: llama.cpp cuts a text elsewhere than we do."""
    local, engine = LlamaEngine(spec), remote(url)
    try:
        for end in (97, 120, 150, 203, 260):
            request = asked(IDS[:end], 12, stop_ids=(TOKENIZER.eos_id,))
            here, there = await answer(local, request), await answer(engine, request)
            assert len(here) == len(there) == 12
            assert ids_of(there)[:6] == ids_of(here)[:6]
            for one, other in zip(here, there, strict=True):
                assert other.log_prob == pytest.approx(one.log_prob, abs=0.05)
                if other.id != one.id:  # two were as likely, to the last few digits
                    break
        assert engine.takes_ids
    finally:
        await engine.close()
        await local.close()


async def test_it_stops_when_the_stream_is_closed(url: str) -> None:
    """Its slot, which would have gone on for hundreds of tokens, is free at once."""
    engine = remote(url)
    try:
        async with aclosing(engine.generate(asked(IDS[:150], 800))) as tokens:
            await anext(tokens)
        async with httpx2.AsyncClient() as client, asyncio.timeout(10):
            while True:
                (slot,) = (await client.get(f"{url}/slots")).json()
                if not slot["is_processing"]:
                    break
        assert slot["next_token"][0]["n_decoded"] < 800
    finally:
        await engine.close()
