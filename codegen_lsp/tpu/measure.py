"""Held-out bits per byte of a trained run, package by package, beside what xz needs.

Run as a program: ``python -m codegen_lsp.tpu.measure --data FOLDER --run FOLDER``. Knows where the
corpus and the run lie; how a text is scored is ``evaluate``'s affair.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flax import nnx
from tokenizers import Tokenizer

from codegen_lsp.errors import CodegenError
from codegen_lsp.tpu.data import HeldOutFile, held_out_files
from codegen_lsp.tpu.evaluate import bits_per_byte, make_scorer
from codegen_lsp.tpu.plain import model_of, read_run

__all__ = ["main", "measure", "xz_bits_per_byte"]


def xz_bits_per_byte(texts: Sequence[bytes]) -> float:
    """Bits per byte of ``xz -9`` on each text alone."""
    packed = sum(len(lzma.compress(text, preset=9)) for text in texts)
    return 8 * packed / max(1, sum(map(len, texts)))


def measure(data: Path, run: Path) -> dict[str, object]:
    """Bits per byte on all held-out files: the model's, and xz's by file and in one piece.

    Products are float32, whatever the run was trained in.

    :raises TrainingError: no readable run. :raises CorpusError: no held-out files.
    """
    plain, config = read_run(run)
    exact = replace(config, matmul_dtype="float32")
    params = nnx.to_pure_dict(nnx.state(model_of(plain, exact), nnx.Param))
    files = held_out_files(data / "heldout")
    result = bits_per_byte(make_scorer(exact), params, files, exact.n_positions)
    texts = _texts(data, files)
    return {
        "bits_per_byte": round(result.total, 4),
        "packages": {name: round(value, 4) for name, value in sorted(result.packages.items())},
        "tokens": result.tokens,
        "bytes": result.n_bytes,
        "xz_by_file": round(xz_bits_per_byte([t for group in texts.values() for t in group]), 4),
        "xz_by_package": {
            name: round(xz_bits_per_byte([b"".join(group)]), 4)
            for name, group in sorted(texts.items())
        },
        "xz_in_one": round(
            xz_bits_per_byte([b"".join(t for group in texts.values() for t in group)]), 4
        ),
    }


def _texts(data: Path, files: Sequence[HeldOutFile]) -> dict[str, list[bytes]]:
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    texts: dict[str, list[bytes]] = defaultdict(list)
    for file in files:
        texts[file.package].append(tokenizer.decode(file.tokens.tolist()).encode("utf-8"))
    return texts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON object; exit code 0, or 1 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="codegen_lsp.tpu.measure", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpus")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    given = parser.parse_args(arguments)
    try:
        print(json.dumps(measure(given.data, given.run)))
    except CodegenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
