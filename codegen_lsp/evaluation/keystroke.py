"""How long one keystroke takes an engine: the figure by which ``engine = "auto"`` chooses.

A place in a document was read; eight more tokens are typed; twelve are to be written. Medians of
some rounds, the engines taking turns so that whatever else the machine does meets all alike.

Knows engines and token ids. Does not know where models or measurements are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from codegen_lsp.engines.base import Engine
from codegen_lsp.errors import GenerationError
from codegen_lsp.types import GenerationRequest, Prompt

__all__ = ["measure_keystroke", "measure_keystrokes", "sample_ids"]

WARM, TYPED, WRITTEN, ROUNDS = 500, 8, 12, 5
"""Tokens that were read before, that are new, that are written; and how often that is measured."""

REST_SECONDS: Final = 0.05
"""Between two answers: the threads of the engine that had its turn spin for a while."""

ROOM: Final = WARM + TYPED * (ROUNDS + 1) + WRITTEN
"""The context that a measurement takes; where a model has less, less was read before."""


def sample_ids(encode: Callable[[str], Sequence[int]]) -> list[int]:
    """Ids of a real text, enough for a measurement: this package's own code, by *encode*.

    What is read does not matter for speed, but an answer to nonsense may end at once.
    """
    ids = encode(Path(__file__).read_text(encoding="utf-8"))
    return [*itertools.islice(itertools.cycle(ids), ROOM)]


async def measure_keystroke(engine: Engine, ids: Sequence[int]) -> float:
    """Milliseconds of a keystroke, the median of :data:`ROUNDS`.

    :raises EngineError: the engine cannot run here, failed, or wrote too little to be measured.
    """
    return (await measure_keystrokes({"": engine}, ids))[""]


async def measure_keystrokes(engines: Mapping[str, Engine], ids: Sequence[int]) -> dict[str, float]:
    """The same for several engines, by their names, in turn.

    :raises EngineError: one of them cannot run here, failed, or wrote too little to be measured.
    """
    times: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(ROUNDS + 1):
        for name, engine in engines.items():
            if turn == 0:
                await engine.load()
            await asyncio.sleep(REST_SECONDS)
            took = await _once(engine, ids, turn)
            if turn and took is not None:  # the first round reads the place
                times[name].append(took)
    silent = [name for name, values in times.items() if not values]
    if silent:
        told = ", ".join(silent).strip() or "the engine"
        raise GenerationError(f"{told} wrote nothing by which it could be measured")
    return {name: statistics.median(values) for name, values in times.items()}


async def _once(engine: Engine, ids: Sequence[int], turn: int) -> float | None:
    """Milliseconds of one keystroke; ``None`` where nothing says how fast the engine writes."""
    warm = max(0, min(WARM, engine.info.context_length - (ROOM - WARM)))
    prompt = Prompt(tuple(ids[:warm]), tuple(ids[warm : warm + TYPED * (turn + 1)]))
    request = GenerationRequest(prompt, WRITTEN)
    started, written = time.perf_counter(), 0
    first = started
    async with contextlib.aclosing(engine.generate(request)) as tokens:
        async for _ in tokens:
            written += 1
            if written == 1:
                first = time.perf_counter()
    ended = time.perf_counter()
    if written < 2:
        return None
    # An answer may end early: the rest would have come at the same pace.
    ended = first + (ended - first) / (written - 1) * (WRITTEN - 1)
    return (ended - started) * 1000
