"""Whether two layouts of a model compute the same: their logits side by side.

Each ``check_…`` compares a converted model with the checkpoint it came from, twice where weights
were rounded: strictly with the checkpoint's weights rounded alike (a wrong layout stands out even
in a model that says little), and loosely with the checkpoint itself (rounding may cost, and the
cost is reported). Input is this package's own source code.

Knows what is compared with what. Does not know what is close enough (``difference``) or how
logits are computed (``logits``, ``llama_cpp``), and does not convert anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import psutil

from codegen_lsp.errors import ConversionError
from codegen_lsp.models.fit import machine_memory
from codegen_lsp.models.manifest import MANIFEST, Check, read_manifest

from . import codegen, rounding, verify_gguf
from .architectures import architecture_of
from .checkpoint import open_checkpoint, read_config
from .ct2_file import QUANTIZATIONS
from .difference import (
    EXACT,
    QUANTIZED,
    ROUNDED,
    Difference,
    Tolerance,
    compare,
    compared,
    compared_exactly,
    require,
)
from .from_ct2 import read_ct2, stored_type
from .logits import (
    Logits,
    Tokens,
    ct2_logits,
    jax_logits,
    reference_logits,
    transformers_logits,
)
from .reference import forward
from .samples import sample_tokens
from .tensors import Tensors

__all__ = [
    "EXACT",
    "QUANTIZED",
    "Difference",
    "Logits",
    "Tokens",
    "Tolerance",
    "check",
    "check_ct2",
    "check_gguf",
    "check_hf",
    "compare",
    "ct2_logits",
    "jax_logits",
    "reference_logits",
    "require",
    "sample",
    "transformers_logits",
]

SEQUENCES: Final = 1
LENGTH: Final = 96
"""Tokens per compared sequence, where the context allows it: each more sequence would have the
numpy reading read all weights once more."""

_COARSE: Final = "store the weights as float16, bfloat16 or float32"

_ROOM: Final = 1.2
"""Memory for weights and what is computed from them, for each byte of weights."""


def sample(source: Path) -> list[list[int]]:
    """Token ids for comparing the model in the Hugging Face folder *source*.

    :raises ConversionError: its configuration or its tokenizer cannot be read.
    """
    config = read_config(source)
    facts = architecture_of(config).facts(config)
    return sample_tokens(
        source / "tokenizer.json",
        facts.vocab_size,
        sequences=SEQUENCES,
        length=min(LENGTH, facts.context_length - 1),  # llama.cpp answers with one more
    )


def check(source: Path, converted: Path) -> tuple[Check, ...]:
    """Compare *converted*, whatever its layout, with the Hugging Face folder *source*.

    :raises ConversionError: they differ, one cannot be read, or *converted* is of no known layout.
    """
    if converted.is_file():
        return check_gguf(source, converted)
    if (converted / "model.bin").is_file():
        named = (converted / MANIFEST).is_file() and read_manifest(converted).compute_type
        return check_ct2(source, converted, named or stored_type(converted))
    if (converted / "config.json").is_file():
        return check_hf(source, converted)
    raise ConversionError(
        f"{converted} is no converted model",
        mend="name a folder of CTranslate2 or Hugging Face, or a GGUF file",
    )


def check_ct2(source: Path, converted: Path, quantization: str) -> tuple[Check, ...]:
    """Compare the CTranslate2 folder *converted* with the Hugging Face folder *source*.

    *quantization* is how the weights are stored.

    :raises ConversionError: they differ, or one cannot be read.
    """
    tokens = sample(source)
    tensors = open_checkpoint(source)
    base = reference_logits(source, tokens, tensors)
    checks = _judged(source, tokens, base)
    if quantization == "float32":
        _require_memory(converted, 1)
        found = ct2_logits(converted, tokens, "float32")
        name = "CTranslate2 float32, checkpoint"
        return (*checks, _exactly(name, source, tokens, tensors, (base, found)))
    strict, widened = _strictly(source, converted, quantization, tokens)
    return (*checks, *strict, _loosely(converted, quantization, tokens, base, widened))


def _strictly(
    source: Path, converted: Path, quantization: str, tokens: Tokens
) -> tuple[tuple[Check, ...], Logits | None]:
    """*converted* against the checkpoint rounded alike; and what the engine computed for that.

    Where the engine cannot hold the widened weights, a CodeGen's file is read back by numpy.
    """
    if quantization not in QUANTIZATIONS:
        return (), None
    fits = _fits(converted, _widening(quantization))
    if not fits and read_config(source).get("model_type") != "codegen":
        return (), None
    found = ct2_logits(converted, tokens, "float32") if fits else _read_back(converted, tokens)
    tensors = rounding.as_ct2(open_checkpoint(source), quantization)
    name = f"CTranslate2 {quantization}, checkpoint rounded alike"
    alike = reference_logits(source, tokens, tensors)
    if fits:
        return (_exactly(name, source, tokens, tensors, (alike, found)),), found
    name += ", file read back"
    return (_exactly(name, source, tokens, tensors, (alike, found)),), None


def _loosely(
    converted: Path, quantization: str, tokens: Tokens, base: Logits, widened: Logits | None
) -> Check:
    """*converted* against the checkpoint itself: what rounding costs.

    With what this machine computes with; a processor has no float16 to multiply with.
    """
    name = f"CTranslate2 {quantization}, checkpoint"
    if "int8" in quantization:
        _require_memory(converted, 1)
        found = ct2_logits(converted, tokens, "int8")
        return compared(name, base, found, ROUNDED, mend=_COARSE)
    if widened is None:
        _require_memory(converted, _widening(quantization))
        widened = ct2_logits(converted, tokens, "float32")
    return compared(name, base, widened, QUANTIZED)


def _widening(quantization: str) -> int:
    """How many times as large the stored weights are in float32."""
    return 4 if quantization.startswith("int8") else 2


def _read_back(converted: Path, tokens: Tokens) -> Logits:
    """What numpy computes from a CTranslate2 folder of a CodeGen, tensor by tensor."""
    plain, shape = read_ct2(converted)
    return np.concatenate([forward(plain, shape, ids, np.float32) for ids in tokens])


def _fits(converted: Path, widening: int) -> bool:
    """Whether the engine can hold the weights of *converted* at *widening* times their size."""
    free = min(psutil.virtual_memory().available, machine_memory())
    return _needed(converted, widening) * _ROOM < free


def _needed(converted: Path, widening: int) -> int:
    return (converted / "model.bin").stat().st_size * widening


def _require_memory(converted: Path, widening: int) -> None:
    """:raises ConversionError: the engine would take more memory than the machine has."""
    needed = _needed(converted, widening)
    there = machine_memory() + psutil.swap_memory().total
    if needed > there:
        raise ConversionError(
            f"comparing takes {needed / 1e9:.1f} GB of memory, the machine has {there / 1e9:.1f}",
            mend="store the weights as int8, or pull with --no-check",
        )


def check_hf(source: Path, converted: Path) -> tuple[Check, ...]:
    """Compare the Hugging Face folder *converted*, of any layout, with *source*.

    :raises ConversionError: they differ, or one cannot be read.
    """
    tokens = sample(source)
    tensors, others = open_checkpoint(source), open_checkpoint(converted)
    layout = str(read_config(converted).get("model_type"))
    base = reference_logits(source, tokens, tensors)
    found = reference_logits(converted, tokens, others)
    checks = _judged(source, tokens, base)
    if _is_half(others):
        halves = rounding.as_float16(tensors)
        alike = reference_logits(source, tokens, halves)
        name = f"{layout} float16, checkpoint rounded alike"
        checks = (
            *checks,
            _exactly(name, source, tokens, halves, (alike, found)),
            compared(f"{layout} float16, checkpoint", base, found, QUANTIZED),
        )
    else:
        name = f"{layout}, checkpoint"
        checks = (*checks, _exactly(name, source, tokens, tensors, (base, found)))
    theirs = transformers_logits(converted, tokens)
    return (*checks, *_official(theirs, found, converted, tokens, layout))


def _is_half(tensors: Tensors) -> bool:
    return bool(tensors[next(iter(tensors))].dtype == np.float16)


def check_gguf(source: Path, converted: Path) -> tuple[Check, ...]:
    """Compare the GGUF file *converted*, run by llama.cpp, with the Hugging Face folder *source*.

    :raises ConversionError: they differ, one cannot be read, or ``gguf`` or ``xllamacpp`` is not
        installed.
    """
    tokens = sample(source)
    _check_parts(source, tokens)
    return verify_gguf.check(source, converted, tokens)


def _judged(source: Path, tokens: Tokens, base: Logits) -> tuple[Check, ...]:
    """What can be said of the checkpoint itself: its parts, and what transformers makes of it."""
    _check_parts(source, tokens)
    try:
        theirs = transformers_logits(source, tokens)
    except ConversionError:
        theirs = None  # published files are older than the library that is installed; numpy judges
    return _official(theirs, base, source, tokens, "checkpoint")


def _check_parts(source: Path, tokens: Tokens) -> None:
    config = read_config(source)
    if config.get("model_type") == "codegen":
        codegen.check_parts(open_checkpoint(source), config, tokens[0])


def _official(
    theirs: Logits | None, ours: Logits, folder: Path, tokens: Tokens, name: str
) -> tuple[Check, ...]:
    if theirs is None:
        return ()
    step = f"transformers, {name} in numpy"
    return (_exactly(step, folder, tokens, open_checkpoint(folder), (ours, theirs)),)


def _exactly(
    name: str, folder: Path, tokens: Tokens, tensors: Tensors, pair: tuple[Logits, Logits]
) -> Check:
    """Two computations of *tensors*, which are those of *folder*; the first is numpy's."""

    def noisy() -> Logits:
        return reference_logits(folder, tokens, rounding.jittered(tensors))

    return compared_exactly(name, *pair, noisy)
