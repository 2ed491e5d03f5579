"""Servers as processes: with the echoing service, and the real one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.server.raw_client import RawClient, echo_command


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Tests that set logging up in this process leave it as they found it."""
    root = logging.getLogger("codegen_lsp")
    handlers, level, propagate = root.handlers, root.level, root.propagate
    yield
    root.handlers, root.propagate = handlers, propagate
    root.setLevel(level)


@pytest.fixture
def server() -> Iterator[RawClient]:
    """A fresh echo server that has seen no message yet."""
    client = RawClient(echo_command())
    yield client
    client.end()


@pytest.fixture(scope="module")
def echo() -> Iterator[RawClient]:
    """An initialized echo server that a module's tests share; each uses URIs of its own."""
    client = RawClient(echo_command())
    client.initialize()
    yield client
    client.end()
