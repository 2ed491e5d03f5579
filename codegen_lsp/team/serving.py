"""The team's server: everything that is opened, listening, draining, closing.

Knows uvicorn, sockets and signals. A client that sends slowly is cut off: a request's head must
come within :data:`HEAD_SECONDS` (uvicorn itself would wait for ever), its body within
:data:`BODY_SECONDS`, and between requests a connection may be idle for :data:`IDLE_SECONDS`. Who
takes slowly what is sent is cut off after :data:`SEND_SECONDS`; a TLS handshake has asyncio's
minute. More than :data:`MOST_CONNECTIONS` at a time are closed at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from codegen_lsp.errors import UsageError
from codegen_lsp.team.access_log import AccessLog
from codegen_lsp.team.app import create_app
from codegen_lsp.team.batching import Batcher
from codegen_lsp.team.costs import measure
from codegen_lsp.team.keys import Keys
from codegen_lsp.team.limits import Limits
from codegen_lsp.team.metrics import Metrics
from codegen_lsp.team.model import Served, open_served
from codegen_lsp.team.state import Team

__all__ = ["Plan", "run"]

HEAD_SECONDS: Final = 10.0

BODY_SECONDS: Final = 20.0

SEND_SECONDS: Final = 30.0

IDLE_SECONDS: Final = 75

MOST_CONNECTIONS: Final = 2000

HEAD_BYTES: Final = 32 << 10
"""Most bytes of a request's head."""

SWITCH_SECONDS: Final = 0.0002
"""How long one thread keeps the interpreter while another wants it. The model's steps wait for
their callbacks: with Python's 5 ms each request that is read would stop all batches for ten steps
of a small model."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server is told when it starts."""

    model: str = "bundled"
    device: str = "auto"
    compute_type: str = "auto"

    threads: int = 0
    """Of all workers together; 0 takes what suits the machine."""

    host: str = "127.0.0.1"

    port: int = 8765
    """0 takes any that is free."""

    keys: Path | None = None
    """``None``: anybody may ask."""

    certificate: Path | None = None
    private_key: Path | None = None

    per_minute: int = 600
    """Requests of one key; 0 is no limit."""

    at_a_time: int = 32
    """Requests of one key; 0 is no limit."""

    most_waiting: int = 64
    """Sequences in the queue."""

    most_together: int = 16
    """Sequences in a batch."""

    most_body: int = 1 << 20
    """Bytes of a request's body."""

    drain_seconds: int = 30
    """How long answers may go on once the server is to end."""

    log: Path | None = None
    """Where the access log goes; ``None`` is stderr."""


def run(plan: Plan, ready: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT; *ready* is told the address. Returns the exit code.

    :raises UsageError: an address or a certificate that cannot be used.
    :raises SettingsError: keys that cannot be read, or a log that cannot be written.
    :raises ModelError: the model is missing or damaged.
    :raises EngineError: it cannot run here.
    """
    _check_certificate(plan)
    keys = None if plan.keys is None else Keys(plan.keys)
    log = AccessLog(plan.log)
    listener = _listen(plan.host, plan.port)
    try:
        served = open_served(
            plan.model,
            device=plan.device,
            compute_type=plan.compute_type,
            threads=plan.threads,
        )
        try:
            team = _assemble(plan, served, keys, log)
            return _serve(plan, team, listener, ready)
        finally:
            served.model.close()  # a thread of CTranslate2's must not outlive the interpreter
    finally:
        listener.close()


def _assemble(plan: Plan, served: Served, keys: Keys | None, log: AccessLog) -> Team:
    metrics = Metrics()
    batcher = Batcher(
        served.model,
        measure(served.model),
        most_waiting=plan.most_waiting,
        most_together=plan.most_together,
        on_batch=metrics.batch.observe,
    )
    limits = Limits(plan.per_minute, plan.at_a_time)
    return Team(
        served=served,
        batcher=batcher,
        keys=keys,
        limits=limits,
        metrics=metrics,
        log=log,
        most_body=plan.most_body,
        read_seconds=BODY_SECONDS,
        send_seconds=SEND_SECONDS,
    )


def _serve(plan: Plan, team: Team, listener: socket.socket, ready: Callable[[str], None]) -> int:
    config = uvicorn.Config(
        create_app(team),
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=plan.drain_seconds,
        ssl_certfile=plan.certificate,
        ssl_keyfile=plan.private_key,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    # uvicorn raises again what it caught, once it has drained; that is no failure.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        _Server(config, lambda: ready(_address(plan, listener))).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
        team.close()
    return 0


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Protocol(H11Protocol):
    """One connection, on which a request's head must come in time."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
            return
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._late is None and (self.cycle is None or self.cycle.response_complete):
            self._arm()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _disarm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _check_certificate(plan: Plan) -> None:
    """:raises UsageError: certificate and key do not go together or cannot be read."""
    if (plan.certificate is None) != (plan.private_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    if plan.certificate is None or plan.private_key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            plan.certificate, plan.private_key
        )
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot use {plan.certificate} with {plan.private_key}: {error.strerror or error}",
            mend="give a certificate and its key in PEM, the key without a password",
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    """:raises UsageError: nothing can listen there."""
    try:
        family, kind, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _no_listening(host, port, error) from error
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _no_listening(host, port, error) from error
    return listener


def _no_listening(host: str, port: int, error: OSError) -> UsageError:
    return UsageError(
        f"cannot listen on {host}, port {port}: {error.strerror}",
        mend="choose another --host or --port",
    )


def _address(plan: Plan, listener: socket.socket) -> str:
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    scheme = "http" if plan.certificate is None else "https"
    return f"{scheme}://{host}:{listener.getsockname()[1]}"
