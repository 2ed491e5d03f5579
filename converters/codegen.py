"""CodeGen's own row in the table of architectures: CodeGen 1 and CodeGen2 in all sizes.

Knows how CodeGen fits CTranslate2's specification (parallel residual, one shared LayerNorm,
rotary pairs reordered from interleaved to half against half), and how to tell in how many parts
its attention weights are stored. Does not know files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from codegen_lsp.errors import ConversionError

from . import qkv
from .architecture import Architecture, Facts, Logits
from .reference import forward
from .shape import Shape
from .tensors import Array, Tensors
from .to_hf import from_hf_tensors

__all__ = ["ARCHITECTURE", "check_parts", "plausible_parts"]

_MARGIN: Final = 0.5
"""Nats per token by which one reading of the weights must be better than the other."""

_ENOUGH: Final = 64
"""Tokens that tell the readings apart."""


def _facts(config: Mapping[str, Any]) -> Facts:
    shape = Shape.from_config(config)
    return Facts(context_length=shape.n_positions, vocab_size=shape.vocab_size)


def _reference(tensors: Tensors, config: Mapping[str, Any], tokens: Sequence[int]) -> Logits:
    shape = Shape.from_config(config)
    return forward(from_hf_tensors(tensors, shape), shape, tokens, np.float32)


def _specification(tensors: Tensors, config: Mapping[str, Any]) -> Any:
    from ctranslate2.specs import common_spec, transformer_spec

    shape = Shape.from_config(config)
    plain = from_hf_tensors(tensors, shape)
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        shape.n_layer,
        shape.n_head,
        pre_norm=True,
        activation=common_spec.Activation.GELUTanh,
        rotary_dim=shape.rotary_dim,
        rotary_interleave=False,
        parallel_residual=True,
        shared_layer_norm=True,
    )
    spec.config.layer_norm_epsilon = shape.layer_norm_epsilon
    decoder, width = spec.decoder, shape.n_embd
    decoder.scale_embeddings = False
    decoder.embeddings.weight = _variable(plain, "wte", shape.vocab_size, width)
    _set_norm(decoder.layer_norm, plain, "ln_f", width)
    decoder.projection.weight = _variable(plain, "lm_head.weight", shape.vocab_size, width)
    decoder.projection.bias = _variable(plain, "lm_head.bias", shape.vocab_size)
    for index, layer in enumerate(decoder.layer):
        _set_layer(layer, plain, f"h.{index}.", shape)
    return spec


def _set_layer(layer: Any, plain: Tensors, at: str, shape: Shape) -> None:
    from .ct2_file import LazyVariable

    width, inner = shape.n_embd, 4 * shape.n_embd
    _set_norm(layer.shared_layer_norm, plain, at + "ln_1", width)
    layer.self_attention.linear[0].weight = LazyVariable(
        (3 * width, width), _sliced(plain, at + "qkv", shape)
    )
    for linear, name, rows, columns in (
        (layer.self_attention.linear[1], "out", width, width),
        (layer.ffn.linear_0, "fc_in.kernel", inner, width),
        (layer.ffn.linear_1, "fc_out.kernel", width, inner),
    ):
        linear.weight = _variable(plain, at + name, rows, columns, transposed=True)
    layer.ffn.linear_0.bias = _variable(plain, at + "fc_in.bias", inner)
    layer.ffn.linear_1.bias = _variable(plain, at + "fc_out.bias", width)


def _set_norm(norm: Any, plain: Tensors, name: str, width: int) -> None:
    norm.gamma = _variable(plain, name + ".scale", width)
    norm.beta = _variable(plain, name + ".bias", width)


def _variable(plain: Tensors, name: str, *shape: int, transposed: bool = False) -> Any:
    from .ct2_file import LazyVariable

    return LazyVariable(shape, lambda: plain[name].T if transposed else plain[name])


def _sliced(plain: Tensors, name: str, shape: Shape) -> Callable[[], Array]:
    """Query, key and value one below the other, as CTranslate2 rotates them."""

    def make() -> Array:
        query, key, value = (matrix.T for matrix in plain[name])
        turned = [
            qkv.interleaved_to_sliced(w, shape.n_head, shape.rotary_dim) for w in (query, key)
        ]
        return np.concatenate((*turned, value))

    return make


def plausible_parts(tensors: Tensors, shape: Shape, tokens: Sequence[int]) -> int | None:
    """In how many parts the attention weights seem to be stored, judged by real code.

    *tokens* is the beginning of a piece of source code. None where no reading predicts it clearly
    better than the other and better than chance, as with random weights.

    :raises ConversionError: see ``from_hf_tensors``.
    """
    sample = list(tokens[: min(_ENOUGH, shape.n_positions)])
    losses = {
        parts: _loss(tensors, replace(shape, parts=parts), sample)
        for parts in (4, 8)
        if shape.n_embd % parts == 0
    }
    if len(losses) < 2 or len(sample) < 2:
        return None
    best, other = sorted(losses, key=losses.__getitem__)
    chance = np.log(shape.vocab_size)
    return best if losses[best] < min(losses[other] - _MARGIN, chance) else None


def _loss(tensors: Tensors, shape: Shape, tokens: Sequence[int]) -> float:
    """Mean negative log-likelihood in nats per token."""
    logits = forward(from_hf_tensors(tensors, shape), shape, tokens, np.float32)[:-1]
    logits = logits - logits.max(axis=-1, keepdims=True)
    wanted = np.take_along_axis(logits, np.asarray(tokens[1:])[:, None], axis=-1)[:, 0]
    return float((np.log(np.exp(logits).sum(axis=-1)) - wanted).mean())


def check_parts(tensors: Tensors, config: Mapping[str, Any], tokens: Sequence[int]) -> None:
    """Nothing, unless the weights are clearly stored in other parts than *config* implies.

    A wrong number of parts gives a model that runs and writes nonsense, in every layout alike: no
    comparison of layouts can notice it.

    :raises ConversionError: they are.
    """
    shape = Shape.from_config(config)
    found = plausible_parts(tensors, shape, tokens)
    if found is None or found == shape.parts:
        return
    mend = "remove head_dim from config.json"
    if found == 8:
        mend = f'give config.json the field "head_dim": {shape.head_dim}'
    raise ConversionError(
        f"the fused attention weights are in {found} parts, not {shape.parts}", mend=mend
    )


ARCHITECTURE: Final = Architecture(
    model_type="codegen",
    kind="decoder",
    facts=_facts,
    specification=_specification,
    reference=_reference,
)
"""CodeGen 1 and CodeGen2."""
