"""Plain arrays of the JAX model to a Hugging Face CodeGen folder, and back.

Plain names and shapes are those of ``codegen_lsp.tpu.model.parameters_to_numpy``: matrices are
applied as ``x @ W``. Hugging Face applies ``x @ W.T`` and fuses the attention weights.
Knows both sets of names. Does not know JAX or torch, nor files of weights (``checkpoint`` does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from codegen_lsp.errors import ConversionError

from . import qkv
from .hf_folder import write_folder
from .shape import Shape
from .tensors import Array, LazyTensors, Tensors, require_shape

__all__ = [
    "from_hf_tensors",
    "hf_shapes",
    "plain_names",
    "to_hf_folder",
    "to_hf_tensors",
]

_OUTSIDE: Final = {
    "wte": "transformer.wte.weight",
    "ln_f.scale": "transformer.ln_f.weight",
    "ln_f.bias": "transformer.ln_f.bias",
    "lm_head.weight": "lm_head.weight",
    "lm_head.bias": "lm_head.bias",
}
"""Parameters outside the blocks, same orientation on both sides."""

_BLOCK: Final = {
    "ln_1.scale": ("ln_1.weight", False),
    "ln_1.bias": ("ln_1.bias", False),
    "out": ("attn.out_proj.weight", True),
    "fc_in.kernel": ("mlp.fc_in.weight", True),
    "fc_in.bias": ("mlp.fc_in.bias", False),
    "fc_out.kernel": ("mlp.fc_out.weight", True),
    "fc_out.bias": ("mlp.fc_out.bias", False),
}
"""Parameters of a block beside ``qkv``: the name there, and whether it is transposed."""

_FUSED: Final = "attn.qkv_proj.weight"


def to_hf_tensors(plain: Tensors, shape: Shape) -> Tensors:
    """Tensors under the names of ``CodeGenForCausalLM``, each made when asked for.

    :raises ConversionError: a parameter is missing, or the heads cannot be fused.
    """
    if shape.n_head % shape.parts:
        raise ConversionError(
            f"{shape.n_head} heads cannot be stored in {shape.parts} parts",
            mend=f"train a model whose number of heads is a multiple of {shape.parts}",
        )
    recipes = {there: _taking(plain, here) for here, there in _OUTSIDE.items()}
    for layer in range(shape.n_layer):
        here, there = f"h.{layer}.", f"transformer.h.{layer}."
        for name, (other, transposed) in _BLOCK.items():
            recipes[there + other] = _taking(plain, here + name, transposed=transposed)
        recipes[there + _FUSED] = _fusing(plain, here + "qkv", shape.parts)
    _require(plain, plain_names(shape), "the checkpoint has no parameter")
    return LazyTensors(recipes)


def from_hf_tensors(tensors: Tensors, shape: Shape) -> Tensors:
    """Undoes :func:`to_hf_tensors`; tensors that CodeGen does not need are left out.

    :raises ConversionError: a tensor is missing, or the width cannot be split; also, later, when
        a tensor has another shape than *shape* says.
    """
    if shape.n_embd % shape.parts:
        raise ConversionError(f"a width of {shape.n_embd} cannot be stored in {shape.parts} parts")
    expected = hf_shapes(shape)
    _require(tensors, expected, "the weights have no tensor")
    held = _Held(tensors, expected)
    recipes = {here: _taking(held, there) for here, there in _OUTSIDE.items()}
    for layer in range(shape.n_layer):
        here, there = f"h.{layer}.", f"transformer.h.{layer}."
        for name, (other, transposed) in _BLOCK.items():
            recipes[here + name] = _taking(held, there + other, transposed=transposed)
        recipes[here + "qkv"] = _splitting(held, there + _FUSED, shape.parts)
    return LazyTensors(recipes)


def hf_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of ``CodeGenForCausalLM``, in the order of the published files."""
    width, inner, vocab = shape.n_embd, 4 * shape.n_embd, shape.vocab_size
    shapes: dict[str, tuple[int, ...]] = {_OUTSIDE["wte"]: (vocab, width)}
    for layer in range(shape.n_layer):
        at = f"transformer.h.{layer}."
        shapes |= {
            at + "ln_1.weight": (width,),
            at + "ln_1.bias": (width,),
            at + _FUSED: (3 * width, width),
            at + "attn.out_proj.weight": (width, width),
            at + "mlp.fc_in.weight": (inner, width),
            at + "mlp.fc_in.bias": (inner,),
            at + "mlp.fc_out.weight": (width, inner),
            at + "mlp.fc_out.bias": (width,),
        }
    return shapes | {
        _OUTSIDE["ln_f.scale"]: (width,),
        _OUTSIDE["ln_f.bias"]: (width,),
        _OUTSIDE["lm_head.weight"]: (vocab, width),
        _OUTSIDE["lm_head.bias"]: (vocab,),
    }


class _Held:
    """Tensors held to the shapes that they must have."""

    def __init__(self, tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._tensors = tensors
        self._shapes = shapes

    def __getitem__(self, name: str) -> Array:
        tensor = self._tensors[name]
        require_shape(name, tensor, self._shapes[name])
        return tensor


def plain_names(shape: Shape) -> list[str]:
    """The names of all plain parameters of a model."""
    blocks = [f"h.{i}.{name}" for i in range(shape.n_layer) for name in (*_BLOCK, "qkv")]
    return [*_OUTSIDE, *blocks]


def _require(tensors: Tensors, names: Iterable[str], complaint: str) -> None:
    missing = next((name for name in names if name not in tensors), None)
    if missing is not None:
        raise ConversionError(f"{complaint} {missing!r}")


def _taking(
    tensors: Tensors | _Held, name: str, *, transposed: bool = False
) -> Callable[[], Array]:
    return lambda: tensors[name].T if transposed else tensors[name]


def _fusing(plain: Tensors, name: str, parts: int) -> Callable[[], Array]:
    def make() -> Array:
        query, key, value = (part.T for part in plain[name])
        return np.ascontiguousarray(qkv.fuse(query, key, value, parts))

    return make


def _splitting(tensors: _Held, name: str, parts: int) -> Callable[[], Array]:
    return lambda: np.stack([part.T for part in qkv.split(tensors[name], parts)])


def to_hf_folder(plain: Tensors, shape: Shape, tokenizer: Path, out: Path) -> Path:
    """Write a folder that ``CodeGenForCausalLM.from_pretrained`` loads; returns *out*.

    *tokenizer* is a ``tokenizer.json``; it is copied. Files that exist in *out* are replaced.

    :raises ConversionError: a parameter is missing, or a file cannot be read or written.
    """
    tensors = to_hf_tensors(plain, shape)
    return write_folder(shape.to_config(), tensors, tokenizer, out, shape.n_positions)
