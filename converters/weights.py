"""The weights of a checkpoint, held to the names and shapes its configuration promises.

Knows that a weight that is missing or of another shape is one clear line, and that CTranslate2 is
given weights that are read when they are written. Does not know any architecture or file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

from .tensors import Tensors, require_shape

if TYPE_CHECKING:
    from .ct2_file import LazyVariable

__all__ = ["Shapes", "Weights", "field", "require_model_type", "same"]

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of every tensor that a checkpoint must hold, by name."""

_Value = TypeVar("_Value")


class Weights:
    """Tensors of a checkpoint, read one by one as float32.

    *twins* are the names of one tensor that a model uses in several places, the usual first.
    Files of safetensors hold it once, under whichever name the program that wrote them kept.

    :raises ConversionError: a tensor that *shapes* names is missing.
    """

    def __init__(self, tensors: Tensors, shapes: Shapes, twins: Sequence[str] = ()) -> None:
        there = next((name for name in twins if name in tensors), None)
        self._names = {} if there is None else {twins[0]: there}
        missing = [name for name in shapes if self._names.get(name, name) not in tensors]
        if missing:
            more = f" and {len(missing) - 1} more" if missing[1:] else ""
            raise ConversionError(
                f"the weights have no tensor {missing[0]!r}{more}", mend="download them again"
            )
        self._tensors = tensors
        self._shapes = shapes

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The tensor of that name.

        :raises ConversionError: it has not the shape that the configuration says.
        """
        tensor = np.asarray(self._tensors[self._names.get(name, name)], np.float32)
        require_shape(name, tensor, self._shapes[name])
        return tensor

    def variable(self, *names: str) -> LazyVariable:
        """The tensors of those names, one below the other, read when CTranslate2 asks."""
        from .ct2_file import LazyVariable

        shapes = [self._shapes[name] for name in names]
        rows = sum(shape[0] for shape in shapes)
        if len(names) == 1:
            return LazyVariable(shapes[0], lambda: self[names[0]])
        return LazyVariable(
            (rows, *shapes[0][1:]), lambda: np.concatenate([self[name] for name in names])
        )


def require_model_type(config: Mapping[str, Any], model_type: str) -> None:
    """Nothing, where *config* is of that model type.

    :raises ConversionError: it is of another.
    """
    if config.get("model_type") != model_type:
        raise ConversionError(
            f"model type {config.get('model_type')!r} is not {model_type!r}",
            mend="convert a folder of that type",
        )


def field(
    config: Mapping[str, Any], name: str, kind: Callable[[Any], _Value], default: Any = None
) -> _Value:
    """The field *name* of ``config.json`` as *kind*; absent or null, *default* if that is given.

    :raises ConversionError: there is none, or it is no *kind*.
    """
    value = config.get(name)
    value = default if value is None else value
    if value is None:
        raise ConversionError(f"config.json lacks {name!r}", mend="download the folder again")
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise ConversionError(f"config.json says {value!r} for {name!r}") from None


def same(config: Mapping[str, Any], name: str, expected: object) -> None:
    """Nothing, where the field *name* is absent, null or *expected*.

    :raises ConversionError: it is something else, which is not supported.
    """
    if config.get(name) not in (None, expected):
        raise ConversionError(
            f"config.json says {config[name]!r} for {name!r}; only {expected!r} is supported"
        )
