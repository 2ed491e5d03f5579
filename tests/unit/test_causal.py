"""Prompts of causal models: budget, cut and healing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.prompts.causal import LONGEST_TAIL, SHORTEST_TAIL, prepare
from codegen_lsp.types import CompletionContext, Snippet
from tests.support.cursor import context_at, word_tokenizer

TOKENIZER = word_tokenizer([".append", "return", " self", "\n        "])
EOS = TOKENIZER.eos_id


@given(st.text("ab.( \n", max_size=300), st.integers(1, 200), st.booleans())
def test_prompt_is_the_end_of_the_prefix(prefix: str, budget: int, start: bool) -> None:
    """A prompt fits its budget, is never empty, and says the text before the cursor."""
    context = CompletionContext(prefix, "", starts_document=start)
    prepared = prepare(context, TOKENIZER, budget)
    whole = prepared.unhealed or prepared.prompt
    assert 1 <= len(whole) <= budget
    assert prefix.endswith(TOKENIZER.decode(whole.tokens))
    assert TOKENIZER.decode(prepared.prompt.tokens) + prepared.healed == TOKENIZER.decode(
        whole.tokens
    )
    assert prepared.prompt.tail


@pytest.mark.parametrize(
    ("prefix", "healed"),
    [
        ("self._items.", "."),
        ("    retu", "retu"),
        ("x = ", " "),
        ("return", ""),
        ("if a:\n        ", ""),
        ("if a:\n    ", ""),
        ("if a:\n", ""),
        ("", ""),
        (".", "."),
    ],
)
def test_healing(prefix: str, healed: str) -> None:
    """What a longer token would begin with is left out, except at the beginning of a line."""
    prepared = prepare(CompletionContext(prefix, ""), TOKENIZER, 100)
    assert prepared.healed == healed
    assert (prepared.unhealed is None) is (not healed)


def test_a_documents_beginning_is_told() -> None:
    """The end-of-text token comes first where nothing was cut, and only there."""
    assert prepare(CompletionContext("", ""), TOKENIZER, 10).prompt.tokens == (EOS,)
    context = CompletionContext("a\n" * 20, "")
    assert prepare(context, TOKENIZER, 100).prompt.tokens[0] == EOS
    assert prepare(context, TOKENIZER, 20).prompt.tokens[0] != EOS


def test_stable_part_ends_before_a_line_break() -> None:
    """The tail begins with a line end and is long enough, but not too long."""
    prefix = "".join(f"line {i}\n" for i in range(50))
    prompt = prepare(CompletionContext(prefix, ""), TOKENIZER, 500).prompt
    assert TOKENIZER.decode(prompt.tail).startswith("\n")
    assert SHORTEST_TAIL <= len(prompt.tail) <= LONGEST_TAIL
    again = prepare(CompletionContext(prefix + "a", ""), TOKENIZER, 500).prompt
    assert again.stable == prompt.stable


def test_without_line_breaks_nothing_is_stable() -> None:
    """One long line has no place to cut at."""
    assert prepare(CompletionContext("ab" * 100, ""), TOKENIZER, 500).prompt.stable == ()


def test_a_long_prompt_keeps_its_beginning_while_one_types() -> None:
    """A prompt over its budget is cut in coarse steps."""
    prefix = "".join(f"line {i}\n" for i in range(200))
    starts = set()
    for typed in range(30):
        prompt = prepare(CompletionContext(prefix + "a" * typed, ""), TOKENIZER, 400).prompt
        starts.add(TOKENIZER.decode(prompt.tokens)[:12])
    assert len(starts) <= 2


UTIL = Snippet("b/util.py", "python", "def f():\n\n    return 1\n")
MORE = Snippet("a/more.py", "python", "x = 2\r\n")


def snippets_in(prefix: str, *snippets: Snippet, budget: int = 800, sign: str = "#") -> str:
    """What a model reads of *prefix* with *snippets* before it."""
    context = CompletionContext(prefix, "", snippets=snippets, comment=(f"{sign} ", ""))
    prepared = prepare(context, TOKENIZER, budget)
    return TOKENIZER.render((prepared.unhealed or prepared.prompt).tokens)


@pytest.mark.parametrize("sign", ["#", "//", "--"])
def test_snippets_are_comments_before_the_window(sign: str) -> None:
    """Headed by their path, sorted by it, in the document's own comments, whole lines."""
    said = f"{sign} a/more.py\n{sign} x = 2\n{sign} b/util.py\n{sign} def f():\n{sign}\n"
    said += f"{sign}     return 1\n"
    for order in ((UTIL, MORE), (MORE, UTIL)):
        assert snippets_in("y = ", *order, sign=sign) == f"<|endoftext|>{said}y = "


def test_two_snippets_of_one_file_have_an_order() -> None:
    """Whoever finds them first, the prompt begins the same."""
    one, two = (Snippet("a.py", "python", text) for text in ("x = 1\n", "y = 2\n"))
    assert snippets_in("z", one, two) == snippets_in("z", two, one)


def test_a_path_with_a_line_break_stays_a_comment() -> None:
    """Nothing of a snippet becomes code."""
    said = snippets_in("y", Snippet("a\nb\r.py", "python", "z"))
    assert said == "<|endoftext|># a b .py\n# z\ny"


@given(
    st.lists(
        st.builds(Snippet, st.sampled_from("abc"), st.just(""), st.text("ab \n", max_size=60)),
        max_size=4,
    ),
    st.text("ab.( \n", max_size=200),
    st.integers(1, 300),
    st.booleans(),
)
def test_snippets_keep_to_their_share(
    snippets: list[Snippet], prefix: str, budget: int, start: bool
) -> None:
    """At most a quarter is comments, in whole lines; the rest is the end of the prefix."""
    context = CompletionContext(prefix, "", snippets=tuple(snippets), starts_document=start)
    prepared = prepare(context, TOKENIZER, budget)
    ids = (prepared.unhealed or prepared.prompt).tokens
    assert 1 <= len(ids) <= budget
    said = TOKENIZER.decode(ids)
    window = said
    while window.startswith("#"):
        window = window.partition("\n")[2]
    assert prefix.endswith(window)
    assert len(TOKENIZER.encode(said[: len(said) - len(window)])) + 1 <= max(1, budget // 4)
    if window != said:
        assert ids[0] == EOS
        assert EOS not in ids[1:]


def test_snippets_too_long_are_cut_at_a_line() -> None:
    """The first lines stay, so that the prompt's beginning does, however long the window is."""
    long = Snippet("a.py", "python", "".join(f"line {i}\n" for i in range(99)))
    for prefix in ("y", "y\n" * 300):
        said = snippets_in(prefix, long, budget=200)
        assert said.startswith("<|endoftext|># a.py\n# line 0\n# line 1\n")
        assert "line 9" not in said
        assert said.count("\ny") > 0


def test_without_snippets_nothing_is_added() -> None:
    """No share is kept free, and no comment begins the prompt."""
    prefix = "ab(" * 50
    assert snippets_in(prefix, budget=151) == f"<|endoftext|>{prefix}"
    assert snippets_in(prefix, Snippet("a" * 900, "", ""), budget=151) == f"<|endoftext|>{prefix}"


def test_a_snippet_before_an_empty_document() -> None:
    """Only the prefix is healed, never a comment; all of a short prefix may be."""
    for prefix in ("", "."):
        context = CompletionContext(prefix, "", snippets=(Snippet("a.py", "", "retu"),))
        prepared = prepare(context, TOKENIZER, 400)
        assert prepared.healed == prefix
        assert TOKENIZER.decode(prepared.prompt.tokens) == "# a.py\n# retu\n"


@pytest.mark.parametrize(
    ("language", "sign"),
    [
        ("python", ("# ", "")),
        ("go", ("// ", "")),
        ("lua", ("-- ", "")),
        ("css", ("/* ", " */")),
        ("klingon", ("# ", "")),
        ("", ("# ", "")),
    ],
)
def test_comments_are_the_documents_own(language: str, sign: tuple[str, str]) -> None:
    """Block comments where no comment ends with its line; Python's sign where nothing is known."""
    assert context_at("x¦", language=language).comment == sign
