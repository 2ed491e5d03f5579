"""Reading, extending and writing on a GPU: CTranslate2 with and without anchors, and transformers.

    python -m tests.bench.gpu [--device auto|cuda|cpu] [--shapes 350M,2B] [--rounds N] [--json]

Needs what ``pip install -e '.[convert]'`` installs, and no model: those of CodeGen's shapes are
made with random weights in a temporary folder (``TMPDIR`` says where; 2B takes 20 GB), converted
by this project's own converters, and deleted. All of one shape are loaded at once, which for 2B
takes 40 GB of a GPU's memory; who finds no room is a line that says so. Without CUDA it measures
the same on the CPU, in float32 and int8 instead of the 16-bit types and on a tiny shape unless told
otherwise, which says nothing about GPUs and shows that it works.

Everybody reads the same ids, in rounds, one after the other, whoever began the last round last. A
prompt of 1,000 tokens never seen before; then the same with 8 more, 24 tokens of answer. Times are
absolute, from the call to the token in this process' hands. Anchors end 24 tokens before a
prompt's end, as the server's do, so that 32 tokens are read where the peer reads 8.

Knows who is measured, in which order, and the table. A subject that fails is a line that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from codegen_lsp.converters.shape import Shape
from codegen_lsp.engines.ct2 import cuda_devices
from codegen_lsp.engines.hardware import fingerprint
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import ConversionError
from codegen_lsp.evaluation.bench.spreads import Spread, spread
from tests.bench import gpu_cublas
from tests.bench.gpu_peer import TorchSubject
from tests.bench.gpu_shapes import POSITIONS, SHAPES, write_ct2, write_hf
from tests.bench.gpu_subjects import (
    LENGTH,
    MORE,
    NEW_TOKENS,
    Ct2Subject,
    Sample,
    Subject,
    draw_text,
    told,
)

CT2_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "cuda": ("float16", "bfloat16", "int8_float16"),
    "cpu": ("float32", "int8"),
}
TORCH_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "cuda": ("float16", "bfloat16"),
    "cpu": ("float32",),
}
DEFAULT_SHAPES: Final[Mapping[str, tuple[str, ...]]] = {"cuda": ("350M", "2B"), "cpu": ("tiny",)}

READY: Final = "CODEGEN_LSP_BENCH_CUBLAS"
"""Set in a process that was started so that it finds cuBLAS: what was tried, a line each."""

WARM_UP: Final = 1_000_000
"""Number of the text that is read before anything is measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured."""

    device: str
    """``cuda`` or ``cpu``."""

    shapes: tuple[str, ...]
    rounds: int
    threads: int = 0
    """CPU threads of every engine; 0 lets each choose."""

    compiled: bool = True
    """Whether the peer is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; milliseconds, ``None`` where nothing was measured."""

    shape: str
    engine: str
    kind: str
    mode: str
    cold: Spread | None = None
    warm: Spread | None = None
    step: Spread | None = None
    alike: float | None = None
    """Share of the tokens that came as the first line's did, up to the first that differs."""

    note: str = ""


@dataclass(slots=True)
class _Entry:
    """A subject and what it brought so far."""

    subject: Subject
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failure: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where nothing could be measured, 2 for what makes no sense."""
    given = _parser().parse_args(argv)
    device = _device() if given.device == "auto" else given.device
    shapes = given.shapes or DEFAULT_SHAPES[device]
    plan = Plan(device, shapes, given.rounds, given.threads, given.compiled)
    with tempfile.TemporaryDirectory(prefix="codegen-gpu-") as scratch:
        try:
            ended, lines = _find_cublas(Path(scratch), argv) if device == "cuda" else (None, [])
            if ended is not None:
                return ended
            rows = _report(plan, Path(scratch), lines)
        except (ConversionError, OSError) as error:  # no room for the weights
            print(error, file=sys.stderr)
            return 1
    if given.json:
        told_of = {"plan": asdict(plan), "machine": _machine(device), "cublas": lines}
        print(json.dumps({**told_of, "rows": [asdict(row) for row in rows]}))
    return 0 if any(row.cold for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Speed on a GPU against transformers.")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--shapes", type=_shapes, help=f"some of {','.join(SHAPES)}, with commas")
    parser.add_argument("--rounds", type=_rounds, default=12)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: each chooses")
    parser.add_argument("--no-compile", dest="compiled", action="store_false")
    parser.add_argument("--json", action="store_true")
    return parser


def _shapes(text: str) -> tuple[str, ...]:
    """:raises argparse.ArgumentTypeError: there is no such shape."""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in SHAPES]:
        raise argparse.ArgumentTypeError(f"no shape {unknown[0]!r}: use some of {','.join(SHAPES)}")
    return names


def _rounds(text: str) -> int:
    """:raises argparse.ArgumentTypeError: it is no number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _device() -> str:
    """``cuda`` where either library sees such a device."""
    if cuda_devices():
        return "cuda"
    with suppress(ImportError):
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cpu"


def _find_cublas(scratch: Path, argv: Sequence[str] | None) -> tuple[int | None, list[str]]:
    """Make CTranslate2 find cuBLAS in this process, or measure in one that does.

    The exit status of that other process, where there was one; and what was tried.
    """
    if READY in os.environ:
        return None, os.environ[READY].splitlines()
    model = write_ct2(write_hf(scratch / "try-hf", SHAPES["tiny"]), scratch / "try", "float16")
    candidates = gpu_cublas.ways(gpu_cublas.folders(), scratch / "link")
    way, lines = gpu_cublas.choose(candidates, lambda one: gpu_cublas.probe(one, model))
    if way is None:
        return None, lines
    if not way.search:
        gpu_cublas.apply(way)
        return None, lines
    command = [sys.executable, "-m", "tests.bench.gpu", *(sys.argv[1:] if argv is None else argv)]
    environment = way.environment() | {READY: "\n".join(lines)}
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode, lines


def _report(plan: Plan, scratch: Path, lines: Sequence[str]) -> list[Row]:
    """Measure shape after shape; print the table as it grows."""
    print(_machine(plan.device))
    print(*lines, sep="\n", end="\n" if lines else "")
    print(f"rounds: {plan.rounds}; milliseconds, p50 / p95\n")
    print(
        f"| shape | engine | type | kept | first of {LENGTH} | first of {MORE} more "
        f"| per token of {NEW_TOKENS} | alike | |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    rows = []
    for name in plan.shapes:
        for row in measure_shape(name, plan, scratch / name):
            print(_line(row), flush=True)
            rows.append(row)
    print("\nalike: tokens as in the shape's first line, up to the first that differs")
    return rows


def measure_shape(name: str, plan: Plan, folder: Path) -> list[Row]:
    """Everybody on one shape, made in *folder*, which is empty again afterwards."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        entries = [_Entry(subject) for subject in _subjects(SHAPES[name], plan, Path(scratch))]
        try:
            for entry in entries:
                _load(entry, SHAPES[name])
            _run_rounds(entries, SHAPES[name], plan.rounds)
        finally:
            for entry in entries:
                entry.subject.close()
    return list(_rows(name, entries))


def _subjects(shape: Shape, plan: Plan, folder: Path) -> Iterator[Subject]:
    """Everybody; the peer first, since its tokens are what the others' are compared with."""
    hf = write_hf(folder / "hf", shape)
    for kind in TORCH_TYPES[plan.device]:
        yield TorchSubject(hf, kind, plan.device, compiled=plan.compiled, threads=plan.threads)
    # Keys and values of all layers in float32, of every round and the one before: what is kept is
    # not to be thrown away while others are measured.
    kept = (plan.rounds + 2) * LENGTH * 2 * 4 * shape.n_layer * shape.n_embd
    for kind in CT2_TYPES[plan.device]:
        spec = EngineSpec(
            folder / kind,
            "random",
            POSITIONS,
            device=plan.device,
            compute_type=kind,
            threads=plan.threads,
            cache_memory=(kept >> 20) + 1,
        )
        yield Ct2Subject(hf, spec)


def _load(entry: _Entry, shape: Shape) -> None:
    """Load a subject, and let it do everything once."""
    try:
        entry.subject.load()
        entry.subject.measure(draw_text(shape, WARM_UP))
    except Exception as error:  # whatever a foreign library raises is one line of the table
        entry.failure = told(error)


def _run_rounds(entries: Sequence[_Entry], shape: Shape, rounds: int) -> None:
    for number in range(rounds):
        text = draw_text(shape, number)
        first = number % len(entries)
        for entry in (*entries[first:], *entries[:first]):
            if entry.failure:
                continue
            try:
                for mode, sample in entry.subject.measure(text).items():
                    entry.samples.setdefault(mode, []).append(sample)
            except Exception as error:  # see _load; what it brought before stays
                entry.failure = told(error)


def _rows(shape: str, entries: Sequence[_Entry]) -> Iterator[Row]:
    judge = next((s for e in entries for s in e.samples.values()), [])
    for entry in entries:
        one = entry.subject
        for mode in one.modes:
            samples = entry.samples.get(mode, [])
            note = entry.failure or one.notes.get(mode, "")
            row = Row(shape, one.engine, one.kind, mode, note=note)
            yield _filled(row, samples, judge) if samples else row


def _filled(row: Row, samples: Sequence[Sample], judge: Sequence[Sample]) -> Row:
    same = sum(_alike(a.tokens, b.tokens) for a, b in zip(samples, judge, strict=False))
    compared = NEW_TOKENS * min(len(samples), len(judge))
    return Row(
        row.shape,
        row.engine,
        row.kind,
        row.mode,
        spread([one.cold_ms for one in samples]),
        spread([one.warm_ms for one in samples]),
        spread([one.step_ms for one in samples]),
        same / compared,
        row.note,
    )


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens at the beginning are the same."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))


def _line(row: Row) -> str:
    shares = "" if row.alike is None else f"{row.alike:.0%}"
    times = (_times(one) for one in (row.cold, row.warm, row.step))
    cells = (row.shape, row.engine, row.kind, row.mode, *times, shares, row.note)
    return f"| {' | '.join(cells)} |"


def _times(value: Spread | None) -> str:
    return "" if value is None else f"{value.p50:.2f} / {value.p95:.2f}"


def _machine(device: str) -> str:
    """What is measured on, and with which versions."""
    name = fingerprint()
    if device == "cuda":
        with suppress(ImportError, RuntimeError, AssertionError):
            import torch

            name = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return "; ".join((name, *map(_version, ("ctranslate2", "torch", "transformers"))))


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


if __name__ == "__main__":
    sys.exit(main())
