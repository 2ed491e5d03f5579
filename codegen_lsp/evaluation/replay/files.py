"""Files that a replay leaves behind: each whole or not at all, and asked for before hours of work.

Knows disks. Does not know what is written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from codegen_lsp.errors import DocumentError

__all__ = ["require_writable", "write_whole"]

MEND: Final = "name a file in a folder that can be written to"


def require_writable(path: Path) -> None:
    """Find out whether a file can be written, without touching it.

    :raises DocumentError: it cannot.
    """
    if _is_special(path):
        return
    try:
        with _part(path).open("xb"):
            pass
        _part(path).unlink()
    except OSError as error:
        raise _error(path, error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Put *content* into a file in one step: who interrupts this finds the old file or the new one.

    :raises DocumentError: it cannot be written.
    """
    try:
        if _is_special(path):
            path.write_bytes(content)
            return
        part = _part(path)
        try:
            part.write_bytes(content)
            part.replace(path.resolve())
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _error(path, error) from error


def _part(path: Path) -> Path:
    """Beside the file, or beside what a link leads to."""
    whole = path.resolve()
    return whole.with_name(f".{whole.name}.{os.getpid()}.part")


def _is_special(path: Path) -> bool:
    """Whether it is a pipe or a terminal, say, which nothing can take the place of."""
    return path.exists() and not path.is_file()


def _error(path: Path, error: OSError) -> DocumentError:
    return DocumentError(f"cannot write {path} ({error.strerror})", mend=MEND)
