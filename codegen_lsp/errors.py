"""The whole error tree of codegen-lsp.

    CodegenError
    ├── UsageError               the caller asked for something that makes no sense
    ├── DocumentError            a file or position that cannot be completed
    ├── SettingsError            a settings file that cannot be read
    ├── ModelError
    │   ├── ModelNotFoundError   no model of that name, or no such folder
    │   ├── ModelDamagedError    a model folder that is incomplete or unreadable
    │   ├── ConversionError      weights that cannot be converted, or differ afterwards
    │   └── HubError             a model that cannot be fetched
    ├── EngineError
    │   ├── EngineUnavailableError   the library or the device is not there
    │   ├── GenerationError          the engine failed while it generated
    │   └── RemoteAwayError          a server that cannot be reached now, and may be later
    └── TrainingError
        └── CorpusError          training data that cannot be made or read

Every message is one line that says what is wrong and how to mend it. This module knows no
exit codes (``cli``) and no LSP error codes (``server``); foreign exceptions become one of
these where they are first seen. Cancellation is not an error: it is
:class:`asyncio.CancelledError`, or an answer that nobody waits for.
"""

from __future__ import annotations

__all__ = [
    "CodegenError",
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
    "SettingsError",
    "TrainingError",
    "UsageError",
]


class CodegenError(Exception):
    """Base of every error this package raises on purpose.

    ``message`` says what is wrong, ``mend`` (optional) what to do about it; both are one line.
    """

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.mend = None if mend is None else " ".join(mend.split())

    def __str__(self) -> str:
        return self.message if self.mend is None else f"{self.message}; {self.mend}"


class UsageError(CodegenError):
    """A wrong argument or a combination of arguments that makes no sense."""


class DocumentError(CodegenError):
    """A file that cannot be read as text, or a position outside it."""


class SettingsError(CodegenError):
    """A settings file that exists and cannot be read."""


class ModelError(CodegenError):
    """A model that cannot be used."""


class ModelNotFoundError(ModelError):
    """No installed model has this name, and no folder has this path."""


class ModelDamagedError(ModelError):
    """A model folder in which something is missing, truncated or inconsistent."""


class ConversionError(ModelError):
    """Weights that cannot be converted, or whose converted logits differ from the source."""


class HubError(ModelError):
    """A repository or a file of it that cannot be fetched, or is not what was announced."""


class EngineError(CodegenError):
    """An engine that cannot answer."""


class EngineUnavailableError(EngineError):
    """The engine's library or the device it was asked to use is not there."""


class GenerationError(EngineError):
    """The engine failed in the middle of an answer."""


class RemoteAwayError(EngineError):
    """The server cannot be reached, is too busy or does not answer: it may later."""


class TrainingError(CodegenError):
    """Training that cannot begin or go on."""


class CorpusError(TrainingError):
    """Training data that cannot be made or read."""
