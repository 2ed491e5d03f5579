"""``codegen-lsp models pull``: a model from the hub or a folder into the store.

Only options and words; the work is ``models.pull``, which is handed the converters here because
models know none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from codegen_lsp.cli import state

if TYPE_CHECKING:
    from codegen_lsp.models.folders import ModelFolder

__all__ = ["pull"]

COMPUTE_TYPES = (
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "float16",
    "bfloat16",
    "float32",
)
"""``models.preflight.WEIGHT_BYTES``, without importing it for a help text; a test compares."""


@click.command()
@click.argument("what", metavar="NAME|HUB_ID|FOLDER")
@click.option("--name", metavar="NAME", help="Install it under this name.")
@click.option("--revision", metavar="R", help="Branch, tag or commit; by default the newest.")
@click.option(
    "--compute-type",
    type=click.Choice(COMPUTE_TYPES),
    default="int8",
    show_default=True,
    help="How weights are stored.",
)
@click.option("--adapter", metavar="HUB_ID|FOLDER", help="A LoRA adapter to merge first.")
@click.option("--keep-source", is_flag=True, help="Keep what was downloaded.")
@click.option("--no-check", is_flag=True, help="Do not compare logits after the conversion.")
@click.option("--no-measure", is_flag=True, help="Do not find out which engine is faster here.")
@state.json_option
@state.debug_option
def pull(
    what: str,
    name: str | None,
    revision: str | None,
    compute_type: str,
    adapter: str | None,
    keep_source: bool,
    no_check: bool,
    no_measure: bool,
    as_json: bool,
) -> None:
    """Fetch a model, convert it, check it and install it.

    Interrupted at any time, it goes on where it was when it is run again. Where llama.cpp is
    installed, the model is prepared for it as well, and what a keystroke takes either engine is
    measured once: about as long as a conversion; the faster one is used from then on.
    """
    from codegen_lsp.cli.preparing import prepare_and_measure
    from codegen_lsp.cli.reporting import reporter
    from codegen_lsp.config.home import home
    from codegen_lsp.models.jobs import ConversionJob, PullRequest
    from codegen_lsp.models.manifest import Manifest
    from codegen_lsp.models.pull import pull as install

    def convert(job: ConversionJob) -> Manifest:
        # Imported when there is something to convert: it needs libraries that downloads do not.
        from codegen_lsp.converters.pipeline import run_job

        manifest: Manifest = run_job(job)
        return manifest

    request = PullRequest(
        what=what,
        name=name,
        revision=revision,
        compute_type=compute_type,
        adapter=adapter,
        keep_source=keep_source,
        check=not no_check,
    )
    with reporter() as report:
        model = install(request, home(), convert=convert, report=report)
        faster = None if no_measure else prepare_and_measure(model, home(), report)
    if as_json:
        state.print_json({**_installed(model), "faster_engine": faster})
    else:
        click.echo(model.name)
    click.echo(
        f"try: codegen-lsp complete FILE:LINE:COL --model {model.name}"
        f'   (in an editor: the setting "model": "{model.name}")',
        err=True,
    )


def _installed(model: ModelFolder) -> dict[str, object]:
    """What is told of a model that was installed."""
    from codegen_lsp.cli.reporting import described

    manifest = model.manifest
    return {
        "model": model.name,
        "folder": str(model.path),
        "bytes": model.size,
        "compute_type": manifest.compute_type,
        "family": manifest.family,
        "licence": manifest.licence,
        "revision": manifest.origin.revision if manifest.origin is not None else "",
        "checks": described(manifest.checks),
    }
