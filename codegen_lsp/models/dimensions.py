"""How large a network is: its matrices, counted from the numbers in a ``config.json``.

Knows four architectures by the name that ``config.json`` gives them. Does not know which models
there are (``catalog``), what a byte of them costs (``fit``), or how weights are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "CHATGLM_6B",
    "LLAMA_7B",
    "Dimensions",
    "Matrix",
    "bigcode_shape",
    "codegen_shape",
    "matrices",
    "parameters",
    "t5_shape",
    "vector_weights",
]

Matrix = tuple[int, int]
"""Outputs and inputs of a linear layer; of an embedding, tokens and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """The numbers of a ``config.json`` that decide how large a model is and how it attends."""

    model_type: str
    """As ``config.json`` has it."""

    layers: int
    """Blocks; of an encoder-decoder, blocks of each half."""

    width: int
    """Of the residual stream."""

    heads: int

    head_size: int

    rotary: int = 0
    """Leading dimensions of each head that are rotated; 0 where positions are told otherwise."""

    ffn: int
    """Inner width of the feed-forward layers."""

    vocab: int
    """Rows of the embedding, padding included."""

    kv_heads: int
    """Heads of keys and values; fewer than ``heads`` where they are shared."""

    positions: int = 0
    """Rows of a learned table of positions; 0 where there is none."""

    parts: int = 0
    """Slices in which query, key and value are stored (``converters.qkv``); 0 if they are not."""

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """Width of the keys, and of the values, of one token in one layer."""
        return self.kv_heads * self.head_size


def codegen_shape(
    layers: int, width: int, heads: int, head_size: int, rotary: int, parts: int
) -> Dimensions:
    """A CodeGen1 or CodeGen2."""
    return Dimensions(
        model_type="codegen",
        layers=layers,
        width=width,
        heads=heads,
        head_size=head_size,
        rotary=rotary,
        ffn=4 * width,
        vocab=51200,
        kv_heads=heads,
        parts=parts,
    )


def bigcode_shape(layers: int, width: int, heads: int, vocab: int, positions: int) -> Dimensions:
    """A SantaCoder or StarCoder."""
    return Dimensions(
        model_type="gpt_bigcode",
        layers=layers,
        width=width,
        heads=heads,
        head_size=128,
        ffn=4 * width,
        vocab=vocab,
        kv_heads=1,
        positions=positions,
    )


def t5_shape(layers: int, width: int, heads: int) -> Dimensions:
    """A CodeT5+ of the sizes that are T5's."""
    return Dimensions(
        model_type="t5",
        layers=layers,
        width=width,
        heads=heads,
        head_size=64,
        ffn=4 * width,
        vocab=32100,
        kv_heads=heads,
    )


LLAMA_7B: Final = Dimensions(
    model_type="llama",
    layers=32,
    width=4096,
    heads=32,
    head_size=128,
    rotary=128,
    ffn=11008,
    vocab=51200,
    kv_heads=32,
)
"""CodeGen2.5."""

CHATGLM_6B: Final = Dimensions(
    model_type="chatglm",
    layers=28,
    width=4096,
    heads=32,
    head_size=128,
    rotary=64,
    ffn=13696,
    vocab=65024,
    kv_heads=2,
)
"""ChatGLM2, and with it CodeGeeX2."""


def matrices(of: Dimensions) -> Iterator[Matrix]:
    """Every weight with two dimensions, a tied head once.

    :raises KeyError: the architecture is not in the table.
    """
    layer, outside = _MATRICES[of.model_type](of)
    for _ in range(of.layers):
        yield from layer
    yield from outside


def vector_weights(of: Dimensions) -> int:
    """Number of weights in biases and norms, which no compute type makes smaller than float16."""
    per_layer, outside = _VECTORS[of.model_type](of)
    return of.layers * per_layer + outside


def parameters(of: Dimensions) -> int:
    """Number of weights, padding included, a tied head counted once."""
    return sum(rows * columns for rows, columns in matrices(of)) + vector_weights(of)


Layered = tuple[list[Matrix], list[Matrix]]
"""The matrices of one layer, and those outside the layers."""


def _codegen(of: Dimensions) -> Layered:
    width, inner = of.width, of.inner
    layer = [(3 * inner, width), (width, inner), (of.ffn, width), (width, of.ffn)]
    return layer, [(of.vocab, width)] * 2


def _llama(of: Dimensions) -> Layered:
    width = of.width
    attention = [(of.inner, width), (of.kv_width, width), (of.kv_width, width), (width, of.inner)]
    return [*attention, *[(of.ffn, width)] * 2, (width, of.ffn)], [(of.vocab, width)] * 2


def _bigcode(of: Dimensions) -> Layered:
    width = of.width
    attention = [(of.inner + 2 * of.kv_width, width), (width, of.inner)]
    return [*attention, (of.ffn, width), (width, of.ffn)], [
        (of.vocab, width),
        (of.positions, width),
    ]


def _t5(of: Dimensions) -> Layered:
    """A block of the encoder and one of the decoder, which attends twice; head tied."""
    width = of.width
    attention = [(of.inner, width)] * 3 + [(width, of.inner)]
    buckets = 32  # of relative distance, once in each half
    return attention * 3 + [(of.ffn, width), (width, of.ffn)] * 2, [
        (of.vocab, width),
        *[(buckets, of.heads)] * 2,
    ]


_MATRICES: Final[Mapping[str, Callable[[Dimensions], Layered]]] = {
    "codegen": _codegen,
    "llama": _llama,
    "gpt_bigcode": _bigcode,
    "t5": _t5,
    "chatglm": _llama,
}

_VECTORS: Final[Mapping[str, Callable[[Dimensions], tuple[int, int]]]] = {
    # One LayerNorm; biases of the feed-forward layers and of the head.
    "codegen": lambda of: (3 * of.width + of.ffn, 2 * of.width + of.vocab),
    # Two RMSNorms, no biases.
    "llama": lambda of: (2 * of.width, of.width),
    # Two LayerNorms, biases everywhere but at the head.
    "gpt_bigcode": lambda of: (
        4 * of.width + of.inner + 2 * of.kv_width + of.width + of.ffn + of.width,
        2 * of.width,
    ),
    # RMSNorms: two in a block of the encoder, three in one of the decoder, one after each half.
    "t5": lambda of: (5 * of.width, 2 * of.width),
    # As Llama, with biases of query, key and value.
    "chatglm": lambda of: (2 * of.width + of.inner + 2 * of.kv_width, of.width),
}
