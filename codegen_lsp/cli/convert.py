"""``codegen-lsp models convert`` and ``models check``: other layouts, and proof that they agree.

Only options and words; the work is ``converters.pipeline``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codegen_lsp.cli import state

if TYPE_CHECKING:
    from codegen_lsp.models.manifest import Check

__all__ = ["check", "convert"]

LAYOUTS: Mapping[str, str] = {
    "ct2": "CTranslate2: what this program runs",
    "hf": "Hugging Face",
    "phi": "Phi, which MLX, OpenVINO and vLLM know",
    "gptj": "GPT-J, which vLLM knows",
    "gguf": "GGUF, for llama.cpp and Ollama",
}
"""What ``--to`` takes, and who reads it; ``converters.pipeline.TARGETS`` are the same."""

SOURCE = "NAME|FOLDER"


@click.command()
@click.argument("source", metavar=SOURCE)
@click.option(
    "--to",
    "layout",
    type=click.Choice(list(LAYOUTS)),
    required=True,
    help="; ".join(f"{name}: {text}" for name, text in LAYOUTS.items()) + ".",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Must not exist yet.")
@click.option(
    "--quantization", default="", metavar="KIND", help="How weights are stored, such as q8_0."
)
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the tokenizer's files, where the source has none: a JAXFORMER checkpoint;"
    " for CodeGen2.5 a CodeGen1's.",
)
@state.json_option
@state.debug_option
def convert(
    source: str,
    layout: str,
    out: Path,
    quantization: str,
    tokenizer: Path | None,
    as_json: bool,
) -> None:
    """Write a model in another layout, if it computes the same there.

    NAME is an installed model or 'bundled'; FOLDER holds a Hugging Face or JAXFORMER checkpoint.
    """
    from codegen_lsp.cli.reporting import described, reporter
    from codegen_lsp.config.home import home
    from codegen_lsp.converters.pipeline import convert_to

    with reporter() as report:
        checks = convert_to(
            source,
            layout,
            out,
            quantization=quantization,
            home=home(),
            report=report,
            tokenizers=tokenizer,
        )
    _show(checks)
    if as_json:
        state.print_json({"out": str(out), "checks": described(checks)})
    else:
        click.echo(out)


@click.command()
@click.argument("source", metavar=SOURCE)
@click.argument("converted", type=click.Path(exists=True, path_type=Path), metavar="CONVERTED")
@state.json_option
@state.debug_option
def check(source: str, converted: Path, as_json: bool) -> None:
    """Compare the logits of CONVERTED, in any layout, with those of a model.

    Ends with 1 when they differ.
    """
    from codegen_lsp.cli.reporting import described, reporter
    from codegen_lsp.config.home import home
    from codegen_lsp.converters import pipeline

    with reporter() as report:
        checks = pipeline.check(source, converted, home=home(), report=report)
    _show(checks)
    if as_json:
        state.print_json({"checks": described(checks)})
    else:
        click.echo(f"{converted} computes what {source} does")


def _show(checks: Iterable[Check]) -> None:
    """The comparisons on stderr: a table on a terminal, lines elsewhere."""
    rows = [
        (one.name, f"{one.max_abs:.2g}", f"{one.agreement:.2%}", f"{one.divergence:.2g}")
        for one in checks
    ]
    if not sys.stderr.isatty():
        for name, difference, agreement, divergence in rows:
            click.echo(
                f"{name}: largest difference {difference}, same likeliest token {agreement},"
                f" divergence {divergence}",
                err=True,
            )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("compared", "largest difference", "same likeliest token", "divergence")
    for row in rows:
        table.add_row(*row)
    Console(stderr=True).print(table)
