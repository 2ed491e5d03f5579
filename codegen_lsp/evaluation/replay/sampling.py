"""What is hidden: points and lines drawn by a seed, spread evenly over repositories and files.

Knows how many of which kind, and what makes a file worth asking about. Everything is decided by
the seed, the names and the texts, so two runs on the same corpora ask the same questions. What
stands on a line is :mod:`.lines`' affair, bodies of functions are :mod:`.bodies`'.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from codegen_lsp.evaluation.replay.bodies import bodies
from codegen_lsp.evaluation.replay.lines import CodeLine, code_lines
from codegen_lsp.evaluation.replay.results import Kind, Point
from codegen_lsp.syntax.languages import language_of
from codegen_lsp.tpu.cleaning import reject_path, reject_text

__all__ = [
    "PER_FILE",
    "draw_all",
    "draw_blocks",
    "draw_lines",
    "draw_points",
    "fit_files",
    "shares",
]

PER_FILE: Final = 5
"""Most points of one file."""

BLOCKS_PER_FILE: Final = 2

KINDS: Final[Sequence[Kind]] = ("line", "token", "line", "token", "identifier")
"""Drawn in this order, again and again: 40 %, 40 %, 20 %."""

SHORTEST_TYPED: Final = 8
"""Fewest characters of a line that is typed."""

SHORTEST_NAME: Final = 4
"""Fewest characters of an identifier that is cut."""

LARGEST: Final = 200_000
LONGEST_LINE: Final = 400

DrawSome = Callable[[str, Mapping[str, str], int, int], list[Point]]
"""One of the three draws below."""

Draw = Callable[[random.Random, int, str, str], Iterator[Point]]
"""Points of one file (its number in the draw, its path, its text), the first to be taken first."""


def fit_files(texts: Mapping[str, str]) -> list[str]:
    """The files that are worth asking about: written by people, no tests, no tables of data."""
    return [path for path, text in texts.items() if _fit(path, text)]


def _fit(path: str, text: str) -> bool:
    if language_of(path) == "python" and path.endswith(".py"):
        return reject_path(path) is None and reject_text(text) is None
    if path.endswith(".pyi") or not 200 <= len(text) <= LARGEST:
        return False
    return max(map(len, text.split("\n"))) <= LONGEST_LINE


def shares(total: int, capacities: Mapping[str, int]) -> dict[str, int]:
    """*total* spread as evenly as the capacities allow; all of them if they hold less."""
    given: dict[str, int] = {}
    left = min(total, sum(capacities.values()))
    smallest_first = sorted(capacities, key=lambda name: capacities[name])
    for number, name in enumerate(smallest_first):
        given[name] = min(capacities[name], left // (len(capacities) - number))
        left -= given[name]
    return {name: given[name] for name in capacities}


def draw_points(repository: str, texts: Mapping[str, str], seed: int, most: int) -> list[Point]:
    """At most *most* points inside lines, at most :data:`PER_FILE` of one file.

    Fewer are the first ones of more, here and in what follows.
    """
    return _draw(repository, texts, (seed, "points"), most, PER_FILE, _line_points)


def draw_blocks(repository: str, texts: Mapping[str, str], seed: int, most: int) -> list[Point]:
    """At most *most* bodies of functions."""
    return _draw(repository, texts, (seed, "blocks"), most, BLOCKS_PER_FILE, _block_points)


def draw_lines(repository: str, texts: Mapping[str, str], seed: int, most: int) -> list[Point]:
    """At most *most* lines to be typed from their beginning, of kind ``line``."""
    return _draw(repository, texts, (seed, "typing"), most, PER_FILE, _typed_lines)


def draw_all(
    draw: DrawSome, texts: Mapping[str, Mapping[str, str]], seed: int, total: int
) -> dict[str, list[Point]]:
    """*total* points of all repositories, spread evenly as far as they have so many."""
    if not texts:
        return {}
    limit = math.ceil(total / len(texts))
    while True:
        found = {name: draw(name, held, seed, limit) for name, held in texts.items()}
        if limit >= total or sum(map(len, found.values())) >= total:
            break
        limit = min(total, 2 * limit)
    share = shares(total, {name: len(points) for name, points in found.items()})
    return {name: points[: share[name]] for name, points in found.items()}


def _draw(
    repository: str,
    texts: Mapping[str, str],
    key: tuple[int, str],
    most: int,
    per_file: int,
    draw: Draw,
) -> list[Point]:
    """Files in a shuffled order, round by round one point of each."""
    generator = random.Random(f"{key[0]}:{key[1]}:{repository}")  # noqa: S311 - no secret
    files = sorted(texts)
    generator.shuffle(files)
    found: list[Point] = []
    # Each file draws with a generator of its own, so that a changed file changes only its points.
    waiting = {
        path: draw(random.Random(f"{key[0]}:{key[1]}:{path}"), number, path, texts[path])  # noqa: S311
        for number, path in enumerate(files)
    }
    for _ in range(per_file):
        for path in files:
            if len(found) >= most:
                break
            point = next(waiting[path], None)
            if point is not None:
                found.append(msgspec.structs.replace(point, repository=repository))
    return found


def _line_points(generator: random.Random, turn: int, path: str, text: str) -> Iterator[Point]:
    """Points of different lines, kinds in turn."""
    lines = list(code_lines(text, language_of(path)))
    generator.shuffle(lines)
    while lines:
        kind = KINDS[turn % len(KINDS)]
        turn += 1
        for number, line in enumerate(lines):
            column = _column(generator, line, kind)
            if column is not None:
                del lines[number]
                yield _point(path, line, column, kind)
                break
        else:
            return


def _column(generator: random.Random, line: CodeLine, kind: Kind) -> int | None:
    """Where a cursor of this kind may stand on the line; what it hides has a letter or a digit."""
    if kind == "line":
        columns = [line.indent]
    elif kind == "token":
        columns = list(line.boundaries)
    else:
        long = [(start, end) for start, end in line.names if end - start >= SHORTEST_NAME]
        columns = [column for start, end in long for column in range(start + 1, end)]
    columns = [column for column in columns if any(map(str.isalnum, line.text[column:]))]
    return generator.choice(columns) if columns else None


def _typed_lines(generator: random.Random, _: int, path: str, text: str) -> Iterator[Point]:
    lines = list(code_lines(text, language_of(path)))
    generator.shuffle(lines)
    for line in lines:
        if len(line.text) - line.indent >= SHORTEST_TYPED:
            yield _point(path, line, line.indent, "line")


def _block_points(generator: random.Random, _: int, path: str, text: str) -> Iterator[Point]:
    found = bodies(text, language_of(path))
    generator.shuffle(found)
    for body in found:
        row, column = generator.choice((body.after_signature, body.first_line))
        truth = body.hidden(row, column)
        yield Point(repository="", path=path, line=row, column=column, kind="block", truth=truth)


def _point(path: str, line: CodeLine, column: int, kind: Kind) -> Point:
    truth = line.text[column:]
    return Point(repository="", path=path, line=line.row, column=column, kind=kind, truth=truth)
