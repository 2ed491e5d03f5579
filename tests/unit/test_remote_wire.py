"""The words of ``/v1/completions``, in the ways in which servers say them."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.engines.remote_wire import (
    BLOCK,
    Answered,
    Dialect,
    Events,
    Part,
    Served,
    aligned,
    asked,
    read_answer,
    read_models,
)
from codegen_lsp.errors import GenerationError
from codegen_lsp.types import GenerationRequest, Prompt


def events(*pieces: bytes) -> list[str]:
    parser = Events()
    return [event for piece in pieces for event in parser.push(piece)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\r\n\r\ndata:  b\r\r", ["a", " b"]),
        (b": hello\n\ndata: a\nevent: x\nid: 3\ndata: b\n\n", ["a\nb"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"data\n\n", [""]),
        (b"data: a\n", []),
        (b"datax: a\n\n", []),
        ("data: a\u2028b\x0b\x85c\n\n".encode(), ["a\u2028b\x0b\x85c"]),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_events(content: bytes, expected: list[str]) -> None:
    """Comments and other fields are passed over, what has no end is none; only three line ends."""
    assert events(content) == expected


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 200)),
)
def test_events_do_not_depend_on_how_bytes_are_cut(
    texts: list[str], end: str, places: list[int]
) -> None:
    """Packets end anywhere, within characters and line ends, too."""
    content = "".join(f"data: {text}{end}: c{end}{end}" for text in texts).encode()
    cuts = [0, *sorted(place for place in places if place < len(content)), len(content)]
    pieces = [content[a:b] for a, b in itertools.pairwise(cuts)]
    assert events(*pieces) == events(content) == texts


def test_an_event_without_end_is_refused() -> None:
    """Memory is not a server's to fill."""
    with pytest.raises(GenerationError, match="without end"):
        events(*[b"data: " + b"x" * 9_000] * 200)


@given(st.integers(0, 3000), st.integers(1, 2048))
def test_prompts_lose_whole_blocks(length: int, room: int) -> None:
    """What is left fits, is the end, and is less than a block shorter than it could be."""
    tokens = tuple(range(length))
    left = aligned(tokens, room)
    assert left == tokens[length - len(left) :]
    assert len(left) <= room
    assert len(left) > min(length, room) - BLOCK or room <= BLOCK
    assert bool(left) == bool(tokens)
    if room > BLOCK:
        assert (length - len(left)) % BLOCK == 0


@given(st.integers(BLOCK + 1, 1024), st.integers(0, 2048))
def test_the_beginning_moves_once_in_a_block_of_keystrokes(room: int, length: int) -> None:
    """While so many tokens are typed, a server finds what it has read but once."""
    begins = {aligned(range(n), room)[:1] for n in range(length + 1, length + 1 + BLOCK)}
    assert len(begins) <= 2


def test_a_request_holds_no_more_than_it_must() -> None:
    """What is as OpenAI has it by default is left out, extras are for who knows them."""
    request = GenerationRequest(Prompt((), ()), 7)
    plain = {"model": "m", "prompt": "x", "max_tokens": 7, "temperature": 0.0, "stream": True}
    assert asked("m", "x", request, Dialect(extras=False)) == plain
    assert asked("m", (3, 4), request, Dialect(), ["a", "b", "c", "d", "e"]) == {
        **plain,
        "prompt": [3, 4],
        "stop": ["a", "b", "c", "d"],
        "logprobs": 1,
        "return_token_ids": True,
    }


def choice(**more: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "finish_reason": None, **more}]}).encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (choice(text="ab"), Answered((Part("ab"),))),
        (choice(text=""), Answered()),
        (choice(text="", finish_reason="stop"), Answered(finished=True)),
        (b'{"choices": [], "usage": {"prompt_tokens": 3}}', Answered(prompt_tokens=3)),
        (  # vLLM
            choice(
                text="ab",
                token_ids=[5, 6],
                logprobs={"tokens": ["a", "b"], "token_logprobs": [-1, -2.5]},
            ),
            Answered((Part("a", 5, -1.0), Part("b", 6, -2.5))),
        ),
        (  # within a character
            choice(text="", token_ids=[5], logprobs={"tokens": ["\ufffd"], "token_logprobs": [-1]}),
            Answered((Part("", 5, -1.0),)),
        ),
        (choice(text="ab", token_ids=[5, 6]), Answered((Part("ab", 5), Part("", 6)))),
        (choice(text="ab", token_ids=["5", True]), Answered((Part("ab"),))),
        (choice(text="ab", token_ids=None, logprobs=None), Answered((Part("ab"),))),
        (  # OpenAI
            choice(text="ab", logprobs={"tokens": ["a", "b"], "token_logprobs": [None, 0.1]}),
            Answered((Part("a"), Part("b", None, 0.0))),
        ),
        (  # words that are names
            choice(text="a", logprobs={"tokens": ["token_id:3"], "token_logprobs": [-1.5]}),
            Answered((Part("a", None, -1.5),)),
        ),
        (  # llama-server
            choice(
                text="ab",
                logprobs={
                    "content": [
                        {"id": 5, "token": "a", "logprob": -1.0, "top_logprobs": []},
                        {"id": 6, "token": "b", "logprob": -(10**400)},
                    ]
                },
            ),
            Answered((Part("a", 5, -1.0), Part("b", 6, -10000.0))),
        ),
        (
            choice(text="a", logprobs={"content": [{"token": "?", "logprob": "x"}]}),
            Answered((Part("a"),)),
        ),
        (
            choice(text="a", finish_reason="length", prompt_token_ids=[1, 2]),
            Answered((Part("a"),), finished=True, prompt_ids=(1, 2)),
        ),
    ],
)
def test_answers(content: bytes, expected: Answered) -> None:
    """Each kind of server tells tokens in its own way, or not at all."""
    assert read_answer(content) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                (
                    *("choices", "text", "logprobs", "content", "token_ids", "data", "id"),
                    *("usage", "tokens", "token_logprobs", "prompt_tokens", "error", "meta"),
                )
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JSON | st.text() | st.binary())
def test_whatever_comes_is_an_answer_or_one_error(document: Any) -> None:
    """No other exception, whatever a server sends."""
    content = document if isinstance(document, str | bytes) else json.dumps(document)
    readers: tuple[Callable[[str | bytes], object], ...] = (read_answer, read_models)
    for read in readers:
        with contextlib.suppress(GenerationError):
            read(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"data": []}, ()),
        ({"data": [{"id": "a"}, {"id": ""}, {"name": "x"}, 3]}, (Served("a"),)),
        ({"data": [{"id": "a", "max_model_len": 2048}]}, (Served("a", 2048),)),
        ({"data": [{"id": "a", "meta": {"n_ctx_train": 512}}]}, (Served("a", 512),)),
        ({"data": [{"id": "a", "family": "causal"}]}, (Served("a", 0, "causal"),)),
        ({"data": [{"id": "a", "family": 3, "meta": 3, "max_model_len": "x"}]}, (Served("a"),)),
    ],
)
def test_models(content: object, expected: tuple[Served, ...]) -> None:
    """What is no model is passed over."""
    assert read_models(json.dumps(content).encode()) == expected
