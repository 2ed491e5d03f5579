"""A few keys typed at the real server over stdio, in human time."""

from __future__ import annotations

import msgspec
import pytest

from codegen_lsp.config.settings import Settings
from codegen_lsp.evaluation.bench.backends import OwnServer
from codegen_lsp.evaluation.bench.corpus import unseen_pages
from codegen_lsp.evaluation.bench.hands import EDITORS
from codegen_lsp.evaluation.bench.typed import TypingPlan, measure_typing
from codegen_lsp.evaluation.bench.visits import make_script
from codegen_lsp.models.store import bundled_folder

pytestmark = pytest.mark.skipif(
    not (bundled_folder() / "model.bin").exists(), reason="the bundled model is not there"
)

KEYS = 20


@pytest.mark.parametrize("editor", EDITORS)
async def test_typing(editor: str) -> None:
    """Every key asks, at once or after a pause; what it cost is known, and nothing stays behind."""
    backend = OwnServer(dict(msgspec.to_builtins(Settings())))
    script = make_script(unseen_pages(3), seed=1)
    plan = TypingPlan(keys=KEYS, editor=editor, idle_seconds=0.0)
    speed = await measure_typing("codegen-lsp", backend, script, plan)
    assert speed.keys == KEYS
    assert speed.characters >= KEYS / 2
    assert sum(speed.asked.values()) <= KEYS
    assert speed.asked["text"] + speed.asked["empty"] > 0
    assert speed.ghost_ms is None or speed.ghost_ms.p50 > EDITORS[editor] * 1000
    assert set(speed.by_source) <= {"typed", "cache", "said", "copy", "flight", "warm", "cold"}
    assert speed.counters["requests"] > 0
    assert speed.without_engine is not None
    assert speed.cpu_s_per_100_keys > 0
    assert speed.peak_mib > 30
