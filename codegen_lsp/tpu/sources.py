"""The packages the bundled model learns from and is measured on, pinned.

Knows: name, version, licence, role and archive hash of every package (the table is
``sources.tsv`` beside this file), which licences are allowed, and that CPython's own library
belongs to the training side.
Does not know: how an archive is fetched or read (:mod:`.corpus` does).

Every licence was read from the package's own metadata. Where a package offers a choice, the
table names the permissive side. Held-out packages are never trained on, as wholes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Final, Literal, get_args

from codegen_lsp.errors import CorpusError

Role = Literal["train", "heldout"]

ALLOWED_LICENCES: Final = frozenset(
    {"MIT", "MIT-0", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"}
    | {"Python-2.0", "ISC", "0BSD", "Zlib", "CC0-1.0", "LLVM-exception"}
)
"""SPDX identifiers of the licences whose code may be learned from."""

STDLIB: Final = "cpython-lib"
"""Name under which the running interpreter's own library appears in reports."""

STDLIB_LICENCE: Final = "PSF-2.0"

TABLE: Final = "sources.tsv"

_OPERATORS = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()]")


@dataclass(frozen=True, slots=True)
class Source:
    """One pinned package."""

    name: str
    """Normalized project name on the Python package index."""
    version: str
    """Exact version."""
    licence: str
    """SPDX expression; every identifier in it is one of :data:`ALLOWED_LICENCES`."""
    role: Role
    """Whether the model learns from it or is measured on it."""
    sha256: str
    """Hash of the wheel for CPython 3.11 on Linux x86-64 (or of the pure Python wheel)."""

    @property
    def requirement(self) -> str:
        """The pin as pip's hash-checking mode reads it."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def load_sources() -> tuple[Source, ...]:
    """The table, in its order.

    :raises CorpusError: when a row is malformed, repeats a name or has a licence not allowed.
    """
    text = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    return parse_sources(text)


def parse_sources(text: str) -> tuple[Source, ...]:
    """Read a tab-separated table with a header line; see :func:`load_sources`."""
    sources: dict[str, Source] = {}
    for number, line in enumerate(text.splitlines()[1:], start=2):
        source = _parse_row(line, number)
        if source.name in sources:
            raise CorpusError(f"{TABLE}:{number} names {source.name} twice", mend="keep one row")
        sources[source.name] = source
    return tuple(sources.values())


def _parse_row(line: str, number: int) -> Source:
    """One row of the table as a :class:`Source`."""
    cells = line.split("\t")
    if len(cells) != 5:
        raise CorpusError(f"{TABLE}:{number} has {len(cells)} columns", mend="write five")
    name, version, licence, role, sha256 = cells
    if not licence_allowed(licence):
        raise CorpusError(f"{TABLE}:{number}: licence {licence} of {name}", mend="drop the row")
    for known in get_args(Role):
        if role == known:
            return Source(name, version, licence, known, sha256)
    raise CorpusError(f"{TABLE}:{number}: unknown role {role}", mend="write train or heldout")


def licence_allowed(expression: str) -> bool:
    """Whether every identifier of an SPDX expression is allowed."""
    names = [name for name in _OPERATORS.split(expression) if name]
    return bool(names) and all(name in ALLOWED_LICENCES for name in names)
