"""What it costs a request to collect code of other documents, in a large repository.

    python -m tests.bench.context FOLDER [--files 5000] [--places 100] [--keys 40]
        [--sources NAMES] [--json]

Indexes the source files below FOLDER (the first so many, in the order of their paths), opens ten of
them as an editor would, and asks at random places. *fresh, first visit* reads files and their words
from the disk, *fresh* chooses again at the same places, *frozen* are the keystrokes that follow one
after another in one place, and *typing* is the first visit of each place with its keystrokes: what
a person meets. Milliseconds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from codegen_lsp.completion.sources import PAYING
from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.facts import facts_of
from codegen_lsp.context.files import Stamp, is_source, read_source, walk
from codegen_lsp.context.ignoring import Ignore
from codegen_lsp.context.index import Index
from codegen_lsp.context.neighbourhood import Neighbourhood
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.types import CompletionQuery, Snapshot

SOURCES = ",".join(name for name in PAYING["codegen-6M-mono"] if name != "header")
"""Those of the bundled model."""

LIMIT = 2400
"""Characters of snippets: a quarter of a prompt of 2,048 tokens."""

OPEN = 10


class Folder:
    """One folder and its index, complete."""

    ready = True

    def __init__(self, root: Path, index: Index) -> None:
        self.root = root
        self.index = index

    def indexes(self) -> tuple[tuple[Path, Index], ...]:
        """The only one."""
        return ((self.root, self.index),)

    def root_of(self, path: Path) -> tuple[Path, str] | None:
        """Where in the folder."""
        inside = path.is_relative_to(self.root)
        return (self.root, path.relative_to(self.root).as_posix()) if inside else None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    requests: str
    count: int
    median_ms: float
    p95_ms: float


def row(requests: str, times: Sequence[float]) -> Row:
    """The figures of some requests, given in seconds."""
    ranked = sorted(times)
    p95 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))]
    return Row(requests, len(ranked), round(median(ranked) * 1000, 2), round(p95 * 1000, 2))


def texts_of(root: Path, most: int) -> Iterator[tuple[str, Stamp, str]]:
    """Source files and what they hold."""
    found = sorted((path, stamp) for path, stamp in walk(root, Ignore(root)) if is_source(path))
    for path, stamp in found[:most]:
        text = read_source(root / path)
        if isinstance(text, str):
            yield path, stamp, text


def places(texts: Mapping[str, str], count: int, keys: int) -> Iterator[tuple[str, int]]:
    """Random places of files that are long enough to type in; always the same."""
    chance = random.Random(0)
    long = sorted(path for path, text in texts.items() if len(text) > 2000)
    for _ in range(count):
        path = chance.choice(long)
        yield path, chance.randrange(500, len(texts[path]) - keys)


def measure(
    root: Path,
    texts: Mapping[str, str],
    index: Index,
    sources: Sequence[str],
    count: int,
    keys: int,
) -> list[Row]:
    """Ask at *count* places, with *keys* keystrokes at each."""
    buffers = Buffers()
    for path in sorted(texts)[:: max(1, len(texts) // OPEN)]:
        uri = (root / path).as_uri()
        buffers.opened(uri, language_of(path), partial(texts.__getitem__, path))
    neighbourhood = Neighbourhood(buffers, Folder(root, index))

    def ask(path: str, offset: int) -> float:
        snapshot = Snapshot((root / path).as_uri(), language_of(path), texts[path])
        query = CompletionQuery(snapshot, offset)
        started = time.perf_counter()
        neighbourhood.prepare(query)
        neighbourhood.snippets(query, sources, LIMIT)
        return time.perf_counter() - started

    ask(*next(places(texts, 1, keys)))  # imports modules and opens grammars
    cold: list[float] = []
    warm: list[float] = []
    frozen: list[float] = []
    for path, offset in places(texts, count, keys):
        uri = (root / path).as_uri()
        neighbourhood.forget(uri)
        cold.append(ask(path, offset))
        frozen += [ask(path, offset + key) for key in range(1, keys)]
        neighbourhood.forget(uri)
        warm.append(ask(path, offset))
    return [
        row("fresh, first visit", cold),
        row("fresh", warm),
        row("frozen", frozen),
        row("typing", cold + frozen),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.context", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--keys", type=int, default=40)
    parser.add_argument("--sources", default=SOURCES, help="with commas")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    root = given.folder.resolve()
    index = Index()
    texts: dict[str, str] = {}
    started = time.monotonic()
    for path, stamp, text in texts_of(root, given.files):
        texts[path] = text
        index.add(facts_of(path, stamp, text))
    print(f"{len(index)} files in {time.monotonic() - started:.1f} s", file=sys.stderr)
    if not any(len(text) > 2000 for text in texts.values()):
        print("no source file is long enough to type in", file=sys.stderr)
        return 1
    sources = given.sources.split(",")
    rows = measure(root, texts, index, sources, given.places, given.keys)
    print("| requests | count | median ms | p95 ms |\n|---|---|---|---|")
    for one in rows:
        print(f"| {one.requests} | {one.count} | {one.median_ms} | {one.p95_ms} |")
    if given.as_json:
        print(json.dumps({"files": len(index), "rows": [asdict(one) for one in rows]}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
