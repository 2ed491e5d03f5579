"""Real functions, left unfinished: what a programmer has on the screen in the middle of one.

They are cut from packages that the bundled model never saw and that are installed with us, so
nothing is copied into this repository. Which functions is decided by a seed, not by hand.
"""

from __future__ import annotations

import ast
import codeop
import importlib.util
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = ("pygls", "watchdog", "cattrs", "markdown_it")
"""Import names of dependencies that are held out of the corpus as whole packages."""

MIN_STATEMENTS = 3
INCOMPLETE = ast.PyCF_ONLY_AST | codeop.PyCF_ALLOW_INCOMPLETE_INPUT  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A file that ends inside a function, the cursor on a new line of its body."""

    name: str
    """Package, path and line, for messages."""

    text: str
    """Everything up to the cursor, the new line's indentation included."""

    rest: str
    """What the authors wrote there."""


def unfinished_functions(count: int, seed: int = 0) -> list[Unfinished]:
    """``count`` functions, cut after their first statement beside the docstring."""
    found = [item for package in HELD_OUT for item in _functions_of(package)]
    return random.Random(seed).sample(found, count)


def _functions_of(package: str) -> Iterator[Unfinished]:
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is a dependency of codegen-lsp or of one of its own"
    assert spec.origin is not None
    root = Path(spec.origin).parent
    for path in sorted(root.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _cut(node, source, f"{package}/{path.relative_to(root)}:{node.lineno}")


def _cut(
    node: ast.FunctionDef | ast.AsyncFunctionDef, source: str, name: str
) -> Iterator[Unfinished]:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if len(body) < MIN_STATEMENTS:
        return
    lines = source.split("\n")
    first_end = body[0].end_lineno or body[0].lineno
    if body[1].lineno <= first_end:
        return
    before = "\n".join(lines[:first_end])
    rest = "\n".join(lines[first_end : node.end_lineno])
    yield Unfinished(name, before + "\n" + " " * body[0].col_offset, rest)


def plausible(code: str) -> bool:
    """Whether Python code is whole, or could become whole by writing on at its end."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "<unfinished>", "exec", flags=INCOMPLETE)
    except SyntaxError as error:
        return "incomplete input" in str(error)
    return True
