"""Which engines there are: a visible table from name to factory.

Knows names and import paths; a factory's module is imported when its engine is first asked for.
Does not know what an engine needs beyond :class:`EngineSpec`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from codegen_lsp.engines.base import Engine
from codegen_lsp.engines.remote_access import Server
from codegen_lsp.errors import EngineUnavailableError

__all__ = ["AUTO", "ENGINES", "EngineSpec", "create_engine"]

AUTO: Final = "auto"

ENGINES: Final[Mapping[str, str]] = {
    AUTO: "codegen_lsp.engines.ct2:Ct2Engine",  # which one is faster here, the caller knows
    "ct2": "codegen_lsp.engines.ct2:Ct2Engine",
    "llama": "codegen_lsp.engines.llama:LlamaEngine",
    "remote": "codegen_lsp.engines.remote:RemoteEngine",
}
"""Name of an engine to ``module:factory``; a factory takes an :class:`EngineSpec`."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything an engine is told when it is made."""

    folder: Path
    """The model folder."""

    name: str
    """The model's name, for reports."""

    context_length: int
    """Most tokens of prompt and answer together."""

    device: str = AUTO
    """``auto``, ``cpu`` or ``cuda``."""

    compute_type: str = AUTO
    """``auto`` or a type the engine knows."""

    threads: int = 0
    """CPU threads for one job; 0 lets the engine choose."""

    architecture: str = "decoder"
    """``decoder`` or ``encoder-decoder``, as the model's manifest says."""

    cache_memory: int = 0
    """Most MiB that an engine may keep of what it has read; 0 lets the engine choose."""

    gguf: Path | None = None
    """The same weights in llama.cpp's layout; ``None`` where they were not made."""

    drafts: bool = False
    """Whether an engine that can guess tokens and check several at once does so: its tokens then
    come without probabilities where the guess was right."""

    server: Server | None = None
    """Where the model is, if it is not here; *folder* is then one whose tokenizer is used."""


def create_engine(engine: str, spec: EngineSpec) -> Engine:
    """An engine called *engine*, not loaded yet.

    :raises EngineUnavailableError: there is no engine of that name.
    """
    if engine not in ENGINES:
        raise EngineUnavailableError(
            f"no engine {engine!r}", mend=f"set engine to one of {', '.join(ENGINES)}"
        )
    module, _, factory = ENGINES[engine].partition(":")
    make = getattr(importlib.import_module(module), factory)
    return cast(Callable[[EngineSpec], Engine], make)(spec)
