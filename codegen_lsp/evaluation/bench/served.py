"""What an editor waits for, measured through the real server over stdio.

Knows starts, first and warm completions. Engines alone are ``rounds``' affair, because a server
rightly stops earlier than after a fixed number of tokens.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import psutil

from codegen_lsp.config.settings import Settings
from codegen_lsp.evaluation.bench.rounds import NEW_TOKENS
from codegen_lsp.evaluation.bench.spreads import Spread, spread
from codegen_lsp.evaluation.client import Client
from codegen_lsp.evaluation.positions import Place
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["Progress", "ServerSpeed", "measure_server"]

WARM_UP: Final = 2
"""Completions before those that count."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServerSpeed:
    """What an editor waits for. Times in milliseconds, memory in MiB."""

    initialize_ms: Spread
    """From starting the process to the answer to ``initialize``."""

    first_completion_ms: Spread
    """From the first request to its answer: libraries and model are loaded meanwhile."""

    completion_ms: Spread
    """Request to answer, at most ``NEW_TOKENS`` new tokens, a new document in every call."""

    shown_tokens: float
    """Median length of the answers, in tokens (stop rules and clean-up make them shorter)."""

    answered: int
    """Calls with a non-empty answer."""

    resident_mib: float
    """Resident memory of the server after all these completions."""


async def measure_server(
    settings: Settings,
    tokenizer: CodeTokenizer,
    tests: Sequence[Place],
    progress: Progress,
    *,
    starts: int,
    calls: int,
) -> ServerSpeed:
    """Start *starts* servers; the last one answers *calls* warm completions.

    :raises CodegenError: the server does not answer.
    """
    initialize: list[float] = []
    first: list[float] = []
    answers: list[tuple[float, str]] = []
    resident = 0.0
    for start in range(1, starts + 1):
        progress(f"server: start {start} of {starts}")
        client = Client(_options(settings))
        async with _Timed(client, initialize):
            first.append((await _complete(client, tests[0]))[0])
            if start == starts:
                answers = await _answers(client, tests[1:], calls, progress)
                resident = psutil.Process(client.pid).memory_info().rss / 2**20
    lengths = [len(tokenizer.encode(text)) for _, text in answers if text]
    return ServerSpeed(
        initialize_ms=spread(initialize),
        first_completion_ms=spread(first),
        completion_ms=spread([elapsed for elapsed, _ in answers]),
        shown_tokens=statistics.median(lengths) if lengths else 0,
        answered=len(lengths),
        resident_mib=round(resident, 1),
    )


async def _answers(
    client: Client, tests: Sequence[Place], calls: int, progress: Progress
) -> list[tuple[float, str]]:
    """Milliseconds and text of ``calls`` completions by a server that is warm."""
    for place in tests[:WARM_UP]:
        await _complete(client, place)
    answers: list[tuple[float, str]] = []
    for place in tests[WARM_UP : WARM_UP + calls]:
        answers.append(await _complete(client, place))
        progress(f"server: completion {len(answers)} of {calls}")
    return answers


class _Timed:
    """A client's lifetime; the time of its start is appended to ``times`` in milliseconds."""

    def __init__(self, client: Client, times: list[float]) -> None:
        self._client = client
        self._times = times

    async def __aenter__(self) -> None:
        begin = time.perf_counter()
        await self._client.start()
        self._times.append((time.perf_counter() - begin) * 1000)

    async def __aexit__(self, *_: object) -> None:
        await self._client.stop()


async def _complete(client: Client, place: Place) -> tuple[float, str]:
    """Open, complete, close; milliseconds from request to answer, and the text (or nothing)."""
    uri = f"untitled:{place.name}"
    client.open(uri, "python", place.prefix + place.suffix)
    begin = time.perf_counter()
    items = await client.complete(uri, place.line, place.character)
    elapsed = (time.perf_counter() - begin) * 1000
    client.close_document(uri)
    await asyncio.sleep(0)
    return elapsed, str(items[0]["insertText"]) if items else ""


def _options(settings: Settings) -> Mapping[str, object]:
    """The caller's settings, with answers of several lines and at most ``NEW_TOKENS``."""
    bounded = msgspec.structs.replace(
        settings, max_new_tokens=NEW_TOKENS, max_line_tokens=NEW_TOKENS, multiline="always"
    )
    return dict(msgspec.to_builtins(bounded))
