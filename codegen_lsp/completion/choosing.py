"""Which engine runs a model, and why: the setting, or what was measured on this machine.

Joins what the store knows of a model, what was measured (``models.choice``) and what the machine
is called (``engines.hardware``). Loads nothing. Does not know engines beyond their names.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.hardware import fingerprint
from codegen_lsp.errors import EngineUnavailableError
from codegen_lsp.models.choice import faster, measured
from codegen_lsp.models.folders import ModelFolder
from codegen_lsp.models.gguf import KINDS, find_gguf, kinds_of

__all__ = ["Choice", "choose_engine", "llama_there"]


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine for a model."""

    engine: str
    """A name of ``engines.table``, never ``auto``."""

    why: str
    """For logs and ``doctor``."""

    gguf: Path | None = None
    """The file that llama.cpp runs."""


def choose_engine(model: ModelFolder, settings: Settings, home: Path) -> Choice:
    """The engine that *settings* mean for *model*.

    ``auto`` is what was measured to be faster for a keystroke, where that can still be used;
    CTranslate2 where nothing was measured, and on CUDA.

    :raises EngineUnavailableError: llama.cpp is asked for by name, and cannot run this model.
    """
    if settings.engine == "ct2":
        return Choice("ct2", "by the setting engine")
    if settings.engine == "llama":
        return Choice("llama", "by the setting engine", _asked_for(model, settings, home))
    stored_as: str = settings.compute_type
    if stored_as in KINDS:  # no other engine has it
        return Choice("llama", "by the setting computeType", _asked_for(model, settings, home))
    times = measured(model, fingerprint(), home)
    winner = faster(times)
    if winner is None:
        return Choice("ct2", "nothing was measured here: codegen-lsp bench engine does")
    told = ", ".join(f"{name} {ms:.0f} ms" for name, ms in sorted(times.items()))
    why = f"by what was measured here for a keystroke: {told}"
    if winner != "llama":
        return Choice("ct2", why)
    gguf = find_gguf(model, home, settings.compute_type)
    if settings.device == "cuda" or gguf is None or not llama_there():
        return Choice("ct2", "llama.cpp was faster here, and cannot be used now")
    return Choice("llama", why, gguf)


def _asked_for(model: ModelFolder, settings: Settings, home: Path) -> Path:
    if not kinds_of(settings.compute_type):
        raise EngineUnavailableError(
            f"llama.cpp runs models as {' or '.join(KINDS)}, not in {settings.compute_type}",
            mend="set computeType to 'auto', or engine to 'ct2'",
        )
    gguf = find_gguf(model, home, settings.compute_type)
    if gguf is None:
        raise EngineUnavailableError(
            f"{model.name} was not prepared for llama.cpp",
            mend=f"run: codegen-lsp bench engine --model {model.name}",
        )
    return gguf


def llama_there() -> bool:
    """Whether llama.cpp's package is installed. Imports nothing of it."""
    return importlib.util.find_spec("xllamacpp") is not None
