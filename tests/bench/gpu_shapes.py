"""CodeGen in its sizes with random weights: what a model costs, without downloading one.

What is computed depends on the shape alone, so weights are drawn, tensor by tensor, and written as
a Hugging Face folder that transformers and this project's converters read alike. Every matrix
keeps the size of what goes through it, so that all layers count and 16-bit types suffice; every
number of the vocabulary has a name and end-of-text is never likely, so that an answer has as many
tokens as were asked for.

Knows shapes and folders. Does not know engines or clocks.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.converters.checkpoint import write_safetensors
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.tensors import LazyTensors
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.models.manifest import Manifest
from codegen_lsp.prompts.tokenizer import END_OF_TEXT

__all__ = ["END", "SHAPES", "write_ct2", "write_hf"]

END: Final = 0
"""The id of end-of-text."""

NEVER: Final = -1e4
"""The bias of a token that is not to be generated; float16 can hold it."""

POSITIONS: Final = 2048

SHAPES: Final[Mapping[str, Shape]] = {
    "tiny": Shape(
        vocab_size=512,
        n_positions=POSITIONS,
        n_embd=64,
        n_layer=2,
        n_head=4,
        rotary_dim=8,
        eos_token_id=END,
    ),
    "350M": Shape(
        vocab_size=51_200,
        n_positions=POSITIONS,
        n_embd=1024,
        n_layer=20,
        n_head=16,
        rotary_dim=32,
        eos_token_id=END,
    ),
    "2B": Shape(
        vocab_size=51_200,
        n_positions=POSITIONS,
        n_embd=2560,
        n_layer=32,
        n_head=32,
        rotary_dim=64,
        eos_token_id=END,
    ),
}
"""By the name they have on the command line: one for trying, and two of CodeGen's own.

Source: the ``config.json`` of Salesforce/codegen-350M-mono and Salesforce/codegen-2B-mono.
"""

_Draw = Callable[[], NDArray[np.generic]]


def write_hf(folder: Path, shape: Shape) -> Path:
    """Write *shape* with random weights in float16 as the Hugging Face folder *folder*.

    The same shape has the same weights each time. One tensor is in memory at a time.
    """
    write_safetensors(folder, LazyTensors(dict(_tensors(shape))))
    # The type that the file has; transformers is told another where another is measured.
    config = shape.to_config() | {"torch_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    words = {END_OF_TEXT: END} | {f"word{i}": i for i in range(shape.vocab_size) if i != END}
    tokenizer = {"version": "1.0", "model": {"type": "BPE", "vocab": words, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


def write_ct2(source: Path, folder: Path, quantization: str) -> Path:
    """Convert the Hugging Face folder *source* to the model folder *folder*.

    :raises ConversionError: it cannot be written.
    """
    manifest = Manifest(
        name="random", context_length=POSITIONS, licence="CC0-1.0", languages=("python",)
    )
    convert(source, folder, manifest, quantization)
    return folder


def _tensors(shape: Shape) -> Iterator[tuple[str, _Draw]]:
    """Recipes of all weights, by the names that transformers gives them."""
    width, inner, words = shape.n_embd, 4 * shape.n_embd, shape.vocab_size
    yield "transformer.wte.weight", _drawn("wte", words, width)
    for number in range(shape.n_layer):
        at = f"transformer.h.{number}."
        yield from _norm(at + "ln_1", width)
        for name, rows, columns in (
            ("attn.qkv_proj", 3 * width, width),
            ("attn.out_proj", width, width),
            ("mlp.fc_in", inner, width),
            ("mlp.fc_out", width, inner),
        ):
            yield f"{at}{name}.weight", _drawn(at + name, rows, columns)
            if name.startswith("mlp"):
                yield f"{at}{name}.bias", _filled(rows, 0.0)
    yield from _norm("transformer.ln_f", width)
    yield "lm_head.weight", _drawn("lm_head", words, width)
    yield "lm_head.bias", lambda: _silenced(words)


def _norm(name: str, width: int) -> Iterator[tuple[str, _Draw]]:
    yield f"{name}.weight", _filled(width, 1.0)
    yield f"{name}.bias", _filled(width, 0.0)


def _drawn(name: str, rows: int, columns: int) -> _Draw:
    """A matrix whose product with ordinary numbers is ordinary numbers."""

    def draw() -> NDArray[np.generic]:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        matrix = rng.standard_normal((rows, columns), np.float32)
        matrix /= np.float32(columns**0.5)
        return matrix.astype(np.float16)

    return draw


def _filled(length: int, value: float) -> _Draw:
    return lambda: np.full(length, value, np.float16)


def _silenced(words: int) -> NDArray[np.generic]:
    bias = np.zeros(words, np.float16)
    bias[END] = NEVER
    return bias
