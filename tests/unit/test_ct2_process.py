"""The CTranslate2 engine in an interpreter of its own: how it comes and how it goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny import make_tiny

LEAVING = """
import asyncio, sys
from pathlib import Path
from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.types import GenerationRequest, Prompt
engine = Ct2Engine(EngineSpec(Path(sys.argv[1]), "tiny", 64, "cpu", "float32", 1))
async def main():
    stream = engine.generate(GenerationRequest(Prompt((), (1, 2)), 60))
    await anext(stream)
    {leave}
asyncio.run(main())
"""


TIDYING = """
import asyncio, sys, time
from pathlib import Path
from codegen_lsp.engines import ct2
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.types import GenerationRequest, Prompt
ct2.IDLE_SECONDS = 0.0
engine = ct2.Ct2Engine(EngineSpec(Path(sys.argv[1]), "tiny", 64, "cpu", "float32", 1))
opened = engine._open
def slow():
    print("reopened", flush=True)
    time.sleep(0.3)
    model = opened()
    print("done", flush=True)
    return model
async def main():
    await engine.load()
    engine._anchors._capacity, engine._open = 60 * 512, slow
    for start in (1, 2):
        ids = tuple(range(start, start + 45))
        async for _ in engine.generate(GenerationRequest(Prompt(ids[:38], ids[38:]), 2)):
            pass
    await asyncio.sleep(0.1)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("engine")).ct2


@pytest.mark.parametrize(
    ("leave", "code"), [("return", 0), ("sys.exit(3)", 3), ("raise KeyboardInterrupt", None)]
)
def test_leaving_without_closing_is_clean(model: Path, leave: str, code: int | None) -> None:
    """An interpreter that exits in the middle of an answer neither hangs nor crashes."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVING.format(leave=leave), str(model)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode >= 0 or leave.startswith("raise"), done.stderr.decode()
    assert code is None or done.returncode == code
    assert b"terminate" not in done.stderr
    assert not done.stderr or leave.startswith("raise")


def test_leaving_while_the_model_is_reopened_is_clean(model: Path) -> None:
    """An interpreter that exits while memory is freed waits for it, and does not crash."""
    done = subprocess.run(
        [sys.executable, "-c", TIDYING, str(model)], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"reopened\ndone\n", b"")


def test_importing_the_engine_loads_no_library() -> None:
    """CTranslate2 is imported when a model is loaded, not before."""
    check = "import sys, codegen_lsp.engines.ct2; sys.exit('ctranslate2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
