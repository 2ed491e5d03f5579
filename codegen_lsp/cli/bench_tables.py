"""Reports of ``codegen-lsp bench`` as tables. Knows numbers and words; measures nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from codegen_lsp.evaluation.bench.served import ServerSpeed
    from codegen_lsp.evaluation.bench.spreads import Spread
    from codegen_lsp.evaluation.bench.typed import TypingPlan, TypingSpeed
    from codegen_lsp.evaluation.speed import EngineSpeed, Speed

__all__ = ["print_engines", "print_typing"]

DECODE = re.compile(r"decode_ms_(\d+)")
EXTEND = re.compile(r"extend_(\d+)(_first)?_ms")


def print_engines(speed: Speed) -> None:
    """One table for each engine with its peer, then the server's."""
    console = Console()
    by_label = {one.label: one for one in speed.engines}
    for one in speed.engines:
        if one.peer:
            console.print(_engine_table(one, by_label.get(one.peer), speed))
            console.print(_floor(one, speed), highlight=False)
    for absent in speed.absent:
        console.print(f"not measured: {absent.label}: {absent.why}", highlight=False)
    console.print(_server_table(speed.server, speed.new_tokens))
    console.print(_machine(speed.machine) + f"; {speed.rounds} rounds", highlight=False)
    if speed.keystroke_ms:
        told = ", ".join(f"{name} {ms:.0f} ms" for name, ms in sorted(speed.keystroke_ms.items()))
        console.print(f"a keystroke takes {told}", highlight=False)


def _engine_table(one: EngineSpeed, peer: EngineSpeed | None, speed: Speed) -> Table:
    table = Table(title=_title(one, peer, speed))
    table.add_column("measured", no_wrap=True)
    for heading in ("p50", "p95", "peer", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, value in sorted(one.measures.items(), key=_order):
        other = peer.measures.get(name) if peer else None
        ratio = f"{one.ratios[name]:.2f}x" if name in one.ratios else ""
        shown = _number(other.p50) if other else ""
        table.add_row(_words(name, speed), _number(value.p50), _number(value.p95), shown, ratio)
    _add_once(table, "load, ms", one.load_ms, peer.load_ms if peer else None)
    _add_once(table, "loading added, MiB", one.resident_mib, peer.resident_mib if peer else None)
    return table


def _title(one: EngineSpeed, peer: EngineSpeed | None, speed: Speed) -> str:
    count = one.runs.threads
    threads = f", {count} thread{'s' * (count > 1)}" if count else ""
    beside = f"peer: {peer.label}" if peer else "no peer"
    return f"{speed.model}: {one.label}{threads}; {beside}"


def _number(value: float) -> str:
    """Three digits that count, no exponents."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _order(item: tuple[str, Spread]) -> tuple[int, int, str]:
    """Reading, writing by context, extending, the rest."""
    name = item[0]
    decode, extend = DECODE.fullmatch(name), EXTEND.fullmatch(name)
    if decode:
        return 1, int(decode[1]), name
    if extend:
        return 2, int(extend[1]), "" if extend[2] else name
    return (0 if name.startswith("prefill") else 3), 0, name


def _words(name: str, speed: Speed) -> str:
    decode, extend = DECODE.fullmatch(name), EXTEND.fullmatch(name)
    if decode:
        return f"decode at {decode[1]} tokens, ms/token"
    if extend:
        what = "first token" if extend[2] else f"{speed.new_tokens} tokens"
        return f"{extend[1]} new on a warm prompt, {what}, ms"
    return {
        "prefill_tokens_per_s": "prefill, tokens/s",
        "repetitive_ms": f"repetitive code: {speed.new_tokens} tokens, ms",
        "cancel_ms": "given up until free, ms",
        "cancel_to_first_ms": "given up until the next first token, ms",
    }.get(name, name)


def _add_once(table: Table, name: str, value: float, other: float | None) -> None:
    table.add_row(name, f"{value:.0f}", "", "" if other is None else f"{other:.0f}", "")


def _floor(one: EngineSpeed, speed: Speed) -> str:
    if one.floor_ms is None or one.weight_bytes is None:
        return ""
    text = (
        f"{one.weight_bytes / 1e6:.0f} MB of weights a token, "
        f"{speed.bandwidth_gb_per_s:.1f} GB/s copied: at least {one.floor_ms:.2f} ms"
    )
    return text + (f"; it takes {one.times_floor:.1f} times that" if one.times_floor else "")


def _server_table(server: ServerSpeed, new_tokens: int) -> Table:
    table = Table(title="the server, over stdio")
    table.add_column("measured")
    for heading in ("p50", "p95", "calls"):
        table.add_column(heading, justify="right")
    rows = (
        ("server start to initialize answered", server.initialize_ms),
        ("first completion after start", server.first_completion_ms),
        (
            f"up to {new_tokens} new tokens ({server.shown_tokens:.0f} shown)",
            server.completion_ms,
        ),
    )
    for name, value in rows:
        table.add_row(name, f"{value.p50:.0f} ms", f"{value.p95:.0f} ms", str(value.count))
    table.add_row("resident memory", f"{server.resident_mib:.0f} MiB", "", "")
    return table


def print_typing(
    speeds: Sequence[TypingSpeed],
    plan: TypingPlan,
    machine: Mapping[str, object],
) -> None:
    """One column for each session."""
    gaps = "human gaps" if plan.pace.human else "no human gaps: latencies mean little"
    table = Table(title=f"{plan.keys} keys in {plan.files} files, as {plan.editor}, {gaps}")
    table.add_column("measured", no_wrap=True)
    for speed in speeds:
        table.add_column(speed.name, justify="right")
    for name in _row_names(speeds):
        table.add_row(name, *(_typing_rows(speed).get(name, "") for speed in speeds))
    table.caption = _machine(machine)
    Console().print(table)


def _row_names(speeds: Sequence[TypingSpeed]) -> list[str]:
    """Every row that some session has, sources where the first session has its own."""
    names: list[str] = []
    for speed in speeds:
        for place, name in enumerate(_typing_rows(speed)):
            if name not in names:
                names.insert(place, name)
    return names


def _typing_rows(speed: TypingSpeed) -> dict[str, str]:
    quarters = ", ".join(f"{mib:.0f}" for mib in speed.quarters_mib)
    slope = speed.growth_mib_per_1000_keys
    sources: dict[str, str] = {}
    for source, value in speed.by_source.items():
        sources[f"  {source}"] = _counted(value)
        if source in speed.inside_ms:
            sources[f"  {source}, in the server"] = _pair(speed.inside_ms[source])
    return {
        "keys pressed, for characters": f"{speed.keys}, {speed.characters}",
        "files visited": str(speed.files),
        "suggestions accepted": str(speed.accepted),
        "answers: text, none, superseded": ", ".join(str(n) for n in speed.asked.values()),
        "keys with a suggestion in sight": f"{speed.in_sight:.0%}",
        "answered without the engine": _share(speed.without_engine),
        "… of the answers with text": _share(speed.answers_without_engine),
        "ms to first token, p50 / p95": _pair(speed.first_ms),
        "ms to whole text, p50 / p95": _pair(speed.ghost_ms),
        **sources,
        "CPU seconds per 100 keys": f"{speed.cpu_s_per_100_keys:.2f}",
        "CPU while nobody types": f"{speed.idle_cpu_percent:.1f}%",
        "peak, final MiB": f"{speed.peak_mib:.0f}, {speed.final_mib:.0f}",
        "MiB after each quarter": quarters,
        "growth, second half": "" if slope is None else f"{slope:.1f} MiB/1,000 keys",
        "time typed": f"{speed.seconds:.0f} s",
    }


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _pair(value: Spread | None) -> str:
    return "" if value is None else f"{value.p50:.1f} / {value.p95:.1f}"


def _counted(value: Spread) -> str:
    return f"{_pair(value)} ({value.count})"


def _machine(machine: Mapping[str, object]) -> str:
    return (
        f"{machine['cpus']} CPUs (load {machine['load']}), {machine['memory_gib']} GiB, "
        f"Python {machine['python']}, {machine['platform']}"
    )
