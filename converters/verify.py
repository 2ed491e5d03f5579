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
from codegen_lsp.models.manifest import MANIFEST, Check, read_manifest

from . import codegen, rounding, verify_gguf
from .architectures import architecture_of
from .checkpoint import open_checkpoint, read_config
from .ct2_file import QUANTIZATIONS
from .difference import EXACT, QUANTIZED, Difference, Tolerance, compare, compared, require
from .from_ct2 import stored_type
from .logits import (
    Logits,
    Tokens,
    ct2_logits,
    jax_logits,
    reference_logits,
    transformers_logits,
)
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
    engine = f"CTranslate2 {quantization}"
    if quantization == "float32":
        found = ct2_logits(converted, tokens, "float32")
        return (*checks, compared(f"{engine}, checkpoint", base, found, EXACT))
    if quantization in QUANTIZATIONS and _fits_float32(converted):
        alike = reference_logits(source, tokens, rounding.as_ct2(tensors, quantization))
        found = ct2_logits(converted, tokens, "float32")
        name = f"{engine}, checkpoint rounded alike"
        checks = (*checks, compared(name, alike, found, EXACT))
    # What this machine computes with; a processor has no float16 to multiply with.
    found = ct2_logits(converted, tokens, "int8" if "int8" in quantization else "float32")
    return (*checks, compared(f"{engine}, checkpoint", base, found, QUANTIZED))


def _fits_float32(converted: Path) -> bool:
    """Whether the engine can hold the weights of *converted* widened to float32."""
    stored = (converted / "model.bin").stat().st_size
    return stored * 4 * 1.2 < psutil.virtual_memory().available


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
        alike = reference_logits(source, tokens, rounding.as_float16(tensors))
        name = f"{layout} float16, checkpoint rounded alike"
        checks = (
            *checks,
            compared(name, alike, found, EXACT),
            compared(f"{layout} float16, checkpoint", base, found, QUANTIZED),
        )
    else:
        checks = (*checks, compared(f"{layout}, checkpoint", base, found, EXACT))
    return (*checks, *_official(transformers_logits(converted, tokens), found, layout))


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
    return _official(theirs, base, "checkpoint")


def _check_parts(source: Path, tokens: Tokens) -> None:
    config = read_config(source)
    if config.get("model_type") == "codegen":
        codegen.check_parts(open_checkpoint(source), config, tokens[0])


def _official(theirs: Logits | None, ours: Logits, name: str) -> tuple[Check, ...]:
    if theirs is None:
        return ()
    return (compared(f"transformers, {name} in numpy", ours, theirs, EXACT),)
