"""What is remembered from key to key is what would be found anew, whatever was asked before."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codegen_lsp.completion.budget import _WORD
from codegen_lsp.completion.lexing import _CODE, START, Lexed, lex, state_after
from codegen_lsp.completion.loops import LONGEST_PERIOD, _times, line_loops
from codegen_lsp.context import header, looks, neighbourhood
from codegen_lsp.context.header import Header, header_at
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.server.positions import Encoding, LineIndex, Place
from codegen_lsp.syntax.expecting import Expectation, expects
from codegen_lsp.syntax.languages import syntax_of
from codegen_lsp.syntax.latest import FEW, latest
from codegen_lsp.syntax.near import _quoted, inside
from codegen_lsp.types import CompletionQuery, Kept, Snapshot

LANGUAGES = ("python", "javascript", "typescript", "c", "rust", "go", "lua", "html", "")

PARTS = (
    *(
        "def f(a, b):\n",
        "    return [x for x in (1, 2)]\n",
        "class A:\n",
        "import os\n",
        "\n",
        "  \n",
    ),
    *('"""', "'''", '"', "'", "`", "/*", "*/", "//", "# said\n", "--", "\\", "\\\n", "<!--", "-->"),
    *("(", ")", "[", "]", "{", "}", " ", "\t", "x", "longer_name", "r#", "'a'", "é", "\U0001f600"),
    *(
        "if (a) {\n",
        "const b = /[)]/;\n",
        "#include <a.h>\n",
        "use a::b;\n",
        "}\n",
        "0123456789" * 9,
    ),
)

TOKENIZER = CodeTokenizer.from_folder(bundled_folder())


@st.composite
def growing(draw: st.DrawFn, most: int = 90, parts: tuple[str, ...] = PARTS) -> list[str]:
    """Texts as they come when one types: each begins as the one before, or nearly."""
    text = "".join(draw(st.lists(st.sampled_from(parts), max_size=most)))
    text *= 1 + draw(st.sampled_from((0, 1_000, 2_500))) // max(1, len(text))
    texts = [text]
    for _ in range(draw(st.integers(1, 4))):
        cut = draw(st.sampled_from((0, 0, 1, 5)))
        text = text[: len(text) - cut] + draw(st.sampled_from(parts))
        texts.append(text)
    return texts


def state_read_at_once(text: str, language: str, *, whole: bool) -> Lexed:
    """The state at the end of a text, of which nothing was read before."""
    syntax = syntax_of(language)
    starts = [START]
    if not whole:
        starts += [Lexed(inside=q, string=True) for q in syntax.long_strings if q in text]
        starts += [Lexed(inside=end) for _, end in syntax.block_comment if end in text]
    read: list[tuple[int, Lexed]] = []
    for start in starts:
        count = 0
        for line in _CODE.finditer(text) if len(starts) > 1 else ():
            begun = text.rfind("\n", 0, line.start()) + 1
            count += bool(lex(text[:begun], syntax, start).inside)
        read.append((count, lex(text, syntax, start)))
    found = min(read, key=lambda one: one[0])[1]
    return Lexed(found.brackets, found.inside, found.string)


STRINGS = (
    *('"""', '"""', "'''", "/*", "*/", "`", "said\n", "def f(a, b):\n", "class A:\n"),
    *("    if (a) {\n", "    return x\n", "const b = 1;\n", "x = (1,\n", "2)\n", '"', "\n", "}\n"),
)


@given(growing(parts=STRINGS), st.sampled_from(LANGUAGES[:4]), st.booleans())
@example(['said\n"""\nx\n    return x'], "python", False)
@settings(max_examples=250, deadline=None)
def test_the_lexical_state(texts: list[str], language: str, whole: bool) -> None:
    """Reading a text in parts, some of which were read before, is reading it."""
    for text in texts:
        expected = state_read_at_once(text, language, whole=whole)
        assert state_after(text, syntax_of(language), whole=whole) == expected


@given(growing(), st.sampled_from(LANGUAGES))
@settings(max_examples=150, deadline=None)
def test_within_a_string_or_comment(texts: list[str], language: str) -> None:
    """The last string or comment is the one that a search from the beginning finds."""
    for text in texts:
        found = [one for one in _quoted(language).finditer(text) if one.end() == len(text)]
        kinds = [one.lastgroup for one in found if one.lastgroup in ("string", "comment")]
        assert inside(text, language) == (kinds[0] if kinds else "")


@given(growing(40), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_the_tokens_of_a_text(texts: list[str], times: int) -> None:
    """Tokens that were remembered of the lines above are those of the whole text."""
    for text in texts:
        long = text * (1 + times)
        ids = TOKENIZER._tokenizer.encode_batch([long], add_special_tokens=False)[0].ids
        assert TOKENIZER.encode(long) == ids
        assert TOKENIZER.decode(ids) == long


@pytest.mark.parametrize("blanks", ["\n", "  \n", "\t\n", "\n\n", " \n\n  \n", "\n \n"])
def test_the_tokens_behind_blank_lines(blanks: str) -> None:
    """No token is cut in two where lines end in blanks or are blank."""
    for end in ("y", "    y", "        return", "", "\n", "    "):
        text = "x = 1\n" * 60 + "a" + blanks + end
        ids = TOKENIZER._tokenizer.encode_batch([text], add_special_tokens=False)[0].ids
        assert TOKENIZER.encode(text) == ids


def loops_anywhere(line: str, checked: int) -> bool:
    """Whether *line* loops, by trying every unit at every place."""
    for end in range(checked + 1, len(line) + 1):
        for period in range(1, min(LONGEST_PERIOD, end // 3) + 1):
            unit = line[end - period : end]
            times = _times(unit)
            if period * times <= end and line[end - period * times : end] == unit * times:
                return True
    return False


@given(st.lists(st.text("ab. -=1", max_size=9)), st.integers(1, 30), st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_loops(parts: list[str], times: int, checked: int) -> None:
    """A loop is found where there is one."""
    for line in ("".join(part * times for part in parts), "".join(parts) * times):
        assert line_loops(line[:400], checked) == loops_anywhere(line[:400], checked)


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[Place, Place, str, bool, int]]:
    places = st.builds(Place, st.integers(0, 14), st.integers(0, 9))
    new = st.text("ab\n\ré\U0001f600", max_size=6)
    one = st.tuples(places, places, new, st.booleans(), st.integers(0, 14))
    return draw(st.lists(one, max_size=14))


@given(st.text("ab\n\ré\U0001f600", max_size=40), edits())
@settings(max_examples=300, deadline=None)
def test_a_document(text: str, changes: list[tuple[Place, Place, str, bool, int]]) -> None:
    """Text and line starts are those of a document read anew, however seldom one asks for them."""
    lines = LineIndex(text, Encoding.UTF16)
    for start, end, new, asked, number in changes:
        anew = LineIndex(text, Encoding.UTF16)
        left, right = sorted((anew.offset_at(start), anew.offset_at(end)))
        text = text[:left] + new + text[right:]
        lines.replace(start, end, new)
        anew = LineIndex(text, Encoding.UTF16)
        if asked:
            assert lines.text == text
        if number % 2:
            assert lines.line_start(number) == anew.line_start(number)
            assert lines.offset_at(start) == anew.offset_at(start)
    assert lines.text == text
    assert [lines.line_start(n) for n in range(15)] == [anew_start(text, n) for n in range(15)]


def anew_start(text: str, number: int) -> int:
    ends = [one.end() for one in re.finditer(r"\r\n?|\n", text)]
    return [0, *ends][min(number, len(ends))]


def looked_at_once(text: str, offset: int, language: str) -> Header:
    """The header by what lines look like, all of them looked at."""
    begin = 1 + max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset))
    end = re.compile(r"\r\n?|\n").search(text, offset)
    stop = end.start() if end else len(text)
    blanks = header._indent(text[begin:stop], offset - begin, text, stop)
    imports = header._chosen(text, begin, looks.imports_like(text, begin, language))
    kept = sorted((*imports, *looks.scopes_like(text, begin, blanks)), key=lambda one: one.offset)
    return Header(tuple(kept), looks.starts_like(text, begin))


FILLING = (
    *("class Alpha:\n", "    def beta(self, x):\n", "        return x\n", "\n", "import gamma\n"),
    *("from delta import beta\n", "def epsilon():\n", "    if x:\n", "\t\tx = 1\r\n", "\n\n"),
)


@given(
    st.lists(st.sampled_from(FILLING), min_size=20, max_size=60),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
    st.sampled_from(("python", "java", "kotlin")),
)
@settings(max_examples=40, deadline=None)
def test_the_header_of_a_long_document(
    parts: list[str], shares: list[float], language: str
) -> None:
    """The lines that survive a cut are those that all of the text would give."""
    imports = "".join(f"import name{number}\n" for number in range(60))
    text = imports + "".join(parts) * (90_000 // len("".join(parts)) + 2)
    for share in shares:
        offset = header.PARSED + 60 + int(share * (len(text) - header.PARSED - 60))
        text = f"{text[:offset]}\n    name{int(share * 59)}\n    {text[offset:]}"
        for place in (offset, offset + 5, min(offset + 2_000, len(text))):
            found = header_at(text, place, language)
            assert found == looked_at_once(text, place, language)
            assert all(isinstance(one, Kept) for one in found.kept)


@pytest.mark.parametrize(
    ("language", "behind", "parsed"),
    [
        ("typescript", "\n" * header.PARSED, True),
        ("typescript", "\nlet b = 1;" * header.PARSED, False),
        ("python", "\nb = 1" * header.PARSED, True),
        ("typescript", "", True),
    ],
)
def test_what_is_too_long(
    monkeypatch: pytest.MonkeyPatch, language: str, behind: str, parsed: bool
) -> None:
    """Only what is read counts: not blank lines at the end, nor what follows in Python."""
    looked: list[str] = []

    def looked_at(text: str, begin: int, blanks: str, language_id: str) -> Header:
        looked.append(language_id)
        return Header()

    monkeypatch.setattr(header, "_looked_at", looked_at)
    header_at(f"a = 1\n{behind}", 5, language)
    header_at("a" * (header.PARSED + 1) + "\n", header.PARSED + 2, language)
    assert looked == [language] * (1 if parsed else 2)


@given(growing(), st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_what_ends_an_epoch(texts: list[str], share: float) -> None:
    """The number of the cursor's line and the imports of a document, however they were counted."""
    for text in texts:
        text = text + "\r\nimport a\nusing b;\n" + text * 3
        offset = int(share * len(text))
        query = CompletionQuery(Snapshot("file:///a.py", "python", text), offset)
        before = text[:offset]
        assert neighbourhood._line(query) == max(before.count("\n"), before.count("\r"))
        start = max(before.rfind("\n"), before.rfind("\r")) + 1
        end = min(len(text), neighbourhood.TOP)
        above = neighbourhood._IMPORT.findall(text, 0, min(start, end))
        below = neighbourhood._IMPORT.findall(text, offset, end) if offset < end else []
        assert list(neighbourhood._imports(query)) == [*above, *below]


@given(
    st.lists(st.sampled_from(PARTS), max_size=40).map("".join),
    st.lists(st.sampled_from(PARTS), max_size=5).map("".join),
    st.sampled_from(LANGUAGES),
)
@settings(max_examples=300, deadline=None)
def test_no_block_begins_in_a_word(before: str, after: str, language: str) -> None:
    """Where a word is being typed the tree need not be asked whether a block begins."""
    for word in ("x", "self", "_a1", "do"):
        text = before + word
        if _WORD.search(text.rpartition("\n")[2]):
            assert expects(text, after, language) is not Expectation.BLOCK


@pytest.mark.parametrize(
    ("head", "within"),
    [
        *(("self.na", True), ("    retur", True), ("x = _", True), ("f(a1", True)),
        *(("f(", False), ("if (a) {", False), ("x = 0x1f", False), ("1e", False), ("", False)),
        *(("return ", False), ("'a\\n", False), ("é", False)),
    ],
)
def test_within_a_word(head: str, within: bool) -> None:
    """A number may end where letters go on, and what is escaped is no word."""
    assert bool(_WORD.search(head)) == within


def test_the_last_results_are_at_hand() -> None:
    """A result is computed once while few others are asked for; another argument is another."""
    calls: list[tuple[str, int]] = []

    @latest
    def count(text: str, more: int) -> int:
        calls.append((text, more))
        return len(text) + more

    assert [count("ab", 1), count("ab", 1), count("ab", 2), count("".join("ab"), 1)] == [3, 3, 4, 3]
    assert calls == [("ab", 1), ("ab", 2)]
    for number in range(FEW):
        count("other", number)
    assert count("ab", 1) == 3
    assert calls[-1] == ("ab", 1)
