"""How fast completions are on this machine: the numbers of ``codegen-lsp bench engine``.

Engines stand side by side with their peers, on the same weights, in the same run, round by round,
so that whatever else the machine does meets all of them. What is measured is ``bench.rounds``' and
``bench.served``'s affair, how a report is shown the command's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import psutil

from codegen_lsp.config.home import home
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import Engine, EngineInfo
from codegen_lsp.errors import CodegenError, GenerationError
from codegen_lsp.evaluation.bench.bandwidth import copy_bandwidth, floor_ms
from codegen_lsp.evaluation.bench.rounds import (
    NEW_TOKENS,
    Lengths,
    Texts,
    lengths_for,
    measure_round,
)
from codegen_lsp.evaluation.bench.served import Progress, ServerSpeed, measure_server
from codegen_lsp.evaluation.bench.spreads import Spread, spread
from codegen_lsp.evaluation.bench.subjects import Absent, EngineName, FindGguf, Subject, choose
from codegen_lsp.evaluation.bench.texts import round_texts
from codegen_lsp.evaluation.bench.weights import bytes_per_token
from codegen_lsp.evaluation.machine import machine
from codegen_lsp.evaluation.positions import places
from codegen_lsp.models.store import ModelFolder, find_model
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["QUICK", "EngineSpeed", "Plan", "Speed", "keystrokes", "measure_speed"]


KEYSTROKE: Final = "extend_8_ms"
"""The measure that decides between engines."""


UNSEEN: Final = "cancel_ms"
"""What cannot be measured through a connection: closing it takes no time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    """How often each engine is measured."""

    calls: int = 30
    """Warm completions through the server."""

    starts: int = 5
    """Servers that are started."""

    prompt_tokens: int = 300
    """Upper bound for a prompt through the server, which most prompts come close to."""

    quick: bool = False
    """Leave out the longest contexts."""


QUICK = Plan(rounds=2, calls=10, starts=2, quick=True)


@dataclass(frozen=True, slots=True)
class EngineSpeed:
    """One engine with one type of weights."""

    label: str
    runs: EngineInfo
    peer: str
    """The label of what it is compared with; empty for a peer."""

    load_ms: float
    resident_mib: float
    """What loading added to resident memory: of this process, or of the one it started."""

    measures: Mapping[str, Spread]
    """By name: ``decode_ms_500`` is milliseconds per token with 500 tokens of context,
    ``extend_8_first_ms`` the first token after 8 new ones on a prompt that was read, …"""

    ratios: Mapping[str, float] = field(default_factory=dict)
    """Median by the peer's median; below 1 is better than the peer, above 1 in ``…_per_s``."""

    weight_bytes: float | None = None
    """Bytes of weights that one token costs."""

    floor_ms: float | None = None
    """In that time memory brings them: no engine that reads all weights is faster."""

    times_floor: float | None = None
    """Milliseconds per token with hardly any context, by the floor."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The whole report."""

    machine: Mapping[str, object]
    model: str
    context_length: int
    new_tokens: int
    rounds: int
    bandwidth_gb_per_s: float
    """Read and written together by a copy, with as many threads as the engines have."""

    engines: Sequence[EngineSpeed]
    absent: Sequence[Absent]
    """What was not measured, and why."""

    server: ServerSpeed
    keystroke_ms: Mapping[str, float]
    """What a keystroke takes each engine as ``engine = "auto"`` would run it, by the engine's
    name: eight new tokens on a warm prompt to the last of the answer."""


@dataclass(slots=True)
class _Measured:
    """What was measured of a subject so far."""

    subject: Subject
    runs: EngineInfo
    found: dict[str, list[float]] = field(default_factory=dict)
    load_ms: list[float] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)

    def note(self, measured: Mapping[str, float]) -> None:
        """Add one round."""
        for name, value in measured.items():
            if self.subject.remote and name == UNSEEN:
                continue
            self.found.setdefault(name, []).append(value)


async def measure_speed(
    settings: Settings,
    progress: Progress = lambda _: None,
    *,
    find_gguf: FindGguf,
    engines: Sequence[EngineName] = ("ct2", "llama"),
    plan: Plan = Plan(),
) -> Speed:
    """Measure everything; minutes with a model of 350M, one with the bundled model.

    :raises CodegenError: the model cannot be opened, no engine runs, or the server does not answer.
    """
    folder = find_model(settings.model, home())
    tokenizer = CodeTokenizer.from_folder(folder.path)
    subjects, absent = choose(folder, settings, engines, find_gguf)
    measured = await _measure_engines(folder, tokenizer, subjects, absent, plan, progress)
    tests = places(tokenizer, prompt_tokens=plan.prompt_tokens)
    server = await measure_server(
        settings, tokenizer, tests, progress, starts=plan.starts, calls=plan.calls
    )
    bandwidth = copy_bandwidth(max(one.runs.threads for one in measured) or 1)
    speeds = [_with_floor(one, folder, bandwidth) for one in _compared(measured)]
    return Speed(
        machine=machine(),
        model=folder.name,
        context_length=folder.manifest.context_length,
        new_tokens=NEW_TOKENS,
        rounds=plan.rounds,
        bandwidth_gb_per_s=round(bandwidth / 1e9, 2),
        engines=speeds,
        absent=absent,
        server=server,
        keystroke_ms=keystrokes(speeds, subjects),
    )


async def _measure_engines(
    folder: ModelFolder,
    tokenizer: CodeTokenizer,
    subjects: Sequence[Subject],
    absent: list[Absent],
    plan: Plan,
    progress: Progress,
) -> list[EngineSpeed]:
    lengths = lengths_for(folder.manifest.context_length, quick=plan.quick)
    texts = round_texts(tokenizer, lengths.most, plan.rounds)
    measured: dict[str, _Measured] = {}
    missing: dict[str, str] = {}
    for number, text in enumerate(texts):
        for place in range(len(subjects)):
            # Each round begins with another one, so that none is always the first.
            subject = subjects[(number + place) % len(subjects)]
            if subject.label in missing:
                continue
            progress(f"round {number + 1} of {len(texts)}: {subject.label}")
            try:
                await _measure_one(subject, text, lengths, measured)
            except CodegenError as error:  # of a round, be it the last: the others go on
                missing[subject.label] = str(error)
    measured = {label: one for label, one in measured.items() if label not in missing}
    absent += [Absent(label, why) for label, why in missing.items()]
    if not measured:
        raise GenerationError(
            "no engine can run this model: " + "; ".join(one.why for one in absent),
            mend="see codegen-lsp doctor",
        )
    order = [subject.label for subject in subjects]
    return [_speed(measured[label]) for label in order if label in measured]


async def _measure_one(
    subject: Subject, text: Texts, lengths: Lengths, measured: dict[str, _Measured]
) -> None:
    """One round of a subject, which is there for as long as it takes and no longer.

    Engines that wait side by side in one process disturb each other: threads that are not at work
    still watch for some.

    :raises CodegenError: it cannot be opened, or fails.
    """
    before, begin = _resident_here(), time.perf_counter()
    engine: Engine | None = None
    try:
        engine = subject.make()
        await engine.load()
        elapsed = (time.perf_counter() - begin) * 1000
        one = measured.setdefault(subject.label, _Measured(subject, engine.info))
        one.load_ms.append(elapsed)
        pid = getattr(engine, "pid", 0)  # a peer in a process of its own
        one.resident_mib.append(
            psutil.Process(pid).memory_info().rss / 2**20 if pid else _resident_here() - before
        )
        one.note(await measure_round(engine, text, lengths))
    finally:
        if engine is not None:
            await engine.close()


def _resident_here() -> float:
    return float(psutil.Process().memory_info().rss / 2**20)


def _speed(one: _Measured) -> EngineSpeed:
    return EngineSpeed(
        label=one.subject.label,
        runs=one.runs,
        peer=one.subject.peer,
        load_ms=round(statistics.median(one.load_ms), 1),
        resident_mib=round(one.resident_mib[0], 1),
        measures={name: spread(values) for name, values in one.found.items()},
    )


def _compared(speeds: Sequence[EngineSpeed]) -> list[EngineSpeed]:
    """The same with ratios, where the peer was measured."""
    by_label = {one.label: one for one in speeds}
    return [_against(one, by_label[one.peer]) if one.peer in by_label else one for one in speeds]


def _against(one: EngineSpeed, peer: EngineSpeed) -> EngineSpeed:
    ratios = {
        name: round(value.p50 / peer.measures[name].p50, 3)
        for name, value in one.measures.items()
        if name in peer.measures and peer.measures[name].p50 > 0
    }
    return replace(one, ratios=ratios)


def _with_floor(one: EngineSpeed, folder: ModelFolder, bandwidth: float) -> EngineSpeed:
    """The same with what this machine's memory allows; a GPU has a memory of its own."""
    weights = bytes_per_token(folder.manifest, folder.path, one.runs.compute_type)
    if weights is None or one.runs.device != "cpu":
        return one
    floor = floor_ms(weights, bandwidth)
    step = one.measures.get("decode_ms_0")
    return replace(
        one,
        weight_bytes=weights,
        floor_ms=round(floor, 3),
        times_floor=round(step.p50 / floor, 2) if step else None,
    )


def keystrokes(speeds: Sequence[EngineSpeed], subjects: Sequence[Subject]) -> dict[str, float]:
    """The time of a keystroke, by engine, of the subjects that stand for their engines."""
    found: dict[str, float] = {}
    for subject in subjects:
        speed = next((one for one in speeds if one.label == subject.label), None)
        if subject.stands_for and speed and KEYSTROKE in speed.measures:
            found[subject.stands_for] = speed.measures[KEYSTROKE].p50
    return found
