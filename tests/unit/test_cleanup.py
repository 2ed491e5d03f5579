"""What is left of an answer, and what it replaces."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codegen_lsp.completion.cleanup import STEPS, Draft, Tidy, tidy
from codegen_lsp.completion.lexing import lex
from codegen_lsp.completion.stopping import End
from codegen_lsp.syntax.languages import syntax_of
from codegen_lsp.types import Trigger
from tests.support.cursor import CURSOR, context_at, plan_at

ASKED = Trigger.INVOKED
PYTHON = syntax_of("python")
BODY = "def f(a):\n    ¦"


def tidied(
    code: str,
    said: str,
    trigger: Trigger = ASKED,
    end: End = End.WHOLE,
    language: str = "python",
) -> Tidy | None:
    """What is left of *said* at the cursor in *code*."""
    context = context_at(code, language=language)
    return tidy(Draft(said, plan_at(code, trigger, language=language), context, end))


def check(code: str, said: str, after: str | None, **how: object) -> None:
    """The cursor's line and the lines of the answer once it is accepted; ``None``: not shown."""
    left = tidied(code, said, **how)  # type: ignore[arg-type]
    if left is None:
        assert after is None
        return
    before, _, rest = code.partition(CURSOR)
    document = before + left.text + rest[left.replaced :]
    start = before.rfind("\n") + 1
    stop = len(document) - len(rest) + len(rest.partition("\n")[0])
    assert document[start:stop] == after


@pytest.mark.parametrize(
    ("code", "said", "after"),
    [
        # markers and half characters
        ("x = ¦", "1<|endoftext|>2", "x = 1"),
        ("x = ¦", "a(b\ufffd", "x = a("),
        # the prompt said again
        ("result¦", "result = 1", "result = 1"),
        # what follows the cursor is not said twice
        ("f(¦)", "a)", "f(a)"),
        ("f(¦)", "a))", "f(a)"),
        ("f(¦)", "a) + b", "f(a) + b"),
        ("f(¦)", "a", "f(a)"),
        ("f([¦])", "a])", "f([a])"),
        ("f([¦])", "a]", "f([a])"),
        ("f([¦])", "a] + b)", "f([a] + b)"),
        ('f("¦")', 'a")', 'f("a")'),
        ('f("¦")', 'a" + "b")', 'f("a" + "b")'),
        ('f("¦")', "a", 'f("a")'),
        ("if f(¦):", "a):", "if f(a):"),
        ("x = {¦}", "}", None),
        ("f(¦b)", "a, b)", "f(a, b)"),
        ("f(¦bar)", "bar", None),
        ("f(¦bar)", "a, ", "f(a, bar)"),
        ("f(¦)\n", "a)\n", "f(a)"),
        # a string that the answer leaves open is closed by what follows
        ("x = ['¦',", "a', 'b", "x = ['a', 'b',"),
        ("x = f('¦')", "a', b, 'c", "x = f('a', b, 'c')"),
        ("x = f('¦')", "a', 'b'", "x = f('a', 'b')"),
        # a bracket that the answer opens and closes is not the document's
        ("return bin(¦)[2:]", "sum(str(n))", "return bin(sum(str(n)))[2:]"),
        ("return bin(¦)[2:]", "n)", "return bin(n)[2:]"),
        ("return ¦)[2:]", "bin(n)", "return bin(n)[2:]"),
        # the next line is said again only where the whole line would be
        ("x = f(a¦, 1)\nx = f(abcdefghijkl)", "bcd", "x = f(abcd, 1)"),
        # brackets that nothing opened
        ("x = ¦", "a) + b", "x = a"),
        ("x = f(¦", "a) + b)", "x = f(a) + b"),
        # blanks
        ("return ¦", " x", "return x"),
        ("return¦", " x  ", "return x"),
        ("x = ¦_b", "await ", "x = await _b"),
        ("x = ¦+ b", "a ", "x = a + b"),
        ("¦ = b", "self.a ", "self.a = b"),
        ("x = ¦> b", "a ", "x = a > b"),
        ("f('¦' + b)", "say ", "f('say ' + b)"),
        ('¦"b"', "a = ", 'a = "b"'),
        ("f(¦)", "a ", "f(a)"),
        ('f("¦")', "a ", 'f("a ")'),
        # too little, or nothing new
        ("x = ¦", "  \n", None),
        ("a = 1\n¦", "a = 1", None),
        # only what can be parsed
        ("x = ¦", "1 2 3", None),
        ("def f(a):\n    ¦", "b = a\n    c = (a b\n    return c", "    b = a"),
        ("def f(a):\n    ¦\n", "if a:\n        b(a", "    if a:"),
        ("def f(a):\n    ¦\n    return a", "try:", "    try:"),
        # broken code above is not the answer's fault
        ("def f(:\n    ¦", "b = a", "    b = a"),
        ("x = '¦'", "it", "x = 'it'"),
    ],
)
def test_invoked(code: str, said: str, after: str | None) -> None:
    """What stands on the line once an answer is accepted."""
    check(code, said, after)


@pytest.mark.parametrize(
    ("said", "end", "after"),
    [
        ("b = a\n    return b + some", End.CUT, "    b = a"),
        ("return some_thi", End.CUT, "    return"),
        ("return a.", End.WHOLE, None),
        ('"""Say it.\n\n    In many', End.CUT, None),
        ("b = [\n        1,\n        2", End.CUT, "    b = ["),
        ("c()\n    b = [\n        1,\n        2", End.CUT, "    c()"),
        ("if a:\n        b()\n    if b:\n        c", End.CUT, "    if a:\n        b()"),
        ("if a:\n        b()\n    if b:", End.LOOP, "    if a:\n        b()"),
        ("if a:", End.LOOP, "    if a:"),
    ],
)
def test_unfinished(said: str, end: End, after: str | None) -> None:
    """Where the tokens ran out, no half line, no half word and no empty block is left."""
    check(BODY, said, after, end=end)


def test_automatic_is_stricter() -> None:
    """What is offered unasked must be worth a look."""
    automatic = Trigger.AUTOMATIC
    assert tidied("x = ¦", "123", automatic) is None
    assert tidied("x = ¦", "1") == Tidy("1", 0)
    assert tidied("x = ¦", "foo()", automatic) == Tidy("foo()", 0)


def test_languages_without_pairs_keep_their_brackets() -> None:
    """A shell's ``case`` has closers that nothing opens."""
    assert tidied("case $a in\n  ¦", "x) echo;;", language="shellscript") == Tidy("x) echo;;", 0)
    assert tidied("a;\n¦", "b); c();", language="c") == Tidy("b", 0)


CODES = [
    "f(¦)",
    "f([¦])\n",
    'x = "¦"',
    BODY + "\n    return a\n",
    "x = {¦}\ny = 1\n",
    "x = ¦\n",
    "f(¦bar, baz)\n",
]
PIECES = ["a", "bar", "return a", "\n", "    ", "(", ")", "]", '"', "}", ", ", " = ", "y = 1", ":"]


@given(st.sampled_from(CODES), st.lists(st.sampled_from(PIECES), max_size=14), st.sampled_from(End))
@example("f(¦)", [")", "(", ")"], End.WHOLE)
@example("f([¦])\n", ["]", "    ", ")"], End.WHOLE)
def test_every_answer_fits(code: str, words: list[str], end: End) -> None:
    """Never blank; replaces only what is left of the line; tidying again changes nothing."""
    left = tidied(code, "".join(words), end=end)
    if left is None:
        return
    rest = code.partition(CURSOR)[2].partition("\n")[0]
    assert left.text.strip()
    assert 0 <= left.replaced <= len(rest)
    assert "\n" not in left.text or not rest.strip()
    again = tidied(code, left.text)  # blanks before a closer are the answer's, or nobody's
    assert (
        again is None
        or (again.text.rstrip(), again.replaced) == (left.text.rstrip(), 0)
        or (again == left)
    )


@given(
    st.sampled_from([c for c in CODES if "bar" not in c]),
    st.lists(st.sampled_from(PIECES), max_size=8),
)
def test_what_follows_is_not_repeated(code: str, words: list[str]) -> None:
    """An answer that writes the rest of the line too leaves it there once."""
    rest = code.partition(CURSOR)[2]
    line = rest.partition("\n")[0]
    left = tidied(code, "".join(words) + rest)
    if left is None:
        return
    head = code.partition(CURSOR)[0]
    assert not lex(head + left.text + line[left.replaced :], PYTHON).unmatched
    below = [text for text in rest.split("\n")[1:] if text.strip()]
    assert not below or below[0] not in left.text.split("\n")


def test_steps_are_pure() -> None:
    """Each step leaves the draft it was given as it is, and an empty one empty."""
    draft = Draft("", plan_at(BODY, ASKED), context_at(BODY), End.WHOLE)
    for step in STEPS:
        assert not step(draft).text.strip()
        assert draft.text == ""
