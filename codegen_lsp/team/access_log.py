"""The access log: one JSON object per request, and nothing in it of what was asked or answered.

What may be logged is a visible list of fields: names of keys, routes of a table, numbers. Paths,
headers and messages, in which a client may put anything, are none of them.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from codegen_lsp.errors import SettingsError

__all__ = ["AccessLog", "Record", "now"]


@dataclass(slots=True)
class Record:
    """What is known of a request when it is over."""

    id: str
    """The request's own, in the answer's header ``x-request-id``."""

    time: str = ""
    """When it came, in UTC."""

    key: str = ""
    """The name of the key; empty where none was needed or none is known."""

    route: str = "other"
    """A route of ours, or ``other``."""

    method: str = ""
    status: int = 0
    """0 where the client went away before there was one."""

    stream: bool = False
    choices: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    queue_ms: float = 0.0
    first_token_ms: float = 0.0
    total_ms: float = 0.0

    cancelled: bool = False
    """Whether the client went away before the end."""

    refused: str = ""
    """The code or kind of an error that was answered."""


class AccessLog:
    """Lines to a file or to stderr."""

    def __init__(self, path: Path | None) -> None:
        """To *path*, appended; to stderr if ``None``.

        :raises SettingsError: the file cannot be written.
        """
        self._own: TextIO | None = None
        self._lock = threading.Lock()
        if path is not None:
            try:
                self._own = path.open("a", encoding="utf-8", buffering=1)
            except OSError as error:
                raise SettingsError(f"cannot write the log {path}: {error.strerror}") from error

    def write(self, record: Record) -> None:
        """One line. A disk that is full stops no answer."""
        fields = {
            name: value
            for name, value in asdict(record).items()
            if value is not False and value != ""
        }
        line = json.dumps(fields, ensure_ascii=True)
        stream = self._own or sys.stderr
        with self._lock:
            try:
                stream.write(f"{line}\n")
                stream.flush()
            except (OSError, ValueError):
                return

    def close(self) -> None:
        """Close the file."""
        if self._own is not None:
            self._own.close()


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
