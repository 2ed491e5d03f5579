"""The team's server, one for all tests that do not end it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from codegen_lsp.models.store import bundled_folder
from tests.support.team import TeamServer

NEEDED = ("starlette", "uvicorn", "prometheus_client", "httpx")
"""The extra [team], and what asks the server here."""

if not all(map(find_spec, NEEDED)) or not (bundled_folder() / "model.bin").is_file():
    collect_ignore_glob = ["test_*.py"]  # they could not even be imported


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    """The bundled model in float32, so that answers do not depend on who is in a batch."""
    folder = tmp_path_factory.mktemp("team")
    with TeamServer(
        folder, "--compute-type", "float32", "--rate", "0", "--at-a-time", "0", "--queue", "400"
    ) as server:
        yield server
