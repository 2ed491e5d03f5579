"""Serving: over stdin and stdout for one editor, over TCP for several.

Knows processes, streams and how they end. When the connection has ended, nothing of it is left:
no task, no thread that keeps the process alive, no engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from codegen_lsp.errors import UsageError
from codegen_lsp.server.framing import PipeWriter, messages, pipe_reader
from codegen_lsp.server.logs import attach_editor, log_unexpected, set_up_logging
from codegen_lsp.server.server import create_server
from codegen_lsp.server.session import CodegenServer, ServiceFactory
from codegen_lsp.server.sharing import SharedModels

if TYPE_CHECKING:
    from codegen_lsp.completion.service import CompletionService
    from codegen_lsp.config.settings import Settings
    from codegen_lsp.context.surroundings import Surroundings

__all__ = ["serve_connection", "serve_stdio", "serve_tcp"]

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.001
"""How long a thread may keep the event loop waiting for the interpreter; Python's own 5 ms, several
times over, would be felt between two keys."""

EXIT_SECONDS = 5.0
"""How long the process may take to end after its last connection."""


def _service(settings: Settings, surroundings: Surroundings) -> CompletionService:
    from codegen_lsp.completion.service import CompletionService  # late: not needed to start

    return CompletionService(settings, neighbours=surroundings)


def serve_stdio(
    settings_overrides: Mapping[str, object],
    *,
    debug: bool,
    service_factory: ServiceFactory = _service,
) -> int:
    """Serve the editor that started this process, until it says ``exit`` or closes stdin.

    Takes the process over: stdout is the editor's alone, and what else is printed goes to stderr.

    :returns: the exit code: 0, or 1 after an ``exit`` without ``shutdown``.
    """
    outlet = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    sys.setswitchinterval(SWITCH_SECONDS)
    set_up_logging(debug=debug)

    async def serve() -> int:
        server = create_server(service_factory, settings_overrides)
        server.protocol.set_writer(PipeWriter(outlet, server.ended.set))
        code = await serve_connection(pipe_reader(0), server)
        _end_surely(code)
        return code

    try:
        return asyncio.run(serve())
    except KeyboardInterrupt:
        return 0


def serve_tcp(
    host: str,
    port: int,
    overrides: Mapping[str, object],
    *,
    debug: bool,
    service_factory: ServiceFactory | None = None,
) -> int:
    """Serve every editor that connects, until the process is interrupted or terminated.

    Each connection has a server of its own; they share the models they use. Port 0 takes a free
    one; the log names it.

    :raises UsageError: nothing can listen on that address.
    :returns: the exit code, 0.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    set_up_logging(debug=debug)
    factory = service_factory or SharedModels().service
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_listen(host, port, partial(create_server, factory, overrides)))
    _end_surely(0)
    return 0


async def _listen(host: str, port: int, new_server: Callable[[], CodegenServer]) -> None:
    stop = asyncio.Event()
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve_editor(reader, writer, new_server()))
        connections.add(task)
        task.add_done_callback(connections.discard)

    try:
        listener = await asyncio.start_server(connected, host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port} ({error.strerror})", mend="choose another address"
        ) from None
    _on_termination(stop)
    for socket in listener.sockets:
        logger.info("listening on %s:%d", *socket.getsockname()[:2])
    await stop.wait()
    listener.close()
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


async def _serve_editor(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: CodegenServer
) -> None:
    server.protocol.set_writer(writer)
    try:
        await serve_connection(reader, server)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _on_termination(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM"):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C still interrupts
            loop.add_signal_handler(getattr(signal, name), stop.set)


async def serve_connection(reader: asyncio.StreamReader, server: CodegenServer) -> int:
    """Serve one connection, whose writer is set already, until it ends.

    :returns: the exit code that this connection would end a process with.
    """
    attach_editor(server)
    reading = asyncio.create_task(_read(reader, server))
    ended = asyncio.create_task(server.ended.wait())
    try:
        await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        reading.cancel()
        ended.cancel()
        await server.aclose()
    return server.protocol.exit_code or 0


async def _read(reader: asyncio.StreamReader, server: CodegenServer) -> None:
    with contextlib.suppress(ConnectionError):
        async for body in messages(reader):
            try:
                server.protocol.receive(body)
            except Exception as error:  # one message must not end the connection
                log_unexpected(logger, "a message could not be handled", error)
            if server.protocol.exit_code is not None:
                return


def _end_surely(code: int) -> None:
    """End the process although a thread, for example one that loads a large model, lingers."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, args=(code,))
    timer.daemon = True
    timer.start()
