"""Watching real folders, and what was told; for the tests of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codegen_lsp.context.watcher import Listen, Pace, Watcher

DEADLINE = 20.0
"""Seconds; reached only by what is broken."""

BRISK = Pace(check=0.05, poll=0.1, safety=3600.0)
PATIENT = Pace(check=3600.0, poll=3600.0, safety=3600.0)


class Hints:
    """What a watcher said."""

    def __init__(self) -> None:
        self._said: list[str | None] = []
        self._more = threading.Condition()

    def __call__(self, place: str | None) -> None:
        with self._more:
            self._said.append(place)
            self._more.notify_all()

    def take(self) -> list[str | None]:
        """Everything so far, forgotten then."""
        with self._more:
            said, self._said = self._said, []
            return said

    def wait_for(self, *places: str | None) -> None:
        """Until each of *places* was said."""
        with self._more:
            done = self._more.wait_for(lambda: set(places) <= set(self._said), DEADLINE)
            assert done, f"waited for {places}, heard {self._said}"


Watch = Callable[..., tuple[Watcher, Hints]]


def watching() -> Iterator[Watch]:
    """The body of a fixture: begins to watch, and waits until it does."""
    begun: list[Watcher] = []

    def begin(
        root: Path, pace: Pace = BRISK, listen: Listen | None = None
    ) -> tuple[Watcher, Hints]:
        hints = Hints()
        begun.append(Watcher(root, hints, pace=pace, listen=listen))
        begun[-1].start()
        hints.wait_for(None)
        hints.take()
        return begun[-1], hints

    yield begin
    for one in begun:
        one.stop()
    for one in begun:
        one.join(DEADLINE)


def settle(root: Path, hints: Hints) -> list[str | None]:
    """Everything said until now: events come in order, so the last one is waited for."""
    last = f"zz{time.monotonic_ns()}.py"
    (root / last).touch()
    hints.wait_for(last)
    return [place for place in hints.take() if place is None or not place.startswith("zz")]


def make(root: Path) -> None:
    (root / "pkg" / "inner").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("a = 1\n")
    (root / "pkg" / "inner" / "b.py").write_text("b = 1\n")
    (root / ".git" / "info").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "node_modules").mkdir()


def told_of_a_touch(root: Path, hints: Hints) -> bool:
    (root / "pkg" / "a.py").write_text(f"{time.monotonic()}")
    time.sleep(0.05)
    return "pkg/a.py" in hints.take()


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
