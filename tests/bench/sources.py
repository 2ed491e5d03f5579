"""What each source of context tells the model: the likelihood of hidden lines.

    python -m tests.bench.sources --cache FOLDER [--points 1000] [--model FOLDER] [--json]

Hides the rest of lines in the pinned fresh packages, as ``eval replay`` does, and asks the model
how likely it finds what was written there, for several choices of sources. That is far more
sensitive than whether the one answer shown is right: a source that makes every line a little
likelier shows here first. Beside bits per character stands how much likelier a line is than with
*reference* (every source but imports and definitions): nats, and a 95 % interval (packages are
drawn).

The files asked about before, three at most, are open. Only for models that CTranslate2 runs and
that continue text.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, cast

import ctranslate2
import numpy as np

from codegen_lsp.completion.sources import EVERY
from codegen_lsp.config.settings import ContextSource
from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.collect import collect
from codegen_lsp.context.facts import facts_of
from codegen_lsp.context.index import Index
from codegen_lsp.context.neighbourhood import Neighbourhood
from codegen_lsp.evaluation.replay.editor import KEPT_OPEN, offset_of
from codegen_lsp.evaluation.replay.results import Point
from codegen_lsp.evaluation.replay.sampling import draw_points
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.causal import prepare
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.types import CompletionQuery, Snapshot
from tests.bench.context import Folder, texts_of
from tests.bench.hidden import drawn, fresh_copies

Sources = tuple[ContextSource, ...]

REFERENCE: Final[Sources] = ("open", "similar", "header")

CHOICES: Final[dict[str, Sources]] = {
    "reference": REFERENCE,
    "nothing": (),
    "without open": ("similar", "header"),
    "without similar": ("open", "header"),
    "without header": ("open", "similar"),
    "and definitions": (*REFERENCE, "definitions"),
    "and imports": (*REFERENCE, "imports"),
    "everything": EVERY,
}

CHARACTERS: Final = 4
"""Of a token, at least; the service reckons so."""

LONGEST: Final = 60
"""Tokens of a hidden line that are asked about."""

DRAWS: Final = 1000


class Score(Protocol):
    """One answer of CTranslate2."""

    log_probs: list[float]


@dataclass(frozen=True, slots=True)
class Line:
    """One hidden line, and how likely it is."""

    package: str
    characters: int
    log_prob: float
    """In nats."""


class Scorer:
    """The model."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "codegen-lsp.json").read_text(encoding="utf-8"))
        self.budget = manifest["context_length"] - 128
        self.tokenizer = CodeTokenizer.from_folder(folder)
        self._words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        self._generator = ctranslate2.Generator(str(folder), compute_type="int8")

    def log_prob(self, prompt: Sequence[int], line: Sequence[int]) -> float:
        """Of *line* behind *prompt*."""
        words = [[self._words[token] for token in (*prompt, *line)]]
        found = cast("list[Score]", self._generator.score_batch(words))
        return sum(found[0].log_probs[-len(line) :])


def lines_of(
    copy: WorkingCopy, points: Sequence[Point], sources: Sources, scorer: Scorer
) -> Iterator[Line]:
    """The lines that *points* hide, file by file."""
    index, buffers = Index(), Buffers()
    for path, stamp, text in texts_of(copy.root, sys.maxsize):
        index.add(facts_of(path, stamp, text))
    neighbourhood = Neighbourhood(buffers, Folder(copy.root, index))
    left: deque[str] = deque()
    for path, group in itertools.groupby(points, lambda point: point.path):
        uri = (copy.root / path).as_uri()
        for point in group:
            neighbourhood.forget(uri)
            yield _asked(copy, point, sources, neighbourhood, scorer)
        buffers.opened(uri, language_of(path), partial(copy.texts.__getitem__, path))
        left.append(uri)
        if len(left) > KEPT_OPEN:
            buffers.closed(left.popleft())


def _asked(
    copy: WorkingCopy,
    point: Point,
    sources: Sources,
    neighbourhood: Neighbourhood,
    scorer: Scorer,
) -> Line:
    text = copy.texts[point.path]
    offset = offset_of(text, point.line, point.column)
    cut = text[:offset] + text[offset + len(point.truth) :]
    snapshot = Snapshot((copy.root / point.path).as_uri(), language_of(point.path), cut)
    query = CompletionQuery(snapshot, offset)
    size = CHARACTERS * scorer.budget
    neighbourhood.prepare(query)
    snippets = neighbourhood.snippets(query, sources, size // 2)
    context = collect(snapshot, offset, size, snippets=snippets, header="header" in sources)
    prepared = prepare(context, scorer.tokenizer, scorer.budget)
    line = point.truth.partition("\n")[0] + "\n"
    ids = scorer.tokenizer.encode(line)[:LONGEST]
    said = (prepared.unhealed or prepared.prompt).tokens
    return Line(point.repository, len(line), scorer.log_prob(said, ids))


def bits(lines: Sequence[Line]) -> float:
    """Bits per character."""
    whole = sum(line.log_prob for line in lines)
    return -whole / math.log(2) / sum(line.characters for line in lines)


def gain(lines: Sequence[Line], others: Sequence[Line]) -> tuple[float, float, float]:
    """By how many nats a line is likelier in *lines* than in *others*, and the interval."""
    packages = sorted({line.package for line in lines})
    owners = np.array([packages.index(line.package) for line in lines])
    each = np.array([a.log_prob - b.log_prob for a, b in zip(lines, others, strict=True)])
    sums = np.bincount(owners, each, len(packages)).astype(np.float64)
    counts = np.bincount(owners, minlength=len(packages))
    drawn = np.random.default_rng(0).integers(len(packages), size=(DRAWS, len(packages)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(each.mean()), float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.sources", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cache", type=Path, required=True, help="where packages are kept")
    parser.add_argument("--packages", type=int, help="how many of them; all if not given")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--model", type=Path, default=bundled_folder())
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    scorer = Scorer(given.model)
    found: dict[str, list[Line]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        copies = fresh_copies(given.cache, given.packages, Path(scratch).resolve())
        points = drawn(copies, draw_points, given.points)
        print("| sources | bits per character | nats per line |\n|---|---|---|")
        for choice, sources in CHOICES.items():
            found[choice] = [
                line
                for name, copy in copies.items()
                for line in lines_of(copy, points[name], sources, scorer)
            ]
            more, low, high = gain(found[choice], found["reference"])
            interval = f"{more:+.3f} ({low:+.3f} … {high:+.3f})"
            shown = "" if choice == "reference" else interval
            print(f"| {choice} | {bits(found[choice]):.4f} | {shown} |", flush=True)
    if given.as_json:
        print(json.dumps({choice: bits(lines) for choice, lines in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
