"""How fast completions are on this machine: the numbers of ``codegen-lsp bench engine``.

Starts and warm completions are measured through the real server over stdio, as an editor meets
them; generation of a fixed number of tokens is measured at the engine itself, because a server
rightly stops earlier. Knows clocks and medians; how a report is shown is the command's.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import psutil

from codegen_lsp.completion.model import LoadedModel, open_model
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import Engine, EngineInfo
from codegen_lsp.errors import GenerationError
from codegen_lsp.evaluation.client import Client
from codegen_lsp.evaluation.machine import machine
from codegen_lsp.evaluation.positions import Place, places
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt

__all__ = ["EngineSpeed", "Plan", "ServerSpeed", "Speed", "Spread", "measure_speed", "spread"]

NEW_TOKENS = 24
WARM_UP = 2

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    calls: int = 30
    """Warm completions, at the engine and through the server each."""

    starts: int = 5
    """Servers that are started."""

    prompt_tokens: int = 300
    """Upper bound for a prompt, which most prompts come close to."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements of one thing."""

    p50: float
    p95: float
    count: int


@dataclass(frozen=True, slots=True)
class EngineSpeed:
    """The engine alone, model loaded, prompts different in every call."""

    completion_ms: Spread
    """Exactly ``NEW_TOKENS`` new tokens after a prompt of about ``Plan.prompt_tokens``."""

    prefill_tokens_per_s: float
    """Prompt tokens read in one second; median."""

    decode_ms_per_token: float
    """From one new token to the next; median."""

    prompt_tokens: float
    """Median length of the prompts."""


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


@dataclass(frozen=True, slots=True)
class Speed:
    """The whole report."""

    machine: Mapping[str, object]
    runs: EngineInfo
    new_tokens: int
    engine: EngineSpeed
    server: ServerSpeed


def spread(values: Sequence[float]) -> Spread:
    """Median and 95th percentile (nearest rank) of at least one value."""
    ordered = sorted(values)
    rank = math.ceil(0.95 * len(ordered)) - 1
    return Spread(round(statistics.median(ordered), 2), round(ordered[rank], 2), len(ordered))


async def measure_speed(
    settings: Settings, progress: Progress = lambda _: None, *, plan: Plan = Plan()
) -> Speed:
    """Measure everything; takes about a minute on a slow laptop.

    :raises CodegenError: the model cannot be opened, or the server does not answer.
    """
    progress("loading the model")
    loaded = await open_model(settings)
    try:
        tests = places(loaded.tokenizer, prompt_tokens=plan.prompt_tokens)
        engine = await _measure_engine(loaded, tests, plan, progress)
        info = loaded.engine.info
    finally:
        await loaded.engine.close()
    server = await _measure_server(settings, loaded.tokenizer, tests, plan, progress)
    return Speed(machine(), info, NEW_TOKENS, engine, server)


@dataclass(frozen=True, slots=True)
class _Generation:
    first_ms: float
    total_ms: float
    tokens: int


async def _measure_engine(
    loaded: LoadedModel, tests: Sequence[Place], plan: Plan, progress: Progress
) -> EngineSpeed:
    for place in tests[:WARM_UP]:
        await _generate(loaded.engine, place)
    whole: list[tuple[Place, _Generation]] = []
    for place in tests[WARM_UP:]:
        generation = await _generate(loaded.engine, place)
        if generation.tokens == NEW_TOKENS:  # others ended at end-of-text
            whole.append((place, generation))
            progress(f"engine: completion {len(whole)} of {plan.calls}")
        if len(whole) == plan.calls:
            break
    if not whole:
        raise GenerationError(f"the model never wrote {NEW_TOKENS} tokens; try another model")
    decode = [(g.total_ms - g.first_ms) / (g.tokens - 1) for _, g in whole]
    # The first token costs the prompt and one step of decoding.
    prefill = [
        len(place.prompt) / max(g.first_ms - step, 1e-3) * 1000
        for (place, g), step in zip(whole, decode, strict=True)
    ]
    return EngineSpeed(
        completion_ms=spread([g.total_ms for _, g in whole]),
        prefill_tokens_per_s=round(statistics.median(prefill), 1),
        decode_ms_per_token=round(statistics.median(decode), 3),
        prompt_tokens=statistics.median(len(place.prompt) for place, _ in whole),
    )


async def _generate(engine: Engine, place: Place) -> _Generation:
    request = GenerationRequest(Prompt((), place.prompt), NEW_TOKENS)
    begin = time.perf_counter()
    first = end = begin
    count = 0
    async for _ in engine.generate(request):
        end = time.perf_counter()
        count += 1
        if count == 1:
            first = end
    return _Generation((first - begin) * 1000, (end - begin) * 1000, count)


async def _measure_server(
    settings: Settings,
    tokenizer: CodeTokenizer,
    tests: Sequence[Place],
    plan: Plan,
    progress: Progress,
) -> ServerSpeed:
    initialize: list[float] = []
    first: list[float] = []
    answers: list[tuple[float, str]] = []
    resident = 0.0
    for start in range(1, plan.starts + 1):
        progress(f"server: start {start} of {plan.starts}")
        client = Client(_options(settings))
        async with _Timed(client, initialize):
            first.append((await _complete(client, tests[0]))[0])
            if start == plan.starts:
                answers = await _answers(client, tests[1:], plan.calls, progress)
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
