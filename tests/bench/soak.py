"""Thousands of changes to a folder, at random, and whether its index and the disk agree afterwards.

    python -m tests.bench.soak --events 10000 [--seed 0] [--folder FOLDER] [--json]

The watcher, the worker process and the disk are real; nothing waits between changes but for the
pauses that people and programs make. In the end, once everything is quiet, the index has to hold
exactly the files that a fresh walk finds and that can be read, with their stamps, and what it
knows of a sample of them has to be what their text says now.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from codegen_lsp.context.facts import facts_of
from codegen_lsp.context.files import Stamp, read_source, walk
from codegen_lsp.context.ignoring import Ignore
from codegen_lsp.context.index import Index
from codegen_lsp.context.workspace import Workspace
from tests.bench.storm import Storm

SAMPLE: Final = 300
"""How many files' facts are compared."""


@dataclass(frozen=True)
class Result:
    """What a soak did and what came of it."""

    seed: int
    events: int
    kinds: dict[str, int]
    storm_seconds: float
    """How long the changes took."""

    settle_seconds: float
    """How long until index and disk agreed, from the last change on."""

    files: int
    """Files in the index in the end."""

    differences: list[str]
    """What index and disk disagree about; empty if all is well."""


def differences(index: Index, root: Path) -> list[str]:
    """What *index* and the disk disagree about, at most a few lines of each kind."""
    disk: dict[str, Stamp] = {
        path: stamp
        for path, stamp in walk(root, Ignore(root))
        if isinstance(read_source(root / path), str)
    }
    held = {path: index.stamp(path) for path in index.paths()}
    rows = {
        "only on the disk": sorted(disk.keys() - held.keys()),
        "only in the index": sorted(held.keys() - disk.keys()),
        "with another stamp": sorted(p for p in disk.keys() & held.keys() if disk[p] != held[p]),
    }
    return [f"{what}: {path}" for what, paths in rows.items() for path in paths[:5]]


def wrong_facts(index: Index, root: Path, sample: int, seed: int) -> list[str]:
    """Files of which the index knows something else than their text says."""
    paths = sorted(index.paths())
    wrong = []
    for path in random.Random(seed).sample(paths, min(sample, len(paths))):
        text, stamp = read_source(root / path), index.stamp(path)
        if not isinstance(text, str) or stamp is None:
            wrong.append(f"gone: {path}")
            continue
        facts = facts_of(path, stamp, text)
        held = index.symbols(path), index.imports(path)
        if held != (facts.symbols, facts.imports):
            wrong.append(f"other facts: {path}: {held} instead of {facts}")
    return wrong


def until_equal(index: Index, root: Path, deadline: float, seed: int = 0) -> list[str]:
    """Wait until *index* and disk agree, at most *deadline* seconds; what they disagree about."""
    until = time.monotonic() + deadline
    pause = 0.1
    while True:
        found = differences(index, root) or wrong_facts(index, root, SAMPLE, seed)
        if not found or time.monotonic() > until:
            return found
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def soak(root: Path, events: int, seed: int, *, deadline: float = 120.0) -> Result:
    """Do it below *root*, an empty folder."""
    storm = Storm(root, seed)
    storm.prepare()
    workspace = Workspace()
    try:
        workspace.set_folders([root])
        began = time.monotonic()
        storm.blow(events)
        ended = time.monotonic()
        while not workspace.indexes():
            time.sleep(0.01)
        index = workspace.indexes()[0][1]
        found = until_equal(index, root, deadline, seed)
        settled = time.monotonic()
        return Result(
            seed,
            storm.events,
            dict(storm.kinds.most_common()),
            round(ended - began, 2),
            round(settled - ended, 2),
            len(index),
            found,
        )
    finally:
        workspace.close()


def main() -> int:
    """The command line; 1 if index and disk differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to do it; default: a temporary folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="soak-") as scratch:
        root = Path(scratch, "project")
        root.mkdir()
        result = soak(root, given.events, given.seed)
    if given.json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
        return 1 if result.differences else 0
    kinds = ", ".join(f"{kind} {count}" for kind, count in result.kinds.items())
    sys.stdout.write(
        f"{result.events} events in {result.storm_seconds} s ({kinds})\n"
        f"index and disk compared {result.settle_seconds} s after the last one: "
        f"{result.files} files, {len(result.differences)} differences\n"
    )
    for line in result.differences:
        sys.stdout.write(f"  {line}\n")
    return 1 if result.differences else 0


if __name__ == "__main__":
    sys.exit(main())
