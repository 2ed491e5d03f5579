"""What a replay says: structs that are one JSON file, and reading and writing that file.

Lines and columns count from 0, columns in code points. Knows no server and no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from codegen_lsp.errors import DocumentError
from codegen_lsp.evaluation.replay.files import write_whole

__all__ = [
    "FORMAT",
    "Answer",
    "Ask",
    "Corpus",
    "Kind",
    "Measures",
    "Point",
    "RepositoryInfo",
    "Run",
    "Scores",
    "Summary",
    "TypedLine",
    "read_run",
    "write_run",
]

FORMAT = 1
"""Grows when a reader of older files would misread a newer one."""

Corpus = Literal["fresh", "stdlib", "own"]

Kind = Literal["line", "token", "identifier", "block"]
"""Start of a line, a token's boundary, inside an identifier, a function's body."""

Measures = dict[str, float | None]
"""Metric to value; ``None`` where nothing counts for it. ``summary.METRICS`` explains them."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a file, and what a person wrote there."""

    repository: str
    path: str
    """Relative to the repository, with slashes."""

    line: int
    column: int
    kind: Kind
    truth: str
    """The hidden text: what was between the cursor and the end of its line or, of a block, the
    end of the body's last line."""


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer is worth; :mod:`.scoring` has the definitions."""

    exact: bool = False
    first_line: bool = False
    accepted: bool = False
    similarity: float = 0.0
    identifier_f1: float | None = None
    prefix: int = 0
    parses: bool | None = None
    duplicates: bool = False
    loops: bool = False
    lines: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an editor would have shown at one point."""

    point: Point
    text: str | None
    """What was to be inserted at the cursor; ``None``: nothing was shown."""

    replaced: str
    """What stood right of the cursor and was to be replaced."""

    ms: float
    """From the request to its answer."""

    scores: Scores
    data: dict[str, object] | None = None
    """What else the server said of it, if it did: source, log-probabilities, timings."""

    before: str = ""
    """Two lines above the cursor's, and the cursor's up to it; for people who read examples."""

    after: str = ""
    """What stood right of the cursor, and the next line."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """One request while a line was typed."""

    seen: str
    """``typed``: the suggestion that was shown already goes on; ``new``: another one; ``none``:
    an empty answer; ``late``: the next key came first."""

    ms: float
    """Until the answer, or until the next key."""

    source: str = ""
    """Where the server says that it had the suggestion from; ``""`` if it does not say so."""


class TypedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line that was typed, and what suggestions did for it."""

    repository: str
    path: str
    line: int
    column: int
    """Where the typing began: behind the indentation."""

    truth: str
    keys: int
    """Characters that had to be typed."""

    accepts: int
    """Suggestions taken; each costs one key."""

    shown: int
    """Different suggestions seen."""

    wrong: int
    """Those among them that were no correct prefix of the rest of the line."""

    asks: list[Ask]


class RepositoryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Whose code was hidden."""

    name: str
    corpus: Corpus
    version: str
    sha256: str
    """Of the archive; where there is none, of all files the server could see."""

    files: int
    """Files the server could see."""

    duplicates: int
    """Files left out because they nearly repeat another one."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Means over all points, over their kinds and over repositories."""

    all: Measures
    corpora: dict[str, Measures]
    kinds: dict[str, Measures]
    repositories: dict[str, Measures]
    latency: dict[str, dict[str, float]]
    """What was asked (``point``, the words of :class:`Ask`; ``point`` or ``source`` and a source
    that the server named, at points and while typing) to ``p50``, ``p95``, ``count``."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One replay."""

    format: int = FORMAT
    version: str
    """Of codegen-lsp."""

    seed: int
    settings: dict[str, object]
    """Every setting of the server, by its name on the wire."""

    machine: dict[str, object]
    seconds: float
    """How long it took."""

    repositories: list[RepositoryInfo]
    points: list[Answer]
    typing: list[TypedLine]
    summary: Summary


def write_run(run: Run, path: Path) -> None:
    """Write *run* as JSON, all of it or nothing.

    :raises DocumentError: the file cannot be written.
    """
    write_whole(path, msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def read_run(path: Path) -> Run:
    """The run in a file that :func:`write_run` wrote.

    :raises DocumentError: it is not there, or not such a file.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        mend = "name a file that eval replay --out wrote"
        raise DocumentError(f"cannot read {path} ({error.strerror})", mend=mend) from error
    try:
        head: Mapping[str, object] = msgspec.json.decode(raw, type=dict[str, object])
        if head.get("format") != FORMAT:
            raise DocumentError(f"{path} is no replay of format {FORMAT}", mend="run it again")
        return msgspec.json.decode(raw, type=Run)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"{path} is no replay ({error})", mend="run it again") from error
