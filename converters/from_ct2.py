"""A model folder in CTranslate2's form, read back: for a CodeGen, its plain weights.

What was quantized comes back as what the engine computes with, not as what it was made from.

Knows the binary form of ``model.bin`` (version 6) and where in it a CodeGen's weights are; undoes
the reordering for sliced rotation. Does not know how such files are written (``ct2_file``).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError, ModelDamagedError
from codegen_lsp.models.manifest import read_manifest

from . import qkv
from .pickled import widened
from .shape import Shape
from .tensors import Array, LazyTensors, Tensors
from .to_hf import plain_names

__all__ = ["read_ct2", "stored_type"]

_VERSION: Final = 6
_TYPES: Final = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
"""Stored as their position here."""

_NUMPY: Final = {
    "float32": "<f4",
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "float16": "<f2",
    "bfloat16": "<u2",
}
_MEND: Final = "install the model again"

_CODEGEN: Final = {
    "scale_embeddings": 0,
    "alibi": 0,
    "pre_norm": 1,
    "activation": 1,
    "start_from_zero_embedding": 0,
    "layer_0/self_attention/rotary_interleave": 0,
    "layer_0/self_attention/rotary_base": 10000,
}
"""Scalars of the decoder that make it a CodeGen (activation 1 is GELU by tanh)."""

_FOREIGN: Final = (
    "layer_0/self_attention/linear_0/bias",
    "layer_0/self_attention/num_heads_kv",
    "layer_0/self_attention/rotary_scaling_type",
    "layer_0/ffn/linear_0_noact/weight",
    "final_logit_softcapping",
)
"""Variables of a decoder that no CodeGen has."""

_OUTSIDE: Final = {
    "wte": "embeddings/weight",
    "ln_f.scale": "layer_norm/gamma",
    "ln_f.bias": "layer_norm/beta",
    "lm_head.weight": "projection/weight",
    "lm_head.bias": "projection/bias",
}
_BLOCK: Final = {
    "ln_1.scale": ("shared_layer_norm/gamma", False),
    "ln_1.bias": ("shared_layer_norm/beta", False),
    "out": ("self_attention/linear_1/weight", True),
    "fc_in.kernel": ("ffn/linear_0/weight", True),
    "fc_in.bias": ("ffn/linear_0/bias", False),
    "fc_out.kernel": ("ffn/linear_1/weight", True),
    "fc_out.bias": ("ffn/linear_1/bias", False),
}
"""Plain names, where their variables are, and whether they are transposed there."""


@dataclass(frozen=True, slots=True)
class _Variable:
    shape: tuple[int, ...]
    type: str
    offset: int
    """Where its bytes begin in the file."""


@dataclass(frozen=True, slots=True)
class _File:
    """The directory of a model file."""

    path: Path
    spec: str
    variables: dict[str, _Variable] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return self.aliases.get(name, name) in self.variables

    def find(self, name: str) -> _Variable:
        name = self.aliases.get(name, name)
        if name not in self.variables:
            raise ConversionError(f"{self.path} has no variable {name!r}", mend=_MEND)
        return self.variables[name]

    def stored(self, name: str) -> NDArray[Any]:
        """The variable as it is stored."""
        variable = self.find(name)
        count = math.prod(variable.shape)
        kind = np.dtype(_NUMPY[variable.type])
        try:
            flat = np.fromfile(self.path, kind, count, offset=variable.offset)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if flat.size != count:
            raise ConversionError(f"{self.path} ends within {name}", mend=_MEND)
        return flat.reshape(variable.shape)

    def scalar(self, name: str) -> float:
        return float(self.stored(name).reshape(-1)[0])

    def floats(self, name: str) -> Array:
        """The variable as float16 or float32, its scales applied."""
        name = self.aliases.get(name, name)
        kind, stored = self.find(name).type, self.stored(name)
        if kind != "int8":
            return widened(stored, bfloat16=kind == "bfloat16")
        scales = self.stored(f"{name}_scale").astype(np.float32)
        if scales.shape != stored.shape[:1]:
            raise ConversionError(f"{self.path} is damaged: scales of {name}", mend=_MEND)
        return stored.astype(np.float32) / scales.reshape(-1, *[1] * (stored.ndim - 1))


def _unreadable(path: Path, error: OSError) -> ConversionError:
    return ConversionError(f"cannot read {path}: {error.strerror or error}", mend=_MEND)


def _open(folder: Path) -> _File:
    path = folder / "model.bin"
    try:
        with path.open("rb") as file:
            return _directory(path, _Reader(file, path.stat().st_size))
    except OSError as error:
        raise _unreadable(path, error) from error
    except (EOFError, UnicodeDecodeError) as error:
        raise ConversionError(
            f"{path} is damaged, or not CTranslate2's: {error}", mend=_MEND
        ) from error


class _Reader:
    """Numbers and names, one after another; ends with ``EOFError``."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def number(self, form: str) -> int:
        content = self._file.read(struct.calcsize(form))
        if len(content) < struct.calcsize(form):
            raise EOFError("it ends too early")
        return int(struct.unpack(form, content)[0])

    def name(self) -> str:
        content = self._file.read(self.number("<H"))
        if not content.endswith(b"\0"):
            raise EOFError("a name does not end")
        return content[:-1].decode()

    def variable(self) -> _Variable:
        shape = tuple(self.number("<I") for _ in range(self.number("<B")))
        code, length = self.number("<B"), self.number("<I")
        offset = self._file.tell()
        if code >= len(_TYPES) or offset + length > self._size:
            raise EOFError("it ends within a variable")
        kind = _TYPES[code]
        if length != math.prod(shape) * np.dtype(_NUMPY[kind]).itemsize:
            raise EOFError("a variable has another size than its shape")
        self._file.seek(length, 1)
        return _Variable(shape, kind, offset)


def _directory(path: Path, reader: _Reader) -> _File:
    version = reader.number("<I")
    if version != _VERSION:
        raise ConversionError(f"{path} is of version {version}, not {_VERSION}", mend=_MEND)
    file = _File(path, reader.name())
    reader.number("<I")  # the revision of the specification
    for _ in range(reader.number("<I")):
        name = reader.name()
        file.variables[name] = reader.variable()
    for _ in range(reader.number("<I")):
        alias = reader.name()
        file.aliases[alias] = reader.name()
    return file


def stored_type(folder: Path) -> str:
    """How the weights in a CTranslate2 folder are stored: ``int8``, ``int8_float16``, ``float16``…

    :raises ConversionError: ``model.bin`` is missing or damaged.
    """
    file = _open(folder)
    arrays = [v for name, v in file.variables.items() if v.shape and not name.endswith("_scale")]
    matrices = {v.type for v in arrays if len(v.shape) > 1}
    others = {v.type for v in arrays if len(v.shape) == 1}
    for kind in ("int8", "int16"):
        if kind in matrices:
            halves = [half for half in ("float16", "bfloat16") if half in others]
            return f"{kind}_{halves[0]}" if halves else kind
    return next((kind for kind in ("float16", "bfloat16") if kind in matrices), "float32")


def read_ct2(folder: Path) -> tuple[Tensors, Shape]:
    """The plain weights (named as in ``to_hf``, each read when asked for) and shape of a CodeGen.

    :raises ConversionError: a file is missing or damaged, or the model is no CodeGen.
    """
    file = _open(folder)
    shape = _shape(folder, file)
    recipes: dict[str, Callable[[], Array]] = {
        name: _taking(file, f"decoder/{there}", transposed=False)
        for name, there in _OUTSIDE.items()
    }
    for layer in range(shape.n_layer):
        here, there = f"h.{layer}.", f"decoder/layer_{layer}/"
        for name, (other, transposed) in _BLOCK.items():
            recipes[here + name] = _taking(file, there + other, transposed=transposed)
        recipes[here + "qkv"] = _splitting(file, there + "self_attention/linear_0/weight", shape)
    return LazyTensors({name: recipes[name] for name in plain_names(shape)}), shape


def _taking(file: _File, name: str, *, transposed: bool) -> Callable[[], Array]:
    file.find(name)
    return lambda: file.floats(name).T if transposed else file.floats(name)


def _splitting(file: _File, name: str, shape: Shape) -> Callable[[], Array]:
    width = shape.n_embd
    if file.find(name).shape != (3 * width, width):
        raise ConversionError(f"{file.path} is no CodeGen: {name} has another shape")

    def make() -> Array:
        query, key, value = file.floats(name).reshape(3, width, width)
        turned = [
            qkv.sliced_to_interleaved(w, shape.n_head, shape.rotary_dim) for w in (query, key)
        ]
        return np.stack([part.T for part in (*turned, value)])

    return make


def _shape(folder: Path, file: _File) -> Shape:
    _require_codegen(file)
    embedding = file.find("decoder/embeddings/weight").shape
    layers = 0
    while f"decoder/layer_{layers}/shared_layer_norm/gamma" in file:
        layers += 1
    config = _read_json(folder / "config.json")
    if not isinstance(config, dict) or len(embedding) != 2:
        raise ConversionError(f"{folder} is damaged: config.json or the embedding", mend=_MEND)
    shape = Shape(
        vocab_size=embedding[0],
        n_positions=_positions(folder),
        n_embd=embedding[1],
        n_layer=layers,
        n_head=int(file.scalar("decoder/num_heads")),
        rotary_dim=int(file.scalar("decoder/layer_0/self_attention/rotary_dim")),
        layer_norm_epsilon=float(config.get("layer_norm_epsilon") or 1e-5),
        eos_token_id=_end_of_text(folder, config),
    )
    shape.check()
    return shape


def _require_codegen(file: _File) -> None:
    at = "decoder/"
    strange = [name for name in _FOREIGN if at + name in file]
    strange += [
        name
        for name, value in _CODEGEN.items()
        if at + name not in file or file.scalar(at + name) != value
    ]
    norm = "layer_0/shared_layer_norm/gamma"
    if file.spec != "TransformerDecoderSpec" or at + norm not in file or strange:
        what = strange[0] if strange else norm
        raise ConversionError(
            f"{file.path} is no CodeGen: {file.spec}, {what}",
            mend="convert the checkpoint that it was made from",
        )


def _positions(folder: Path) -> int:
    """The context length: CTranslate2 does not store it, our manifest does."""
    try:
        return read_manifest(folder).context_length
    except ModelDamagedError:
        return 2048  # of every published CodeGen


def _end_of_text(folder: Path, config: Mapping[str, Any]) -> int:
    path = folder / "vocabulary.json"
    tokens = _read_json(path) if path.is_file() else _lines(folder / "vocabulary.txt")
    end = config.get("eos_token")
    if not isinstance(tokens, list) or not isinstance(end, str) or end not in tokens:
        raise ConversionError(f"{folder} is damaged: its vocabulary lacks {end!r}", mend=_MEND)
    return tokens.index(end)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path} is damaged: {error}", mend=_MEND) from error


def _lines(path: Path) -> list[str]:
    """The vocabulary as older versions of CTranslate2 wrote it."""
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise _unreadable(path, error) from error
