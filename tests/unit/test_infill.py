"""Prompts of models that fill in: marks, shares, healing."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.prompts import causal
from codegen_lsp.prompts.causal import LONGEST_TAIL, SHORTEST_TAIL, PreparedPrompt
from codegen_lsp.prompts.infill import FORMATS, prepare
from codegen_lsp.types import CompletionContext, Kept, Snippet
from tests.support.marks import MARKS, family_tokenizer

TOKENIZERS = {
    family: family_tokenizer(family, [".append", "return", " self", "\n        "])
    for family in FORMATS
}

MARK = re.compile(r"<\|?\w(?:[^>]*)>|</s>")


def ask(family: str, prefix: str, suffix: str, budget: int = 600) -> PreparedPrompt:
    """The prompt for a cursor between *prefix* and *suffix*."""
    return prepare(family, CompletionContext(prefix, suffix), TOKENIZERS[family], budget)


def shown(family: str, prepared: PreparedPrompt) -> str:
    """The prompt with its marks, nothing held back."""
    return TOKENIZERS[family].render((prepared.unhealed or prepared.prompt).tokens)


@pytest.mark.parametrize(
    ("family", "said", "causal_said"),
    [
        ("codegen2", "A<mask_1>B<|endoftext|><sep><mask_1>", "<|endoftext|>A"),
        ("codegen25", "A<mask_1>B<|endoftext|><sep><mask_1>", "<|endoftext|>A"),
        ("starcoder", "<fim_prefix>A<fim_suffix>B<fim_middle>", "<|endoftext|>A"),
        ("santacoder", "<fim-prefix>A<fim-suffix>B<fim-middle>", "<|endoftext|>A"),
        ("codet5p", "<s>A<extra_id_0>B</s>", "<s>A<extra_id_0></s>"),
    ],
)
def test_formats(family: str, said: str, causal_said: str) -> None:
    """Each family's published format; without a suffix the model goes on."""
    for before, after in (("def f(", ")\n    return 1\n"), ("", "x = 1"), ("é = '", "🐍'\n")):
        expected = said.replace("A", before).replace("B", after)
        assert shown(family, ask(family, before, after)) == expected
    for blank in ("", " \n\n\t"):
        assert shown(family, ask(family, "def f(", blank)) == causal_said.replace("A", "def f(")


@pytest.mark.parametrize("family", FORMATS)
def test_ends_and_beginnings_of_answers(family: str) -> None:
    """Every mark ends an answer, with a suffix or without; an encoder-decoder's begins with one."""
    tokenizer = TOKENIZERS[family]
    for suffix in ("", "\nb"):
        prepared = ask(family, "a", suffix)
        ends = [tokenizer.render([i]) for i in prepared.stop_ids]
        assert ends == [name for name in MARKS[family] if name.strip()]
        answer = "<extra_id_0>" if family == "codet5p" else ""
        assert tokenizer.render(prepared.answer_prefix) == answer


@given(
    st.sampled_from(list(FORMATS)),
    st.text("ab.(é🐍 \n", max_size=300),
    st.text("ab.)é🐍 \n", max_size=300),
    st.integers(1, 12) | st.integers(12, 60) | st.integers(60, 300),
)
@example("codegen2", "é", "a", 6)
def test_prompts_fit_and_say_a_piece_of_the_document(
    family: str, prefix: str, suffix: str, budget: int
) -> None:
    """Never longer than the budget; a quarter of it for the suffix, in whole lines."""
    tokenizer = TOKENIZERS[family]
    prepared = ask(family, prefix, suffix, budget)
    whole = prepared.unhealed or prepared.prompt
    assert 1 <= len(whole) <= budget
    assert prepared.prompt.tail
    said = tokenizer.render(whole.tokens)
    form = FORMATS[family]
    if not any(name in said for name in form.between):
        assert prefix.endswith(tokenizer.decode(whole.tokens).lstrip("\ufffd"))
        return
    before, after = said.split(form.between[0], 1)
    before = before.removeprefix("".join(form.before))
    after = after.removesuffix("".join(form.behind))
    assert prefix.endswith(before.lstrip("\ufffd"))  # half a character, where no more fits
    assert suffix.startswith(after)
    assert before.lstrip("\ufffd") + after in prefix + suffix
    assert len(tokenizer.encode(after)) <= budget // 4
    assert after == suffix or suffix[len(after)] == "\n" or not after


@given(
    st.sampled_from(list(FORMATS)),
    st.text("ab.( \n", max_size=200),
    st.text("ab.) \n", max_size=200),
    st.integers(12, 300),
)
def test_healing_holds_back_only_the_end_of_the_prefix(
    family: str, prefix: str, suffix: str, budget: int
) -> None:
    """What is held back stood right before the first mark; everything else is the same."""
    tokenizer = TOKENIZERS[family]
    prepared = ask(family, prefix, suffix, budget)
    assert (prepared.unhealed is None) is (not prepared.healed)
    if prepared.unhealed is not None:
        whole = tokenizer.render(prepared.unhealed.tokens)
        mark = FORMATS[family].between[0]
        at = whole.index(mark) if mark in whole else len(whole)
        left = len(whole[:at].removesuffix(prepared.healed))
        assert whole[left:at] == prepared.healed
        assert tokenizer.render(prepared.prompt.tokens) == whole[:left] + whole[at:]


@pytest.mark.parametrize("family", FORMATS)
def test_who_is_healed(family: str) -> None:
    """Only models that were never shown halves of tokens; with a suffix as without."""
    heals = family in ("codegen2", "codegen25")
    assert ask(family, "self.items.app", "\nb\n").healed == (".app" if heals else "")
    assert ask(family, ".", "\nb\n").healed == ("." if heals else "")
    assert ask(family, "if a:\n        ", "\nb\n").healed == ""
    without = "" if family == "codet5p" else ".app"
    assert ask(family, "self.items.app", "").healed == without


@pytest.mark.parametrize("family", FORMATS)
def test_stable_part(family: str) -> None:
    """The beginning of the prefix stays while one types; the suffix is in the tail."""
    tokenizer = TOKENIZERS[family]
    prefix = "".join(f"line {i}\n" for i in range(40))
    suffix = "".join(f"after {i}\n" for i in range(20))
    one, two = (ask(family, prefix + end, suffix, 1600).prompt for end in ("", "ab"))
    assert one.stable == two.stable
    form = FORMATS[family]
    if family == "codet5p":  # an encoder reads all anew
        assert one.stable == ()
        return
    assert tokenizer.render(one.stable).startswith("".join(form.before) + "line 0\n")
    tail = tokenizer.render(one.tail)
    assert tail.startswith("\nline ")
    assert tail.endswith("after 19\n" + "".join(form.behind))
    mark = tokenizer.id_of(form.between[0])
    assert mark is not None
    assert SHORTEST_TAIL <= one.tail.index(mark) <= LONGEST_TAIL < len(one.tail)


@pytest.mark.parametrize("family", FORMATS)
def test_a_long_prefix_leaves_the_suffix_its_share(family: str) -> None:
    """Both are cut: the suffix behind a line, the prefix in coarse steps."""
    prefix = "".join(f"line {i}\n" for i in range(300))
    suffix = "".join(f"after {i}\n" for i in range(300))
    starts = set()
    for typed in range(20):
        prepared = ask(family, prefix + "a" * typed, suffix, 400)
        assert len(prepared.unhealed or prepared.prompt) <= 400
        said = shown(family, prepared)
        before, _, after = said.partition(FORMATS[family].between[0])
        starts.add(before[:20])
        assert "after 0\nafter 1\n" in after
        assert re.search(r"after \d+(<|$)", after)
    assert len(starts) <= 2


@pytest.mark.parametrize("family", FORMATS)
def test_budgets_that_the_marks_nearly_fill(family: str) -> None:
    """Even then a prompt fits, and the prefix comes before the suffix."""
    for budget in range(1, 14):
        prepared = ask(family, "ab", "b", budget)
        whole = prepared.unhealed or prepared.prompt
        assert 1 <= len(whole) <= budget
        assert "b" in TOKENIZERS[family].decode(whole.tokens)


def test_no_prompt_begins_inside_a_character() -> None:
    """Where a line is too long to be cut at its end, it is cut between characters."""
    for budget in range(40, 60):
        said = shown("starcoder", ask("starcoder", "🐍" * 99, "\nb", budget))
        assert "\ufffd" not in said
        assert said.startswith("<fim_prefix>🐍🐍")


def test_a_first_line_that_does_not_fit_is_left_out() -> None:
    """Half a line after the cursor would be a wrong line."""
    assert shown("starcoder", ask("starcoder", "a", "b" * 500, 400)) == "<|endoftext|>a"
    assert shown("codet5p", ask("codet5p", "a", "b" * 500, 400)) == "<s>a<extra_id_0></s>"


def test_marks_in_the_document_are_text() -> None:
    """A document about marks does not end its own prompt."""
    for family, tokenizer in TOKENIZERS.items():
        text = "".join(MARKS[family])
        ids = ask(family, text, f"\n{text}").prompt.tokens
        marks = [tokenizer.render([i]) for i in ids if i in tokenizer.special_ids.values()]
        form = FORMATS[family]
        assert marks == [*form.before, *form.between, *form.behind]


def test_without_a_suffix_the_prompt_is_the_causal_one() -> None:
    """Snippets included; only what ends the answer differs."""
    context = CompletionContext("self.app", "\n", snippets=(Snippet("a.py", "", "x"),))
    tokenizer = TOKENIZERS["codegen25"]
    filled = prepare("codegen25", context, tokenizer, 200)
    plain = causal.prepare(context, tokenizer, 200)
    assert (filled.prompt, filled.healed, filled.unhealed) == (
        plain.prompt,
        plain.healed,
        plain.unhealed,
    )
    assert filled.stop_ids


@pytest.mark.parametrize("family", FORMATS)
def test_snippets_and_kept_lines_stand_before_the_prefix(family: str) -> None:
    """Behind the first mark, as in a causal prompt; the beginning of a document is not told."""
    context = CompletionContext(
        "class A:\n" + "    x = 1\n" * 40,
        "\ny = 2\n",
        snippets=(Snippet("b.py", "", "g()"), Snippet("a.py", "", "f()")),
        kept=(Kept(0, "class A:\n"),),
    )
    said = shown(family, prepare(family, context, TOKENIZERS[family], 300))
    form = FORMATS[family]
    head = "".join(form.before) + "# a.py\n# f()\n# b.py\n# g()\nclass A:\n\n    x = 1\n"
    assert said.startswith(head)
    assert said.endswith(f"x = 1\n{form.between[0]}\ny = 2\n{''.join(form.behind)}")
    roomy = shown(family, prepare(family, context, TOKENIZERS[family], 900))
    assert roomy.count("class A") == 1


@given(
    st.sampled_from(list(FORMATS)),
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(100, 500),
    st.sampled_from([(), (Snippet("a.py", "", "f()\n" * 9),)]),
)
def test_everything_fits(
    family: str, before: int, after: int, budget: int, snippets: tuple[Snippet, ...]
) -> None:
    """Snippets, kept lines, prefix and suffix share one budget."""
    prefix, suffix = "    x = é1\n" * before, "\n    y = 2" * after
    kept = (Kept(0, "import os\n"), Kept(9, "def f():\n"))
    context = CompletionContext(prefix, suffix, snippets=snippets, kept=kept)
    prepared = prepare(family, context, TOKENIZERS[family], budget)
    assert 1 <= len(prepared.unhealed or prepared.prompt) <= budget


@pytest.mark.parametrize("family", FORMATS)
def test_the_suffix_does_not_move_the_beginning(family: str) -> None:
    """Neither where the last whole line of a long one ends, nor single tokens of a short one."""
    prefix = "".join(f"line {i}\n" for i in range(300))
    snippets = (Snippet("a.py", "", "x\n" * 200),)
    for suffixes, most in (
        (["\n" + "b" * length + ("\n" + "c" * 60) * 9 for length in range(40)], 1),
        (["\n" + "b" * length for length in range(40)], 3),
    ):
        starts = set()
        for suffix in suffixes:
            context = CompletionContext(prefix, suffix, snippets=snippets)
            said = shown(family, prepare(family, context, TOKENIZERS[family], 640))
            starts.add(said.partition(FORMATS[family].between[0])[0])
        assert len(starts) <= most


@pytest.mark.parametrize("family", FORMATS)
def test_a_tokenizer_without_the_marks(family: str) -> None:
    """A damaged or mistaken model is named, with a suffix or without."""
    for suffix in ("", "b"):
        with pytest.raises(ModelDamagedError, match="no token <"):
            prepare(family, CompletionContext("a", suffix), family_tokenizer("causal"), 100)
