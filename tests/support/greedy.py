"""Greedy answers of the engines that layouts are written for, to compare them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.tensors import Tensors

Ids = list[int]


def prompts(count: int, below: int, length: int = 24, seed: int = 1) -> list[Ids]:
    """Random prompts of tokens that a tokenizer has."""
    rng = np.random.default_rng(seed)
    return [[int(i) for i in row] for row in rng.integers(1, below, (count, length))]


def ct2_greedy(folder: Path, given: Sequence[Ids], max_tokens: int) -> list[Ids]:
    """What CTranslate2 answers in float32, without an end of text."""
    import ctranslate2

    words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    model = ctranslate2.Generator(str(folder), device="cpu", compute_type="float32")
    results = model.generate_batch(
        [[words[i] for i in prompt] for prompt in given],
        beam_size=1,
        sampling_topk=1,
        max_length=max_tokens,
        min_length=0,
        include_prompt_in_result=False,
    )
    return [list(result.sequences_ids[0]) for result in results]


def check_same_text(
    found: Sequence[Ids],
    expected: Sequence[Ids],
    given: Sequence[Ids],
    model: tuple[Tensors, Shape],
    *,
    ties: float,
) -> None:
    """The answers are equal; where one is not, its first other token is no worse by *ties* nats.

    A tie may fall either way and takes the rest of the answer with it; at most one in ten does.
    """
    plain, shape = model
    differing = 0
    for prompt, ours, theirs in zip(given, found, expected, strict=True):
        if ours == theirs:
            continue
        differing += 1
        at = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
        row = forward(plain, shape, [*prompt, *theirs[:at]])[-1]
        assert row[theirs[at]] - row[ours[at]] < ties, (prompt, ours, theirs)
    assert differing <= len(given) // 10
