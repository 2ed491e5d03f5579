"""Whether a GGUF file, run by a real llama.cpp, computes what its checkpoint does.

llama.cpp gives no logits of a whole sequence. It is asked for the log-probabilities behind
twenty prompts (prefixes of the samples), and to continue each sample greedily; the continuation
becomes part of what numpy reads, so one forward pass per sample judges all of it.

Knows what llama.cpp's arithmetic costs. Does not know how it is run (``llama_cpp``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import Check

from . import llama_cpp, rounding
from .checkpoint import open_checkpoint, read_config
from .difference import QUANTIZED, Logits, Tolerance, as_check, compare, require
from .logits import reference_logits
from .to_gguf import TYPES, package

__all__ = ["ALIKE", "ALIKE_BLOCKS", "SOURCE", "check", "stored_kind"]

PROMPTS: Final = 20
ANSWER: Final = 16
"""Tokens that each sample is continued by, where the context allows it."""

_LOOSE: Final = float("inf")

ALIKE: Final = {
    "f32": Tolerance(max_abs=0.1, agreement=1.0, divergence=2e-5, margin=0.02),
    "f16": Tolerance(max_abs=0.1, agreement=1.0, divergence=2e-5, margin=0.02),
    "bf16": Tolerance(max_abs=_LOOSE, agreement=0.95, divergence=5e-4, margin=0.2),
}
"""llama.cpp against the checkpoint rounded alike, by the type of the matrices.

Its GELU is a table of float16, and what matrices are multiplied with is rounded to their type.
"""

ALIKE_BLOCKS: Final = Tolerance(max_abs=_LOOSE, agreement=0.95, divergence=0.01, margin=0.3)
"""The quantized types: what matrices are multiplied with is rounded to 8 bits.

That alone costs 0.001 nats in the 350M's shape with massive channels (q8_0, measured); deeper and
wider models more.
"""

SOURCE: Final = {
    "f16": Tolerance(max_abs=_LOOSE, agreement=0.95, divergence=0.005, margin=0.2),
    "bf16": Tolerance(max_abs=_LOOSE, agreement=0.95, divergence=0.01, margin=0.3),
    "q8_0": QUANTIZED,
}
"""llama.cpp against the checkpoint itself."""

_SOURCE_COARSE: Final = Tolerance(max_abs=_LOOSE, agreement=0.0, divergence=1.0, margin=0.5)
"""Four and five bits cost what they cost, which is reported."""


def check(source: Path, converted: Path, tokens: Sequence[Sequence[int]]) -> tuple[Check, ...]:
    """Compare the file *converted* with the Hugging Face folder *source* on *tokens*.

    :raises ConversionError: they differ, or one cannot be read.
    """
    kind = stored_kind(converted)
    tensors = open_checkpoint(source)
    answers = _ask(converted, tokens, int(read_config(source)["vocab_size"]))
    base = reference_logits(source, answers.sequences, tensors)
    step = f"llama.cpp {kind}, checkpoint"
    if kind == "f32":
        return (_judged(step, answers, base, ALIKE[kind]),)
    alike = reference_logits(source, answers.sequences, rounding.as_gguf(tensors, kind))
    return (
        _judged(f"{step} rounded alike", answers, alike, ALIKE.get(kind, ALIKE_BLOCKS)),
        _judged(step, answers, base, SOURCE.get(kind, _SOURCE_COARSE)),
    )


def stored_kind(path: Path) -> str:
    """How most matrices of a GGUF file are stored: a key of ``to_gguf.TYPES``.

    :raises ConversionError: the file cannot be read, or is of a type that is not written here.
    """
    gguf = package()
    try:
        field = gguf.GGUFReader(path).get_field("general.file_type")
        number = None if field is None else int(field.contents())
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ConversionError(
            f"cannot read {path}: {error}", mend="name a whole GGUF file"
        ) from error
    for kind, name in TYPES.items():
        if gguf.LlamaFileType[name] == number:
            return kind
    raise ConversionError(f"{path} is of a type that cannot be checked ({number})")


@dataclass(frozen=True, slots=True)
class _Answers:
    """What llama.cpp said."""

    sequences: list[list[int]]
    """The samples' beginnings with the greedy continuations."""

    given: list[tuple[int, int]]
    """Rows, over all sequences, behind which a token was chosen, and the token."""

    ends: list[int]
    """Rows, over all sequences, at which probabilities were asked for."""

    log_probs: NDArray[np.float64]
    """[ends, vocabulary]."""


def _ask(converted: Path, tokens: Sequence[Sequence[int]], size: int) -> _Answers:
    length = len(tokens[0])
    half, count = length - min(ANSWER, length // 3), min(ANSWER, length // 3)
    sequences: list[list[int]] = []
    given: list[tuple[int, int]] = []
    ends: list[int] = []
    rows: list[NDArray[np.float64]] = []
    with llama_cpp.running(converted, length + 1) as llama:
        for sample in tokens:
            begin = sum(map(len, sequences))
            prompt = list(sample[:half])
            answer = llama.greedy(prompt, count)
            given += [(begin + half - 1 + i, token) for i, token in enumerate(answer)]
            sequences.append([*prompt, *answer])
            for end in _spread(len(sequences[-1]), PROMPTS // len(tokens)):
                ends.append(begin + end)
                rows.append(llama_cpp.log_probs(llama, sequences[-1][: end + 1], size))
    return _Answers(sequences, given, ends, np.stack(rows))


def _spread(length: int, count: int) -> list[int]:
    """At most *count* positions below *length*, evenly, the last one among them."""
    return sorted({int(i) for i in np.linspace(min(3, length - 1), length - 1, count)})


def _judged(step: str, answers: _Answers, logits: Logits, tolerance: Tolerance) -> Check:
    """Compare probabilities, and the greedy tokens as further positions of agreement."""
    found = compare(logits[answers.ends], answers.log_probs)
    slips = [float(logits[row].max() - logits[row, token]) for row, token in answers.given]
    slips = [slip for slip in slips if slip > 0]
    positions = found.positions + len(answers.given)
    whole = replace(
        found,
        slips=(*found.slips, *slips),
        positions=positions,
        agreement=1 - (len(found.slips) + len(slips)) / positions,
    )
    return as_check(step, require(step, whole, tolerance))
