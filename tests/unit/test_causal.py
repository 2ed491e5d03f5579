"""Prompts of causal models: budget, cut and healing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.prompts.causal import LONGEST_TAIL, SHORTEST_TAIL, arrange, prepare
from codegen_lsp.prompts.pieces import as_comments
from codegen_lsp.types import CompletionContext, Kept, Snippet
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


def test_a_long_line_is_cut_in_coarse_steps() -> None:
    """Without line breaks the stable part stays as one types, until it grows by many tokens."""
    lengths = []
    for typed in range(200):
        prompt = prepare(CompletionContext("abc" * 60 + "a" * typed, ""), TOKENIZER, 800).prompt
        assert SHORTEST_TAIL <= len(prompt.tail) <= LONGEST_TAIL
        lengths.append(len(prompt.stable))
    assert lengths[0] > 0
    assert lengths == sorted(lengths)
    assert 2 <= len(set(lengths)) <= 5


def test_a_short_line_is_read_whole() -> None:
    """There is nothing to keep."""
    assert prepare(CompletionContext("ab" * 20, ""), TOKENIZER, 500).prompt.stable == ()


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


SNIPPETS = st.lists(
    st.builds(Snippet, st.sampled_from("abc"), st.just(""), st.text("ab \n", max_size=60)),
    max_size=4,
)


@given(SNIPPETS, st.text("ab.( \n", max_size=200), st.integers(1, 300), st.booleans())
def test_snippets_keep_to_their_share(
    snippets: list[Snippet], prefix: str, budget: int, start: bool
) -> None:
    """At most a quarter is comments, or what the prefix leaves of the first half; whole lines."""
    context = CompletionContext(prefix, "", snippets=tuple(snippets), starts_document=start)
    prepared = prepare(context, TOKENIZER, budget)
    ids = (prepared.unhealed or prepared.prompt).tokens
    assert 1 <= len(ids) <= budget
    said = TOKENIZER.decode(ids)
    window = said
    while window.startswith("#"):
        window = window.partition("\n")[2]
    assert prefix.endswith(window)
    taken = len(TOKENIZER.encode(said[: len(said) - len(window)])) + 1
    most = budget - 1
    left = most - len(TOKENIZER.encode(prefix))
    assert taken <= 1 + max(0, most // 4, min(left, most // 2))
    if window != said:
        assert ids[0] == EOS
        assert EOS not in ids[1:]


LONG = Snippet("a.py", "python", "".join(f"line {i}\n" for i in range(99)))


def test_snippets_too_long_are_cut_at_a_line() -> None:
    """The first lines stay; a short document leaves them half of the budget, a long a quarter."""
    for prefix, last in (("y", "line 9"), ("y\n" * 300, "line 3")):
        said = snippets_in(prefix, LONG, budget=200)
        assert said.startswith("<|endoftext|># a.py\n# line 0\n# line 1\n")
        assert f"# {last}\n" in said
        assert len(TOKENIZER.encode(said.partition("\ny")[0])) < 110
        assert said.count("\ny") > 0


def test_the_most_important_snippets_come_in() -> None:
    """Chosen as they are given, written in the order of their paths."""
    texts = {path: "".join(f"{path} = {i}\n" for i in range(5)) for path in "abcd"}
    some = [Snippet(path, "", texts[path]) for path in "dbac"]
    said = snippets_in("y\n" * 300, *some, budget=400)
    assert said.startswith("<|endoftext|># b\n# b = 0\n")
    assert "# d = 4\n" in said
    assert "# a" not in said
    assert "# c" not in said


@pytest.mark.parametrize(("room", "lines"), [(49, 6), (48, 5), (40, 4), (28, 3), (27, 0), (3, 0)])
def test_a_snippet_is_shortened_or_left_out(room: int, lines: int) -> None:
    """What is left of it says something, or nothing is."""
    snippet = Snippet("a.py", "", "".join(f"x{i}()\n" for i in range(6)))
    ids = as_comments([snippet], ("# ", ""), TOKENIZER, room)
    said = "".join(f"# {line}\n" for line in ("a.py", *(f"x{i}()" for i in range(lines))))
    assert TOKENIZER.decode(ids) == (said if lines else "")
    assert len(ids) <= room


def test_snippets_stay_while_one_types() -> None:
    """The room that the document leaves them shrinks in coarse steps, not at each key."""
    context = CompletionContext("x = 1\n" * 60, "", snippets=(LONG,))
    heads = {
        tuple(arrange(replace(context, prefix=context.prefix + "y" * typed), TOKENIZER, 800).head)
        for typed in range(90)
    }
    assert len(heads) == 2


def test_what_is_left_out_leaves_room_for_the_next() -> None:
    """A snippet that does not fit does not end the choice; one given twice is said once."""
    big = Snippet("a.py", "", "x" * 900)
    said = snippets_in("y", big, MORE, MORE, UTIL)
    assert "x" * 9 not in said
    assert said.count("a/more.py") == 1
    assert "util.py" in said


def test_block_comments_are_not_ended_by_what_they_hold() -> None:
    """Neither a path nor a line of a snippet can end the comment it stands in."""
    snippets = (Snippet("a*/b.css", "css", "p { } /* x */\n\n**/ q"),)
    context = CompletionContext("r {", "", snippets=snippets, comment=("/* ", " */"))
    said = TOKENIZER.decode(prepare(context, TOKENIZER, 800).prompt.tokens)
    *lines, last = said.split("\n")
    assert last == "r {"
    assert lines == ["/* a* /b.css */", "/* p { } /* x * / */", "/*  */", "/* ** / q */"]
    for line in lines:
        assert line.index("*/") == len(line) - 2


def kept_in(context: CompletionContext, budget: int) -> str:
    """The prompt of *context*, nothing held back, marks by name."""
    prepared = prepare(context, TOKENIZER, budget)
    return TOKENIZER.render((prepared.unhealed or prepared.prompt).tokens)


def body(lines: int, *, cuts: Sequence[int] = ()) -> CompletionContext:
    """A document whose end is in a method of a class, some imports above."""
    head = "import os\n\n\nclass A:\n    def f(self):\n"
    prefix = head + "".join(f"        x{i:03} = 1\n" for i in range(lines))
    signs = ("import", "class", "    def")
    texts = ("import os\n", "class A:\n", "    def f(self):\n")
    kept = tuple(Kept(head.index(sign), text) for sign, text in zip(signs, texts, strict=True))
    return CompletionContext(prefix, "", kept=kept, cuts=tuple(cuts))


def test_kept_lines_stand_where_lines_are_missing() -> None:
    """What fits has them anyway; a cut puts them at the beginning, in their order."""
    whole = body(10)
    assert kept_in(whole, 900) == f"<|endoftext|>{whole.prefix}"
    said = kept_in(body(90), 500)
    assert said.startswith("<|endoftext|>import os\nclass A:\n    def f(self):\n\n        x0")
    assert said.count("class A") == 1
    assert said.endswith("x089 = 1\n")


def test_only_kept_lines_before_the_cut_are_repeated() -> None:
    """A signature that the window shows is not said twice."""
    prefix = "import os\n\n\n" + "a = 1\n" * 99 + "def f():\n    return\n" + "b = 1\n" * 9
    kept = (Kept(0, "import os\n"), Kept(prefix.index("def"), "def f():\n"))
    said = kept_in(CompletionContext(prefix, "", kept=kept), 300)
    assert said.startswith("<|endoftext|>import os\n\na = 1\n")
    assert said.count("def f") == 1


def test_kept_lines_of_a_window_that_was_cut_already() -> None:
    """They stand before a prefix that fits if they lie before the window, and only then."""
    kept = (Kept(-200, "import os\n"), Kept(0, "def f():\n"))
    context = CompletionContext("def f():\n    x", "", kept=kept, starts_document=False)
    assert kept_in(context, 200) == "<|endoftext|>import os\ndef f():\n    x"
    assert kept_in(context, 40) == "def f():\n    x"  # an eighth is too little for them


def test_the_last_kept_lines_are_the_first_to_come_in() -> None:
    """Signatures before imports, where there is no room for both; still in their order."""
    kept = (*(Kept(-900 + i, f"import m{i}\n") for i in range(50)), Kept(-9, "class A:\n"))
    context = CompletionContext("    x\n" * 200, "", kept=kept, starts_document=False)
    said = kept_in(context, 400)
    head = said.removeprefix("<|endoftext|>").partition("\n\n")[0]
    assert head == "import m47\nimport m48\nimport m49\nclass A:"


def test_a_prompt_begins_at_a_definition() -> None:
    """The first one within the step that is lost, else at the next line."""
    lines = body(90)
    size = len("        x000 = 1\n")
    plain = kept_in(lines, 500).rpartition("\n\n")[2]
    first = int(plain.strip()[1:4])
    head = lines.prefix.index("        x000")
    cuts = [head + size * number for number in (first - 1, first + 2, first + 3)]
    cut = kept_in(body(90, cuts=cuts), 500).rpartition("\n\n")[2]
    assert cut.startswith(f"        x{first + 2:03} = 1\n")
    assert plain.endswith(cut)


CODES = st.lists(
    st.sampled_from(
        ["import os\n", "x = 1\n", "\n", "def f(a):\n", "    return self.append\n", "    é🐍 = 2\n"]
    ),
    max_size=80,
).map("".join)


@st.composite
def contexts(draw: st.DrawFn) -> CompletionContext:
    """A prefix with definitions, kept lines in it and before it, and snippets."""
    prefix = draw(CODES)
    starts = draw(st.booleans())
    places = [place + 1 for place, sign in enumerate(prefix) if sign == "\n"]
    cuts = tuple(place for place in places if prefix.startswith("def", place))
    offsets = sorted(draw(st.sets(st.integers(0 if starts else -99, len(prefix)), max_size=5)))
    kept = tuple(Kept(offset, draw(st.sampled_from(("a\n", "class A:\n")))) for offset in offsets)
    snippets = tuple(draw(SNIPPETS))
    return CompletionContext(
        prefix, "", snippets=snippets, starts_document=starts, cuts=cuts, kept=kept
    )


@given(contexts(), st.integers(1, 30) | st.integers(30, 600))
def test_any_prompt_fits_its_budget_and_ends_at_the_cursor(
    context: CompletionContext, budget: int
) -> None:
    """Whatever is put before it, the text before the cursor is what a prompt ends with."""
    prepared = prepare(context, TOKENIZER, budget)
    whole = prepared.unhealed or prepared.prompt
    assert 1 <= len(whole) <= budget
    said = TOKENIZER.decode(whole.tokens)
    arranged = arrange(context, TOKENIZER, max(1, budget - 1))
    window = TOKENIZER.decode(arranged.window)
    assert context.prefix.endswith(window.lstrip("\ufffd"))
    assert said == TOKENIZER.decode(arranged.head) + window
    assert not arranged.head or TOKENIZER.decode(arranged.head).endswith("\n")
    assert len(window) > 0 or not context.prefix or budget < 9


@given(contexts(), st.integers(60, 600), st.text("ab.( ", min_size=1, max_size=60))
def test_typing_in_a_line_keeps_the_stable_part(
    context: CompletionContext, budget: int, typed: str
) -> None:
    """It stays or grows; a coarse step that is crossed moves it, which happens once or twice."""
    moved = 0
    older: tuple[int, ...] = ()
    for length in range(len(typed) + 1):
        there = replace(context, prefix=f"{context.prefix}\n{typed[:length]}")
        stable = prepare(there, TOKENIZER, budget).prompt.stable
        moved += bool(older) and stable[: len(older)] != older
        older = stable
    steps = 1 + len(typed) * 8 // (budget // 4)
    assert moved <= 2 * steps


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
