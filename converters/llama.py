"""Llama's architecture, which CodeGen2.5 has.

Knows the fields of its ``config.json``, the names of its tensors, CTranslate2's description of it
and its equations (arXiv 2302.13971, section 2.2). Does not know files or tokenizers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from codegen_lsp.errors import ConversionError

from .architecture import Architecture, Facts, Logits
from .layers import Floats, attention, causal, heads, look_up, rms_norm, rotate_halves, silu
from .tensors import Tensors
from .weights import Weights, field, require_model_type, same

__all__ = ["ARCHITECTURE"]

_EMBEDDING: Final = "model.embed_tokens.weight"
_NORM: Final = "model.norm.weight"
_HEAD: Final = "lm_head.weight"
_TWINS: Final = (_EMBEDDING, _HEAD)
"""Names of the one tensor of a model that ties its embeddings."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What ``config.json`` says."""

    vocab: int
    positions: int
    width: int
    inner: int
    layers: int
    heads: int
    groups: int
    """Heads that have keys and values of their own."""

    epsilon: float
    rope_base: float
    tied: bool
    """Whether the embedding is the head, too."""

    @property
    def head_size(self) -> int:
        return self.width // self.heads


def _sizes(config: Mapping[str, Any]) -> _Sizes:
    require_model_type(config, "llama")
    for name, expected in _ONLY.items():
        same(config, name, expected)
    width, count = field(config, "hidden_size", int), field(config, "num_attention_heads", int)
    groups = field(config, "num_key_value_heads", int, count)
    if min(width, count, groups) < 1 or width % (2 * count) or count % groups:
        raise ConversionError(
            f"{count} heads with {groups} keys cannot share a width of {width} evenly"
        )
    same(config, "head_dim", width // count)
    return _Sizes(
        vocab=field(config, "vocab_size", int),
        positions=field(config, "max_position_embeddings", int, 2048),
        width=width,
        inner=field(config, "intermediate_size", int),
        layers=field(config, "num_hidden_layers", int),
        heads=count,
        groups=groups,
        epsilon=field(config, "rms_norm_eps", float, 1e-6),
        rope_base=_rope_base(config),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


_ONLY: Final = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "pretraining_tp": 1,
    "quantization_config": None,
}
"""Fields that may be there with this value only."""


def _rope_base(config: Mapping[str, Any]) -> float:
    """The base of the rotary frequencies; older and newer configurations keep it elsewhere."""
    for name in ("rope_parameters", "rope_scaling"):
        rope = config.get(name)
        if rope is None:
            continue
        fields = rope if isinstance(rope, dict) else {"type": rope}
        kind = fields.get("rope_type") or fields.get("type") or "default"
        if fields is not rope or kind != "default":
            raise ConversionError(f"config.json scales rotary positions by {kind!r}: unsupported")
        if fields.get("rope_theta") is not None:
            return field(fields, "rope_theta", float)
    return field(config, "rope_theta", float, 10000.0)


def _shapes(sizes: _Sizes) -> dict[str, tuple[int, ...]]:
    """Every tensor that is needed."""
    width, inner, keys = sizes.width, sizes.inner, sizes.groups * sizes.head_size
    shapes: dict[str, tuple[int, ...]] = {_EMBEDDING: (sizes.vocab, width), _NORM: (width,)}
    if not sizes.tied:
        shapes[_HEAD] = (sizes.vocab, width)
    for index in range(sizes.layers):
        at = _layer(index)
        shapes |= {
            at + "input_layernorm.weight": (width,),
            at + "self_attn.q_proj.weight": (width, width),
            at + "self_attn.k_proj.weight": (keys, width),
            at + "self_attn.v_proj.weight": (keys, width),
            at + "self_attn.o_proj.weight": (width, width),
            at + "post_attention_layernorm.weight": (width,),
            at + "mlp.gate_proj.weight": (inner, width),
            at + "mlp.up_proj.weight": (inner, width),
            at + "mlp.down_proj.weight": (width, inner),
        }
    return shapes


def _layer(index: int) -> str:
    return f"model.layers.{index}."


def _facts(config: Mapping[str, Any]) -> Facts:
    sizes = _sizes(config)
    return Facts(context_length=sizes.positions, vocab_size=sizes.vocab)


def _specification(tensors: Tensors, config: Mapping[str, Any]) -> Any:
    from ctranslate2.specs import common_spec, transformer_spec

    sizes = _sizes(config)
    weights = Weights(tensors, _shapes(sizes), _TWINS if sizes.tied else ())
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        sizes.layers,
        sizes.heads,
        pre_norm=True,
        activation=common_spec.Activation.SWISH,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,  # all of each head
        rotary_interleave=False,
        rotary_base=sizes.rope_base,
        num_heads_kv=None if sizes.groups == sizes.heads else sizes.groups,
    )
    spec.config.layer_norm_epsilon = sizes.epsilon
    decoder = spec.decoder
    decoder.scale_embeddings = False
    # A tied head is the same object, which is stored once.
    decoder.embeddings.weight = embedding = weights.variable(_EMBEDDING)
    decoder.projection.weight = embedding if sizes.tied else weights.variable(_HEAD)
    decoder.layer_norm.gamma = weights.variable(_NORM)
    for index, layer in enumerate(decoder.layer):
        _set_layer(layer, weights, _layer(index))
    return spec


def _set_layer(layer: Any, weights: Weights, at: str) -> None:
    layer.self_attention.layer_norm.gamma = weights.variable(at + "input_layernorm.weight")
    layer.self_attention.linear[0].weight = weights.variable(
        *(at + f"self_attn.{name}_proj.weight" for name in "qkv")
    )
    layer.self_attention.linear[1].weight = weights.variable(at + "self_attn.o_proj.weight")
    layer.ffn.layer_norm.gamma = weights.variable(at + "post_attention_layernorm.weight")
    layer.ffn.linear_0.weight = weights.variable(at + "mlp.gate_proj.weight")
    layer.ffn.linear_0_noact.weight = weights.variable(at + "mlp.up_proj.weight")
    layer.ffn.linear_1.weight = weights.variable(at + "mlp.down_proj.weight")


def _reference(tensors: Tensors, config: Mapping[str, Any], tokens: Sequence[int]) -> Logits:
    sizes = _sizes(config)
    weights = Weights(tensors, _shapes(sizes), _TWINS if sizes.tied else ())
    x = look_up(weights[_EMBEDDING], tokens)
    for index in range(sizes.layers):
        at = _layer(index)
        normed = rms_norm(x, weights[at + "input_layernorm.weight"], sizes.epsilon)
        x = x + _attention(weights, at + "self_attn.", sizes, normed)
        normed = rms_norm(x, weights[at + "post_attention_layernorm.weight"], sizes.epsilon)
        x = x + _feed_forward(weights, at + "mlp.", normed)
    x = rms_norm(x, weights[_NORM], sizes.epsilon)
    return np.asarray(x @ weights[_EMBEDDING if sizes.tied else _HEAD].T)


def _attention(weights: Weights, at: str, sizes: _Sizes, x: Floats) -> Floats:
    query = heads(x @ weights[at + "q_proj.weight"].T, sizes.heads)
    key = heads(x @ weights[at + "k_proj.weight"].T, sizes.groups)
    value = heads(x @ weights[at + "v_proj.weight"].T, sizes.groups)
    query, key = rotate_halves(query, sizes.rope_base), rotate_halves(key, sizes.rope_base)
    mixed = attention(query, key, value, causal(len(x)), sizes.head_size**-0.5)
    return np.asarray(mixed @ weights[at + "o_proj.weight"].T)


def _feed_forward(weights: Weights, at: str, x: Floats) -> Floats:
    """A gated linear unit (arXiv 2002.05202, equation 6)."""
    gate = silu(x @ weights[at + "gate_proj.weight"].T)
    inner = gate * (x @ weights[at + "up_proj.weight"].T)
    return np.asarray(inner @ weights[at + "down_proj.weight"].T)


ARCHITECTURE: Final = Architecture(
    model_type="llama",
    kind="decoder",
    facts=_facts,
    specification=_specification,
    reference=_reference,
)
"""CodeGen2.5-7B in its three variants."""
