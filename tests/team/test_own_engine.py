"""Our own remote engine asks our own server: the two ends of a team's wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt
from tests.support.team import TeamServer

pytest.importorskip("codegen_lsp.engines.remote", reason="there is no remote engine")


async def test_it_says_what_the_engine_here_says(server: TeamServer) -> None:
    """Token by token, and how likely each was."""
    from codegen_lsp.engines.remote import RemoteEngine
    from codegen_lsp.engines.remote_access import Server

    here = EngineSpec(bundled_folder(), "bundled", 1024, device="cpu", compute_type="float32")
    there: Any = EngineSpec(Path(), "codegen-6M-mono", 1024, server=Server(server.url))
    ids = CodeTokenizer.from_folder(bundled_folder()).encode("import os\nimport ")
    request = GenerationRequest(Prompt((), tuple(ids)), 24)
    found = []
    for engine in (create_engine("ct2", here), RemoteEngine(there)):
        found.append([token async for token in engine.generate(request)])
        await engine.close()
    assert [token.id for token in found[0]] == [token.id for token in found[1]]
    assert [token.log_prob for token in found[0]] == pytest.approx(
        [token.log_prob for token in found[1]], abs=1e-4
    )
