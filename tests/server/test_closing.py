"""A connection ends: what its service holds is given back, however long that takes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from codegen_lsp.config.settings import Settings
from codegen_lsp.context.surroundings import Surroundings
from codegen_lsp.server import session
from codegen_lsp.server.server import create_server
from tests.server.echo_server import EchoService


class Slow(EchoService):
    """Lets go of its engine when it may."""

    def __init__(self, settings: Settings, surroundings: Surroundings) -> None:
        super().__init__(settings, surroundings)
        self.free = asyncio.Event()
        self.closed = False
        self.broken = False

    async def close(self) -> None:
        """Takes until then."""
        await self.free.wait()
        if self.broken:
            raise OSError("secret")
        self.closed = True


@pytest.mark.parametrize("broken", [False, True])
async def test_a_service_that_takes_long(
    broken: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection does not wait for it, and it ends all the same."""
    monkeypatch.setattr(session, "CLOSING_SECONDS", 0.01)
    logging.getLogger("codegen_lsp").propagate = True
    server = create_server(Slow)
    service = server.service
    assert isinstance(service, Slow)
    service.broken = broken
    with caplog.at_level(logging.WARNING):
        await server.aclose()
        assert "did not stop within" in caplog.text
        service.free.set()
        while session._CLOSING:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
    assert service.closed is not broken
    assert ("could not be closed: OSError" in caplog.text) is broken
    assert "secret" not in caplog.text
