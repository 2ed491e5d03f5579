"""codegen-lsp: code completion with CodeGen models, in an editor or from Python.

The façade: everything a program needs stands in ``__all__`` and is looked up when it is first
used, so that ``import codegen_lsp`` loads no engine, no tokenizer and no server. What is not in
``__all__`` may change without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codegen_lsp.completer import Completer
    from codegen_lsp.config.settings import Settings
    from codegen_lsp.errors import (
        CodegenError,
        ConversionError,
        CorpusError,
        DocumentError,
        EngineError,
        EngineUnavailableError,
        GenerationError,
        HubError,
        ModelDamagedError,
        ModelError,
        ModelNotFoundError,
        RemoteAwayError,
        SettingsError,
        TrainingError,
        UsageError,
    )
    from codegen_lsp.types import Completion, Source, Timings, Trigger

    __version__: str

__all__ = [
    "CodegenError",
    "Completer",
    "Completion",
    "ConversionError",
    "CorpusError",
    "DocumentError",
    "EngineError",
    "EngineUnavailableError",
    "GenerationError",
    "HubError",
    "ModelDamagedError",
    "ModelError",
    "ModelNotFoundError",
    "RemoteAwayError",
    "Settings",
    "SettingsError",
    "Source",
    "Timings",
    "TrainingError",
    "Trigger",
    "UsageError",
]

_ELSEWHERE: Mapping[str, str] = {
    "Completer": "codegen_lsp.completer",
    "Completion": "codegen_lsp.types",
    "Settings": "codegen_lsp.config.settings",
    "Source": "codegen_lsp.types",
    "Timings": "codegen_lsp.types",
    "Trigger": "codegen_lsp.types",
}
"""Where the names that are not errors live."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module 'codegen_lsp' has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE.get(name, "codegen_lsp.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("codegen-lsp")
    except PackageNotFoundError:  # a checkout on sys.path that nobody installed
        return "0+unknown"
