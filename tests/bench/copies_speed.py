"""What it costs a request to look for copies, in a large document of a large repository.

    python -m tests.bench.copies_speed FOLDER [--files 5000] [--lines 10000] [--open 20]
        [--places 60] [--keys 30] [--json]

Puts some of the source files below FOLDER together to a document of so many lines, indexes the
others, opens some of them, and types at random places of the document. *first key* is the first in
a new place: files that are like the lines around it are chosen and read. *further keys* are those
behind it. Milliseconds of processor time of the thread that looks, so that other work on the
machine does not count.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from codegen_lsp.completion.copying import Copier
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.copies_texts import CopyTexts
from codegen_lsp.context.facts import facts_of
from codegen_lsp.context.index import Index
from codegen_lsp.types import CompletionQuery, Snapshot
from tests.bench.context import Folder, Row, row, texts_of

URI = "file:///typed/large.py"


def document(texts: dict[str, str], lines: int) -> list[str]:
    """Code of so many lines: files, one after another, which are taken out of *texts*."""
    found: list[str] = []
    for path in random.Random(0).sample(sorted(texts), len(texts)):
        if path.endswith(".py") and len(found) < lines:
            found += texts.pop(path).split("\n")
    return found[:lines]


def measure(
    copier: Copier, buffers: Buffers, lines: Sequence[str], places: int, keys: int
) -> list[Row]:
    """Type at random places."""
    chance = random.Random(0)
    fit = [at for at, line in enumerate(lines) if len(line.strip()) > keys // 2]
    first: list[float] = []
    further: list[float] = []
    shown = 0
    for at in chance.choices(fit, k=places):
        line = lines[at]
        before, after = "\n".join([*lines[:at], ""]), "\n".join(["", *lines[at + 1 :]])
        begin = len(line) - len(line.lstrip())
        for count in range(begin, min(len(line), begin + keys)):
            snapshot = Snapshot(URI, "python", before + line[:count] + after)
            query = CompletionQuery(snapshot, len(before) + count)
            buffers.take(exclude=URI)
            started = time.thread_time()
            shown += copier.find(query, Settings()) is not None
            (first if count == begin else further).append(time.thread_time() - started)
    print(f"{shown} of {len(first) + len(further)} had a copy", file=sys.stderr)
    return [
        row("first key", first),
        row("further keys", further),
        row("all", first + further),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.copies_speed", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=20, dest="opened")
    parser.add_argument("--places", type=int, default=60)
    parser.add_argument("--keys", type=int, default=30)
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    root = given.folder.resolve()
    index = Index()
    found = {path: (stamp, text) for path, stamp, text in texts_of(root, given.files)}
    texts = {path: text for path, (_, text) in found.items()}
    lines = document(texts, given.lines)
    for path, text in texts.items():
        index.add(facts_of(path, found[path][0], text))
    if not any(line.strip() for line in lines):
        print("the folder has no code in Python", file=sys.stderr)
        return 1
    buffers = Buffers()
    code = sorted(path for path in texts if path.endswith(".py"))
    for path in code[:: max(1, len(code) // given.opened)][: given.opened]:
        uri = (root / path).as_uri()
        buffers.opened(uri, "python", partial(texts.__getitem__, path))
    copier = Copier(CopyTexts(buffers, Folder(root, index)))
    rows = measure(copier, buffers, lines, given.places, given.keys)
    print("| requests | count | median ms | p95 ms |\n|---|---|---|---|")
    for one in rows:
        print(f"| {one.requests} | {one.count} | {one.median_ms} | {one.p95_ms} |")
    if given.as_json:
        told = {"files": len(index), "lines": len(lines), "rows": [asdict(one) for one in rows]}
        print(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
