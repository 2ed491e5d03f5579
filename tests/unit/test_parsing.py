"""What Python's own parser says of an answer."""

from __future__ import annotations

import pytest

from codegen_lsp.completion.parsing import Fit, breaks_python, fits, has_room


@pytest.mark.parametrize(
    ("prefix", "text", "suffix", "breaks"),
    [
        ("x = ", "1", "\n", False),
        ("x = ", "1 1", "\n", True),
        ("x = ", "(1,", "\n", False),
        ("if a:\n    ", "b", "\nelse:\n    c\n", False),
        ("if a:\n    b\n", "d = 1", "\nelse:\n    c\n", True),
        ("", "def f():", "\n", False),
        ("class A:\n    def f(self):\n        ", "return 1", "\n\n    def g(self):\n", False),
        ("def f(\n", "a b", "", True),
        ("x = 1\n" * 5000, "y y", "\n", True),
        ("(" + "  1,\n" * 9000, "y y", ")\n", False),
        ("\0", "y y", "", False),
        ("@a\n", "def f(): pass", "\n", False),
        ("class A:\n" + "    x = 1\n" * 2000 + "    def f(self):\n        ", "a b", "\n", True),
        ("class A:\n" + "    x = 1\n" * 2000 + "    def f(self):\n        ", "a\n", "\n", False),
        ("def f():\n    def g():\n        a\n    ", "return g", "\n    b\n\nc\n", False),
        ("def f():\n    try:\n        ", "a", "\n    except E:\n        b\n", False),
    ],
)
def test_breaks_python(prefix: str, text: str, suffix: str, breaks: bool) -> None:
    """Wrong is told from unfinished, and only the answer is blamed."""
    assert breaks_python(prefix, text, suffix) is breaks


@pytest.mark.parametrize(
    ("prefix", "text", "suffix", "fit"),
    [
        ("def f():\n    ", "a()\n    b()", "\n\nc()\n", Fit.WHOLE),
        ("def f():\n    ", "a()\n    b(", "\n", Fit.UNFINISHED),
        ("def f():\n    ", "a()\n    b(", "\n    c = 1\n    d = 2\n", Fit.WRONG),
        ("x = [\n", "    1,\n    2,", "\n]\n", Fit.WHOLE),
        ("def f():\n    try:\n        ", "a()\n        b()", "\n    c()\n", Fit.WRONG),
        ("def f():\n    try:\n        ", "a()\n        b()", "\n    finally:\n        c()\n",
         Fit.WHOLE),
        ("class A:\n    def f(self):\n        ", "a()\n        return 1", "\n\n    def g(self):\n",
         Fit.WHOLE),
        ("(" + "  1,\n" * 9000, "y\ny", ")\n", Fit.UNKNOWN),
    ],
)  # fmt: skip
def test_fits(prefix: str, text: str, suffix: str, fit: Fit) -> None:
    """An answer is judged together with the definition or statement around it."""
    assert fits(prefix, text, suffix) is fit


@pytest.mark.parametrize(
    ("prefix", "suffix", "room"),
    [
        ("def f():\n    ", "\n", True),
        ("def f():\n    a()\n    ", "\n    b()\n", True),
        ("def f():\n    if ", "\n        b()\n", True),
        ("x = [\n    ", "\n]\n", True),
        ("x = [\n    ", "\n", False),
        ("def f():\n    try:\n        ", "\n    b()\n", False),
        ("def f(:\n    ", "\n", False),
        ("\0", "\n", False),
        ("@decorated\ndef f(a):", "\n\nx = 1\n", True),
        ("class A:\n    @decorated\n    def f(self):", "\n", True),
    ],
)
def test_has_room(prefix: str, suffix: str, room: bool) -> None:
    """Code that something could complete is told from code that is wrong already."""
    assert has_room(prefix, suffix) is room
