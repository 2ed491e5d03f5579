"""Time and memory of a pull: a checkpoint of a published shape, from a hub on loopback.

    python -m tests.bench.pull --tokenizer FOLDER [--size 350M] [--format bin] [--json]

The weights are random, because only shapes and bytes count; the files are as they are published.
The model is pulled twice, without and with the comparison of logits, and completes once. The
command line runs in processes of its own, whose highest resident memory the kernel tells; with
``--python`` in another environment, for example one without torch. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codegen_lsp.converters.accounting import PUBLISHED
from tests.support.hub import environment, running
from tests.support.shaped import copy_tokenizer, write_checkpoint

SAMPLE = Path(__file__).parents[1] / "e2e" / "sample.py"


@dataclass(frozen=True)
class Run:
    """One command: what it took."""

    seconds: float
    peak_mib: float
    """Highest resident memory."""
    output: str


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run *command* to its end; a failure ends the benchmark."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        # Elsewhere, so that Python imports what is installed and not what lies here.
        folder = environment["CODEGEN_LSP_HOME"]
        with subprocess.Popen(command, env=dict(environment), stdout=out, cwd=folder) as process:
            peak = 0
            while process.poll() is None:
                peak = max(peak, _peak(process.pid))
                time.sleep(0.02)
        seconds = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        out.seek(0)
        return Run(seconds, peak / 1024, out.read())


def _peak(pid: int) -> int:
    """The highest resident memory of a process so far, KiB; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) if found else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.pull", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tokenizer", type=Path, required=True, help="a CodeGen1 tokenizer")
    parser.add_argument("--size", choices=sorted(PUBLISHED), default="350M")
    parser.add_argument("--format", choices=("bin", "safetensors"), default="bin")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--python", default=sys.executable, help="whose codegen_lsp is measured")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    name = f"codegen-{given.size}-mono"
    with tempfile.TemporaryDirectory() as scratch, running() as hub:
        published, home = Path(scratch) / "published", Path(scratch) / "home"
        shape = PUBLISHED[given.size]
        write_checkpoint(published, shape, form=given.format, shards=given.shards)
        copy_tokenizer(given.tokenizer, published)
        home.mkdir()
        files = {path.name: path.read_bytes() for path in published.iterdir()}
        hub.add(f"Salesforce/{name}", files)
        told = environment(hub, home)
        program = [given.python, "-m", "codegen_lsp"]
        pull = [*program, "models", "pull", name, "--no-measure"]
        pull += ["--compute-type", given.compute_type]
        runs = {
            "pull without comparison": measured([*pull, "--no-check", "--name", "unchecked"], told),
            "pull": measured(pull, told),
            "complete": measured(
                [*program, "complete", f"{SAMPLE}:13", "--model", name, "--json"], told
            ),
        }
        sizes = [len(content) / 2**20 for content in files.values()]
    print(f"{name}: {sum(sizes):,.0f} MiB to fetch, largest file {max(sizes):,.0f} MiB")
    for what, run in runs.items():
        print(f"{what}: {run.seconds:.1f} s, peak {run.peak_mib:,.0f} MiB")
    if given.as_json:
        print(json.dumps({"model": name} | {what: asdict(run) for what, run in runs.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
