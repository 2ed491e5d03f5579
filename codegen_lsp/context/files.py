"""Source files of a folder: which there are, and what stands in them.

Knows which files are worth being context, by name (a table of languages), by size and by what is
in them, and how to read one however it is stored. Whatever a file system can do (files that
vanish, grow, are links, pipes or 100 MB; folders that may not be read; names that are no text) ends
in a file left out. Files that tools generated are read like others as long as people could have
written them: stubs and messages are what the code around the cursor calls. Does not know what is
ignored (:mod:`.ignoring`), nor what a file says.
"""

from __future__ import annotations

import codecs
import enum
import errno
import heapq
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from codegen_lsp.context.ignoring import Ignore
from codegen_lsp.context.privacy import is_secret_file
from codegen_lsp.syntax.languages import language_of

__all__ = [
    "LANGUAGES",
    "MAX_BYTES",
    "MAX_FILES",
    "Refusal",
    "Stamp",
    "is_source",
    "newest",
    "read_source",
    "stamp_of",
    "walk",
    "wanted",
]

log = logging.getLogger(__name__)

LANGUAGES: Final = frozenset(
    {
        "c",
        "cpp",
        "csharp",
        "dart",
        "go",
        "haskell",
        "java",
        "javascript",
        "javascriptreact",
        "kotlin",
        "lua",
        "php",
        "python",
        "r",
        "ruby",
        "rust",
        "scala",
        "shellscript",
        "sql",
        "swift",
        "typescript",
        "typescriptreact",
    }
)
"""Languages that programs are written in. Not prose, not markup and style sheets, not data and
settings (JSON, YAML, TOML, XML): a project has masses of them, seldom anything in one that another
repeats, and they are where secrets are kept."""

MAX_BYTES: Final = 512 * 1024
"""The largest file that is read. Hand-written ones stay far below: in CPython's library
one is larger, and that one is a generated table."""

MAX_FILES: Final = 20_000
"""How many files of one folder are worth knowing (:func:`newest`)."""

MAX_ENTRIES: Final = 1_000_000
"""How many files and folders are looked at before a walk gives up: no project, but a disk."""

LONG_LINE: Final = 400
"""Nobody writes lines this long. A text of which they are more than half was not written."""

LONGEST_LINE: Final = 20_000
"""A line that holds data; no snippet could have it, and no parser wants it."""

_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_COOKIE: Final = re.compile(
    rb"\A(?:[ \t\f]*(?:#[^\r\n]*)?(?:\r\n?|\n))?[ \t\f]*#[^\r\n]*?coding[:=][ \t]*([-\w.]+)"
)
_NO_SOURCE: Final = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"}
)
"""Encodings in which no source is, some of them slow to read."""

_CONTROLS: Final = bytes({*range(32), 127} - set(b"\t\n\v\f\r\x1b"))
_WESTERN: Final = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(128, 256)
}
_OPEN: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer must not keep us waiting
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
)


_WINDOWS: Final = os.name == "nt"


class Stamp(NamedTuple):
    """What tells that a file changed without reading it."""

    size: int
    """In bytes."""

    mtime_ns: int
    """When it was last modified, in nanoseconds since 1970."""


class Refusal(enum.Enum):
    """Why a file is not read."""

    GONE = "gone"
    UNREADABLE = "unreadable"
    """Not permitted, not a regular file, or the disk failed."""

    TOO_LARGE = "too large"
    BINARY = "binary"
    MINIFIED = "minified"
    ENCODING = "encoding"
    """In no encoding that we can tell."""

    FAILED = "failed"
    """Whoever read it failed, or died of it: that is our mistake."""

    LINK = "link"
    SECRET = "secret"  # noqa: S105 - a word


def is_source(path: str) -> bool:
    """Whether the file at *path* is, by its name, in one of :data:`LANGUAGES`."""
    return language_of(path) in LANGUAGES


def wanted(relative: str, ignore: Ignore) -> bool:
    """Whether :func:`walk` would give the file *relative* if it were there and small enough."""
    return _is_candidate(relative) and not ignore.ignored(relative, folder=False)


def _is_candidate(relative: str) -> bool:
    # A name that is no text, or that has a line break, can stand in no prompt and no message.
    return is_source(relative) and relative.isprintable() and not is_secret_file(relative)


def walk(
    root: Path, ignore: Ignore, below: str = "", tick: Callable[[], None] = lambda: None
) -> Iterator[tuple[str, Stamp]]:
    """Every source file in *root* that is not ignored, secret or too large.

    *below* is the folder to begin with, relative to *root*, if not all of it is asked for. Gives
    paths relative to *root* with slashes, and stamps. Files of a folder come before those of
    its folders, both sorted by name. Links are never followed, so no cycle is ever entered. What
    cannot be read is left out. Lazy: a file may be gone when its path arrives. *tick* is called
    for every entry, and may end the walk by raising something.
    """
    folders = [] if below and ignore.ignored(below, folder=True) else [below]
    looked = 0
    while folders:
        relative = folders.pop()
        entries = _entries(root, relative)
        looked += len(entries)
        if looked > MAX_ENTRIES:
            log.warning(
                "%s holds more than %d files and folders: the rest of it is not looked at",
                root,
                MAX_ENTRIES,
            )
            return
        inner = []
        for entry in entries:
            tick()
            path = f"{relative}/{entry.name}" if relative else entry.name
            if _is_folder(entry):
                inner.append(path)
            elif _is_candidate(path) and not ignore.ignored(path, folder=False):
                stamp = _stamp(entry)
                if stamp:
                    yield path, stamp
        folders.extend(path for path in reversed(inner) if not ignore.ignored(path, folder=True))


def _entries(root: Path, relative: str) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted; nothing if it cannot be told."""
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(f"{root}/{relative}" if relative else root) as entries:
            for entry in entries:
                found.append(entry)
                if len(found) > MAX_ENTRIES:
                    break
    except (OSError, ValueError) as error:
        log.debug("%s: %s", relative or root, error)
    return sorted(found, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder and no link (nor a junction, the links of Windows)."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            return False
        tag = getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) if _WINDOWS else 0
    except OSError:
        return False
    return tag != getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        return _judged(entry.stat(follow_symlinks=False))
    except OSError:
        return None


def _judged(state: os.stat_result) -> Stamp | None:
    """The stamp of a regular file of a size that is read."""
    if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_BYTES:
        return None
    return Stamp(state.st_size, state.st_mtime_ns)


def stamp_of(path: Path) -> Stamp | None:
    """The stamp that :func:`walk` gives for this file; ``None`` if it would leave it out."""
    try:
        return _judged(path.lstat())
    except (OSError, ValueError):
        return None


def newest(found: Iterable[tuple[str, Stamp]], limit: int = MAX_FILES) -> list[tuple[str, Stamp]]:
    """At most *limit* of the files *found*, the most recently modified first.

    In a repository of 100,000 files these are the ones its user wrote or pulled lately. Files of
    one checkout, which have about the same time, come in the order of their paths.
    """
    return heapq.nsmallest(limit, found, key=lambda item: (-item[1].mtime_ns, item[0]))


def read_source(path: Path) -> str | Refusal:
    """The text of a source file, without a byte order mark, every line end one; or why not.

    Never raises for what is on the disk, never waits for a pipe, never reads more than
    :data:`MAX_BYTES`. UTF-8, UTF-16 and UTF-32 (with their marks) and what a Python file declares
    are read as such. Where up to one byte in twenty is not UTF-8, those bytes are taken for Western
    ones (Windows-1252), so that an old file, or one line pasted from one, can be read.
    """
    if is_secret_file(str(path)):
        return Refusal.SECRET
    data = _read(path)
    if isinstance(data, Refusal):
        return data
    text = _decoded(data, python=path.suffix.lower() in (".py", ".pyi", ".pyw"))
    if isinstance(text, Refusal):
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Refusal.MINIFIED if _is_minified(text) else text


def _read(path: Path) -> bytes | Refusal:
    """All bytes of a regular file."""
    try:
        if path.is_symlink():
            return Refusal.LINK
        handle = os.open(path, _OPEN)
    except (FileNotFoundError, NotADirectoryError):
        return Refusal.GONE
    except OSError as error:
        return Refusal.LINK if error.errno == errno.ELOOP else Refusal.UNREADABLE
    except ValueError:  # a NUL in the name
        return Refusal.UNREADABLE
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            return Refusal.UNREADABLE
        return Refusal.TOO_LARGE if state.st_size > MAX_BYTES else _all_of(handle)
    except OSError:
        return Refusal.UNREADABLE
    finally:
        os.close(handle)


def _all_of(handle: int) -> bytes | Refusal:
    """What can be read, which may be more than it was a moment ago."""
    data = b""
    while len(data) <= MAX_BYTES:
        more = os.read(handle, MAX_BYTES + 1 - len(data))
        if not more:
            return data
        data += more
    return Refusal.TOO_LARGE


def _decoded(data: bytes, *, python: bool) -> str | Refusal:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding)
    if _is_binary(data):
        return Refusal.BINARY
    cookie = _COOKIE.match(data) if python else None
    declared = _declared(data, cookie[1].decode("ascii")) if cookie else None
    return _mostly_utf8(data) if declared is None else declared


def _marked(data: bytes, encoding: str) -> str | Refusal:
    """What follows a byte order mark."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return Refusal.ENCODING
    return Refusal.BINARY if _is_binary(text.encode("utf-8")) else text


def _is_binary(data: bytes) -> bool:
    """Whether there is a NUL, or more control characters than a text has by accident."""
    controls = len(data) - len(data.translate(None, _CONTROLS))
    return b"\0" in data or controls > 8 + len(data) // 500


def _declared(data: bytes, encoding: str) -> str | None:
    """*data* in the encoding that a Python file says it is in, if it is."""
    try:
        if codecs.lookup(encoding).name in _NO_SOURCE:
            return None
        text = data.decode(encoding)
        text.encode("utf-8")  # half a character can stand in no message
    except (LookupError, ValueError):
        return None
    return text if encoding in text else None  # it could be read before it was known


def _mostly_utf8(data: bytes) -> str | Refusal:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "surrogateescape")
    strange = len(data) - len(text.encode("utf-8", "ignore"))
    return Refusal.ENCODING if strange * 20 > len(data) else text.translate(_WESTERN)


def _is_minified(text: str) -> bool:
    """Whether a tool wrote this for machines."""
    lengths = [len(line) for line in text.split("\n")]
    if max(lengths) > LONGEST_LINE:
        return True
    return 2 * sum(length for length in lengths if length > LONG_LINE) > len(text)
