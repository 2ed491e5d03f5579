"""Time and memory of the index: a folder of source files, read by the real worker process.

    python -m tests.bench.index FOLDER [--files 5000] [--queries 500] [--json]

Takes the first files of FOLDER in the order of their paths. Queries are made of lines, names and
imports of those files, drawn with seed 0; they are asked while the index fills and again when it
is ready. Memory is resident memory; that of the index is what this process gained. The worker runs
at the lowest priority, so other work on the machine makes it wait: compare its processor time.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import Refusal, is_source, read_source
from codegen_lsp.context.index import Index
from codegen_lsp.context.reading import Reader
from codegen_lsp.context.words import names, word_ids

MIB = 2**20
WINDOW = 20
"""Lines of a query for similar files."""


@dataclass
class Filling:
    """An index that a reader fills, and what that took."""

    count: int
    index: Index = field(default_factory=Index)
    done: threading.Event = field(default_factory=threading.Event)
    results: int = 0
    megabytes: float = 0.0
    worker_seconds: float = 0.0
    worker_peak: float = 0.0
    own_peak: float = 0.0

    def take(self, root: Path, path: str, outcome: FileFacts | Refusal) -> None:
        if isinstance(outcome, FileFacts):
            self.index.add(outcome)
            self.megabytes += outcome.size / 1e6
        self.results += 1
        if self.results == self.count:
            self.done.set()

    def sample(self, pid: int | None) -> None:
        self.own_peak = max(self.own_peak, resident())
        if pid is None:
            return
        try:
            process = psutil.Process(pid)
            self.worker_peak = max(self.worker_peak, process.memory_info().rss / MIB)
            times = process.cpu_times()
            self.worker_seconds = times.user + times.system
        except psutil.NoSuchProcess:
            return


@dataclass(frozen=True)
class Query:
    """One cursor: what stands before it, and in which file."""

    path: str
    text: str


def resident() -> float:
    """Resident memory of this process, MiB."""
    return float(psutil.Process().memory_info().rss) / MIB


def draw(root: Path, paths: Sequence[str], count: int) -> list[Query]:
    """Places in files, the same in every run."""
    chance = random.Random(0)
    found: list[Query] = []
    while len(found) < count:
        path = chance.choice(paths)
        text = read_source(root / path)
        lines = [] if isinstance(text, Refusal) else text.split("\n")
        if len(lines) > WINDOW:
            start = chance.randrange(len(lines) - WINDOW)
            found.append(Query(path, "\n".join(lines[start : start + WINDOW])))
    return found


def timed(jobs: Sequence[Callable[[], object]]) -> dict[str, float]:
    """Median and 95th percentile of some calls, milliseconds."""
    taken = []
    for job in jobs:
        begin = time.perf_counter()
        job()
        taken.append((time.perf_counter() - begin) * 1000)
    taken.sort()
    if not taken:
        return {"median_ms": 0.0, "p95_ms": 0.0, "calls": 0}
    high = taken[min(len(taken) - 1, int(len(taken) * 0.95))]
    return {
        "median_ms": round(statistics.median(taken), 3),
        "p95_ms": round(high, 3),
        "calls": len(taken),
    }


def ask(index: Index, queries: Sequence[Query]) -> dict[str, dict[str, float]]:
    """Every kind of question about every query."""
    ids = [word_ids(query.text) for query in queries]
    known = [(query, name) for query in queries for name in dict.fromkeys(names(query.text))]
    modules = [(query, module) for query in queries for module in index.imports(query.path)]
    return {
        "words": timed([lambda q=query: word_ids(q.text) for query in queries]),  # type: ignore[misc]
        "similar": timed(
            [
                lambda q=query, w=words: index.similar(  # type: ignore[misc]
                    w, limit=10, exclude=(q.path,), language_id="python"
                )
                for query, words in zip(queries, ids, strict=True)
            ]
        ),
        "defining": timed([lambda n=name: index.defining(n) for _, name in known]),  # type: ignore[misc]
        "resolve": timed(
            [
                lambda q=query, m=module: index.resolve(m, q.path, "python")  # type: ignore[misc]
                for query, module in modules
            ]
        ),
    }


def fill(root: Path, paths: Sequence[str], queries: Sequence[Query]) -> dict[str, object]:
    """Read everything, asking all the while."""
    filling = Filling(len(paths))
    reader = Reader(filling.take)
    waits: list[float] = []
    before = resident()
    begin = time.perf_counter()
    try:
        reader.submit(root, paths)
        turn = 0
        while not filling.done.wait(0.05):
            query = queries[turn % len(queries)]
            words, turn = word_ids(query.text), turn + 1
            asked = time.perf_counter()
            filling.index.similar(words, limit=10, exclude=(query.path,))
            waits.append((time.perf_counter() - asked) * 1000)
            filling.sample(reader.worker_pid)
        seconds = time.perf_counter() - begin
    finally:
        reader.close()
    waits.sort()
    return {
        "files": len(filling.index),
        "refused": len(paths) - len(filling.index),
        "megabytes": round(filling.megabytes, 1),
        "ready_s": round(seconds, 1),
        "worker_cpu_s": round(filling.worker_seconds, 1),
        "worker_peak_mib": round(filling.worker_peak, 1),
        "index_mib": round(resident() - before, 1),
        "own_peak_mib": round(filling.own_peak, 1),
        "while_filling": {
            "median_ms": round(statistics.median(waits), 3) if waits else 0.0,
            "p95_ms": round(waits[int(len(waits) * 0.95)], 3) if waits else 0.0,
            "most_ms": round(waits[-1], 3) if waits else 0.0,
        },
        "queries": ask(filling.index, queries),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="end in one line of JSON")
    options = parser.parse_args()
    root: Path = options.folder.resolve()
    every = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    paths = [path for path in every if is_source(path)][: options.files]
    if not paths:
        raise SystemExit(f"{root} has no Python files; name a folder that has")
    result = fill(root, paths, draw(root, paths, options.queries))
    for name, value in result.items():
        print(f"{name:>16}  {value}")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
