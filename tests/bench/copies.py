"""How often code stands elsewhere already, how often that is right, and what finding it costs.

    python -m tests.bench.copies --cache FOLDER [--packages N] [--points 4000] [--lines 300]
        [--fit] [--json]

Hides the lines that ``eval replay`` hides, and asks the copier in a process of its own: no model,
no editor. Every place is asked about twice. *inside*: one line is missing, as in a replay. *at the
end*: nothing is there yet behind the cursor, as when a file is being written. *exact* is the whole
rest of the line; *right* is that or the beginning of it with four visible characters; *lines* are
further lines that were shown, and how many of those are right. Files asked about before, three at
most, are open; the folder is indexed. Milliseconds are those of one request.

``--fit`` finds weights on every other package and reports on the rest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from codegen_lsp.completion.copying import Copier, Copy
from codegen_lsp.completion.guesses import FEATURES, WEIGHTS, Around, features, guesses
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.buffers import Buffers
from codegen_lsp.context.copies import Finder, below, here, visible
from codegen_lsp.context.copies_texts import CopyTexts
from codegen_lsp.context.facts import facts_of
from codegen_lsp.context.index import Index
from codegen_lsp.evaluation.replay.editor import KEPT_OPEN, offset_of
from codegen_lsp.evaluation.replay.results import Point
from codegen_lsp.evaluation.replay.sampling import (
    draw_lines,
    draw_points,
)
from codegen_lsp.evaluation.replay.scoring import LEAST_VISIBLE, accepted
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.types import CompletionQuery, Snapshot
from tests.bench.context import Folder, texts_of
from tests.bench.hidden import drawn, fresh_copies

Suggestions = Literal["eager", "balanced", "quiet"]

SETTINGS: Final[Sequence[Suggestions]] = ("eager", "balanced", "quiet")


@dataclass(frozen=True, slots=True)
class Asked:
    """One place, and what is hidden there."""

    package: str
    kind: str
    inside: bool
    query: CompletionQuery
    truth: str
    """All that stood behind the cursor, as far as it is hidden."""

    @property
    def line(self) -> str:
        """The rest of the line."""
        return self.truth.partition("\n")[0].rstrip()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was shown at one place."""

    package: str
    kind: str
    inside: bool
    exact: bool
    right: bool
    lines: int
    right_lines: int


@dataclass(frozen=True, slots=True)
class Row:
    """What was shown at the places of one kind."""

    places: str
    suggestions: str
    count: int
    shown: float
    exact: float
    """Of those shown."""

    right: float
    """Of those shown."""

    lines: int
    right_lines: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A guess: what is known of it, and whether it was right."""

    package: str
    values: tuple[float, ...]
    right: bool


class World:
    """A package as an editor has it: an index, and a few open files."""

    def __init__(self, copy: WorkingCopy) -> None:
        self._copy = copy
        self._buffers = Buffers()
        index = Index()
        for path, stamp, text in texts_of(copy.root, sys.maxsize):
            index.add(facts_of(path, stamp, text))
        self.texts = CopyTexts(self._buffers, Folder(copy.root, index))
        self._left: deque[str] = deque()

    def asked(self, points: Sequence[Point]) -> Iterator[Asked]:
        """The places, file by file; what is left of a file is open afterwards."""
        for path, group in itertools.groupby(points, lambda point: point.path):
            for point in group:
                yield from self._both(point)
            self._leave(path)

    def _both(self, point: Point) -> Iterator[Asked]:
        text = self._copy.texts[point.path]
        offset = offset_of(text, point.line, point.column)
        uri = (self._copy.root / point.path).as_uri()
        for inside in (True, False):
            rest = text[offset + len(point.truth) :] if inside else ""
            truth = point.truth if inside else text[offset:]
            snapshot = Snapshot(uri, language_of(point.path), text[:offset] + rest)
            query = CompletionQuery(snapshot, offset)
            self._buffers.take(exclude=uri)
            yield Asked(point.repository, point.kind, inside, query, truth)

    def _leave(self, path: str) -> None:
        uri = (self._copy.root / path).as_uri()
        text = partial(self._copy.texts.__getitem__, path)
        self._buffers.opened(uri, language_of(path), text)
        self._left.append(uri)
        if len(self._left) > KEPT_OPEN:
            self._buffers.closed(self._left.popleft())


def outcome(asked: Asked, copy: Copy) -> Outcome:
    """Judge one suggestion."""
    shown, hidden = copy.text.split("\n"), asked.truth.split("\n")
    exact = shown[0].rstrip() == asked.line
    same = itertools.takewhile(
        lambda pair: pair[0].rstrip() == pair[1].rstrip(), zip(shown, hidden, strict=False)
    )
    return Outcome(
        asked.package,
        asked.kind,
        asked.inside,
        exact,
        exact or accepted(shown[0], asked.line),
        len(shown) - 1,
        max(0, len(list(same)) - 1),
    )


def samples(asked: Asked, texts: CopyTexts) -> Iterator[Sample]:
    """All guesses at a place."""
    searched = texts.texts(asked.query)
    own, offset = searched.texts[0].text, searched.offset
    around = Around(here(own, offset), offset, below(own, offset))
    found = Finder().places(around.here, searched.texts, offset)
    for guess in guesses(found, around) if found else ():
        if visible(guess.text) >= LEAST_VISIBLE:
            right = asked.line == guess.text if guess.ends else asked.line.startswith(guess.text)
            yield Sample(asked.package, features(guess, around), right)


def fitted(given: Sequence[Sample]) -> tuple[float, ...]:
    """Weights of a logistic regression, by Newton's method; large ones are penalized."""
    values = np.array([sample.values for sample in given])
    right = np.array([sample.right for sample in given], np.float64)
    weights = np.zeros(values.shape[1])
    for _ in range(30):
        likely = _logistic(values @ weights)
        slope = values.T @ (right - likely) - weights
        bend = (values * (likely * (1 - likely))[:, None]).T @ values
        weights += np.linalg.solve(bend + np.eye(len(weights)), slope)
    return tuple(round(float(weight), 4) for weight in weights)


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
    return result


def calibration(given: Sequence[Sample], weights: Sequence[float]) -> Iterator[str]:
    """By tenths of the confidence: how many guesses, and how many of those are right."""
    sure = _logistic(np.array([sample.values for sample in given]) @ np.array(weights))
    right = np.array([sample.right for sample in given])
    for low in np.arange(0, 1, 0.1):
        of = (sure >= low) & (sure < low + 0.1)
        if of.any():
            yield f"| {low:.1f} | {of.sum()} | {sure[of].mean():.2f} | {right[of].mean():.2f} |"


def row(name: str, setting: str, outcomes: Sequence[Outcome], count: int) -> Row:
    """The figures of some outcomes at *count* places."""
    shown, lines = len(outcomes), sum(one.lines for one in outcomes)
    return Row(
        name,
        setting,
        count,
        round(shown / max(1, count), 4),
        round(sum(one.exact for one in outcomes) / max(1, shown), 4),
        round(sum(one.right for one in outcomes) / max(1, shown), 4),
        lines,
        round(sum(one.right_lines for one in outcomes) / max(1, lines), 4),
    )


@dataclass(slots=True)
class Typed:
    """Lines that were typed with nothing but copies."""

    characters: int = 0
    keys: int = 0
    """Those that had to be pressed, one for each suggestion taken among them."""

    shown: int = 0
    """Different suggestions."""

    wrong: int = 0


def type_line(asked: Asked, copier: Copier, settings: Settings, tally: Typed) -> None:
    """Type the line key by key, taking what is right and long enough."""
    text, offset = asked.query.snapshot.text, asked.query.offset
    before, after, done = text[:offset], text[offset:], ""
    seen: set[str] = set()
    wrong: set[str] = set()
    while len(done) < len(asked.line):
        snapshot = replace(asked.query.snapshot, text=before + done + after)
        found = copier.find(CompletionQuery(snapshot, offset + len(done)), settings)
        shown = "" if found is None else found.text.partition("\n")[0]
        rest = asked.line[len(done) :]
        tally.keys += 1
        if shown:
            seen.add(done + shown)
        if shown and not rest.startswith(shown):
            wrong.add(done + shown)
        taken = bool(shown) and rest.startswith(shown) and visible(shown) >= LEAST_VISIBLE
        done += shown if taken else rest[0]
    tally.characters += len(asked.line)
    tally.shown += len(seen)
    tally.wrong += len(wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.copies", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cache", type=Path, required=True, help="where packages are kept")
    parser.add_argument("--packages", type=int, help="how many of them; all if not given")
    parser.add_argument("--points", type=int, default=4000)
    parser.add_argument("--lines", type=int, default=300, help="lines to be typed")
    parser.add_argument("--fit", action="store_true", help="find weights on half of the packages")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        copies = fresh_copies(given.cache, given.packages, Path(scratch).resolve())
        worlds = {name: World(copy) for name, copy in copies.items()}
        points = drawn(copies, draw_points, given.points)
        weights: Sequence[float] = WEIGHTS
        if given.fit:
            weights = _fit(worlds, points)
            worlds = dict(list(worlds.items())[1::2])
        found = _measured(worlds, points, weights)
        typed = _typed(worlds, drawn(copies, draw_lines, given.lines), weights)
    if given.as_json:
        print(json.dumps({**found, "typed": typed}))
    return 0


def _fit(worlds: Mapping[str, World], points: Mapping[str, list[Point]]) -> tuple[float, ...]:
    """Weights from every other package, and how well they say what is right in the others."""
    all_ = [
        sample
        for name, world in worlds.items()
        for asked in world.asked(points[name])
        for sample in samples(asked, world.texts)
    ]
    known = set(list(worlds)[::2])
    weights = fitted([sample for sample in all_ if sample.package in known])
    for name, weight in zip(FEATURES, weights, strict=True):
        print(f"    {weight},  # {name}")
    print("\n| confidence from | guesses | mean | right |\n|---|---|---|---|")
    print(*calibration([one for one in all_ if one.package not in known], weights), sep="\n")
    return weights


def _measured(
    worlds: Mapping[str, World], points: Mapping[str, list[Point]], weights: Sequence[float]
) -> dict[str, object]:
    """The tables of what is shown and what that costs."""
    rows: list[Row] = []
    times: list[float] = []
    for setting in SETTINGS:
        settings = Settings(suggestions=setting)
        outcomes: list[Outcome] = []
        counts: dict[tuple[bool, str], int] = {}
        for name, world in worlds.items():
            copier = Copier(world.texts, weights)
            for asked in world.asked(points[name]):
                key = asked.inside, asked.kind
                counts[key] = counts.get(key, 0) + 1
                started = time.perf_counter()
                copy = copier.find(asked.query, settings)
                times.append((time.perf_counter() - started) * 1000)
                if copy is not None:
                    outcomes.append(outcome(asked, copy))
        rows += _rows(setting, outcomes, counts)
    print("\n| places | suggestions | count | shown | exact | right | lines | right |")
    print("|---|---|---|---|---|---|---|---|")
    for one in rows:
        print(
            f"| {one.places} | {one.suggestions} | {one.count} | {one.shown:.1%} | {one.exact:.1%}"
            f" | {one.right:.1%} | {one.lines} | {one.right_lines:.1%} |"
        )
    median, late = np.percentile(times, [50, 95])
    print(f"\n{len(times)} requests: median {median:.2f} ms, p95 {late:.2f} ms")
    return {
        "rows": [asdict(one) for one in rows],
        "median_ms": float(median),
        "p95_ms": float(late),
    }


def _rows(
    setting: str, outcomes: Sequence[Outcome], counts: Mapping[tuple[bool, str], int]
) -> Iterator[Row]:
    for inside, name in ((True, "inside"), (False, "at the end")):
        of = [one for one in outcomes if one.inside is inside]
        yield row(name, setting, of, sum(n for key, n in counts.items() if key[0] is inside))
        for kind in ("line", "token", "identifier"):
            those = [one for one in of if one.kind == kind]
            yield row(f"{name}, {kind}", setting, those, counts.get((inside, kind), 0))


def _typed(
    worlds: Mapping[str, World], lines: Mapping[str, list[Point]], weights: Sequence[float]
) -> dict[str, object]:
    """The table of lines that are typed."""
    told: dict[str, object] = {}
    print(
        "\n| typed | suggestions | keys saved | suggestions seen | wrong |\n|---|---|---|---|---|"
    )
    for setting, inside in itertools.product(SETTINGS, (True, False)):
        tally = Typed()
        for name, world in worlds.items():
            copier = Copier(world.texts, weights)
            for asked in world.asked(lines[name]):
                if asked.inside is inside:
                    type_line(asked, copier, Settings(suggestions=setting), tally)
        saved = 1 - tally.keys / max(1, tally.characters)
        where = "inside" if inside else "at the end"
        print(f"| {where} | {setting} | {saved:.1%} | {tally.shown} | {tally.wrong} |")
        told[f"{where}, {setting}"] = asdict(tally)
    return told


if __name__ == "__main__":
    sys.exit(main())
