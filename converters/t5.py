"""T5's architecture, which CodeT5+ 220M and 770M have: an encoder reads, a decoder writes.

Knows the fields of ``config.json``, the names of the tensors, CTranslate2's description and the
equations (arXiv 1910.10683, section 2.1; gated units: arXiv 2002.05202). Does not know files or
tokenizers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from .architecture import Architecture, Facts, Logits
from .layers import Floats, attention, causal, gelu_tanh, heads, look_up, relu, rms_norm
from .tensors import Tensors
from .weights import Weights, field, require_model_type, same

__all__ = ["ARCHITECTURE", "forward", "shapes"]

_PROJECTIONS: Final[Mapping[str, tuple[Callable[[Floats], Floats], str, bool]]] = {
    "relu": (relu, "RELU", False),
    "gated-gelu": (gelu_tanh, "GELUTanh", True),
}
"""``feed_forward_proj`` to the function, its name in CTranslate2, and whether it gates."""

_EMBEDDING: Final = "shared.weight"
_HEAD: Final = "lm_head.weight"
_TWINS: Final = (_EMBEDDING, "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", _HEAD)
"""Names of the one tensor of a model that ties its embeddings."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What ``config.json`` says."""

    vocab: int
    positions: int
    width: int
    inner: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    buckets: int
    """Rows of the table of relative positions."""

    max_distance: int
    """Distance from which all fall into the last bucket."""

    epsilon: float
    projection: str
    tied: bool
    """Whether the embedding is the head, too; its logits are scaled then."""

    start: int
    """Id of the token that the decoder begins with."""

    @property
    def gated(self) -> bool:
        return _PROJECTIONS[self.projection][2]

    @property
    def layers(self) -> Mapping[str, int]:
        return {"encoder": self.encoder_layers, "decoder": self.decoder_layers}


def _sizes(config: Mapping[str, Any]) -> _Sizes:
    require_model_type(config, "t5")
    projection = field(config, "feed_forward_proj", str, "relu")
    if projection not in _PROJECTIONS:
        raise ConversionError(f"feed_forward_proj {projection!r} is not supported")
    width, count = field(config, "d_model", int), field(config, "num_heads", int)
    if min(width, count) < 1 or width % count:
        raise ConversionError(f"{count} heads cannot share a width of {width} evenly")
    same(config, "d_kv", width // count)
    layers = field(config, "num_layers", int)
    sizes = _Sizes(
        vocab=field(config, "vocab_size", int),
        positions=field(config, "n_positions", int, 512),
        width=width,
        inner=field(config, "d_ff", int),
        encoder_layers=layers,
        decoder_layers=field(config, "num_decoder_layers", int, layers),
        heads=count,
        buckets=field(config, "relative_attention_num_buckets", int, 32),
        max_distance=field(config, "relative_attention_max_distance", int, 128),
        epsilon=field(config, "layer_norm_epsilon", float, 1e-6),
        projection=projection,
        tied=config.get("tie_word_embeddings") is not False,
        start=field(config, "decoder_start_token_id", int, config.get("pad_token_id") or 0),
    )
    _check(sizes)
    return sizes


def _check(sizes: _Sizes) -> None:
    if sizes.buckets < 4 or sizes.max_distance <= sizes.buckets // 2:
        raise ConversionError(
            f"{sizes.buckets} buckets cannot reach a max_distance of {sizes.max_distance}"
        )
    if not 0 <= sizes.start < sizes.vocab:
        raise ConversionError(f"decoder_start_token_id {sizes.start} is not in the vocabulary")


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor that a checkpoint with this ``config.json`` must hold, with its shape.

    :raises ConversionError: a field is missing or not supported.
    """
    return _shapes(_sizes(config))


def _shapes(sizes: _Sizes) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {_EMBEDDING: (sizes.vocab, sizes.width)}
    if not sizes.tied:
        shapes[_HEAD] = (sizes.vocab, sizes.width)
    for stack, count in sizes.layers.items():
        shapes[f"{stack}.final_layer_norm.weight"] = (sizes.width,)
        shapes[_relative(stack)] = (sizes.buckets, sizes.heads)
        for index in range(count):
            shapes |= _block_shapes(sizes, stack, f"{stack}.block.{index}.layer.")
    return shapes


def _block_shapes(sizes: _Sizes, stack: str, at: str) -> dict[str, tuple[int, ...]]:
    width, inner = sizes.width, sizes.inner
    feed = "2." if stack == "decoder" else "1."
    shapes: dict[str, tuple[int, ...]] = {}
    for attends in ("0.SelfAttention.", "1.EncDecAttention.")[: 1 + (stack == "decoder")]:
        shapes |= {at + attends + f"{name}.weight": (width, width) for name in "qkvo"}
        shapes[at + attends[:2] + "layer_norm.weight"] = (width,)
    shapes[at + feed + "layer_norm.weight"] = (width,)
    for name in ("wi_0", "wi_1") if sizes.gated else ("wi",):
        shapes[at + feed + f"DenseReluDense.{name}.weight"] = (inner, width)
    shapes[at + feed + "DenseReluDense.wo.weight"] = (width, inner)
    return shapes


def _relative(stack: str) -> str:
    """Only the first block has a table of relative positions; the others use it, too."""
    return f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


def _facts(config: Mapping[str, Any]) -> Facts:
    sizes = _sizes(config)
    return Facts(context_length=sizes.positions, vocab_size=sizes.vocab)


def _specification(tensors: Tensors, config: Mapping[str, Any]) -> Any:
    from ctranslate2.specs import common_spec, transformer_spec

    sizes = _sizes(config)
    weights = Weights(tensors, _shapes(sizes), _TWINS if sizes.tied else ())
    spec = transformer_spec.TransformerSpec.from_config(
        (sizes.encoder_layers, sizes.decoder_layers),
        sizes.heads,
        pre_norm=True,
        activation=common_spec.Activation[_PROJECTIONS[sizes.projection][1]],
        ffn_glu=sizes.gated,
        relative_attention_bias=True,
        rms_norm=True,
    )
    spec.config.layer_norm_epsilon = sizes.epsilon
    # One object in all places is stored once.
    embedding = weights.variable(_EMBEDDING)
    spec.encoder.embeddings[0].weight = spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding if sizes.tied else weights.variable(_HEAD)
    if sizes.tied:
        spec.decoder.scale_outputs = sizes.width**-0.5
    for stack, part in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        _set_stack(part, weights, stack, sizes)
    return spec


def _set_stack(part: Any, weights: Weights, stack: str, sizes: _Sizes) -> None:
    part.scale_embeddings = False
    part.layer_norm.gamma = weights.variable(f"{stack}.final_layer_norm.weight")
    relative = weights.variable(_relative(stack))
    for index, layer in enumerate(part.layer):
        at = f"{stack}.block.{index}.layer."
        _set_attention(layer.self_attention, weights, at + "0.", "SelfAttention", ("qkv", "o"))
        layer.self_attention.relative_attention_bias = relative
        layer.self_attention.relative_attention_max_distance = np.int32(sizes.max_distance)
        if stack == "decoder":
            crossed = ("q", "kv", "o")
            _set_attention(layer.attention, weights, at + "1.", "EncDecAttention", crossed)
        _set_feed_forward(layer.ffn, weights, at + ("2." if stack == "decoder" else "1."), sizes)


def _set_attention(part: Any, weights: Weights, at: str, name: str, fused: tuple[str, ...]) -> None:
    """*fused* says which of q, k, v and o CTranslate2 keeps in one matrix."""
    part.queries_scale = 1.0
    part.layer_norm.gamma = weights.variable(at + "layer_norm.weight")
    for linear, letters in zip(part.linear, fused, strict=True):
        linear.weight = weights.variable(*(f"{at}{name}.{letter}.weight" for letter in letters))


def _set_feed_forward(part: Any, weights: Weights, at: str, sizes: _Sizes) -> None:
    dense = at + "DenseReluDense."
    part.layer_norm.gamma = weights.variable(at + "layer_norm.weight")
    part.linear_1.weight = weights.variable(dense + "wo.weight")
    if sizes.gated:
        part.linear_0.weight = weights.variable(dense + "wi_0.weight")
        part.linear_0_noact.weight = weights.variable(dense + "wi_1.weight")
    else:
        part.linear_0.weight = weights.variable(dense + "wi.weight")


def _reference(tensors: Tensors, config: Mapping[str, Any], tokens: Sequence[int]) -> Logits:
    return forward(tensors, config, tokens, tokens[:-1])


def forward(
    tensors: Tensors, config: Mapping[str, Any], source: Sequence[int], answer: Sequence[int]
) -> Logits:
    """Logits [1 + length, vocabulary] of a decoder that was given *answer* behind its start token.

    The encoder reads *source*, at least one token.

    :raises ConversionError: a field or a tensor is missing or not supported.
    """
    sizes = _sizes(config)
    weights = Weights(tensors, _shapes(sizes), _TWINS if sizes.tied else ())
    memory = _stack(weights, "encoder", sizes, source, None)
    x = _stack(weights, "decoder", sizes, [sizes.start, *answer], memory)
    if sizes.tied:
        x = x * np.float32(sizes.width**-0.5)
    return np.asarray(x @ weights[_EMBEDDING if sizes.tied else _HEAD].T)


def _stack(
    weights: Weights, stack: str, sizes: _Sizes, tokens: Sequence[int], memory: Floats | None
) -> Floats:
    """Hidden states [length, width] of the encoder, or of the decoder that reads *memory*."""
    x = look_up(weights[_EMBEDDING], tokens)
    bias = _position_bias(weights[_relative(stack)], len(x), sizes, memory is None)
    if memory is not None:
        bias = bias + causal(len(x))
    for index in range(sizes.layers[stack]):
        at = f"{stack}.block.{index}.layer."
        normed = _norm(x, weights, at + "0.layer_norm", sizes)
        x = x + _attention(weights, at + "0.SelfAttention.", sizes, normed, normed, bias)
        if memory is not None:
            normed = _norm(x, weights, at + "1.layer_norm", sizes)
            none = np.zeros((1, 1, 1), np.float32)
            x = x + _attention(weights, at + "1.EncDecAttention.", sizes, normed, memory, none)
        x = x + _feed_forward(weights, at + ("1." if memory is None else "2."), sizes, x)
    return _norm(x, weights, f"{stack}.final_layer_norm", sizes)


def _attention(
    weights: Weights, at: str, sizes: _Sizes, x: Floats, others: Floats, bias: Floats
) -> Floats:
    """Attention of *x* to *others*; T5 does not scale the scores."""
    query = heads(x @ weights[at + "q.weight"].T, sizes.heads)
    key = heads(others @ weights[at + "k.weight"].T, sizes.heads)
    value = heads(others @ weights[at + "v.weight"].T, sizes.heads)
    return np.asarray(attention(query, key, value, bias, 1.0) @ weights[at + "o.weight"].T)


def _feed_forward(weights: Weights, at: str, sizes: _Sizes, x: Floats) -> Floats:
    activate, dense = _PROJECTIONS[sizes.projection][0], at + "DenseReluDense."
    normed = _norm(x, weights, at + "layer_norm", sizes)
    inner = activate(normed @ weights[dense + ("wi_0" if sizes.gated else "wi") + ".weight"].T)
    if sizes.gated:
        inner = inner * (normed @ weights[dense + "wi_1.weight"].T)
    return np.asarray(inner @ weights[dense + "wo.weight"].T)


def _norm(x: Floats, weights: Weights, name: str, sizes: _Sizes) -> Floats:
    return rms_norm(x, weights[name + ".weight"], sizes.epsilon)


def _position_bias(table: Floats, length: int, sizes: _Sizes, both: bool) -> Floats:
    """What is added to the scores [heads, length, length] for the distance of two positions."""
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    return np.asarray(table[_bucket(distance, sizes, both)].transpose(2, 0, 1))


def _bucket(distance: NDArray[np.int64], sizes: _Sizes, both: bool) -> NDArray[np.int64]:
    """The row of the table for each distance (arXiv 1910.10683, section 2.1).

    The near half of the buckets holds one distance each, the rest grow with the logarithm up to
    ``max_distance``. An encoder looks *both* ways and keeps half of them for what comes later.
    """
    buckets = sizes.buckets // 2 if both else sizes.buckets
    later = np.where(distance > 0, buckets, 0) if both else 0
    steps = np.abs(distance) if both else np.maximum(-distance, 0)
    exact = buckets // 2
    # Single precision, as in the published code: it decides at which distance a bucket begins.
    growth = np.log(np.maximum(steps, 1).astype(np.float32) / np.float32(exact))
    scaled = growth / np.float32(math.log(sizes.max_distance / exact)) * (buckets - exact)
    far = exact + scaled.astype(np.int64)
    return np.asarray(later + np.where(steps < exact, steps, np.minimum(far, buckets - 1)))


ARCHITECTURE: Final = Architecture(
    model_type="t5",
    kind="encoder-decoder",
    facts=_facts,
    specification=_specification,
    reference=_reference,
)
"""CodeT5+ 220M and 770M."""
