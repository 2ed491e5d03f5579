"""The stages of a request, and how long each takes: for ``tests.bench.overhead``.

Knows which functions a request goes through, and wraps them. Changes nothing of what they do.
"""

from __future__ import annotations

import cProfile
import functools
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from codegen_lsp.completion import budget, cache, cleanup, gate, place, stopping
from codegen_lsp.context import collect, neighbourhood

__all__ = ["STAGES", "Stages"]

STAGES: Final = (
    "document",
    "cache",
    "snippets",
    "collect",
    "plan",
    "prompt",
    "stopping",
    "tidy",
    "gate",
    "rest",
)

WRAPPED: Final[tuple[tuple[str, object, str], ...]] = (
    ("collect", collect, "collect"),
    ("plan", place, "place_of"),
    ("plan", budget, "plan"),
    ("tidy", cleanup, "tidy"),
    ("gate", gate, "align"),
    ("gate", gate, "select"),
    ("gate", gate, "confidence"),
    ("stopping", stopping.Stopper, "__init__"),
    ("stopping", stopping.Stopper, "push"),
    ("stopping", stopping.Stopper, "finish"),
    ("cache", cache, "found_in"),
    ("cache", cache, "entry_of"),
    ("snippets", neighbourhood.Neighbourhood, "prepare"),
    ("snippets", neighbourhood.Neighbourhood, "snippets"),
)
"""Stage, module or class, name of a function."""


class Stages:
    """How long each stage took within one request; of nested ones the outermost counts."""

    def __init__(self, *, cpu: bool = False) -> None:
        self.whole = time.process_time if cpu else time.perf_counter
        """What a request is measured by."""
        self.part = time.thread_time if cpu else time.perf_counter
        """What a stage is measured by."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.profiles: list[cProfile.Profile] | None = None
        self._inside = threading.local()

    def timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """*call*, measured."""

        @functools.wraps(call)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if getattr(self._inside, "now", False):
                return call(*arguments, **named)
            self._inside.now = True
            started = self.part()
            try:
                return self._called(call, *arguments, **named)
            finally:
                self.seconds[stage] += self.part() - started
                self._inside.now = False

        return wrapped

    def _called(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self.profiles is None:
            return call(*arguments, **named)
        profile = cProfile.Profile()
        self.profiles.append(profile)
        return profile.runcall(call, *arguments, **named)

    def wrap(self) -> None:
        """Measure :data:`WRAPPED` wherever it was imported to."""
        modules = [m for name, m in sys.modules.items() if name.startswith("codegen_lsp")]
        for stage, owner, name in WRAPPED:
            original = getattr(owner, name)
            measured = self.timed(stage, original)
            setattr(owner, name, measured)
            for module in modules:
                if vars(module).get(name) is original:
                    setattr(module, name, measured)
