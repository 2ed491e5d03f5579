"""Who may ask: a file of names and hashes of keys, read again when it changes.

A key is 32 random bytes behind ``cgl-``; its SHA-256 is kept, and the key nowhere. (Slow hashes
protect what people think of; nobody guesses 256 random bits.) A line of the file is a name and a
hash; ``#`` begins a comment. A file that became unreadable changes nothing until it is mended.

Knows the file. Does not know HTTP, nor how much a key may ask (``limits`` does).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from codegen_lsp.errors import SettingsError, UsageError

__all__ = ["ANYBODY", "Keys", "add_key", "remove_key"]

ANYBODY: Final = "anybody"
"""The name of whoever asks where no keys are needed."""

_PREFIX: Final = "cgl-"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

_HASH: Final = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)


class Keys:
    """The keys in a file, as it is now."""

    def __init__(self, path: Path) -> None:
        """:raises SettingsError: the file is missing, unreadable, or not of this form."""
        self._path = path
        self._seen = _stamp(path)
        self._names = _read(path)

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, key: str) -> str | None:
        """Whose *key* is; ``None`` if nobody's. Looks at the file's date."""
        self._renew()
        # What is compared is a hash of what was sent: its time tells nothing of a key.
        return self._names.get(_hashed(key))

    def _renew(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._names = _read(self._path)
        except SettingsError as error:
            logger.warning("the keys stay as they were: %s", error)
        else:
            logger.warning("read %s again: %d keys", self._path, len(self._names))


def add_key(path: Path, name: str) -> str:
    """Make a key for *name*, add its hash to the file (made where there is none), return the key.

    :raises UsageError: the name is taken, or cannot be one.
    :raises SettingsError: the file cannot be read or written.
    """
    if not _NAME.fullmatch(name) or name == ANYBODY:
        raise UsageError(
            f"{name!r} cannot be the name of a key", mend="use letters, digits and . _ @ -"
        )
    names = _read(path) if path.exists() else {}
    if name in names.values():
        raise UsageError(f"there is a key for {name} already", mend="remove it with --remove-key")
    key = _PREFIX + secrets.token_urlsafe(32)
    _write(path, {**names, _hashed(key): name})
    return key


def remove_key(path: Path, name: str) -> None:
    """Remove the key of *name*; a server that runs refuses it from then on.

    :raises UsageError: there is none.
    :raises SettingsError: the file cannot be read or written.
    """
    names = _read(path)
    if name not in names.values():
        raise UsageError(f"there is no key for {name!r} in {path}")
    _write(path, {code: other for code, other in names.items() if other != name})


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None


def _read(path: Path) -> Mapping[str, str]:
    """Names by hash."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(
            f"cannot read the keys in {path}: {reason}",
            mend="make one with codegen-lsp team --add-key NAME",
        ) from error
    names: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _HASH.fullmatch(words[1]):
            raise SettingsError(
                f"line {number} of {path} is not a name and a hash",
                mend="remove it; make keys with codegen-lsp team --add-key NAME",
            )
        names[words[1]] = words[0]
    return names


def _write(path: Path, names: Mapping[str, str]) -> None:
    """Write the file whole, for its owner alone."""
    lines = ["# keys of codegen-lsp team: a name, and the SHA-256 of its key"]
    lines += [f"{name} {code}" for code, name in names.items()]
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
        scratch.replace(path)
    except OSError as error:
        raise SettingsError(f"cannot write the keys to {path}: {error.strerror}") from error
