"""Checkpoints of JAXFORMER, the library CodeGen was trained with, to Hugging Face's layout.

Two layouts are read, both as the files of the public repository ``salesforce/jaxformer`` write
them (commit 026b4ed):

*A checkpoint* (``jaxformer/models/decoder/inter/checkpoint.py``), one folder per step::

    350000/ckpt.json           {"process_count": 8, "step": 350000, …} (run/remote/master.py)
    350000/model/{i}.npz       the weights as process i held them: arr_0, arr_1, …
    350000/opt/{i}.npz         the optimizer's state; not read

The arrays are the leaves of ``{"embed", "proj", "transformer"}`` in sorted order (``model.py``,
``modules.py``; the order in :data:`_LEAVES` is what haiku 0.0.17 gives for these modules).
Blocks are stacked along the first axis. Matrices are applied as ``x @ W``. The embedding is a
dense layer on one-hot vectors, so its bias belongs to every row of ``wte``. Biases and norms are
whole on every process, and nothing is summed over processes.

*Its export* (``jaxformer/hf/convert.py``): ``pytorch_model.bin`` and ``config.json`` with the
names of ``CodeGenForCausalLM``, the attention weights still in the parts of the cores.

The model's numbers are in the JSON file it was trained with (``config/codegen_350M_nl.json``);
it is looked for in the folder and in the one above it.

What the public files leave open, and what is done about it here:

- *Whether every process saved everything.* It did, where one host holds all cores that share a
  model (``convert.py`` reads ``0.npz`` alone); comments in ``checkpoint.py`` announce files that
  hold one part. The shapes decide: whole arrays are read from one file; parts are put together
  along the axis that ``create_sharding_fns`` (``model.py``) cuts.
- *How many cores shared a model*, which is how the attention weights are cut (see ``qkv``). The
  checkpoint does not say. ``run/trainer.py`` derives 8 from ``tpu_version`` 3 and 4 from 4; the
  published CodeGen 1 is cut in 4 although ``config/codegen_*.json`` say version 3. A shape that
  the caller gives takes precedence, ``tpu_cores`` in the JSON file over its ``tpu_version``, and
  a conversion has the model predict code to find out whether the number is right.
- *The number type.* float32 in training; two bytes without a meaning (numpy's ``V2``) are
  bfloat16, as ``load_ckpt`` takes them.

Knows those layouts. Does not know how Hugging Face's files are written (``to_hf``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from codegen_lsp.errors import ConversionError
from codegen_lsp.prompts.tokenizer import END_OF_TEXT

from . import qkv
from .checkpoint import open_checkpoint
from .jaxformer_run import find_run, require_run, shape_of_run
from .npz import Member, members, require_intact
from .samples import sample_tokens
from .shape import Shape
from .tensors import Array, LazyTensors, Tensors
from .to_hf import from_hf_tensors, to_hf_folder, to_hf_tensors

__all__ = ["convert_jaxformer", "is_jaxformer", "read_jaxformer"]


_SAMPLE: Final = 64
"""Tokens of code that show how many cores there were."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One array of a checkpoint."""

    name: str
    """Of the parameter in the plain layout, that of a block without its number."""

    path: str
    """Of the parameter in the trainer; for messages."""

    axes: str
    """One letter per axis: layers, vocabulary, dimensions (width), qkv (3 d), inner (4 d)."""

    cut: int | None
    """Axis along which cores share the array, None where all hold all of it."""


_LEAVES: Final = (
    _Leaf("wte.bias", "embed/embedding_sharded/proj/b", "d", None),
    _Leaf("wte", "embed/embedding_sharded/proj/w", "vd", 0),
    _Leaf("ln_f.bias", "proj/projection/layer_norm/offset", "d", None),
    _Leaf("ln_f.scale", "proj/projection/layer_norm/scale", "d", None),
    _Leaf("lm_head.bias", "proj/projection/linear/b", "v", None),
    _Leaf("lm_head.weight", "proj/projection/linear/w", "dv", 1),
    _Leaf("out", "transformer/block/attn/proj_out/w", "ldd", 1),
    _Leaf("qkv", "transformer/block/attn/proj_qkv/w", "ldq", 2),
    _Leaf("fc_in.bias", "transformer/block/ff/proj_in/b", "li", None),
    _Leaf("fc_in.kernel", "transformer/block/ff/proj_in/w", "ldi", 2),
    _Leaf("fc_out.bias", "transformer/block/ff/proj_out/b", "ld", None),
    _Leaf("fc_out.kernel", "transformer/block/ff/proj_out/w", "lid", 1),
    _Leaf("ln_1.bias", "transformer/block/ln/offset", "ld", None),
    _Leaf("ln_1.scale", "transformer/block/ln/scale", "ld", None),
)
"""The arrays of a checkpoint in the order in which they are saved."""


def is_jaxformer(folder: Path) -> bool:
    """Whether *folder* is a checkpoint, or an export with the JSON file of its run beside it.

    An export without that file cannot be told from a folder of Hugging Face's; it is read as
    one. Reads only names and JSON files, and never raises.
    """
    if _numbered(folder / "model"):
        return True
    try:
        return (folder / "config.json").is_file() and find_run(folder) is not None
    except ConversionError:
        return False


def read_jaxformer(folder: Path, shape: Shape | None = None) -> tuple[Tensors, Shape]:
    """The plain weights in *folder*, read as they are asked for, and the model's shape.

    *shape* takes the place of the run's JSON file; its ``parts`` says how many cores shared the
    model. The plain weights are no longer cut, and the shape that is returned has the parts that
    ``CodeGenForCausalLM`` counts on (four), whatever the cores were.

    :raises ConversionError: a file is missing, damaged or no array of finite floats, the number
        of files or arrays is wrong, or what they hold contradicts the shape. That a value is not
        finite is noticed when its tensor is asked for.
    """
    opened = _open(folder, shape)
    return opened.plain, replace(opened.shape, parts=qkv.PARTS)


def convert_jaxformer(
    source: Path, tokenizer: Path, out: Path, shape: Shape | None = None
) -> Shape:
    """Write *source* as a Hugging Face folder *out*; returns the shape of what was written.

    *tokenizer* is a ``tokenizer.json``: JAXFORMER saves none. *shape* as in
    :func:`read_jaxformer`. The files' checksums are compared before anything is written, and the
    model must not predict code far better when its weights are cut for another number of cores.

    :raises ConversionError: see :func:`read_jaxformer`; the tokenizer does not belong to the
        model, the cores are misstated, or *out* cannot be written.
    """
    opened = _open(source, shape)
    written = replace(opened.shape, parts=qkv.PARTS, eos_token_id=_end_of_text(tokenizer, opened))
    for file in opened.files:
        require_intact(file)
    _require_cores(opened, tokenizer)
    to_hf_folder(opened.plain, written, tokenizer, out)
    return written


@dataclass(frozen=True, slots=True)
class _Opened:
    """A model as it was found."""

    plain: Tensors

    shape: Shape
    """With the cores that shared the model as its parts."""

    files: tuple[Path, ...] = ()
    """Those whose arrays carry checksums."""


def _open(folder: Path, shape: Shape | None) -> _Opened:
    if not _numbered(folder / "model"):
        return _open_export(folder, shape)
    shape = shape or shape_of_run(require_run(folder))
    sources = [_Source(leaf, pieces) for leaf, pieces in _leaves(folder, shape)]
    files = dict.fromkeys(file for source in sources for file in source.files)
    return _Opened(LazyTensors(dict(_recipes(sources, shape))), shape, tuple(files))


def _require_cores(opened: _Opened, tokenizer: Path) -> None:
    """Nothing, unless real code shows that the attention weights are cut otherwise.

    Nothing else can notice it: any number that divides the heads gives a model that runs.
    """
    from .codegen import plausible_parts

    shape = opened.shape
    saved = to_hf_tensors(opened.plain, shape)
    length = min(_SAMPLE, shape.n_positions)
    sample = sample_tokens(tokenizer, shape.vocab_size, sequences=1, length=length)
    found = plausible_parts(saved, shape, sample[0])
    if found not in (None, shape.parts):
        raise ConversionError(
            f"the model predicts code only if {found} cores shared it, not {shape.parts}",
            mend=f'set "tpu_cores" to {found} in the JSON file of the model',
        )


def _end_of_text(tokenizer: Path, opened: _Opened) -> int:
    from tokenizers import Tokenizer

    try:
        encoder = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # tokenizers raises nothing more special
        raise ConversionError(f"cannot read the tokenizer {tokenizer}: {error}") from error
    if encoder.get_vocab_size() > opened.shape.vocab_size:
        raise ConversionError(
            f"{tokenizer} has {encoder.get_vocab_size()} tokens,"
            f" the model {opened.shape.vocab_size}",
            mend="give the tokenizer.json of this model",
        )
    end: int | None = encoder.token_to_id(END_OF_TEXT)
    if end is None:
        raise ConversionError(f"{tokenizer} has no token {END_OF_TEXT}")
    return end


# The files of a checkpoint


def _numbered(folder: Path) -> dict[int, Path]:
    """The ``.npz`` files in *folder* by the number of their process."""
    return {int(path.stem): path for path in folder.glob("*.npz") if path.stem.isdecimal()}


def _process_count(folder: Path) -> int | None:
    path = folder / "ckpt.json"
    if not path.exists():
        return None
    try:
        count = json.loads(path.read_text(encoding="utf-8"))["process_count"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConversionError(
            f"cannot read the number of processes in {path}: {error}", mend="fetch it again"
        ) from error
    if not isinstance(count, int) or count < 1:
        raise ConversionError(f"{path} states process_count as {count!r}")
    return count


def _leaves(folder: Path, shape: Shape) -> Iterator[tuple[_Leaf, list[Member]]]:
    """Every array with the members that make it up, in order; their shapes are right."""
    files = _numbered(folder / "model")
    first = _arrays(files[min(files)])
    embedding = first[[leaf.name for leaf in _LEAVES].index("wte")]
    shards = _shards(embedding, shape)
    held = [first, *(_arrays(file) for file in _rest(folder, files, shards))]
    for index, leaf in enumerate(_LEAVES):
        pieces = [arrays[index] for arrays in held]
        expected = _expected(leaf, shape, shards)
        for piece in pieces:
            if piece.shape != expected:
                raise ConversionError(
                    f"{piece.name} of {piece.file} ({leaf.path}) has the shape {piece.shape},"
                    f" the model calls for {expected}",
                    mend="check the JSON file of the model: it belongs to another checkpoint",
                )
        yield leaf, pieces if leaf.cut is not None else pieces[:1]


def _arrays(file: Path) -> list[Member]:
    found = members(file)
    if len(found) != len(_LEAVES):
        raise ConversionError(
            f"{file} holds {len(found)} arrays, a CodeGen checkpoint {len(_LEAVES)}",
            mend="give the folder of a step, with model/0.npz in it",
        )
    return found


def _shards(embedding: Member, shape: Shape) -> int:
    """How many files make up the model: one where each holds all of it."""
    rows = embedding.shape[0] if embedding.shape else 0
    # What does not divide is one file of a wrong shape, which is reported as such.
    return shape.vocab_size // rows if rows and shape.vocab_size % rows == 0 else 1


def _rest(folder: Path, files: Mapping[int, Path], shards: int) -> list[Path]:
    """The files after the first that are needed; processes after these hold copies."""
    if shards == 1:
        return []
    count = _process_count(folder) or len(files)
    if count % shards:
        raise ConversionError(
            f"{folder} is of {count} processes, its arrays are parts of {shards}",
            mend="check ckpt.json and the JSON file of the model",
        )
    missing = [str(number) for number in range(shards) if number not in files]
    if missing:
        raise ConversionError(
            f"{folder / 'model'} lacks {', '.join(missing)} of its {shards} files (.npz)",
            mend="fetch the whole folder",
        )
    return [files[number] for number in range(1, shards)]


def _expected(leaf: _Leaf, shape: Shape, shards: int) -> tuple[int, ...]:
    width = shape.n_embd
    sizes = {"l": shape.n_layer, "v": shape.vocab_size, "d": width, "q": 3 * width, "i": 4 * width}
    whole = [sizes[axis] for axis in leaf.axes]
    if leaf.cut is not None:
        whole[leaf.cut] //= shards
    return tuple(whole)


# The weights


class _Source:
    """An array of a checkpoint, whole or one layer of it, put together from its parts."""

    def __init__(self, leaf: _Leaf, pieces: Sequence[Member]) -> None:
        self.leaf = leaf
        self._pieces = pieces

    @property
    def files(self) -> list[Path]:
        """Where it lies."""
        return [piece.file for piece in self._pieces]

    def read(self, layer: int | None = None) -> Array:
        """:raises ConversionError: it cannot be read, or a value is not finite."""
        parts = [piece.read(layer) for piece in self._pieces]
        axis = (self.leaf.cut or 0) - (layer is not None)
        array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
        if not np.isfinite(array).all():
            where = "" if layer is None else f" of layer {layer}"
            raise ConversionError(
                f"{self.leaf.path}{where} in {self._pieces[0].file.parent} is not finite",
                mend="take the checkpoint of another step",
            )
        return array


def _recipes(sources: Sequence[_Source], shape: Shape) -> Iterator[tuple[str, Callable[[], Array]]]:
    named = {source.leaf.name: source for source in sources}
    for name, source in named.items():
        if source.leaf.axes.startswith("l"):
            for layer in range(shape.n_layer):
                if name == "qkv":
                    yield f"h.{layer}.qkv", partial(_attention, source, layer, shape.parts)
                else:
                    yield f"h.{layer}.{name}", partial(source.read, layer)
        elif name not in ("wte", "wte.bias", "lm_head.weight"):
            yield name, source.read
    yield "wte", partial(_embedding, named["wte"], named["wte.bias"])
    yield "lm_head.weight", lambda: named["lm_head.weight"].read().T


def _attention(source: _Source, layer: int, parts: int) -> Array:
    query, key, value = qkv.split(source.read(layer).T, parts)
    return np.stack([query.T, key.T, value.T])


def _embedding(weight: _Source, bias: _Source) -> Array:
    # In float32 whatever is stored: the trainer adds them in float32, too. In place, since this
    # is the largest tensor of most models.
    table = np.asarray(weight.read(), np.float32)
    table += np.asarray(bias.read(), np.float32)
    return table


# The export


def _open_export(folder: Path, shape: Shape | None) -> _Opened:
    if not (folder / "config.json").is_file():
        raise ConversionError(
            f"{folder} is no checkpoint of JAXFORMER",
            mend="give the folder of a step, with model/0.npz in it, or its export",
        )
    stated = Shape.from_folder(folder)
    if shape is None:
        run = find_run(folder)
        shape = stated if run is None else shape_of_run(run)
    same = replace(stated, parts=shape.parts, eos_token_id=shape.eos_token_id)
    if same != shape:
        raise ConversionError(
            f"config.json of {folder} describes another model than the one asked for",
            mend="leave the JSON file of this model, and no other, beside it",
        )
    plain = from_hf_tensors(open_checkpoint(folder), shape)
    checked = {name: partial(_finite, plain, name, folder) for name in plain}
    return _Opened(LazyTensors(checked), shape)


def _finite(plain: Tensors, name: str, folder: Path) -> Array:
    array = plain[name]
    if not np.isfinite(array).all():
        raise ConversionError(f"{name} in {folder} is not finite", mend="export it in float32")
    return array
