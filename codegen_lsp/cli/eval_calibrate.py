"""``codegen-lsp eval replay --calibrate``: what a replay teaches the gate, kept on this machine.

Knows how the result is said; how it is found is ``evaluation.replay.calibrate``'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codegen_lsp.evaluation.replay.results import Run

__all__ = ["calibrate_from"]


def calibrate_from(run: Run) -> Mapping[str, object]:
    """Keep what *run* teaches, say so on stderr, and return it for ``--json``.

    :raises UsageError: too few suggestions, or suggestions of several models.
    """
    from codegen_lsp.completion.calibration import save_calibration
    from codegen_lsp.evaluation.replay import calibrate as fitting

    model = fitting.model_of(run.points)
    examples = fitting.examples_of(run.points)
    found, quality = fitting.calibrate(examples), fitting.quality_of(examples)
    path = save_calibration(model, found)
    click.echo(f"calibrated {model} on {found.points} suggestions; kept in {path}", err=True)
    if quality is not None:
        click.echo(
            f"on repositories left out: right ones ranked above wrong ones {quality.auc:.0%}, "
            f"mean error of the probabilities {quality.error:.1%}",
            err=True,
        )
    return {
        "model": model,
        "file": str(path),
        "suggestions": found.points,
        "weights": dict(zip(found.features, found.weights, strict=True)),
        "auc": None if quality is None else quality.auc,
        "error": None if quality is None else quality.error,
    }
