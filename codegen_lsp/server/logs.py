"""Where log lines go: stderr, and the log of the editor whose message is being handled.

One logger tree, ``codegen_lsp``. pygls' own loggers are silenced, because they write whole
messages, and with them the user's code, into the log; what matters of them this package says in
its own words. No line of ours contains a user's code.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from typing import Protocol

__all__ = ["Editor", "attach_editor", "log_unexpected", "set_up_logging"]

ROOT = "codegen_lsp"


class Editor(Protocol):
    """The far end of a connection, as far as the log is concerned."""

    def log_level(self) -> int:
        """The least level its user wants to see."""
        ...

    def log_to_editor(self, record: logging.LogRecord) -> None:
        """Write one line into the editor's log."""
        ...


_editor: contextvars.ContextVar[Editor | None] = contextvars.ContextVar("editor", default=None)


def set_up_logging(*, debug: bool) -> None:
    """Send this package's log lines to stderr and to the attached editor.

    With ``debug``, stderr gets everything, tracebacks too, whatever the settings say.
    """
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)
    root = logging.getLogger(ROOT)
    root.setLevel(logging.DEBUG)  # each handler decides for itself
    root.propagate = False
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(logging.Formatter("codegen-lsp: %(levelname)s: %(message)s"))
    if not debug:
        stderr.addFilter(_wanted)
    editor = _EditorHandler()
    editor.addFilter(_wanted)
    root.handlers = [stderr, editor]


def attach_editor(editor: Editor) -> None:
    """Records of this context, and of tasks begun in it, go to ``editor`` too."""
    _editor.set(editor)


def log_unexpected(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Name an error nobody expected, without its message, which could quote the user's code."""
    logger.error("%s: %s (--debug shows more)", what, _describe(error))
    logger.debug("%s", what, exc_info=error)


def _describe(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} in {code.co_qualname}, line {trace.tb_lineno}"


def _wanted(record: logging.LogRecord) -> bool:
    editor = _editor.get()
    return record.levelno >= (logging.INFO if editor is None else editor.log_level())


class _EditorHandler(logging.Handler):
    """Hands a record to the editor of the current context.

    Records from other threads stay on stderr: only the event loop may write to an editor.
    """

    def emit(self, record: logging.LogRecord) -> None:
        editor = _editor.get()
        if editor is not None and _on_event_loop():
            editor.log_to_editor(record)


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
