"""What llama.cpp is told, what its chunks say, and the head of a GGUF file."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.engines.gguf_header import GgufHeader, read_header
from codegen_lsp.engines.llama_support import (
    NAMED,
    NO_ID,
    Chunk,
    body,
    fitting,
    plan_of,
    read_chunk,
    refusal,
    wishing,
)
from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.types import GenerationRequest, Prompt, Sampling, Token

MIB = 1 << 20


def chunk(text: str, *content: tuple[int, float], **more: object) -> dict[str, Any]:
    entries = [{"id": i, "logprob": p, "token": text, "bytes": []} for i, p in content]
    choice = {"text": text, "logprobs": {"content": entries} if entries else None}
    return {"choices": [choice], **more}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (chunk("x", (5, -0.5)), Chunk(Token(5, -0.5))),
        (chunk("", (5, -0.5)), Chunk(Token(5, -0.5))),
        (chunk("é", (5, -0.5)), Chunk(Token(5, -0.5, "é"))),
        (chunk("ab", (5, -0.5), (6, -1.0)), Chunk(Token(6, -1.0, "ab"))),
        (chunk("guessed"), Chunk(Token(NO_ID, None, "guessed"))),
        (chunk("", timings={"prompt_n": 3}), Chunk()),
        (chunk("", prompt_progress={"processed": 64, "cache": 3}), Chunk(read=64)),
        ({"error": {"code": 400, "message": "no"}}, Chunk(error="no")),
        ({"error": "plain"}, Chunk(error="plain")),
        ({}, Chunk()),
    ],
)
def test_chunks(said: dict[str, Any], expected: Chunk) -> None:
    """Tokens, progress and errors, decoded or not."""
    assert read_chunk(said) == read_chunk(json.dumps(said)) == expected


def test_how_likely_others_were() -> None:
    """Where more than the one that was chosen are named, and it is the whole text that was."""
    likely = [{"id": 5, "logprob": math.log(0.5)}, {"id": 6, "logprob": math.log(0.499)}]

    def named(text: str, count: int) -> Token:
        entry = {"id": 5, "logprob": math.log(0.5), "top_logprobs": likely[:count]}
        token = read_chunk({"choices": [{"text": text, "logprobs": {"content": [entry]}}]}).token
        assert token is not None
        return token

    odds = named("x", 2).odds
    assert odds is not None
    assert odds.among([6]) == pytest.approx((math.log(0.499), math.log(0.499)))
    assert named("x", 1).odds is None
    assert named("é", 2).odds is None
    assert json.loads(body((1,), 5, 0))["logprobs"] == 1
    assert json.loads(body((1,), 5, 0, named=0))["logprobs"] == 1
    assert json.loads(body((1,), 5, 0, named=40))["logprobs"] == 40


@pytest.mark.parametrize(
    ("sampling", "cached"),
    [
        (Sampling(), True),
        (Sampling(seed=3), True),
        (Sampling(temperature=0.8), True),
        (Sampling(temperature=0.8, seed=3), False),
    ],
)
def test_what_was_read_counts_unless_chance_must_repeat_itself(
    sampling: Sampling, cached: bool
) -> None:
    """Rounding may differ with what was kept; a drawn answer must not."""
    said = json.loads(body((1, 2), 5, 1, sampling, wishing((7,))))
    assert said["cache_prompt"] is cached
    assert said["temperature"] == sampling.temperature
    assert said["logit_bias"] == [[7, 1e4]]
    assert (said["prompt"], said["max_tokens"], said["id_slot"]) == ([1, 2], 5, 1)


@pytest.mark.parametrize(
    ("tokens", "wanted", "context", "expected"),
    [
        (range(5), 3, 10, ((0, 1, 2, 3, 4), 3)),
        (range(5), 3, 8, ((0, 1, 2, 3, 4), 3)),
        (range(5), 3, 7, ((1, 2, 3, 4), 3)),
        (range(5), 100, 7, ((4,), 6)),
        ((), 3, 10, ((99,), 3)),
    ],
)
def test_prompt_and_answer_share_the_context(
    tokens: range, wanted: int, context: int, expected: tuple[tuple[int, ...], int]
) -> None:
    """The beginning of the prompt goes first."""
    request = GenerationRequest(Prompt((), tuple(tokens)), wanted)
    assert fitting(request, context, 99) == expected


@pytest.mark.parametrize(
    ("capacity", "slots"), [(0, 1), (159 * MIB, 1), (320 * MIB, 2), (10_000 * MIB, 4)]
)
def test_as_many_slots_as_memory_allows(capacity: int, slots: int) -> None:
    """Keys and values of 350M take 160 MiB a slot; a network knows its own context."""
    plan = plan_of(GgufHeader(20, 1024, 2048), 380 * MIB, 4096, 2, capacity)
    assert (plan.context, plan.slots, plan.read_at_once) == (2048, slots, 32)
    assert plan.needed == (380 + 160 * slots) * MIB
    assert plan.named == NAMED
    small = plan_of(GgufHeader(5, 256, 1024), 9 * MIB, 512, 1, 0)
    assert (small.read_at_once, small.named) == (64, 0)


def test_refusals() -> None:
    """One line each, whatever llama.cpp wrote."""
    assert "vocabulary" in str(refusal("Prompt contains invalid tokens"))
    assert str(refusal("a\nb")) == "llama.cpp failed: a b; restart the server"


def key(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


FACTS = [
    key("general.architecture", 8, text("phi2")),
    key("general.flag", 7, b"\1"),
    key("general.list", 9, struct.pack("<IQ", 8, 2) + text("a") + text("bc")),
    key("general.scale", 6, struct.pack("<f", 1.5)),
    key("phi2.block_count", 4, struct.pack("<I", 20)),
    key("phi2.embedding_length", 10, struct.pack("<Q", 1024)),
    key("phi2.context_length", 5, struct.pack("<i", 2048)),
]


def head(facts: list[bytes], version: int = 3, magic: bytes = b"GGUF", count: int = -1) -> bytes:
    count = len(facts) if count < 0 else count
    return magic + struct.pack("<IQQ", version, 0, count) + b"".join(facts)


def test_the_head_of_a_file(tmp_path: Path) -> None:
    """Facts are found behind values of any type, and what follows them is not read."""
    file = tmp_path / "m.gguf"
    file.write_bytes(head([*FACTS, b"anything"], count=99))
    assert read_header(file) == GgufHeader(20, 1024, 2048)
    assert read_header(file).kept_bytes(2048) == 160 * MIB


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        head(FACTS, magic=b"GGML"),
        head(FACTS, version=1),
        head(FACTS[:-1]),
        head(FACTS)[:-3],
        head([key("a", 77, b"\0" * 8)]),
        head([key("a", 8, struct.pack("<Q", 1 << 60))]),
        head([key("a", 9, struct.pack("<IQ", 0, 1 << 60))]),
        head([key("a", 9, struct.pack("<IQ", 9, 1) * 5000)]),
        head([*FACTS[:-1], key("phi2.context_length", 5, struct.pack("<i", -1))]),
        b"\xff" * 200,
    ],
)
def test_what_is_no_gguf(tmp_path: Path, content: bytes) -> None:
    """Is said to be none, at once and without taking memory for it."""
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelDamagedError, match="no whole GGUF file"):
        read_header(file)
    with pytest.raises(ModelDamagedError):
        read_header(tmp_path / "none")
