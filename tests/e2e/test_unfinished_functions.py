"""The bundled model finishes real functions it never saw, through the installed command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codegen_lsp.models.store import bundled_folder
from tests.support.unfinished import plausible, unfinished_functions

FUNCTIONS = 12
NEEDED = 10
"""At least this many of them must get text that is not empty and fits where it stands."""


@pytest.mark.parametrize(
    ("code", "fits"),
    [
        ("def f(x):\n    return x + 1", True),
        ("def f(x):\n    return (x +", True),
        ("def f(x):\n    if x:", True),
        ("def f(x):\n    return x)", False),
        ("def f(x):\n    return for", False),
        ("def f(x):\n    y = 1\n      z = 2", False),
    ],
)
def test_plausible_tells_code_from_what_only_looks_like_it(code: str, fits: bool) -> None:
    """What can be written on is plausible; what no continuation mends is not."""
    assert plausible(code) is fits


@pytest.mark.skipif(
    not (bundled_folder() / "model.bin").is_file(), reason="the bundled model is not built"
)
def test_complete_finishes_real_functions_of_unseen_packages(tmp_path: Path) -> None:
    """``complete`` gives plausible text inside at least 10 of 12 functions, and doubles nothing."""
    good: list[str] = []
    report: list[str] = []
    for number, function in enumerate(unfinished_functions(FUNCTIONS)):
        path = tmp_path / f"unfinished_{number}.py"
        path.write_text(function.text, encoding="utf-8")
        text = _complete(path, function.text)
        fits = bool(text.strip()) and plausible(function.text + text)
        good += [function.name] if fits else []
        report.append(f"{'+' if fits else '-'} {function.name}: {text!r}")
    print("\n".join(report))
    assert len(good) >= NEEDED, "\n".join(report)


def _complete(path: Path, text: str) -> str:
    line, column = text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1
    done = subprocess.run(
        [sys.executable, "-m", "codegen_lsp", "complete", f"{path}:{line}:{column}", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answer["text"]
