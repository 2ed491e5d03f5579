"""The table of architectures that can be converted and checked.

Knows which there are. What each is like is in the module it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from codegen_lsp.errors import ConversionError

from . import bigcode, codegen, llama, t5
from .architecture import Architecture

__all__ = ["ARCHITECTURES", "architecture_of"]

ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "codegen": codegen.ARCHITECTURE,
    "llama": llama.ARCHITECTURE,
    "gpt_bigcode": bigcode.ARCHITECTURE,
    "t5": t5.ARCHITECTURE,
}
"""By the ``model_type`` of ``config.json``."""


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a ``config.json`` names.

    :raises ConversionError: it names none, or one that cannot be converted.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise ConversionError(
            f"model type {kind!r} cannot be converted",
            mend=f"use a model of type {', '.join(ARCHITECTURES)}",
        )
    return ARCHITECTURES[kind]
