"""The façade: its names are a contract, and importing it costs next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import codegen_lsp
from codegen_lsp import Completer, Settings

NAMES = [
    "CodegenError",
    "Completer",
    "Completion",
    "ConversionError",
    "CorpusError",
    "DocumentError",
    "EngineError",
    "EngineUnavailableError",
    "GenerationError",
    "HubError",
    "ModelDamagedError",
    "ModelError",
    "ModelNotFoundError",
    "RemoteAwayError",
    "Settings",
    "SettingsError",
    "Source",
    "Timings",
    "TrainingError",
    "Trigger",
    "UsageError",
]

HEAVY = ["click", "ctranslate2", "jax", "numpy", "pygls", "rich", "tokenizers", "torch"]


def test_names_are_locked() -> None:
    """A name that leaves or enters the façade does so on purpose, here."""
    assert codegen_lsp.__all__ == NAMES


def test_every_name_can_be_had() -> None:
    """Each exported name exists and is called what it is exported as."""
    for name in NAMES:
        assert getattr(codegen_lsp, name).__name__ == name
        assert name in dir(codegen_lsp)


def test_all_errors_are_exported() -> None:
    """Whoever catches errors finds the whole tree in one place."""
    assert set(codegen_lsp.errors.__all__) <= set(NAMES)


def test_unknown_name() -> None:
    """A misspelt name is an ordinary ``AttributeError``."""
    with pytest.raises(AttributeError, match="Kompleter"):
        codegen_lsp.Kompleter  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    """``import codegen_lsp`` loads no engine, tokenizer, server or command line."""
    code = f"import sys, codegen_lsp; print([m for m in {HEAVY} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "[]"


def test_version_is_known() -> None:
    """The version is a string, whether the package is installed or only on the path."""
    assert codegen_lsp.__version__[0].isdigit()


def test_code_of_the_folder_is_seen(tmp_path: Path) -> None:
    """A file that nobody opened is shown to the model; without a folder nothing is looked for."""
    (tmp_path / "shapes.py").write_text(
        "def rectangle_area(width, height):\n    return width * height\n", encoding="utf-8"
    )
    text = "from shapes import rectangle_area\n\n\nprint(rectangle_area("
    path = str(tmp_path / "main.py")
    prompts = {}
    for folder in (None, tmp_path):
        with Completer(Settings(), folder=folder) as completer:
            prompts[folder] = completer.explain(text, len(text), path=path)
    assert "# shapes.py\n# def rectangle_area(width, height):" in prompts[tmp_path]
    assert "def rectangle_area" not in prompts[None]
