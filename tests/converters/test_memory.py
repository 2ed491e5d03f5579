"""A conversion in a process of its own, and what the system says it took."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from codegen_lsp.converters.checkpoint import weight_files
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_hf import hf_shapes
from tests.support.shaped import write_checkpoint
from tests.support.tiny import write_tokenizer

SHAPE = Shape(vocab_size=16000, n_positions=256, n_embd=512, n_layer=28, n_head=8, rotary_dim=32)
"""105M weights: 210 MB in float16."""

# Not getrusage: its maximum begins with what the parent of a process had.
MEASURE = """
import json, sys
sys.modules["torch"] = None  # as where it is not installed
from pathlib import Path
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.models.manifest import Manifest

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

before = status("VmRSS")
convert(Path(sys.argv[1]), Path(sys.argv[2]), Manifest(name="m", context_length=2), sys.argv[3])
print(json.dumps(status("VmHWM") - before))
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same weights in four shards of either form."""
    root = tmp_path_factory.mktemp("checkpoints")
    folders = {}
    for form in ("safetensors", "bin"):
        if form == "safetensors" or find_spec("torch") is not None:
            folders[form] = write_checkpoint(root / form, SHAPE, form=form, shards=4)
            write_tokenizer(folders[form] / "tokenizer.json")
    return folders


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux's accounts are needed")
@pytest.mark.parametrize(
    ("form", "quantization"),
    [("bin", "int8"), ("safetensors", "int8"), ("bin", "float32"), ("safetensors", "bfloat16")],
)
def test_a_conversion_streams(
    checkpoints: dict[str, Path], tmp_path: Path, form: str, quantization: str
) -> None:
    """Without torch, the peak is at most 1.3 times the largest shard and one tensor."""
    if form not in checkpoints:
        pytest.skip("torch, which writes such files, is not installed")
    folder = checkpoints[form]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), str(tmp_path / "out"), quantization],
        capture_output=True,
        text=True,
        check=True,
    )
    shard = max(path.stat().st_size for path in weight_files(folder))
    tensor = 2 * max(math.prod(axes) for axes in hf_shapes(SHAPE).values())
    assert tensor < json.loads(done.stdout) <= 1.3 * shard + tensor
