"""Tensors of a checkpoint by name, read when they are asked for and not before.

A model of 16B parameters does not fit a laptop's memory twice; one tensor of it does. So every
layout here is a mapping from names to arrays that makes an array each time it is asked for one,
and whoever writes a file asks for one after the other.

Knows names, shapes and laziness. Does not know file formats (``checkpoint`` does) or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

__all__ = ["Array", "LazyTensors", "Tensors", "require_shape"]

Array = NDArray[np.generic]

Tensors = Mapping[str, Array]
"""Arrays by name, all in memory or lazy. Floats are float32 or float16."""


class LazyTensors(Mapping[str, NDArray[Any]]):
    """Named recipes for arrays. An array is made at each access and kept by nobody."""

    def __init__(self, recipes: Mapping[str, Callable[[], Array]]) -> None:
        self._recipes = dict(recipes)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._recipes[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)

    def __contains__(self, name: object) -> bool:
        # Mapping's own would make the array to find out.
        return name in self._recipes


def require_shape(name: str, tensor: Array, shape: tuple[int, ...]) -> None:
    """Hold the tensor called *name* to the *shape* that its configuration gives it.

    :raises ConversionError: it has another.
    """
    if tensor.shape != shape:
        raise ConversionError(
            f"tensor {name!r} has the shape {tensor.shape}, config.json says {shape}",
            mend="use the config.json that belongs to the weights",
        )
