"""The architecture of SantaCoder and StarCoder: GPT-2 with one key and one value for all heads.

Knows the fields of ``config.json``, the names of the tensors, CTranslate2's description and the
equations (arXiv 2301.03988, section 4.2; the block is GPT-2's). Does not know files or tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from codegen_lsp.errors import ConversionError

from .architecture import Architecture, Facts, Logits
from .layers import Floats, attention, causal, gelu, gelu_tanh, heads, layer_norm, look_up
from .tensors import Tensors
from .weights import Weights, field, require_model_type, same

__all__ = ["ARCHITECTURE"]

_ACTIVATIONS: Final[Mapping[str, tuple[Callable[[Floats], Floats], str]]] = {
    "gelu": (gelu, "GELU"),
    "gelu_fast": (gelu_tanh, "GELUTanh"),
    "gelu_new": (gelu_tanh, "GELUTanh"),
    "gelu_pytorch_tanh": (gelu_tanh, "GELUTanh"),
}
"""Name in ``config.json`` to the function and its name in CTranslate2's enumeration."""

_EMBEDDING: Final = "transformer.wte.weight"
_POSITIONS: Final = "transformer.wpe.weight"
_NORM: Final = "transformer.ln_f"
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
    epsilon: float
    activation: str
    tied: bool
    """Whether the embedding is the head, too."""

    @property
    def head_size(self) -> int:
        return self.width // self.heads


def _sizes(config: Mapping[str, Any]) -> _Sizes:
    require_model_type(config, "gpt_bigcode")
    if not config.get("multi_query", True):
        raise ConversionError(
            "config.json says multi_query false: CTranslate2 runs this architecture with one key"
            " and one value for all heads only",
            mend="convert a checkpoint with multi_query true",
        )
    same(config, "scale_attn_weights", True)
    same(config, "add_cross_attention", False)
    activation = field(config, "activation_function", str, "gelu_pytorch_tanh")
    if activation not in _ACTIVATIONS:
        raise ConversionError(f"activation {activation!r} is not supported")
    width, count = field(config, "n_embd", int), field(config, "n_head", int)
    if min(width, count) < 1 or width % count:
        raise ConversionError(f"{count} heads cannot share a width of {width} evenly")
    return _Sizes(
        vocab=field(config, "vocab_size", int),
        positions=field(config, "n_positions", int, 1024),
        width=width,
        inner=field(config, "n_inner", int, 4 * width),
        layers=field(config, "n_layer", int),
        heads=count,
        epsilon=field(config, "layer_norm_epsilon", float, 1e-5),
        activation=activation,
        tied=bool(config.get("tie_word_embeddings", True)),
    )


def _shapes(sizes: _Sizes) -> dict[str, tuple[int, ...]]:
    """Every tensor that is needed."""
    width, inner = sizes.width, sizes.inner
    shapes: dict[str, tuple[int, ...]] = {
        _EMBEDDING: (sizes.vocab, width),
        _POSITIONS: (sizes.positions, width),
    }
    if not sizes.tied:
        shapes[_HEAD] = (sizes.vocab, width)
    linear = {
        "attn.c_attn": (width + 2 * sizes.head_size, width),
        "attn.c_proj": (width, width),
        "mlp.c_fc": (inner, width),
        "mlp.c_proj": (width, inner),
    }
    norms = [_NORM]
    for index in range(sizes.layers):
        at = _layer(index)
        norms += [at + "ln_1", at + "ln_2"]
        for name, (rows, columns) in linear.items():
            shapes |= {at + name + ".weight": (rows, columns), at + name + ".bias": (rows,)}
    for norm in norms:
        shapes |= {norm + ".weight": (width,), norm + ".bias": (width,)}
    return shapes


def _layer(index: int) -> str:
    return f"transformer.h.{index}."


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
        activation=common_spec.Activation[_ACTIVATIONS[sizes.activation][1]],
        multi_query_attention=True,
    )
    spec.config.layer_norm_epsilon = sizes.epsilon
    decoder = spec.decoder
    decoder.scale_embeddings = False
    # A tied head is the same object, which is stored once.
    decoder.embeddings.weight = embedding = weights.variable(_EMBEDDING)
    decoder.projection.weight = embedding if sizes.tied else weights.variable(_HEAD)
    decoder.position_encodings.encodings = weights.variable(_POSITIONS)
    _set_norm(decoder.layer_norm, weights, _NORM)
    for index, layer in enumerate(decoder.layer):
        at = _layer(index)
        _set_norm(layer.self_attention.layer_norm, weights, at + "ln_1")
        _set_linear(layer.self_attention.linear[0], weights, at + "attn.c_attn")
        _set_linear(layer.self_attention.linear[1], weights, at + "attn.c_proj")
        _set_norm(layer.ffn.layer_norm, weights, at + "ln_2")
        _set_linear(layer.ffn.linear_0, weights, at + "mlp.c_fc")
        _set_linear(layer.ffn.linear_1, weights, at + "mlp.c_proj")
    return spec


def _set_norm(norm: Any, weights: Weights, name: str) -> None:
    norm.gamma = weights.variable(name + ".weight")
    norm.beta = weights.variable(name + ".bias")


def _set_linear(linear: Any, weights: Weights, name: str) -> None:
    linear.weight = weights.variable(name + ".weight")
    linear.bias = weights.variable(name + ".bias")


def _reference(tensors: Tensors, config: Mapping[str, Any], tokens: Sequence[int]) -> Logits:
    sizes = _sizes(config)
    weights = Weights(tensors, _shapes(sizes), _TWINS if sizes.tied else ())
    if len(tokens) > sizes.positions:
        raise ConversionError(f"{len(tokens)} tokens for a model of {sizes.positions} positions")
    x = look_up(weights[_EMBEDDING], tokens) + weights[_POSITIONS][: len(tokens)]
    activate = _ACTIVATIONS[sizes.activation][0]
    for index in range(sizes.layers):
        at = _layer(index)
        x = x + _attention(weights, at, sizes, _norm(x, weights, at + "ln_1", sizes))
        inner = activate(_linear(_norm(x, weights, at + "ln_2", sizes), weights, at + "mlp.c_fc"))
        x = x + _linear(inner, weights, at + "mlp.c_proj")
    x = _norm(x, weights, _NORM, sizes)
    return np.asarray(x @ weights[_EMBEDDING if sizes.tied else _HEAD].T)


def _attention(weights: Weights, at: str, sizes: _Sizes, x: Floats) -> Floats:
    """Multi-query attention (arXiv 1911.02150): behind all queries come one key and one value."""
    fused = _linear(x, weights, at + "attn.c_attn")
    size = sizes.head_size
    query = heads(fused[:, : sizes.width], sizes.heads)
    key, value = fused[None, :, sizes.width : -size], fused[None, :, -size:]
    mixed = attention(query, key, value, causal(len(x)), size**-0.5)
    return _linear(mixed, weights, at + "attn.c_proj")


def _linear(x: Floats, weights: Weights, name: str) -> Floats:
    return np.asarray(x @ weights[name + ".weight"].T + weights[name + ".bias"])


def _norm(x: Floats, weights: Weights, name: str, sizes: _Sizes) -> Floats:
    return layer_norm(x, weights[name + ".weight"], weights[name + ".bias"], sizes.epsilon)


ARCHITECTURE: Final = Architecture(
    model_type="gpt_bigcode",
    kind="decoder",
    facts=_facts,
    specification=_specification,
    reference=_reference,
)
"""SantaCoder, StarCoder and StarCoderBase."""
