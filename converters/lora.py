"""LoRA adapters of peft, merged into the weights they adapt, without torch.

An adapter adds ``scale * B @ A`` to matrices of a model that is published elsewhere; who runs
the merged weights needs no peft. Names, scales and files are those of peft 0.21
(``peft/tuners/lora/layer.py``, ``peft/utils/save_and_load.py``): rank and alpha per module,
rank-stabilized scales, DoRA, embeddings, trained biases, and modules that were trained whole.

Knows names and matrices: any architecture will do whose tensors are named like its modules.
Does not know models or the layout of any, and merges only what leaves a model of the same shape:
adapters that act on activations or on the prompt cannot become weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from .checkpoint import open_safetensors, read_json
from .pickled import open_pickled
from .tensors import Array, LazyTensors, Tensors

__all__ = ["base_note", "merge"]

_CONFIG: Final = "adapter_config.json"

_FILES: Final = {
    "adapter_model.safetensors": open_safetensors,
    "adapter_model.bin": open_pickled,
}
"""Where an adapter's weights are, the file that wins first."""

_CHANGES_BASE: Final = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""Beginnings of ``init_lora_weights`` that change the base as well, which the adapter lacks."""

_REFUSED: Final = {
    "alora_invocation_tokens": "acts on a part of the prompt only",
    "arrow_config": "chooses among several adapters at every token",
    "kasa_config": "changes singular values of the base",
    "layer_replication": "repeats layers",
    "megatron_config": "is cut for Megatron",
    "monteclora_config": "draws its weights at random",
    "target_parameters": "adapts parameters that are no layers",
    "trainable_token_indices": "trains single tokens",
    "use_bdlora": "is block-diagonal",
    "use_qalora": "is for quantized weights",
    "velora_config": "compresses activations",
}
"""Settings that change what an adapter computes in a way that is not merged here."""

_PART: Final = re.compile(
    r"(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)"
    r"(?:\.default)?(?:\.(?P<kind>weight|bias))?"
)
"""Name of a tensor that belongs to an adapted module."""

_WRAPPERS: Final = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)(?=\.)")
"""What peft inserts into the names of tensors that are saved whole."""

_EMBEDDINGS: Final = ("lm_head.weight", "wte.weight", "embed_tokens.weight", "shared.weight")
"""Ends of the names that are one tensor in a model that ties its embeddings."""

_TIED: Final = frozenset({"gpt_bigcode", "t5"})
"""Model types that tie their embeddings where the configuration does not say."""

Float32 = NDArray[np.float32]


@dataclass(slots=True)
class _Module:
    """What an adapter holds for one module: tensors by the part's name (``A``, ``B``, …)."""

    name: str
    parts: dict[str, Float32] = field(default_factory=dict)

    @property
    def embedding(self) -> bool:
        """Whether the module is a table of vectors, whose matrices have names of their own."""
        return "embedding_A" in self.parts or "embedding_B" in self.parts


def base_note(config: Mapping[str, Any], adapter: Path) -> str | None:
    """One line where *adapter* was trained on another model than *config* names; else None.

    Names of one model differ (a folder here, a hub id there), so this is no error. *config* is
    the content of the base's ``config.json``.

    :raises ConversionError: the adapter's configuration cannot be read.
    """
    wanted = _settings(adapter).get("base_model_name_or_path")
    here = config.get("_name_or_path")
    if not wanted or not here or _last(wanted) == _last(here):
        return None
    return f"{adapter} was trained on {wanted}, and is merged into {here}"


def _last(name: object) -> str:
    return str(name).rstrip("/\\").replace("\\", "/").rpartition("/")[2].lower()


def merge(tensors: Tensors, config: Mapping[str, Any], adapter: Path) -> Tensors:
    """*tensors* with the adapter in the folder *adapter* merged in; lazy like the originals.

    *config* is the content of the base's ``config.json``. Tensors that the adapter changes come
    as float32 whatever they were, all others as they are.

    :raises ConversionError: the adapter is of another kind or cannot be read, names a module that
        *tensors* lack, or is incomplete. That a shape does not fit the base, or that a merged
        value is not finite, is noticed when its tensor is asked for.
    """
    settings = _settings(adapter)
    _require_mergeable(settings, adapter)
    modules, whole = _read(adapter)
    recipes: dict[str, Callable[[], Array]] = {
        name: partial(tensors.__getitem__, name) for name in tensors
    }
    changed: dict[str, Callable[[], Array]] = {}
    for name, recipe in whole.items():
        _require_known(name, recipes, adapter)
        changed[name] = partial(_replaced, recipes[name], recipe, name)
    for module in modules:
        _require_complete(module, settings, adapter)
        scale = _scale(module, settings, adapter)
        for name, change in _changes(module, scale, settings):
            _require_known(name, recipes, adapter)
            changed[name] = partial(change, changed.get(name, recipes[name]))
    return LazyTensors(recipes | changed | _twins(changed, tensors, config, adapter))


# The adapter's configuration


def _settings(adapter: Path) -> dict[str, Any]:
    path = adapter / _CONFIG
    if not path.is_file():
        raise ConversionError(
            f"{adapter} is no adapter: it has no {_CONFIG}", mend="name the folder peft has saved"
        )
    return read_json(path)


def _require_mergeable(settings: Mapping[str, Any], adapter: Path) -> None:
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise ConversionError(
            f"{adapter} is an adapter of type {kind!r}; only LORA can be merged into weights"
        )
    for name, reason in _REFUSED.items():
        if settings.get(name):
            raise ConversionError(
                f"{adapter} cannot be merged: it {reason} ({name})", mend="merge it with peft"
            )
    start = str(settings.get("init_lora_weights", True)).lower()
    if start.startswith(_CHANGES_BASE):
        raise ConversionError(
            f"{adapter} began by changing its base ({start}), so it does not fit the published one",
            mend="save it with path_initial_model_for_weight_conversion",
        )


def _scale(module: _Module, settings: Mapping[str, Any], adapter: Path) -> float:
    """Factor of ``B @ A``.

    :raises ConversionError: the configuration and the matrices disagree about the rank.
    """
    path = adapter / _CONFIG
    rank = _pattern(settings, "rank_pattern", module.name, settings.get("r"), path)
    alpha = _pattern(settings, "alpha_pattern", module.name, settings.get("lora_alpha"), path)
    first = module.parts["embedding_A" if module.embedding else "A"]
    second = module.parts["embedding_B" if module.embedding else "B"]
    if not first.ndim == second.ndim == 2 or not first.shape[0] == second.shape[1] == rank:
        raise ConversionError(
            f"{adapter} has matrices of {first.shape} and {second.shape} for {module.name},"
            f" {_CONFIG} says rank {rank:g}",
            mend="use the two files of one training run",
        )
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _pattern(
    settings: Mapping[str, Any], table: str, module: str, default: object, path: Path
) -> float:
    patterns = settings.get(table) or {}
    if not isinstance(patterns, dict):
        raise ConversionError(f"{path} states {table} as {patterns!r}")
    matches = (value for key, value in patterns.items() if _ends(key, module, path))
    value = next(matches, default)
    if not isinstance(value, int | float) or value <= 0:
        raise ConversionError(f"{path} states no rank or alpha for {module}: {value!r}")
    return value


def _ends(pattern: str, module: str, path: Path) -> bool:
    return _matches(rf"(.*\.)?({pattern})", module, path)


def _matches(pattern: str, module: str, path: Path) -> bool:
    try:
        return re.fullmatch(pattern, module) is not None
    except re.error as error:
        raise ConversionError(f"{path} holds the wrong pattern {pattern!r}: {error}") from error


def _targeted(module: str, settings: Mapping[str, Any], path: Path) -> bool:
    """Whether the configuration names the module, by a pattern or the end of its name."""
    targets = settings.get("target_modules")
    if targets is None or targets == "all-linear":
        return True
    if isinstance(targets, str):
        return _matches(targets, module, path)
    if not isinstance(targets, Sequence):
        raise ConversionError(f"{path} states target_modules as {targets!r}")
    return any(module == target or module.endswith(f".{target}") for target in targets)


# The adapter's tensors


def _read(adapter: Path) -> tuple[list[_Module], dict[str, Callable[[], Array]]]:
    """The modules that are adapted, and recipes of the tensors that are replaced as a whole."""
    path = next((adapter / name for name in _FILES if (adapter / name).is_file()), None)
    if path is None:
        raise ConversionError(
            f"{adapter} holds no {' or '.join(_FILES)}", mend="fetch the whole adapter"
        )
    tensors, others = _FILES[path.name](path)
    if others:
        raise ConversionError(f"{path} holds {min(others)!r}, which is no tensor of floats")
    modules: dict[str, _Module] = {}
    whole: dict[str, Callable[[], Array]] = {}
    for saved in tensors:
        name = saved.removeprefix("base_model.model.")
        match = _PART.fullmatch(name)
        if match:
            module = modules.setdefault(match["module"], _Module(match["module"]))
            part = "bias" if match["kind"] == "bias" else match["part"]
            module.parts[part] = np.asarray(tensors[saved], np.float32)
        elif ".original_module." not in name:  # what a module was before it was trained whole
            whole[_WRAPPERS.sub("", name)] = partial(tensors.__getitem__, saved)
    if not modules and not whole:
        raise ConversionError(f"{path} holds no weights", mend="fetch it again")
    return list(modules.values()), whole


def _require_complete(module: _Module, settings: Mapping[str, Any], adapter: Path) -> None:
    wanted = {"embedding_A", "embedding_B"} if module.embedding else {"A", "B"}
    if settings.get("use_dora"):
        wanted |= {"magnitude_vector"}
    if settings.get("lora_bias") and not module.embedding:
        wanted |= {"bias"}
    if module.parts.keys() != wanted:
        odd = ", ".join(f"lora_{part}" for part in sorted(module.parts.keys() ^ wanted))
        raise ConversionError(
            f"{adapter} is incomplete: its files disagree about {odd} of {module.name}",
            mend="use the two files of one training run",
        )
    if not _targeted(module.name, settings, adapter / _CONFIG):
        raise ConversionError(
            f"{adapter} has weights for {module.name}, which its {_CONFIG} does not target",
            mend="use the two files of one training run",
        )


def _require_known(name: str, known: Mapping[str, object], adapter: Path) -> None:
    if name not in known:
        raise ConversionError(
            f"{adapter} changes {name}, which the model does not have",
            mend="merge it into the model it was trained on",
        )


# The merging

_Change = Callable[[Callable[[], Array]], Array]
"""Makes a tensor of the recipe of what it was."""


def _changes(
    module: _Module, scale: float, settings: Mapping[str, Any]
) -> list[tuple[str, _Change]]:
    # A table of vectors lies as [in, out]; so do all matrices of a model that says so.
    turned = module.embedding or bool(settings.get("fan_in_fan_out"))
    weight = partial(_adapted, module, scale, turned)
    changes: list[tuple[str, _Change]] = [(f"{module.name}.weight", weight)]
    if "bias" in module.parts:
        changes.append((f"{module.name}.bias", partial(_shifted, module, scale)))
    return changes


def _adapted(module: _Module, scale: float, turned: bool, base: Callable[[], Array]) -> Array:
    first = module.parts["embedding_A" if module.embedding else "A"]
    second = module.parts["embedding_B" if module.embedding else "B"]
    weight = np.array(base(), np.float32)
    weight = weight.T if turned else weight
    _require_shape(f"{module.name}.weight", weight, (second.shape[0], first.shape[1]))
    magnitude = module.parts.get("magnitude_vector")
    with np.errstate(all="ignore"):  # what is not finite is reported below
        weight += np.float32(scale) * (second @ first)
        if magnitude is not None:
            _require_shape(f"{module.name}'s magnitude", magnitude, weight.shape[:1])
            weight *= (magnitude / np.linalg.norm(weight, axis=1))[:, None]
    return _finite(np.ascontiguousarray(weight.T if turned else weight), module.name)


def _shifted(module: _Module, scale: float, base: Callable[[], Array]) -> Array:
    bias = np.array(base(), np.float32)
    shift = module.parts["bias"]
    _require_shape(f"{module.name}.bias", bias, shift.shape)
    return _finite(bias + np.float32(scale) * shift, module.name)


def _replaced(base: Callable[[], Array], trained: Callable[[], Array], name: str) -> Array:
    tensor = np.asarray(trained(), np.float32)
    _require_shape(name, base(), tensor.shape)
    return _finite(tensor, name)


def _require_shape(name: str, tensor: Array, expected: tuple[int, ...]) -> None:
    if tensor.shape != expected:
        raise ConversionError(
            f"the adapter is made for {name} of {expected}, the model has {tensor.shape}",
            mend="merge it into the model it was trained on",
        )


def _finite(tensor: Array, name: str) -> Array:
    if not np.isfinite(tensor).all():
        raise ConversionError(f"{name} holds values that are not finite once merged")
    return tensor


def _twins(
    changed: Mapping[str, Callable[[], Array]],
    tensors: Tensors,
    config: Mapping[str, Any],
    adapter: Path,
) -> dict[str, Callable[[], Array]]:
    """Copies of a tied embedding that change along, where a checkpoint stores it twice."""
    if not config.get("tie_word_embeddings", config.get("model_type") in _TIED):
        return {}
    tied = [name for name in tensors if name.endswith(_EMBEDDINGS)]
    touched = [name for name in tied if name in changed]
    if len(touched) > 1:
        raise ConversionError(
            f"{adapter} changes {' and '.join(touched)}, which are one tensor in this model",
            mend="merge it with peft",
        )
    return dict.fromkeys(tied, changed[touched[0]]) if touched else {}
