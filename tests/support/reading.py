"""A real reader of files and what came of them, for the tests of it."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil

from codegen_lsp.context.facts import FileFacts
from codegen_lsp.context.files import Refusal
from codegen_lsp.context.reading import Reader

Outcome = FileFacts | Refusal


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that happens elsewhere."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Reading:
    """A reader, and what came of files."""

    def __init__(self, **options: object) -> None:
        self.results: list[tuple[str, Outcome]] = []
        self.reader = Reader(self.take, **options)  # type: ignore[arg-type]

    def take(self, root: Path, path: str, outcome: Outcome) -> None:
        self.results.append((path, outcome))

    def of(self, root: Path, *paths: str) -> dict[str, Outcome]:
        """Submit and wait."""
        self.reader.submit(root, paths)
        until(lambda: not self.reader.pending)
        return dict(self.results)

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self.reader.close()


def write(root: Path, path: str, data: bytes | str = "def load_rows():\n    pass\n") -> str:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def worker(program: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-c", textwrap.dedent(program))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
