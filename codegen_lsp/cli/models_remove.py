"""``codegen-lsp models remove``: an installed model goes, and says what it leaves free.

With it goes what was made of it for llama.cpp. Where the model itself stays (the bundled one, one
that is run from a folder of the user's), that alone can be removed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from codegen_lsp.cli import state

if TYPE_CHECKING:
    from codegen_lsp.errors import ModelError

__all__ = ["remove"]


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@state.json_option
@state.debug_option
def remove(name: str, yes: bool, as_json: bool) -> int:
    """Remove an installed model, or what is left of a pull that was given up.

    Of the bundled model only what was made of it for llama.cpp is removed; bench engine makes it
    anew. Asks before it removes a model, where somebody can answer; ends with 1 if the answer is
    no.
    """
    from codegen_lsp.cli.models_text import bytes_text
    from codegen_lsp.config.home import home
    from codegen_lsp.errors import ModelError
    from codegen_lsp.models import store
    from codegen_lsp.models.downloads import forget_download
    from codegen_lsp.models.gguf import forget_gguf

    def waiting() -> None:
        click.echo(f"another process is changing {name}; waiting for it", err=True)

    gone = name
    try:
        size, folder = store.occupied(name, home())
    except ModelError as error:
        freed = forget_download(name, home(), waiting)
        if freed is None:
            gone, freed = f"what was made of {name} for llama.cpp", _forget_made_of(name, error)
    else:
        if not yes and sys.stdin.isatty():
            question = f"remove {name} ({bytes_text(size)}, {folder})?"
            if not click.confirm(question, err=True):
                return 1
        freed = store.remove(name, home(), waiting)
        freed += forget_download(name, home(), waiting) or 0
        freed += forget_gguf(name, home())
    if as_json:
        state.print_json({"model": name, "bytes": freed})
    else:
        click.echo(f"{gone} removed, {bytes_text(freed)} free")
    return 0


def _forget_made_of(name: str, error: ModelError) -> int:
    """Remove what was made of a model that is not there to be removed; the bytes that are free.

    :raises ModelError: *error*, if that is nothing.
    """
    from codegen_lsp.config.home import home
    from codegen_lsp.errors import ModelNotFoundError
    from codegen_lsp.models.gguf import forget_gguf, key_of
    from codegen_lsp.models.store import find_model

    there = not isinstance(error, ModelNotFoundError)  # the bundled one, by either of its names
    freed = forget_gguf(key_of(find_model(name, home())) if there else name, home())
    if not freed:
        raise error
    return freed
