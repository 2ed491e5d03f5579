"""Whether CodeGen fits a TPU, asked of the compiler: a table made without any TPU.

Run as a program: ``python -m codegen_lsp.tpu.aot``. Every step is compiled ahead of time through
libtpu for the chips that are named (``aot_chips``), from shapes alone. Prints a table in Markdown
and, as the last line, the same as one JSON object; what is going on goes to stderr. Exit code 0,
or 1 with one line on stderr where something does not fit or cannot be asked.

Knows the command and its table. Does not know how a step is compiled (``aot_compile``), and
imports no jax before it told jax and libtpu that there is no TPU here.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from codegen_lsp.errors import CodegenError, EngineUnavailableError, UsageError
from codegen_lsp.tpu.aot_chips import SIZES, TOPOLOGIES

if TYPE_CHECKING:
    from codegen_lsp.tpu.aot_compile import Compiled

__all__ = ["compile_all", "main", "table"]

_WEIGHTS: Final = ("bfloat16", "int8")
_STEPS: Final = ("decode", "prefill")
_NEEDED: Final = ("jax", "flax", "libtpu")
_GIB: Final = 1 << 30
_WORDS: Final = ("chips", "weights", "step", "fits")
_SIZES: Final = ("arguments", "temporaries", "beside", "needed", "of")
_TIMES: Final = ("schedule ms", "optimum ms", "floor ms")
_HEADS: Final = (*_WORDS[:3], *_SIZES, _WORDS[3], *_TIMES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit code, see above."""
    given = _parser().parse_args(arguments)
    try:
        rows = compile_all(given)
        sys.stdout.write(f"{table(rows)}\n\n")
        refused = [row for row in rows if not row.fits]
        described = [asdict(row) | {"needed": row.needed, "fits": row.fits} for row in rows]
        summary = {"model": given.model, "blocks": given.blocks, "fits": not refused}
        sys.stdout.write(json.dumps(summary | {"rows": described}) + "\n")
        if refused:
            raise _too_large(refused)
    except CodegenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m codegen_lsp.tpu.aot",
        description="Compile CodeGen for TPUs that need not be there; say what it needs.",
    )
    parser.add_argument("--model", choices=SIZES, default="16B", help="the size of CodeGen")
    for name, choices in (("topology", TOPOLOGIES), ("weights", _WEIGHTS), ("step", _STEPS)):
        parser.add_argument(
            f"--{name}", nargs="+", choices=choices, default=list(choices), help="all by default"
        )
    parser.add_argument("--rows", type=_count, default=8, help="texts written at once")
    parser.add_argument("--context", type=_count, default=2048, help="tokens of each, at most")
    parser.add_argument("--prompt", type=_count, default=1536, help="tokens that prefill reads")
    parser.add_argument(
        "--blocks", type=_count, help="compile only so many blocks: quick, and not the whole model"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def compile_all(
    given: argparse.Namespace, say: Callable[[str], object] = sys.stderr.write
) -> list[Compiled]:
    """Compile every step that the command line asks for; one line to *say* for each.

    :raises EngineUnavailableError: a package is missing, or libtpu refuses.
    :raises UsageError: prompt and context do not go together.
    """
    if max(given.prompt, given.context) > 2048 or given.prompt > given.context:
        raise UsageError(
            f"a prompt of {given.prompt} tokens and a context of {given.context} are no pair",
            mend="CodeGen reads 2048 tokens, of which the prompt is a part",
        )
    _prepare(given.topology[0])
    from codegen_lsp.tpu.aot_compile import Load, compile_step, config_of

    load = Load(given.rows, given.context, given.prompt)
    rows = []
    for name, weights, step in itertools.product(given.topology, given.weights, given.step):
        config = config_of(SIZES[given.model], weights, given.blocks)
        rows.append(compile_step(TOPOLOGIES[name], config, step, load))
        say(f"{name} {weights} {step}: compiled in {rows[-1].compiling:.0f} s\n")
    return rows


def _prepare(topology: str) -> None:
    """Environment that libtpu needs on a machine without TPUs, before anything imports jax.

    :raises EngineUnavailableError: a package is missing.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise EngineUnavailableError(
                f"compiling for TPUs needs the package {package}",
                mend="on Linux x86-64: pip install 'codegen-lsp[tpu]'",
            )
    os.environ |= {
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no chip is taken: several may compile
        "JAX_PLATFORMS": "cpu",
        "TPU_ACCELERATOR_TYPE": TOPOLOGIES[topology].accelerator_type,
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }


def table(rows: Sequence[Compiled]) -> str:
    """The rows in Markdown: GiB and milliseconds of one device."""
    lines: list[tuple[str, ...]] = [
        _HEADS,
        tuple("---" if head in _WORDS else "--:" for head in _HEADS),
    ]
    lines += [
        (
            row.topology,
            row.weights,
            row.step,
            *map(_gib, (row.arguments, row.temporaries, row.beside, row.needed, row.memory)),
            "yes" if row.fits else "no",
            *map(_ms, (row.scheduled, row.optimum, row.floor)),
        )
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _gib(size: int | None) -> str:
    return "-" if size is None else f"{size / _GIB:.2f}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.1f}"


def _too_large(rows: Sequence[Compiled]) -> EngineUnavailableError:
    row = rows[0]
    more = f" and {len(rows) - 1} more" if rows[1:] else ""
    least = "at least " if row.temporaries is None else ""
    return EngineUnavailableError(
        f"{row.step} with {row.weights} weights needs {least}{_gib(row.needed)} GiB on each chip of"
        f" {row.topology}, which has {_gib(row.memory)}{more}",
        mend="use int8 weights, more chips, fewer rows or a shorter context",
    )


if __name__ == "__main__":
    sys.exit(main())
