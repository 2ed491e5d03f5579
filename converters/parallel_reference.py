"""The forward passes of Phi and GPT-J in numpy, as far as a CodeGen in their clothes needs them.

They judge what ``to_phi`` and ``to_gptj`` write, so they share no code with them: each follows
its own model's published definition, names and order of rotation included. Slow, one sequence,
no cache. Does not know CodeGen or any file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from . import layers
from .tensors import Tensors
from .weights import field, same

__all__ = ["LAYOUTS"]

Floats = NDArray[np.float32]
Reference = Callable[[Tensors, Mapping[str, Any], Sequence[int]], Floats]


@dataclass(frozen=True, slots=True)
class _Names:
    """Where a layout keeps what; ``{}`` is the block's number."""

    embedding: str
    final_norm: str
    block: str
    norm: str
    query: str
    key: str
    value: str
    out: str
    inner: str
    outer: str


_PHI: Final = _Names(
    embedding="model.embed_tokens",
    final_norm="model.final_layernorm",
    block="model.layers.{}.",
    norm="input_layernorm",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    out="self_attn.dense",
    inner="mlp.fc1",
    outer="mlp.fc2",
)

_GPTJ: Final = _Names(
    embedding="transformer.wte",
    final_norm="transformer.ln_f",
    block="transformer.h.{}.",
    norm="ln_1",
    query="attn.q_proj",
    key="attn.k_proj",
    value="attn.v_proj",
    out="attn.out_proj",
    inner="mlp.fc_in",
    outer="mlp.fc_out",
)


@dataclass(frozen=True, slots=True)
class _Model:
    names: _Names
    blocks: int
    heads: int
    epsilon: float
    rotate: Callable[[Floats], Floats]
    """Positions put into [heads, length, size]."""


def phi(tensors: Tensors, config: Mapping[str, Any], tokens: Sequence[int]) -> Floats:
    """Logits [length, vocabulary] of ``PhiForCausalLM`` (transformers' ``modeling_phi``).

    :raises ConversionError: a tensor or a field is missing, or the configuration is another's.
    """
    same(config, "hidden_act", "gelu_new")
    same(config, "qk_layernorm", False)
    rope = config.get("rope_parameters") or config
    heads = field(config, "num_attention_heads", int)
    size = field(config, "hidden_size", int) // heads
    rotary = int(size * field(rope, "partial_rotary_factor", float, 0.5))
    base = field(rope, "rope_theta", float, 10000.0)

    def rotate(x: Floats) -> Floats:
        turned = layers.rotate_halves(x[..., :rotary], base)
        return np.concatenate((turned, x[..., rotary:]), axis=-1)

    model = _Model(
        _PHI,
        field(config, "num_hidden_layers", int),
        heads,
        field(config, "layer_norm_eps", float, 1e-5),
        rotate,
    )
    return _forward(model, tensors, tokens)


def gptj(tensors: Tensors, config: Mapping[str, Any], tokens: Sequence[int]) -> Floats:
    """Logits [length, vocabulary] of ``GPTJForCausalLM`` (transformers' ``modeling_gptj``).

    :raises ConversionError: a tensor or a field is missing, or the configuration is another's.
    """
    same(config, "activation_function", "gelu_new")
    rotary = field(config, "rotary_dim", int)

    def rotate(x: Floats) -> Floats:
        return np.concatenate((_turned(x[..., :rotary]), x[..., rotary:]), axis=-1)

    model = _Model(
        _GPTJ,
        field(config, "n_layer", int),
        field(config, "n_head", int),
        field(config, "layer_norm_epsilon", float, 1e-5),
        rotate,
    )
    return _forward(model, tensors, tokens)


LAYOUTS: Final[Mapping[str, Reference]] = {"phi": phi, "gptj": gptj}
"""By ``model_type``: how logits are computed from tensors, ``config.json`` and token ids."""


def _turned(x: Floats) -> Floats:
    """Neighbours (2i, 2i+1) of the last axis as complex numbers, turned by their position."""
    pairs = x[..., ::2] + 1j * x[..., 1::2]
    steps = 10000.0 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    pairs = pairs * np.exp(1j * np.outer(np.arange(x.shape[1]), steps))
    return np.asarray(np.stack((pairs.real, pairs.imag), axis=-1).reshape(x.shape), np.float32)


def _forward(model: _Model, tensors: Tensors, tokens: Sequence[int]) -> Floats:
    names = model.names
    x = layers.look_up(_get(tensors, f"{names.embedding}.weight"), tokens)
    for block in range(model.blocks):
        x = x + _block(model, tensors, names.block.format(block), x)
    return _linear(tensors, "lm_head", _norm(model, tensors, names.final_norm, x))


def _block(model: _Model, tensors: Tensors, at: str, x: Floats) -> Floats:
    names = model.names
    x = _norm(model, tensors, at + names.norm, x)
    query, key, value = (
        layers.heads(_linear(tensors, at + name, x), model.heads)
        for name in (names.query, names.key, names.value)
    )
    mixed = layers.attention(
        model.rotate(query),
        model.rotate(key),
        value,
        layers.causal(len(x)),
        query.shape[-1] ** -0.5,
    )
    inner = layers.gelu_tanh(_linear(tensors, at + names.inner, x))
    return _linear(tensors, at + names.out, mixed) + _linear(tensors, at + names.outer, inner)


def _linear(tensors: Tensors, name: str, x: Floats) -> Floats:
    product = x @ _get(tensors, f"{name}.weight").T
    bias = f"{name}.bias"
    return product + _get(tensors, bias) if bias in tensors else product


def _norm(model: _Model, tensors: Tensors, name: str, x: Floats) -> Floats:
    scale, bias = _get(tensors, f"{name}.weight"), _get(tensors, f"{name}.bias")
    return layers.layer_norm(x, scale, bias, model.epsilon)


def _get(tensors: Tensors, name: str) -> Floats:
    if name not in tensors:
        raise ConversionError(f"the weights have no tensor {name!r}", mend="convert them again")
    return np.asarray(tensors[name], np.float32)
