"""Looking at the disk without being felt."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from codegen_lsp.context import reconcile
from codegen_lsp.context.ignoring import Ignore
from codegen_lsp.context.reconcile import Interrupted, look_at, look_everywhere


def pictures(root: Path) -> Path:
    """A folder in which there is much, and nothing that counts."""
    for number in range(300):
        folder = root / f"album{number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").touch()
    return root


def test_a_look_lets_others_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it finds nothing; what it costs is entries, not files that count."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    pictures(tmp_path)
    look_everywhere(tmp_path, Ignore(tmp_path), lambda: False)
    assert len(pauses) >= 300 // reconcile._BREATH
    pauses.clear()
    look_at(tmp_path, Ignore(tmp_path), ["album1"], lambda: False)
    look_at(tmp_path, Ignore(tmp_path), [f"album1/{n}.jpg" for n in range(300)], lambda: False)
    assert len(pauses) >= 300 // reconcile._BREATH


def test_a_look_ends_when_nobody_wants_to_know(tmp_path: Path) -> None:
    """In the middle of a folder without any source, too."""
    pictures(tmp_path)
    asked = 0

    def enough() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(Interrupted):
        look_everywhere(tmp_path, Ignore(tmp_path), enough)
    assert asked == 3
