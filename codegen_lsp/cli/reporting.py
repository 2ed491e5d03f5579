"""How long work shows itself: bars on a terminal, plain lines anywhere else. All on stderr.

Knows rich and the words that ``models.reporting`` speaks. Does not know what the work is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from codegen_lsp.models.manifest import Check
    from codegen_lsp.models.reporting import Reporter

__all__ = ["Lines", "described", "reporter"]


class Lines:
    """One line for each step and each note; progress shows only at its tenths."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def step(self, text: str) -> None:
        """A line."""
        self._shown.clear()
        click.echo(text, err=True)

    def note(self, text: str) -> None:
        """A line."""
        click.echo(text, err=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """A line at every tenth of what takes long enough to have them."""
        tenth = 10 * done // total if total else 10
        if total >= _LARGE and tenth > self._shown.get(what, 0):
            click.echo(f"{what}: {10 * tenth} %", err=True)
        self._shown[what] = tenth


_LARGE = 50_000_000
"""Bytes below which plain lines say nothing of progress: it is over before they are read."""


class _Bars:
    """A bar for each part of the work that counts; above them what was said."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def step(self, text: str) -> None:
        """A line above the bars; those of the step before stay as they are."""
        self._tasks.clear()
        self._progress.console.print(text, markup=False, highlight=False)

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar called *what*, or begin it."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)


def described(checks: Iterable[Check]) -> list[dict[str, object]]:
    """Comparisons of logits, for ``--json``."""
    return [
        {
            "name": check.name,
            "max_abs": check.max_abs,
            "agreement": check.agreement,
            "divergence": check.divergence,
        }
        for check in checks
    ]


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Whoever shows what is done, as long as the block runs."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bars(progress)
