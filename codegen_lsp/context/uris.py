"""From a document's URI to the file it is, if it is one whose code may be shown elsewhere.

Knows schemes and how paths are written in URIs, on POSIX and on Windows. Does not touch the disk.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["SCHEMES", "name_of", "path_key", "path_of", "scheme_of", "usable"]

SCHEMES: Final[Mapping[str, bool]] = {
    "": True,
    "file": True,
    "untitled": False,
    "vscode-notebook-cell": True,
}
"""Schemes of documents whose code may be shown in another document, and whether they are files.

An older revision (``git:``), a log (``output:``), a settings page or a diff is not code that the
user is writing; what is not in this table is left alone."""


def scheme_of(uri: str) -> str:
    r"""The scheme in lower case; ``""`` for a plain path, ``C:\x`` among them."""
    scheme, colon, _ = uri.partition(":")
    plain = not colon or len(scheme) < 2 or not scheme.replace("-", "").replace("+", "").isalnum()
    return "" if plain else scheme.lower()


def usable(uri: str) -> bool:
    """Whether code of this document may be shown in another one."""
    return scheme_of(uri) in SCHEMES


def path_of(uri: str) -> str | None:
    """The absolute, normalized path of a document; ``None`` where it is not a file."""
    scheme = scheme_of(uri)
    if not SCHEMES.get(scheme, False):
        return None
    if scheme == "":
        return os.path.abspath(uri) if uri else None  # noqa: PTH100 - resolves no links
    try:
        parts = urlsplit(uri)
    except ValueError:  # it cannot be taken apart
        return None
    path = unquote(parts.path)
    if os.name == "nt":
        path = path.lstrip("/") if path[2:3] == ":" else path
        path = f"//{parts.netloc}{path}" if parts.netloc else path
    return os.path.normpath(path) if path.strip("/") else None


def path_key(path: str | PurePath) -> str:
    """What two spellings of one path have in common."""
    return os.path.normcase(os.path.normpath(path))


def name_of(uri: str) -> str:
    """The last part of a URI or path, for readers."""
    if scheme_of(uri):
        with contextlib.suppress(ValueError):
            uri = unquote(urlsplit(uri).path)
    return PurePath(uri.replace("\\", "/")).name
