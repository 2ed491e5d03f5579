"""``codegen-lsp serve``: the language server on stdio or TCP.

Only turns flags into a call; the server itself is ``codegen_lsp.server``.
"""

from __future__ import annotations

import click

from codegen_lsp.cli.state import State, debug_option, model_options, overrides

__all__ = ["parse_address", "serve"]


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` as a pair; an IPv6 host may stand in brackets.

    :raises click.BadParameter: no host, or a port outside 0..65535.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise click.BadParameter(f"{text!r} is not HOST:PORT, for example 127.0.0.1:7777")
    return host, int(port)


def _address(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, int] | None:
    return None if value is None else parse_address(value)


@click.command()
@click.option("--stdio", is_flag=True, help="Speak on stdin and stdout (the default).")
@click.option("--tcp", metavar="HOST:PORT", callback=_address, help="Serve several clients.")
@model_options
@debug_option
@click.pass_context
def serve(
    ctx: click.Context,
    stdio: bool = False,
    tcp: tuple[str, int] | None = None,
    model: str | None = None,
    device: str | None = None,
    compute_type: str | None = None,
) -> int:
    """Run the language server; editors start it with --stdio."""
    if stdio and tcp is not None:
        raise click.UsageError("--stdio and --tcp exclude each other")
    from codegen_lsp.server import run

    given = overrides(model, device, compute_type)
    debug = ctx.ensure_object(State).debug
    if tcp is not None:
        return run.serve_tcp(*tcp, given, debug=debug)
    return run.serve_stdio(given, debug=debug)
