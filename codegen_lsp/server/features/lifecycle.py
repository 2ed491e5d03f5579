"""``initialize``, ``initialized``, and an editor that dies without ``exit``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lsprotocol import types

from codegen_lsp.server.features import configuration
from codegen_lsp.server.logs import log_unexpected
from codegen_lsp.server.positions import Encoding

if TYPE_CHECKING:
    import psutil

    from codegen_lsp.server.session import CodegenServer

__all__ = ["register"]

logger = logging.getLogger(__name__)

WATCH_SECONDS = 2.0
"""How often a look is taken whether the editor still lives."""


def register(ls: CodegenServer) -> None:
    """Add both messages; ``shutdown`` and ``exit`` are the protocol's own."""
    ls.feature(types.INITIALIZE)(initialize)
    ls.feature(types.INITIALIZED)(initialized)


def initialize(ls: CodegenServer, params: types.InitializeParams) -> None:
    """Agree on how positions count and on the settings known so far."""
    ls.documents.encoding = Encoding(ls.workspace.position_encoding)
    try:
        configuration.begin(ls, params)
    except Exception as error:  # an editor with strange options still gets completions
        log_unexpected(logger, "the settings could not be read", error)


async def initialized(ls: CodegenServer, params: types.InitializedParams) -> None:
    """Keep an eye on the editor and ask for its settings."""
    editor = _editor_process(ls.process_id)
    if editor is not None:
        ls.keep(asyncio.create_task(_watch(ls, editor)))
    logger.info("codegen-lsp %s serves, positions in %s", ls.version, ls.documents.encoding.value)
    await configuration.settle(ls)


def _editor_process(process_id: int | None) -> psutil.Process | None:
    """The editor, if it is an ancestor of this process.

    Else the process id may come from another machine or container, and says nothing here.
    """
    if process_id is None:
        return None
    import psutil  # late: not needed to answer ``initialize``

    return next((one for one in psutil.Process().parents() if one.pid == process_id), None)


async def _watch(ls: CodegenServer, editor: psutil.Process) -> None:
    """End the connection when the editor has died and left its end of the pipe to others."""
    while _lives(editor):  # noqa: ASYNC110 - nothing reports the end of a process not our child
        await asyncio.sleep(WATCH_SECONDS)
    logger.warning("the editor (process %d) is gone", editor.pid)
    ls.ended.set()


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
