"""What the wheel holds: every package, the bundled model, and no stray top-level name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_WHEEL = 25_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without a network from a copy of the tracked files."""
    pytest.importorskip("setuptools", "80", reason="setuptools 80 or newer is not installed")
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    source.mkdir()
    for name in ("codegen_lsp", "converters", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('../dist'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(work / "dist" / done.stdout.splitlines()[-1])


def test_the_list_of_packages_is_complete() -> None:
    """``pyproject.toml`` names each folder that holds Python code."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        named = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "codegen_lsp").rglob("*.py")
    }
    assert named == found | {"codegen_lsp.converters"}


def test_the_wheel_holds_only_our_package(wheel: zipfile.ZipFile) -> None:
    """``converters`` is inside ``codegen_lsp``; nothing else lands in site-packages."""
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"codegen_lsp"}
    assert "codegen_lsp/converters/qkv.py" in wheel.namelist()


def test_the_wheel_holds_the_bundled_model_and_is_small(wheel: zipfile.ZipFile) -> None:
    """Weights, tokenizer, manifest and card ship, within 25 MB."""
    bundled = "codegen_lsp/models/bundled/"
    for name in ("model.bin", "tokenizer.json", "vocabulary.json", "config.json"):
        assert bundled + name in wheel.namelist()
    assert bundled + "codegen-lsp.json" in wheel.namelist()
    assert bundled + "MODEL_CARD.md" in wheel.namelist()
    assert "codegen_lsp/tpu/sources.tsv" in wheel.namelist()
    for name in ("packages.tsv", "report.html.jinja", "report.css"):
        assert f"codegen_lsp/evaluation/replay/{name}" in wheel.namelist()
    assert sum(info.compress_size for info in wheel.infolist()) <= MAX_WHEEL
