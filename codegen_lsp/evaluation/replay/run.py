"""One replay from beginning to end: copies, questions, a server for each repository, a result.

Knows the order of things. What is asked, how and what it is worth are other modules' affairs.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from codegen_lsp.config.settings import Settings
from codegen_lsp.errors import CorpusError, UsageError
from codegen_lsp.evaluation.client import Client
from codegen_lsp.evaluation.machine import machine
from codegen_lsp.evaluation.replay.bootstrap import questions, questions_of, require_same
from codegen_lsp.evaluation.replay.corpora import Repository
from codegen_lsp.evaluation.replay.driver import ask_points
from codegen_lsp.evaluation.replay.editor import Editor
from codegen_lsp.evaluation.replay.keystrokes import type_lines
from codegen_lsp.evaluation.replay.results import Answer, Point, RepositoryInfo, Run, TypedLine
from codegen_lsp.evaluation.replay.sampling import (
    draw_all,
    draw_blocks,
    draw_lines,
    draw_points,
    fit_files,
)
from codegen_lsp.evaluation.replay.summary import summarize
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy, make_copy

__all__ = ["Plan", "replay"]

Progress = Callable[[str, int, int], None]
"""Told what is worked on, how many questions were asked and how many there are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked."""

    points: int = 2000
    blocks: int = 300
    lines: int = 300
    """Lines that are typed."""

    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Questions:
    """What is asked of one repository."""

    repository: Repository
    copy: WorkingCopy
    points: list[Point]
    """Blocks among them, in the order of places."""

    lines: list[Point]


def replay(
    repositories: Sequence[Repository],
    settings: Settings,
    plan: Plan,
    progress: Progress,
    others: Sequence[tuple[str, Run]] = (),
) -> Run:
    """Ask a server of our own, with *settings*, about all *repositories*.

    *others* are runs, by name, that this one is to be compared with.

    :raises UsageError: one of *others* asked other questions; known before anything is asked.
    :raises CorpusError: a repository cannot be copied, or none has code to hide.
    :raises CodegenError: the server went away or does not answer.
    """
    begin = time.monotonic()
    options = dict(msgspec.to_builtins(settings))
    with tempfile.TemporaryDirectory(prefix="codegen-replay-", ignore_cleanup_errors=True) as name:
        asked = _questions(_copies(repositories, Path(name).resolve(), progress), plan)
        if not any(one.points or one.lines for one in asked):
            raise CorpusError("there is no code to hide", mend="name a folder with source files")
        infos = [_info(one) for one in asked]
        _require_same(infos, asked, others)
        answers, typed = asyncio.run(_ask_all(asked, options, plan.seed, progress))
    return Run(
        version=version("codegen-lsp"),
        seed=plan.seed,
        settings=options,
        machine=dict(machine()),
        seconds=round(time.monotonic() - begin, 1),
        repositories=infos,
        points=answers,
        typing=typed,
        summary=summarize(infos, answers, typed),
    )


def _require_same(
    infos: Sequence[RepositoryInfo], asked: Sequence[_Questions], others: Sequence[tuple[str, Run]]
) -> None:
    points = (point for one in asked for point in one.points)
    planned = questions(infos, points, (line for one in asked for line in one.lines))
    for name, other in others:
        try:
            require_same(planned, questions_of(other))
        except UsageError as error:
            raise UsageError(f"{name}: {error.message}", mend=error.mend) from error


async def _ask_all(
    asked: Sequence[_Questions], options: Mapping[str, object], seed: int, progress: Progress
) -> tuple[list[Answer], list[TypedLine]]:
    """A server for each repository, one after the other."""
    answers: list[Answer] = []
    typed: list[TypedLine] = []
    total = sum(len(one.points) + len(one.lines) for one in asked)
    counted = itertools.count(1)
    for one in asked:
        if not one.points and not one.lines:
            continue
        done = partial(_tell, progress, one.repository.name, counted, total)
        async with Client(options, folder=one.copy.root) as client:
            editor = Editor(client, one.copy)
            await editor.begin()
            answers += await ask_points(editor, one.copy, one.points, done)
            typed += await type_lines(editor, one.copy, one.lines, seed, done)
    return answers, typed


def _tell(progress: Progress, name: str, counted: Iterator[int], total: int) -> None:
    progress(name, next(counted), total)


def _copies(
    repositories: Sequence[Repository], scratch: Path, progress: Progress
) -> list[tuple[Repository, WorkingCopy]]:
    copies = []
    for number, repository in enumerate(repositories):
        progress(f"copying {repository.name}", number, len(repositories))
        folder = scratch / str(number)
        folder.mkdir()
        copies.append((repository, make_copy(repository, folder)))
    return copies


def _questions(copies: Sequence[tuple[Repository, WorkingCopy]], plan: Plan) -> list[_Questions]:
    fit = {
        repository.name: {path: copy.texts[path] for path in fit_files(copy.texts)}
        for repository, copy in copies
    }
    points = draw_all(draw_points, fit, plan.seed, plan.points)
    blocks = draw_all(draw_blocks, fit, plan.seed, plan.blocks)
    lines = draw_all(draw_lines, fit, plan.seed, plan.lines)
    return [
        _Questions(
            repository,
            copy,
            sorted(points[repository.name] + blocks[repository.name], key=_place),
            sorted(lines[repository.name], key=_place),
        )
        for repository, copy in copies
    ]


def _place(point: Point) -> tuple[str, int, int]:
    return point.path, point.line, point.column


def _info(asked: _Questions) -> RepositoryInfo:
    repository, copy = asked.repository, asked.copy
    return RepositoryInfo(
        name=repository.name,
        corpus=repository.corpus,
        version=repository.version,
        sha256=repository.sha256 or copy.sha256,
        files=len(copy.texts),
        duplicates=copy.duplicates,
    )
