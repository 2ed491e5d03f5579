"""``codegen-lsp team``: the one-machine server of a team, and its keys.

A thin way in to ``codegen_lsp.team``, which is imported only here and only when this command
runs, because its libraries are an extra.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import click

from codegen_lsp.cli import state
from codegen_lsp.errors import EngineUnavailableError, UsageError

__all__ = ["team"]

KEYS: Final = "team-keys"
"""The file of keys in our home, where no other is named."""

FILES: Final[tuple[tuple[str, str, str], ...]] = (
    ("--keys", "keys", "The file of keys; anybody may ask without it, on this machine."),
    ("--tls-cert", "certificate", "Certificate and what it is signed with, PEM."),
    ("--tls-key", "private_key", "The certificate's private key, PEM."),
    ("--log", "log", "The access log; default: stderr."),
)
"""Options that name files: flag, field of the plan, help."""

NUMBERS: Final[tuple[tuple[str, str, int, int, str], ...]] = (
    ("--port", "port", 8765, 0, "0: any that is free."),
    ("--threads", "threads", 0, 0, "Of the model; 0: what suits the machine."),
    ("--rate", "per_minute", 600, 0, "Requests a minute of one key; 0: no limit."),
    ("--at-a-time", "at_a_time", 32, 0, "Requests at a time of one key; 0: no limit."),
    ("--queue", "most_waiting", 64, 1, "Sequences that may wait."),
    ("--batch", "most_together", 16, 1, "Sequences in a batch."),
    ("--max-body", "most_body", 1 << 20, 1024, "Bytes of a request's body."),
    ("--drain", "drain_seconds", 30, 0, "Seconds that answers may go on at the end."),
)
"""Options that are numbers: flag, field of the plan, default, least, help."""


def _plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag, field, default, least, text in reversed(NUMBERS):
        kind = click.IntRange(least, 65535 if field == "port" else None)
        command = click.option(
            flag, field, type=kind, default=default, show_default=True, help=text
        )(command)
    file = click.Path(dir_okay=False, path_type=Path)
    for flag, field, text in reversed(FILES):
        command = click.option(flag, field, type=file, help=text)(command)
    return command


@click.command()
@state.model_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@_plan_options
@click.option("--without-keys", is_flag=True, help="Let anybody ask who reaches the host.")
@click.option("--add-key", metavar="NAME", help="Make a key, print it once, keep its hash.")
@click.option("--remove-key", metavar="NAME", help="Forget a key.")
@state.debug_option
@click.pass_context
def team(
    ctx: click.Context,
    /,
    without_keys: bool,
    add_key: str | None,
    remove_key: str | None,
    **given: Any,
) -> int:
    """Serve a model to a team: OpenAI's /v1/completions, with keys, limits and metrics.

    Its status page is at /status, Prometheus reads /metrics.
    """
    if add_key is not None or remove_key is not None:
        return _change_keys(given["keys"], add_key, remove_key)
    _need_libraries()
    debug = ctx.ensure_object(state.State).debug
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format=f"{state.PROGRAM}: %(levelname)s %(name)s: %(message)s",
    )
    if given["keys"] is None and not without_keys and not _is_local(given["host"]):
        raise UsageError(
            f"whoever reaches {given['host']} could ask without a key",
            mend="make keys with --add-key and name their file with --keys, or say --without-keys",
        )
    from codegen_lsp.team.serving import Plan, run

    plan = Plan(**{name: value for name, value in given.items() if value is not None})
    return run(plan, lambda at: click.echo(f"{state.PROGRAM}: {plan.model} at {at}/v1", err=True))


def _change_keys(path: Path | None, add: str | None, remove: str | None) -> int:
    from codegen_lsp.config.home import home
    from codegen_lsp.team import keys

    path = path or home() / KEYS
    if remove is not None:
        keys.remove_key(path, remove)
        click.echo(f"{state.PROGRAM}: removed the key of {remove} from {path}", err=True)
    if add is not None:
        key = keys.add_key(path, add)
        click.echo(f"{state.PROGRAM}: kept a hash of it in {path}: --keys {path}", err=True)
        click.echo(key)
    return 0


def _is_local(host: str) -> bool:
    """Whether only this machine reaches *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _need_libraries() -> None:
    """Name the extra instead of failing inside an import.

    :raises EngineUnavailableError: one of its libraries is missing.
    """
    missing = [
        name for name in ("starlette", "uvicorn", "prometheus_client") if find_spec(name) is None
    ]
    if missing:
        raise EngineUnavailableError(
            f"the team's server needs {', '.join(missing)}",
            mend="run: pip install 'codegen-lsp[team]'",
        )
