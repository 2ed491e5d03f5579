"""What of git's own files tells what is ignored: where a repository is, and three settings.

Knows the ``.git`` folder and the ``.git`` file of worktrees and submodules, ``info/exclude``,
``core.excludesFile`` and ``core.ignoreCase``, each read from the files in which people keep them.
Runs no git and follows no ``include``; the system's configuration is not read.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from typing import Final

__all__ = ["exclude_file", "global_ignore_file", "ignores_case", "is_top", "read_small", "top_of"]

MAX_BYTES: Final = 1024 * 1024
"""Nobody writes a larger ignore file; what is larger counts as empty."""

_SECTION: Final = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_SETTING: Final = re.compile(r"\s*([A-Za-z][\w-]*)\s*(?:=\s*(.*?)\s*)?$")
_COMMENT: Final = re.compile(r"\s+[#;].*$")
_NEVER_BLOCK: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)


def read_small(path: str, *, follow: bool = False) -> bytes:
    """What the file holds; ``b""`` if it is none, a link (unless *follow*), or too large."""
    try:
        handle = os.open(path, os.O_RDONLY | _NEVER_BLOCK | (0 if follow else _NO_LINK))
    except (OSError, ValueError):
        return b""
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_BYTES:
            return b""
        with os.fdopen(os.dup(handle), "rb") as file:
            return file.read(MAX_BYTES)
    except OSError:
        return b""
    finally:
        os.close(handle)


def top_of(folder: Path) -> Path | None:
    """The nearest folder from *folder* upwards that has a ``.git``; ``None`` outside any."""
    return next((place for place in (folder, *folder.parents) if is_top(str(place))), None)


def is_top(folder: str) -> bool:
    """Whether a repository begins here."""
    try:
        return os.path.lexists(f"{folder}/.git")
    except ValueError:  # a NUL in the name
        return False


def exclude_file(top: str) -> str:
    """The repository's ``info/exclude``, whether or not it is there."""
    return str(_common_folder(Path(top)) / "info" / "exclude")


def _common_folder(top: Path) -> Path:
    """The folder that a repository's worktrees share."""
    git = top / ".git"
    pointer = read_small(str(git)).decode("utf-8", "surrogateescape")
    if not pointer.startswith("gitdir:"):
        return git
    own = top / pointer.removeprefix("gitdir:").strip()
    common = read_small(str(own / "commondir")).decode("utf-8", "surrogateescape").strip()
    return own / common


def ignores_case(top: str | None) -> bool:
    """Whether ``A`` and ``a`` are one file to git in this repository."""
    usual = sys.platform in ("win32", "darwin")
    if top is None:
        return usual
    value = _core([str(_common_folder(Path(top)) / "config")]).get("ignorecase")
    if value is None:
        return usual
    return value.lower() in ("true", "yes", "on", "1")


def global_ignore_file(top: str | None) -> str:
    """The user's own ignore file, whether or not it is there."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    chosen = os.environ.get("GIT_CONFIG_GLOBAL")
    files = [f"{config}/git/config", f"{home}/.gitconfig"] if chosen is None else [chosen]
    if top is not None:
        files.append(str(_common_folder(Path(top)) / "config"))
    path = _core(files).get("excludesfile")
    if path is None:
        return f"{config}/git/ignore"
    path = os.path.expanduser(path)  # noqa: PTH111 - an unknown ~user stays what it is
    return str(Path(top or home) / path)


def _core(files: list[str]) -> dict[str, str]:
    """The settings of the section ``core``, names in lower case; the last file wins."""
    found: dict[str, str] = {}
    for file in files:
        inside = False
        text = read_small(file, follow=True).decode("utf-8", "replace")
        for line in text.splitlines():
            section = _SECTION.match(line)
            if line.lstrip().startswith("["):
                inside = section is not None and section[1].lower() == "core"
                line = line[section.end() :] if section else ""
            setting = _SETTING.match(_COMMENT.sub("", line))
            if inside and setting:
                found[setting[1].lower()] = _unquoted(setting[2])
    return found


def _unquoted(value: str | None) -> str:
    if value is None:
        return "true"  # a name alone means yes
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return re.sub(r"\\(.)", r"\1", value)
