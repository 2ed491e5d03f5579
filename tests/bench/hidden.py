"""What ``eval replay`` hides, for benchmarks that ask about the very same code without a server.

Knows working copies of the fresh packages and how points are drawn in them. Measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codegen_lsp.evaluation.replay.corpora import fresh
from codegen_lsp.evaluation.replay.results import Point
from codegen_lsp.evaluation.replay.sampling import DrawSome, draw_all, fit_files
from codegen_lsp.evaluation.replay.working_copy import WorkingCopy, make_copy

__all__ = ["drawn", "fresh_copies"]


def fresh_copies(cache: Path, limit: int | None, scratch: Path) -> dict[str, WorkingCopy]:
    """Working copies of the fresh packages, at most *limit*, by name."""
    copies: dict[str, WorkingCopy] = {}
    for number, repository in enumerate(fresh(cache, limit)):
        folder = scratch / str(number)
        folder.mkdir()
        copies[repository.name] = make_copy(repository, folder)
    return copies


def drawn(copies: Mapping[str, WorkingCopy], draw: DrawSome, count: int) -> dict[str, list[Point]]:
    """Those of ``eval replay`` by seed 0, in the order of places."""
    fit = {
        name: {path: copy.texts[path] for path in fit_files(copy.texts)}
        for name, copy in copies.items()
    }
    found = draw_all(draw, fit, 0, count)
    return {name: sorted(points, key=_place) for name, points in found.items()}


def _place(point: Point) -> tuple[str, int, int]:
    return point.path, point.line, point.column
