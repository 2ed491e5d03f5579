"""Where public test data lies, and how a test does without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_data(name: str) -> Path:
    """The folder or file *name* of the test data; the calling test is skipped without it."""
    root = Path(os.environ.get("CODEGEN_LSP_TEST_DATA") or _BESIDE)
    path = root / name
    if not path.exists():
        pytest.skip(f"no {name} in {root}; set CODEGEN_LSP_TEST_DATA to the folder of test data")
    return path


test_data.__test__ = False  # type: ignore[attr-defined]  # a helper, although named like a test
