"""``codegen-lsp train``: make a corpus if asked to, then train a model on it, or train on.

A thin way in to ``codegen_lsp.tpu``, which is imported only here and only when this command
runs, because its libraries are an extra. Defaults are the trainer's own: what is not given is
not passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from codegen_lsp.cli import state
from codegen_lsp.errors import EngineUnavailableError, UsageError

__all__ = ["train"]

SHARD = "train.npy"
"""The file that a prepared corpus has."""

OPTIONS: Mapping[str, tuple[type, str]] = {
    "--steps": (int, "Length of the run."),
    "--decay-steps": (int, "Last steps, in which the learning rate falls to zero."),
    "--minutes": (float, "Save and stop after so much time; the same command goes on."),
    "--seed": (int, "Of the first weights and of the order of the data."),
    "--vocab-size": (int, "Tokens of the model; at least the tokenizer's."),
    "--n-positions": (int, "Context length in tokens."),
    "--n-embd": (int, "Width of the model."),
    "--n-layer": (int, "Number of blocks."),
    "--n-head": (int, "Attention heads; a multiple of 4."),
    "--rotary-dim": (int, "Rotated dimensions of every head."),
    "--muon-lr": (float, "Peak learning rate of the matrices."),
    "--adam-lr": (float, "Peak learning rate of everything else."),
}
"""Options that go to the trainer as they are."""


def _trainer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag, (kind, text) in reversed(tuple(OPTIONS.items())):
        command = click.option(flag, type=kind, help=text)(command)
    return command


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the corpus.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run; a run that is there goes on.",
)
@click.option("--prepare", is_flag=True, help="Make the pinned corpus in --data if it is missing.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where --prepare keeps downloads.",
)
@_trainer_options
@state.json_option
@state.debug_option
def train(
    data: Path, out: Path, prepare: bool, cache: Path | None, as_json: bool, **given: float | None
) -> None:
    """Train a model with JAX on the CPU, a GPU or a TPU.

    Stopped by SIGTERM or --minutes, a run is saved; the same command goes on with it.
    """
    _need_libraries()
    if prepare and not (data / SHARD).is_file():
        _prepare(data, cache)
    if not (data / SHARD).is_file():
        raise UsageError(f"no {SHARD} in {data}", mend="make the corpus with --prepare")
    from codegen_lsp.tpu import train as trainer

    arguments = ["--data", str(data), "--out", str(out)]
    for name, value in given.items():
        if value is not None:
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    try:
        config = trainer.config_from_arguments(arguments)
    except ValueError as error:  # a shape that no model can have
        raise UsageError(str(error)) from error
    result = trainer.train(config)
    if as_json:
        state.print_json({"complete": result is not None, "heldout_bits_per_byte": result})
    elif result is not None:
        click.echo(f"{result:.4f} bits per byte on held-out files")


def _need_libraries() -> None:
    """Name the extra instead of failing inside an import.

    :raises EngineUnavailableError: one of its libraries is missing.
    """
    from importlib.util import find_spec

    missing = [name for name in ("jax", "flax", "optax", "orbax") if find_spec(name) is None]
    if missing:
        raise EngineUnavailableError(
            f"training needs {', '.join(missing)}", mend="run: pip install 'codegen-lsp[train]'"
        )


def _prepare(data: Path, cache: Path | None) -> None:
    from codegen_lsp.tpu import corpus

    click.echo("making the corpus; this takes some minutes", err=True)
    report = corpus.prepare(data, cache or data / "archives")
    click.echo(
        f"{report.train_files} files, {report.train_tokens} tokens of "
        f"{report.bytes_per_token:.2f} bytes",
        err=True,
    )
