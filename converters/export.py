"""A trainer's checkpoint to the model folder that ships: every step with its logits compared.

    checkpoint (JAX) -> Hugging Face CodeGen -> CTranslate2 float32 -> CTranslate2 int8

    python -m codegen_lsp.converters.export --checkpoint DIR --tokenizer FILE --out DIR --name NAME

The comparison reads this package's own source code as the model's input. Knows the order of the
steps and what each may change. Does not know how a checkpoint is stored (``tpu.plain``).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from codegen_lsp.errors import CodegenError
from codegen_lsp.models.manifest import Manifest

from . import verify
from .reference import forward
from .samples import sample_tokens
from .shape import Shape
from .to_ct2 import convert
from .to_hf import to_hf_folder

__all__ = ["Step", "export", "export_bundled", "main"]

SEQUENCES: Final = 4
LENGTH: Final = 128
"""Tokens per compared sequence, where the context allows it."""

Weights = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Step:
    """One comparison."""

    name: str
    difference: verify.Difference


def export(
    plain: Weights,
    shape: Shape,
    tokenizer: Path,
    out: Path,
    manifest: Manifest,
    *,
    hf: Path | None = None,
    quantization: str = "int8",
) -> tuple[Manifest, list[Step]]:
    """Plain weights to the model folder *out*; the comparisons in order.

    The Hugging Face folder is kept where *hf* names one. *out* is written only after every
    comparison before it held, and left without a manifest where the last one fails.

    :raises ConversionError: a step changed what the model computes, or could not be done.
    """
    tokens = sample_tokens(
        tokenizer, shape.vocab_size, sequences=SEQUENCES, length=min(LENGTH, shape.n_positions)
    )
    base = np.concatenate([forward(plain, shape, sequence) for sequence in tokens])
    steps = [_step("JAX", base, verify.jax_logits(plain, shape, tokens))]
    with tempfile.TemporaryDirectory() as scratch:
        folder = to_hf_folder(plain, shape, tokenizer, hf or Path(scratch) / "hf")
        steps.append(_step("Hugging Face, numpy", base, verify.reference_logits(folder, tokens)))
        official = verify.transformers_logits(folder, tokens)
        if official is not None:
            steps.append(_step("Hugging Face, transformers", base, official))
        for kind in dict.fromkeys(("float32", quantization)):
            trial = Path(scratch) / kind
            convert(folder, trial, manifest, kind)
            logits = verify.ct2_logits(trial, tokens, kind)
            steps.append(_step(f"CTranslate2, {kind}", base, logits, kind))
        return convert(folder, out, manifest, quantization), steps


def _step(name: str, base: verify.Logits, logits: verify.Logits, kind: str = "float32") -> Step:
    tolerance = verify.EXACT if kind == "float32" else verify.QUANTIZED
    return Step(name, verify.require(name, verify.compare(base, logits), tolerance))


def export_bundled(
    checkpoint: Path, tokenizer: Path, out: Path, manifest: Manifest, *, hf: Path | None = None
) -> tuple[Manifest, list[Step]]:
    """:func:`export` of the newest checkpoint in the folder of a run of ``codegen_lsp.tpu.train``.

    :raises ConversionError: see :func:`export`.
    :raises TrainingError: the folder holds no readable checkpoint.
    """
    from codegen_lsp.tpu.plain import read_run
    from codegen_lsp.tpu.tokenizer import END_OF_TEXT_ID

    plain, config = read_run(checkpoint)
    shape = Shape(
        vocab_size=config.vocab_size,
        n_positions=config.n_positions,
        n_embd=config.n_embd,
        n_layer=config.n_layer,
        n_head=config.n_head,
        rotary_dim=config.rotary_dim,
        layer_norm_epsilon=config.layer_norm_epsilon,
        eos_token_id=END_OF_TEXT_ID,
    )
    return export(plain, shape, tokenizer, out, manifest, hf=hf)


def report(steps: Sequence[Step], console: Console) -> None:
    """Print the comparisons as a table."""
    table = Table("layout", "largest difference", "same prediction", "divergence (nats/token)")
    for step in steps:
        table.add_row(
            step.name,
            f"{step.difference.max_abs:.2e}",
            f"{step.difference.agreement:.2%}",
            f"{step.difference.divergence:.2e}",
        )
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="codegen_lsp.converters.export", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--hf", type=Path, help="keep the Hugging Face folder here")
    parser.add_argument("--licence", default="Apache-2.0", help="SPDX identifier")
    parser.add_argument("--languages", nargs="*", default=["python"], help="LSP identifiers")
    parser.add_argument("--description", default="", help="one line for lists of models")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    manifest = Manifest(
        name=given.name,
        context_length=2,  # the conversion fills it in
        licence=given.licence,
        languages=tuple(given.languages),
        description=given.description,
    )
    try:
        written, steps = export_bundled(
            given.checkpoint, given.tokenizer, given.out, manifest, hf=given.hf
        )
    except CodegenError as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 1
    report(steps, console)
    size = sum(entry.size for entry in written.files.values())
    console.print(f"{written.name}: {written.parameters:,} parameters, {size / 1e6:.1f} MB")
    sys.stdout.write(f"{given.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
