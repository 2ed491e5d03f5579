"""Whose code is replayed: pinned fresh packages, CPython's library, a user's own repository.

Knows the table ``packages.tsv``, how its wheels are fetched (pip's hash-checking download into a
cache folder) and unpacked. Every package in it was first released in 2023 or later, which is when
the project's name appeared on the Python package index, and none of them is among the packages
that the bundled model learned from. Does not know which lines of a file are hidden.
"""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from codegen_lsp.errors import CorpusError, UsageError
from codegen_lsp.evaluation.replay.results import Corpus
from codegen_lsp.tpu.wheels import fetch

__all__ = [
    "STDLIB",
    "TABLE",
    "Package",
    "Repository",
    "fresh",
    "load_packages",
    "own",
    "parse_packages",
    "stdlib",
    "unpack",
]

TABLE: Final = "packages.tsv"

FIRST_YEAR: Final = "2023"

STDLIB: Final = "cpython-lib"
"""The name under which the running interpreter's library appears."""


@dataclass(frozen=True, slots=True)
class Package:
    """One row of the table."""

    name: str
    version: str
    released: str
    """Date of the first release of all."""

    sha256: str
    """Of the pure Python wheel."""

    @property
    def requirement(self) -> str:
        """The pin as pip's hash-checking mode reads it."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Repository:
    """Code of one project, not yet copied."""

    name: str
    corpus: Corpus
    source: Path
    """A wheel or a folder."""

    version: str = ""
    sha256: str = ""
    """Of the wheel; ``""`` for a folder."""


def load_packages() -> tuple[Package, ...]:
    """The table, in its order.

    :raises CorpusError: a row is malformed, repeats a name or is too old.
    """
    text = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    return parse_packages(text)


def parse_packages(text: str) -> tuple[Package, ...]:
    """Read a tab-separated table with a header line; see :func:`load_packages`."""
    found: dict[str, Package] = {}
    for number, line in enumerate(text.splitlines()[1:], start=2):
        cells = line.split("\t")
        if len(cells) != 4:
            raise CorpusError(f"{TABLE}:{number} has {len(cells)} columns", mend="write four")
        package = Package(*cells)
        if package.name in found:
            raise CorpusError(f"{TABLE}:{number} names {package.name} twice", mend="keep one row")
        if package.released < FIRST_YEAR:
            raise CorpusError(f"{TABLE}:{number}: {package.name} is too old", mend="drop the row")
        found[package.name] = package
    return tuple(found.values())


def fresh(cache: Path, limit: int | None = None) -> list[Repository]:
    """The packages of the table, or *limit* of them spread over it; fetched if *cache* lacks them.

    :raises CorpusError: pip cannot fetch a package, or it is not the pinned one.
    """
    packages = _spread(load_packages(), limit)
    try:
        wheels = fetch(packages, cache)
    except OSError as error:
        raise CorpusError(
            f"packages cannot be kept in {cache} ({error.strerror})", mend="name another --cache"
        ) from error
    return [
        Repository(one.name, "fresh", wheels[one.name], one.version, one.sha256) for one in packages
    ]


def _spread(packages: Sequence[Package], limit: int | None) -> Sequence[Package]:
    if limit is None or limit >= len(packages):
        return packages
    return [packages[index * len(packages) // limit] for index in range(limit)]


def stdlib() -> Repository:
    """CPython's library, of the interpreter that runs this.

    :raises CorpusError: it is not there as source.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    if not (folder / "os.py").is_file():
        raise CorpusError(
            "the standard library is not there as source", mend="install Python with its Lib folder"
        )
    return Repository(STDLIB, "stdlib", folder, ".".join(map(str, sys.version_info[:3])))


def own(path: Path, taken: Collection[str] = ()) -> Repository:
    """A folder of the user's, under its name, or under its path if that name is *taken*.

    :raises UsageError: it is no folder, or all that it could be called is taken.
    """
    folder = path.resolve()
    if not folder.is_dir():
        raise UsageError(f"{path} is no folder", mend="name the folder of a repository")
    for name in (folder.name, folder.as_posix()):
        # The name of a folder may hold what is no character, and a run is a file of characters.
        readable = name.encode("utf-8", "replace").decode()
        if readable and readable not in taken:
            return Repository(readable, "own", folder)
    raise UsageError(f"{path} is called as another repository is", mend="rename the folder")


def unpack(repository: Repository, scratch: Path) -> Path:
    """The folder with the repository's files: itself, or a wheel's contents below *scratch*.

    :raises CorpusError: the wheel cannot be read.
    """
    if repository.source.is_dir():
        return repository.source
    folder = scratch / "wheel"
    try:
        with zipfile.ZipFile(repository.source) as wheel:
            wheel.extractall(folder)  # names that lead out of the folder are made harmless
    except (OSError, zipfile.BadZipFile) as error:
        raise CorpusError(
            f"{repository.source.name} cannot be unpacked ({error})", mend="delete it, run again"
        ) from error
    return folder
