"""A typing session from beginning to end, and what it says: the numbers of ``bench typing``.

Knows the order of things and what is counted how. Who types is ``hands``, what is typed ``script``.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codegen_lsp.evaluation.bench.backends import Backend
from codegen_lsp.evaluation.bench.desk import Desk
from codegen_lsp.evaluation.bench.hands import EDITORS, HUMAN, Ask, Pace, Session, lay_out
from codegen_lsp.evaluation.bench.hands import type_script as _type_script
from codegen_lsp.evaluation.bench.script import Script
from codegen_lsp.evaluation.bench.spreads import Spread, spread
from codegen_lsp.evaluation.bench.watch import Sample, Watch, growth

__all__ = ["TypingPlan", "TypingSpeed", "measure_typing", "summarize", "without_engine"]

ENGINE_FREE: Final = frozenset({"typed", "cache", "said", "copy", "flight"})
"""Sources of answers that no engine was asked for."""

ASKED: Final = "asked"
"""The counter of requests for which an engine was asked."""

FREE: Final = ("typed", "cached", "said", "copied", "joined")
"""The counters of requests that were answered otherwise; ``joined`` by what the engine was saying
already. Where nothing is to be suggested anyway, nobody is spared anything."""


@dataclass(frozen=True, slots=True)
class TypingPlan:
    """How one session is typed."""

    keys: int = 300
    files: int = 4
    """Files there are to be visited."""

    editor: str = "vscode"
    """A name of :data:`codegen_lsp.evaluation.bench.hands.EDITORS`."""

    pace: Pace = HUMAN
    idle_seconds: float = 10.0
    """How long nobody types at the end, to see what the server does then."""


@dataclass(frozen=True, slots=True)
class TypingSpeed:
    """One session. Times in milliseconds from the key, memory in MiB."""

    name: str
    keys: int
    """Keys pressed, accepting ones included."""

    characters: int
    """Characters that came about, typed or accepted."""

    accepted: int
    visits: int
    """Stretches of code that were typed to their end."""

    files: int
    """Files that were visited."""

    seconds: float
    asked: Mapping[str, int]
    """Requests by outcome: answered with text, answered empty, superseded by the next key."""

    in_sight: float
    """Share of keys before which a suggestion was in sight."""

    ghost_ms: Spread | None
    """To the whole text, over requests that were answered with text."""

    first_ms: Spread | None
    """To the first token, where an answer comes in parts; our server's comes whole."""

    by_source: Mapping[str, Spread]
    """To the whole text, by where it came from. Our server says ``cache`` of all that was said
    before: shown again as it was, computed ahead, or judged again for what was typed since."""

    inside_ms: Mapping[str, Spread]
    """The same by the server's own clock: from the request to the answer."""

    without_engine: float | None
    """Share of requests for which no engine was asked; ``None``: the server does not count."""

    answers_without_engine: float | None
    """Share of the answers with text whose source is no engine."""

    counters: Mapping[str, float]
    """What the server counted during the session."""

    cpu_s_per_100_keys: float
    idle_cpu_percent: float
    """Of one processor, while nobody types."""

    peak_mib: float
    final_mib: float
    quarters_mib: Sequence[float]
    """After each quarter of the session."""

    growth_mib_per_1000_keys: float | None
    """Over the second half; near 0: memory is flat after warm-up."""


@dataclass(slots=True)
class _Usage:
    """What the processes used."""

    cpu_seconds: float = 0.0
    idle_percent: float = 0.0
    final_mib: float = 0.0
    samples: list[Sample] = field(default_factory=list)


async def measure_typing(
    name: str,
    backend: Backend,
    script: Script,
    plan: TypingPlan,
    progress: Callable[[str], None] = lambda _: None,
) -> TypingSpeed:
    """Type *script* at *backend*, in a folder of its own that is deleted afterwards.

    :raises CodegenError: whoever answers does not start or goes away.
    """
    desk = Desk(script)

    def tell(session: Session) -> None:
        progress(f"{name}: key {session.keys} of {plan.keys}")

    with tempfile.TemporaryDirectory(prefix="codegen-lsp-typing-") as scratch:
        folder = await asyncio.to_thread(Path(scratch).resolve)
        lay_out(folder, desk)
        try:
            progress(f"{name}: starting")
            watch = Watch(await backend.start(folder))
            before = await backend.counters()
            session, usage = await _watched(backend, desk, folder, plan, watch, tell)
            after = await backend.counters()
            progress(f"{name}: nobody types")
            await _rest(watch, usage, plan.idle_seconds)
        finally:
            await backend.stop()
    counted = {key: value - before.get(key, 0.0) for key, value in after.items()}
    return summarize(name, session, usage, counted)


async def _watched(
    backend: Backend,
    desk: Desk,
    folder: Path,
    plan: TypingPlan,
    watch: Watch,
    tell: Callable[[Session], None],
) -> tuple[Session, _Usage]:
    """Type, and look at the processes all the while."""
    usage, so_far = _Usage(), Session()

    def note(session: Session) -> None:
        nonlocal so_far
        so_far = session
        tell(session)

    begin = watch.cpu_seconds()
    sampling = asyncio.create_task(watch.sample(lambda: so_far.keys))
    try:
        session = await _type_script(
            backend,
            desk,
            folder,
            keys=plan.keys,
            pace=plan.pace,
            delay=EDITORS[plan.editor],
            tell=note,
        )
    finally:
        sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampling
    usage.cpu_seconds = watch.cpu_seconds() - begin
    usage.samples = watch.samples
    return session, usage


async def _rest(watch: Watch, usage: _Usage, seconds: float) -> None:
    """What is used while nobody types; what was begun may end first."""
    await asyncio.sleep(min(2.0, seconds))
    begin = watch.cpu_seconds()
    await asyncio.sleep(seconds)
    if seconds:
        usage.idle_percent = (watch.cpu_seconds() - begin) / seconds * 100
    usage.final_mib = watch.mib()


def summarize(
    name: str, session: Session, usage: _Usage, counted: Mapping[str, float]
) -> TypingSpeed:
    """Everything that a session says, in numbers."""
    shown = [ask for ask in session.asks if ask.outcome == "text"]
    memory = [sample.mib for sample in usage.samples] or [usage.final_mib]
    slope = growth(usage.samples)
    return TypingSpeed(
        name=name,
        keys=session.keys,
        characters=session.characters,
        accepted=session.accepted,
        visits=session.visits,
        files=len(session.pages),
        seconds=round(session.seconds, 1),
        asked={
            outcome: sum(ask.outcome == outcome for ask in session.asks)
            for outcome in ("text", "empty", "superseded")
        },
        in_sight=_share(session.seen, session.keys) or 0.0,
        ghost_ms=_spread([ask.ms for ask in shown]),
        first_ms=_spread([ask.first_ms for ask in shown if ask.first_ms is not None]),
        by_source=_by_source(shown, lambda ask: ask.ms),
        inside_ms=_by_source(shown, lambda ask: ask.inside_ms),
        without_engine=without_engine(counted),
        answers_without_engine=_share(sum(ask.source in ENGINE_FREE for ask in shown), len(shown)),
        counters=counted,
        cpu_s_per_100_keys=round(usage.cpu_seconds / max(1, session.keys) * 100, 2),
        idle_cpu_percent=round(usage.idle_percent, 2),
        peak_mib=round(max(*memory, usage.final_mib), 1),
        final_mib=round(usage.final_mib, 1),
        quarters_mib=[round(memory[len(memory) * part // 4 - 1], 1) for part in (1, 2, 3, 4)],
        growth_mib_per_1000_keys=None if slope is None else round(slope, 2),
    )


def without_engine(counted: Mapping[str, float]) -> float | None:
    """Share of the requests, of those that came to anything, for which no engine was asked.

    Requests that a newer one ended before that are no answers and count on neither side; those for
    which the engine was asked in vain count as asked.
    """
    if ASKED not in counted:
        return None
    free = sum(counted.get(name, 0.0) for name in FREE)
    return _share(free, free + counted[ASKED])


def _by_source(shown: Sequence[Ask], value: Callable[[Ask], float | None]) -> dict[str, Spread]:
    values: dict[str, list[float]] = {}
    for ask in shown:
        ms = value(ask)
        if ms is not None:
            values.setdefault(ask.source or "unknown", []).append(ms)
    return {source: spread(found) for source, found in sorted(values.items())}


def _spread(values: Sequence[float]) -> Spread | None:
    return spread(values) if values else None


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
