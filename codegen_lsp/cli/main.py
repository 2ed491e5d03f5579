"""``codegen-lsp``: the table of commands, and how a command ends.

Knows names, one-line helps and exit codes. A command's own module is imported when that command
is run, so that ``--version`` and the server's start load nothing heavy.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

import click

from codegen_lsp.cli.lazy import Entry, LazyGroup
from codegen_lsp.cli.state import PROGRAM, State, debug_option
from codegen_lsp.errors import CodegenError, UsageError

__all__ = ["COMMANDS", "cli", "main"]

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


COMMANDS: Mapping[str, Entry] = {
    "serve": Entry("codegen_lsp.cli.serve", "serve", "Run the language server."),
    "complete": Entry("codegen_lsp.cli.complete", "complete", "Complete at FILE:LINE:COL."),
    "models": Entry("codegen_lsp.cli.models_cmd", "models", "Get, list and remove models."),
    "bench": Entry("codegen_lsp.cli.bench", "bench", "Measure speed on this machine."),
    "eval": Entry("codegen_lsp.cli.eval_cmd", "evaluate", "Measure quality."),
    "train": Entry("codegen_lsp.cli.train", "train", "Train or fine-tune a model (JAX)."),
    "team": Entry("codegen_lsp.cli.team", "team", "Serve a model to a team."),
    "doctor": Entry("codegen_lsp.cli.doctor", "doctor", "Say what is wrong and how to mend it."),
}


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from codegen_lsp import __version__

        click.echo(f"{PROGRAM} {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"max_content_width": 100},
)
@click.option("--stdio", is_flag=True, help="Run the language server on stdin and stdout.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@debug_option
@click.pass_context
def cli(ctx: click.Context, stdio: bool) -> object:
    """Complete code inline with CodeGen models, in any LSP editor, offline."""
    if ctx.invoked_subcommand is not None:
        if stdio:
            raise click.UsageError("--stdio stands alone or after 'serve'")
        return None
    if not stdio:
        raise click.exceptions.NoArgsIsHelpError(ctx)
    from codegen_lsp.cli.serve import serve

    return ctx.invoke(serve)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises what can be expected."""
    state = State()
    _make_streams_safe()
    try:
        result = cli.main(
            None if argv is None else list(argv), PROGRAM, standalone_mode=False, obj=state
        )
        sys.stdout.flush()
    except click.ClickException as error:
        return _usage(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit as end:  # click's own way out when a pipe breaks
        return end.code if isinstance(end.code, int) else FAILED
    except BrokenPipeError:
        _forget_stdout()
        return FAILED
    except CodegenError as error:
        return _failed(str(error), state, WRONG_USAGE if isinstance(error, UsageError) else FAILED)
    except Exception as error:
        line = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
        return _failed(f"{line}; run again with --debug and report what it prints", state, FAILED)
    return result if isinstance(result, int) else DONE


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return WRONG_USAGE
    line = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else PROGRAM
    click.echo(f"{PROGRAM}: error: {line}; see '{where} --help'", err=True)
    return WRONG_USAGE


def _failed(line: str, state: State, code: int) -> int:
    if state.debug:
        traceback.print_exc()
    click.echo(f"{PROGRAM}: error: {line}", err=True)
    return code


def _make_streams_safe() -> None:
    """No terminal's or pipe's encoding may turn an answer into a ``UnicodeEncodeError``."""
    logging.raiseExceptions = False  # a closed stderr is no reason to print about logging
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            piped = not stream.isatty()
            stream.reconfigure(encoding="utf-8" if piped else None, errors="backslashreplace")


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere; the reader has gone."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
