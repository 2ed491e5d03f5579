"""What is kept of prompts: which anchor serves, when a new one is read, what it all costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.engines.anchors import (
    AHEAD,
    MEBIBYTE,
    SHORTEST,
    SLACK,
    Anchors,
    capacity_of,
)
from codegen_lsp.types import Prompt

KB = 1024
GB = 1024 * MEBIBYTE


def text(length: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(1 + seed + i % 97 for i in range(length))


def prompt_of(stable: int, tail: int = 20, seed: int = 0) -> Prompt:
    whole = text(stable + tail, seed)
    return Prompt(whole[:stable], whole[stable:])


def keeping(*lengths: int, capacity: int = GB) -> Anchors:
    anchors = Anchors(KB, capacity)
    for length in lengths:
        anchors.add(text(length))
    return anchors


@pytest.mark.parametrize(
    ("kept", "prompt", "chosen"),
    [
        pytest.param((), prompt_of(200), 200, id="the stable part at first"),
        pytest.param((200,), prompt_of(200), 200, id="then what was read"),
        pytest.param((200,), prompt_of(200 + SLACK), 200, id="while one types behind it"),
        pytest.param((200,), prompt_of(201 + SLACK), 201 + SLACK, id="until that is too much"),
        pytest.param((50, 200, 120), prompt_of(210), 200, id="the longest of several"),
        pytest.param((219, 200), prompt_of(200), 219, id="also where it is more than stable"),
        pytest.param((220, 200), prompt_of(200), 200, id="a prompt is more than its anchor"),
        pytest.param((300,), prompt_of(200), 200, id="not what goes on behind the cursor"),
        pytest.param((), prompt_of(SHORTEST - 1), 0, id="nothing of a short prompt"),
        pytest.param((), prompt_of(SHORTEST), SHORTEST, id="but of a longer one"),
        pytest.param((40,), prompt_of(0, 400), 40, id="better little than nothing"),
        pytest.param((), prompt_of(100, 0), 0, id="nothing without a tail"),
        pytest.param((), prompt_of(0, 0), 0, id="nothing of nothing"),
    ],
)
def test_choice(kept: tuple[int, ...], prompt: Prompt, chosen: int) -> None:
    """A prompt is read from the longest anchor that is near enough, else from its stable part."""
    anchors = keeping(*kept)
    assert anchors.choose(prompt) == prompt.tokens[:chosen]
    assert anchors.warm(prompt) == (chosen if chosen in kept else 0)


def test_another_text_of_the_same_length_is_another() -> None:
    """Only what is equal, token by token, was read."""
    anchors = keeping(200)
    for place in (0, 100, 199):
        other = list(text(220))
        other[place] = 500
        prompt = Prompt(tuple(other[:200]), tuple(other[200:]))
        assert anchors.choose(prompt) == prompt.stable
        assert anchors.warm(prompt) == 0


def test_reading_ahead_reads_anew_earlier() -> None:
    """What still serves a request is replaced while nobody waits."""
    anchors = keeping(200)
    assert not anchors.unread(prompt_of(200 + AHEAD), AHEAD)
    assert anchors.unread(prompt_of(201 + AHEAD), AHEAD)
    assert not anchors.unread(prompt_of(201 + AHEAD), SLACK)
    assert not anchors.unread(prompt_of(SHORTEST - 1, seed=300), AHEAD)


def test_what_is_kept_is_counted() -> None:
    """Each anchor by its length, none twice, none that is empty."""
    anchors = keeping(100, 200, 100, 0)
    assert anchors.size == 300 * KB
    assert anchors.newest == text(100)
    anchors.forget()
    assert anchors.size == 0
    assert anchors.newest == ()
    assert anchors.warm(prompt_of(100)) == 0


def test_too_much_is_noticed() -> None:
    """Above the capacity when there is time, above one and a half of it at once."""
    full = keeping(100, 300, capacity=400 * KB)
    assert not full.crowded
    assert not full.bursts(text(200))
    assert full.bursts(text(201))
    fuller = keeping(100, 300, 200, capacity=400 * KB)
    assert fuller.crowded
    assert fuller.bursts(text(250))
    assert not any(fuller.bursts(text(length)) for length in (100, 200, 300)), "that costs nothing"
    assert not fuller.bursts(())


@pytest.mark.parametrize(("token_bytes", "capacity"), [(0, GB), (KB, 199 * KB), (KB, 0)])
def test_what_is_too_dear_is_not_kept(token_bytes: int, capacity: int) -> None:
    """Nor what nobody can count."""
    anchors = Anchors(token_bytes, capacity)
    assert anchors.choose(prompt_of(200)) == ()
    assert not anchors.unread(prompt_of(200), AHEAD)


@pytest.mark.parametrize(
    ("asked", "memory", "available", "mebibytes"),
    [
        (0, 8 * GB, 8 * GB, 512),
        (0, 64 * GB, 64 * GB, 1024),
        (0, 1 * GB, 1 * GB, 128),
        (0, 16 * GB, 2 * GB, 512),
        (0, 1 * GB, 256 * MEBIBYTE, 64),
        (3000, 1 * GB, 1 * GB, 3000),
    ],
)
def test_capacity(asked: int, memory: int, available: int, mebibytes: int) -> None:
    """What was asked for; else a share of the machine that leaves most of what is free."""
    assert capacity_of(asked, memory, available) == mebibytes * MEBIBYTE


@pytest.mark.parametrize(
    ("context", "mebibytes"), [(10 * MEBIBYTE, 128), (40 * MEBIBYTE, 320), (400 * MEBIBYTE, 1024)]
)
def test_a_small_model_stays_small(context: int, mebibytes: int) -> None:
    """It keeps no more than eight documents would need."""
    assert capacity_of(0, 64 * GB, 64 * GB, context) == mebibytes * MEBIBYTE
    assert capacity_of(2000, 64 * GB, 64 * GB, context) == 2000 * MEBIBYTE


LENGTHS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 130)), max_size=40)


@given(LENGTHS, st.integers(0, 500))
def test_the_count_stays_below_one_and_a_half(prompts: list[tuple[int, int]], room: int) -> None:
    """Whatever is asked for, as long as everything is forgotten when it has to be."""
    anchors = Anchors(KB, room * KB)
    for stable, tail in prompts:
        prompt = prompt_of(stable, tail, seed=stable % 3)
        chosen = anchors.choose(prompt)
        assert prompt.tokens[: len(chosen)] == chosen
        assert len(chosen) < max(1, len(prompt))
        if anchors.bursts(chosen):
            anchors.forget()
        anchors.add(chosen)
        assert 2 * anchors.size <= 3 * room * KB
        assert anchors.warm(prompt) == len(chosen)
        assert not anchors.unread(prompt, SLACK)


def test_a_thousand_typed_tokens_are_read_in_coarse_steps() -> None:
    """About one new anchor for each hundred tokens, whatever the lengths of lines."""
    anchors = Anchors(KB, GB)
    read = 0
    for typed in range(1000):
        whole = text(500 + typed)
        stable = (len(whole) - 16) // 9 * 9  # a line is nine tokens long
        prompt = Prompt(whole[:stable], whole[stable:])
        if not anchors.warm(prompt):
            read += 1
            anchors.add(anchors.choose(prompt))
    assert 8 <= read <= 10
