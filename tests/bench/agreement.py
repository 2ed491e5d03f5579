"""What a conversion changes, by family: a table of every comparison a pull makes.

    python -m tests.bench.agreement [--tokenizer FOLDER] [--json]

Tiny random checkpoints in the published layouts are converted to CTranslate2 in float32 and int8
and compared as ``models pull`` compares them. ``--tokenizer`` is a CodeGen1's, which CodeGen2.5 is
built on. Random weights are flat: what int8 costs a trained model, ``models info`` tells of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from codegen_lsp.converters.pipeline import run_job
from codegen_lsp.models.jobs import ConversionJob
from codegen_lsp.models.manifest import Check, Manifest
from codegen_lsp.models.reporting import Silent
from tests.support.published import FAMILIES, publish


def checks_of(source: Path, out: Path, kind: str, companion: Path | None) -> tuple[Check, ...]:
    """Convert as a pull does; what was compared."""
    job = ConversionJob(
        source=source,
        companion=companion,
        out=out,
        manifest=Manifest(name="tiny", context_length=2),
        compute_type=kind,
        check=True,
        report=Silent(),
    )
    checks: tuple[Check, ...] = run_job(job).checks
    return checks


def rows(companion: Path | None) -> Iterator[tuple[str, str, Check]]:
    """Family, how the weights are stored, and one comparison."""
    with tempfile.TemporaryDirectory() as scratch:
        for family in FAMILIES:
            if family == "codegen25" and companion is None:
                print("codegen25: left out, no --tokenizer", file=sys.stderr)
                continue
            source = publish(Path(scratch) / family, family)
            for kind in ("float32", "int8"):
                out = Path(scratch) / f"{family}-{kind}"
                for check in checks_of(source, out, kind, companion):
                    yield family, kind, check


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.agreement", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tokenizer", type=Path, help="a CodeGen1 tokenizer")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    found = list(rows(given.tokenizer))
    print("| family | compared | largest difference | same likeliest token |\n|---|---|---|---|")
    for family, _, check in found:
        print(f"| {family} | {check.name} | {check.max_abs:.1e} | {check.agreement:.1%} |")
    if given.as_json:
        listed = [
            {"family": f, "stored": k, "compared": c.name, "max_abs": c.max_abs}
            | {"agreement": c.agreement, "divergence": c.divergence}
            for f, k, c in found
        ]
        print(json.dumps({"checks": listed}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
