"""``codegen-lsp models``: the table of what can be done with models.

Knows names and one-line helps; a command's own module is imported when it is run.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from codegen_lsp.cli.lazy import Entry, LazyGroup

__all__ = ["COMMANDS", "models"]

COMMANDS: Mapping[str, Entry] = {
    "list": Entry(
        "codegen_lsp.cli.models_list", "list_models", "What is installed, and what is not."
    ),
    "info": Entry("codegen_lsp.cli.models_info", "info", "All that is known of one model."),
    "pull": Entry("codegen_lsp.cli.pull", "pull", "Fetch, convert, check and install a model."),
    "convert": Entry("codegen_lsp.cli.convert", "convert", "Convert a model to another layout."),
    "check": Entry("codegen_lsp.cli.convert", "check", "Compare a conversion with its source."),
    "remove": Entry("codegen_lsp.cli.models_remove", "remove", "Remove an installed model."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def models() -> None:
    """Get, list, describe, convert and remove models."""
