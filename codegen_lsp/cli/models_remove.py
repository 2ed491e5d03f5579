"""``codegen-lsp models remove``: an installed model goes, and says what it leaves free."""

from __future__ import annotations

import sys

import click

from codegen_lsp.cli import state

__all__ = ["remove"]


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@state.json_option
@state.debug_option
def remove(name: str, yes: bool, as_json: bool) -> int:
    """Remove an installed model, or what is left of a pull that was given up.

    Asks first where somebody can answer; ends with 1 if the answer is no.
    """
    from codegen_lsp.cli.models_text import bytes_text
    from codegen_lsp.config.home import home
    from codegen_lsp.errors import ModelNotFoundError
    from codegen_lsp.models import store
    from codegen_lsp.models.downloads import forget_download
    from codegen_lsp.models.gguf import forget_gguf

    def waiting() -> None:
        click.echo(f"another process is changing {name}; waiting for it", err=True)

    try:
        size, folder = store.occupied(name, home())
    except ModelNotFoundError:
        left = forget_download(name, home(), waiting)
        if left is None:
            raise
        freed = left
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
        click.echo(f"{name} removed, {bytes_text(freed)} free")
    return 0
