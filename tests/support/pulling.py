"""What tests of pulling share: a hub with a tiny model on it, and pulling with the real converters.

The checkpoint is made without torch. Whoever imports ``hub`` imports ``tiny`` with it: they are
fixtures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from codegen_lsp.converters.pipeline import run_job
from codegen_lsp.models import hub as client
from codegen_lsp.models.jobs import PullRequest
from codegen_lsp.models.pull import pull
from codegen_lsp.models.reporting import Silent
from codegen_lsp.models.store import ModelFolder, installed
from tests.support.hub import Hub, connect, running
from tests.support.tiny import make_tiny

__all__ = [
    "CLUTTER",
    "MONO",
    "Recorder",
    "fetched",
    "files_of",
    "hub",
    "install",
    "left",
    "names",
    "tiny",
    "write_adapter",
]

MONO = "Salesforce/codegen-350M-mono"

CLUTTER = {
    ".gitattributes": b"* text",
    "README.md": b"# card",
    "flax_model.msgpack": b"flax",
    "tf_model.h5": b"tf",
    "modeling_codegen.py": b"import os",
    "onnx/model.onnx": b"onnx",
    "model.gguf": b"gguf",
}
"""What a repository holds that nobody needs to complete code."""


class Recorder(Silent):
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.parts: set[str] = set()

    def step(self, text: str) -> None:
        self.said.append(text)

    def note(self, text: str) -> None:
        self.said.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.parts.add(what)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A tiny CodeGen: ``hf`` and ``ct2`` folders."""
    made = make_tiny(tmp_path_factory.mktemp("tiny"), quantization="int8")
    return {"hf": made.hf, "ct2": made.ct2}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tiny: Mapping[str, Path]) -> Iterator[Hub]:
    """A hub with the tiny CodeGen as the 350M, with everything that repositories hold."""
    with running() as server:
        connect(server, monkeypatch)
        monkeypatch.setattr(client, "_WAITS", (0.0,))
        server.add(MONO, files_of(tiny["hf"]) | CLUTTER)
        yield server


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def install(home: Path, what: str = "codegen-350M-mono", **more: object) -> ModelFolder:
    """Pull into *home* with the real converters."""
    report = more.pop("report", None) or Recorder()
    request = PullRequest(what=what, **more)  # type: ignore[arg-type]
    return pull(request, home, convert=run_job, report=report)  # type: ignore[arg-type]


def fetched(hub: Hub) -> list[str]:
    """Names of the files that were asked for, by commit or from the store of large files."""
    return sorted(
        {
            seen.path.partition("?")[0].rpartition("/")[2]
            for seen in hub.seen
            if "/resolve/" in seen.path
        }
    )


def left(home: Path) -> list[str]:
    """Everything in the store but locks."""
    return sorted(p.name for p in (home / "models").glob("*") if p.name != ".locks")


def names(home: Path) -> list[str]:
    """Installed models."""
    return [model.name for model in installed(home) if model.name != "bundled"]


def write_adapter(tiny: Path) -> dict[str, bytes]:
    """A LoRA adapter of rank 2 for the attention of the tiny model."""
    from safetensors.numpy import save

    config = json.loads((tiny / "config.json").read_text())
    width, rng = config["n_embd"], np.random.default_rng(1)
    tensors = {}
    for layer in range(config["n_layer"]):
        at = f"base_model.model.transformer.h.{layer}.attn.qkv_proj.lora_"
        tensors[at + "A.weight"] = rng.standard_normal((2, width)).astype(np.float32)
        tensors[at + "B.weight"] = rng.standard_normal((3 * width, 2)).astype(np.float32)
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["qkv_proj"],
                "bias": "none", "fan_in_fan_out": False}  # fmt: skip
    return {
        "adapter_config.json": json.dumps(settings).encode(),
        "adapter_model.safetensors": save(tensors),
        "README.md": b"card",
    }
