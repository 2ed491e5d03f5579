"""CodeGen as one GGUF file, through the Phi layout, for llama.cpp and what is built on it.

llama.cpp does not know CodeGen; it knows Phi-2, whose network and whose tokenizer are CodeGen's
(see ``to_phi``). Its architecture name is ``phi2``. The file is written tensor by tensor.

Knows GGUF's names, types and metadata. Does not know how a tokenizer is described
(``gguf_vocabulary`` does) and does not run the file (``llama_cpp`` does).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from codegen_lsp.errors import ConversionError

from .gguf_vocabulary import add_vocabulary, read_vocabulary
from .hf_folder import end_of_text_id
from .shape import Shape
from .tensors import Array, Tensors
from .to_phi import to_phi

__all__ = ["ARCHITECTURE", "HEAD_KIND", "TYPES", "dequantized", "kind_of", "package", "write_gguf"]

ARCHITECTURE: Final = "phi2"
"""llama.cpp's name of the network."""

TYPES: Final = {
    "f32": "ALL_F32",
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
    "q5_1": "MOSTLY_Q5_1",
    "q5_0": "MOSTLY_Q5_0",
    "q4_1": "MOSTLY_Q4_1",
    "q4_0": "MOSTLY_Q4_0",
}
"""How matrices can be stored, with the name of the file type in the ``gguf`` package."""

_BLOCK_SIZE: Final = 32
"""Weights of a row that share a scale in the quantized types."""

_PLAIN_TYPES: Final = ("f32", "f16", "bf16")

HEAD_KIND: Final = "q8_0"
"""How the head of a quantized file is stored.

Errors in the head are errors in the answer; llama.cpp's own quantizer keeps it finer as well.
"""

Progress = Callable[[int, int], None]
"""Called with the tensors written and the tensors in all."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...]
    make: Callable[[], Array]
    kind: str


def write_gguf(
    plain: Tensors,
    shape: Shape,
    tokenizer: Path,
    out: Path,
    kind: str = "f16",
    *,
    name: str = "",
    licence: str = "",
    progress: Progress | None = None,
) -> Path:
    """Write *plain* weights and *tokenizer* (a ``tokenizer.json``) as the GGUF file *out*.

    *kind* is one of :data:`TYPES`, in any case. Vectors stay float32, rows that are no multiple
    of 32 stay float16, and the head of a 4 or 5 bit file is stored as q8_0. *out* appears whole
    or not at all; an older one is replaced. ``gguf_vocabulary.is_exact`` says whether llama.cpp
    will cut text into the same tokens.

    :raises ConversionError: an unknown *kind*, the ``gguf`` package is missing, a weight is
        missing or does not fit, or a file cannot be read or written.
    """
    kind = _checked(kind)
    gguf = package()
    vocabulary = read_vocabulary(tokenizer, shape.vocab_size, end_of_text_id(tokenizer, shape))
    scratch = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with closing(gguf.GGUFWriter(scratch, ARCHITECTURE)) as writer:
            _add_metadata(writer, shape, gguf.LlamaFileType[TYPES[kind]], name or out.stem, licence)
            add_vocabulary(writer, vocabulary)
            _write(writer, gguf, list(_entries(plain, shape, kind)), progress)
        scratch.replace(out)
    except OSError as error:
        raise ConversionError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        scratch.unlink(missing_ok=True)
    return out


def _checked(kind: str) -> str:
    chosen = kind.lower()
    if chosen in TYPES:
        return chosen
    mend = f"use one of {', '.join(TYPES)}"
    if "_k" in chosen:
        mend += "; llama.cpp's llama-quantize makes k-quants from an f16 file"
    raise ConversionError(f"cannot write a GGUF of type {kind!r}", mend=mend)


def package() -> Any:
    """The ``gguf`` package.

    :raises ConversionError: it is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise ConversionError(
            "writing a GGUF needs the package gguf", mend="pip install 'codegen-lsp[gguf]'"
        ) from error
    return gguf


def _add_metadata(writer: Any, shape: Shape, file_type: int, name: str, licence: str) -> None:
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    writer.add_description("CodeGen in the layout of Phi-2")
    writer.add_context_length(shape.n_positions)
    writer.add_embedding_length(shape.n_embd)
    writer.add_feed_forward_length(4 * shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head)
    writer.add_layer_norm_eps(shape.layer_norm_epsilon)
    writer.add_rope_dimension_count(shape.rotary_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_file_type(int(file_type))
    writer.add_quantization_version(2)


def _entries(plain: Tensors, shape: Shape, kind: str) -> Iterator[_Entry]:
    """Every tensor of the file, in llama.cpp's usual order."""
    phi = to_phi(plain, shape)[1]
    width, inner = shape.n_embd, 4 * shape.n_embd

    def entry(name: str, size: tuple[int, ...], *sources: str) -> _Entry:
        own = kind_of(size, kind, HEAD_KIND if name == "output.weight" else None)
        return _Entry(name, size, partial(_stacked, phi, sources), own)

    yield entry("token_embd.weight", (shape.vocab_size, width), "model.embed_tokens.weight")
    for layer in range(shape.n_layer):
        here, there = f"model.layers.{layer}.", f"blk.{layer}."
        names = [f"{here}self_attn.{part}_proj." for part in "qkv"]
        for end, columns in (("weight", (width,)), ("bias", ())):
            yield entry(f"{there}attn_norm.{end}", (width,), f"{here}input_layernorm.{end}")
            fused = [name + end for name in names]
            yield entry(f"{there}attn_qkv.{end}", (3 * width, *columns), *fused)
            dense = f"{here}self_attn.dense.{end}"
            yield entry(f"{there}attn_output.{end}", (width, *columns), dense)
            yield entry(f"{there}ffn_up.{end}", (inner, *columns), f"{here}mlp.fc1.{end}")
            outer = (inner,) if end == "weight" else ()
            yield entry(f"{there}ffn_down.{end}", (width, *outer), f"{here}mlp.fc2.{end}")
    for end, columns in (("weight", (width,)), ("bias", ())):
        yield entry(f"output_norm.{end}", (width,), f"model.final_layernorm.{end}")
        yield entry(f"output.{end}", (shape.vocab_size, *columns), f"lm_head.{end}")


def _stacked(tensors: Tensors, names: tuple[str, ...]) -> Array:
    arrays = [tensors[name] for name in names]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def kind_of(size: tuple[int, ...], kind: str, finer: str | None = None) -> str:
    """How a tensor of shape *size* is stored in a file of type *kind*.

    *finer* is what it is stored as where the file is quantized at all.
    """
    if len(size) == 1:
        return "f32"
    if kind in _PLAIN_TYPES:
        return kind
    if size[-1] % _BLOCK_SIZE:
        return "f16"
    return finer or kind


def dequantized(weight: Array, kind: str) -> Array:
    """*weight* as a reader of *kind* gets it back, in float32.

    :raises ConversionError: the ``gguf`` package is missing.
    """
    gguf = package()
    raw = gguf.GGMLQuantizationType[kind.upper()]
    stored = gguf.quantize(np.ascontiguousarray(weight, np.float32), raw)
    return np.asarray(gguf.dequantize(stored, raw), np.float32)


def _write(writer: Any, gguf: Any, entries: list[_Entry], progress: Progress | None) -> None:
    for entry in entries:
        raw = gguf.GGMLQuantizationType[entry.kind.upper()]
        per_block, block_bytes = gguf.GGML_QUANT_SIZES[raw]
        count = int(np.prod(entry.shape)) // per_block * block_bytes
        dtype = np.dtype("float16" if entry.kind == "f16" else "float32")
        writer.add_tensor_info(entry.name, entry.shape, dtype, count, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, entry in enumerate(entries):
        if progress is not None:
            progress(done, len(entries))
        writer.write_tensor_data(_stored(entry, gguf))
    if progress is not None:
        progress(len(entries), len(entries))


def _stored(entry: _Entry, gguf: Any) -> Array:
    """The bytes of one tensor as the file holds them."""
    weight = entry.make()
    if weight.shape != entry.shape:
        raise ConversionError(f"{entry.name} is {weight.shape}, not {entry.shape}")
    raw = gguf.GGMLQuantizationType[entry.kind.upper()]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked at below
        stored: Array = gguf.quantize(np.ascontiguousarray(weight, np.float32), raw)
    narrow = entry.kind == "f16" and not np.isfinite(stored).all()
    if narrow or not np.isfinite(weight).all():
        raise ConversionError(f"{entry.name} does not fit {entry.kind}", mend="use bf16 or f32")
    return stored
