"""Text to tokens and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.converters.tiktoken_rebuild import rank_tokenizer, ranks_of
from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import END_OF_TEXT, CodeTokenizer
from tests.support.cursor import word_tokenizer
from tests.support.data import test_data
from tests.support.marks import MARKS, family_tokenizer, library_tokenizer

WORDS = word_tokenizer([".append", "return", " x", "\n    "])


SMALL = [family for family in MARKS if family != "causal"]

PIECES = [
    *(
        "\n\n\n",
        "    x = 'é'\n",
        "\n",
        "def f():\n",
        "  \t\r\n",
        "🐍\n",
        "12\n34",
        "a\x1c\n",
        "\xa0\n",
    ),
    *("x\u200b\n", "x\u180e\n", "    ", "=\n        ", "\x85\n", "# 日本\n\n", ")\n\t\t"),
    *(name for names in MARKS.values() for name in names),
]
"""What line ends, digits, blanks and marks can stand beside."""


@pytest.fixture(scope="module", params=["words", "codegen", "bundled", "codegen25 real", *SMALL])
def tokenizer(request: pytest.FixtureRequest) -> Iterator[CodeTokenizer]:
    """Each tokenizer at hand: the published, the rebuilt, ours, and a small one per family."""
    if request.param == "words":
        yield WORDS
    elif request.param in SMALL:
        yield family_tokenizer(request.param, ["return", " x", "\n    "])
    elif request.param == "codegen":
        yield CodeTokenizer.from_folder(test_data("codegen_tokenizer"))
    elif request.param == "codegen25 real":
        yield CodeTokenizer(rank_tokenizer(ranks_of(test_data("codegen_tokenizer"))), 50256)
    elif not (bundled_folder() / "tokenizer.json").exists():
        pytest.skip("the bundled model is not built")
    else:
        yield CodeTokenizer.from_folder(bundled_folder())


def test_vectors() -> None:
    """The published tokenizer gives the published ids, special tokens in the text excepted."""
    folder = test_data("codegen_tokenizer")
    tokenizer = CodeTokenizer.from_folder(folder)
    for case in json.loads((folder / "test_vectors.json").read_text())["cases"]:
        ids = tokenizer.encode(case["text"])
        assert (ids == case["ids"]) is (END_OF_TEXT not in case["text"]), case["text"]
        assert tokenizer.decode(ids) == case["text"]
    assert (tokenizer.eos_id, tokenizer.vocab_size) == (50256, 50295)


@given(text=st.text())
def test_round_trip(tokenizer: CodeTokenizer, text: str) -> None:
    """Any text survives; none becomes a special token."""
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_id not in ids


@given(text=st.text(), junk=st.lists(st.integers(0, 300), max_size=8))
def test_stream_is_decode(tokenizer: CodeTokenizer, text: str, junk: list[int]) -> None:
    """Token by token comes the same text, broken characters included."""
    ids = tokenizer.encode(text) + junk
    stream = tokenizer.stream()
    assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids)


def test_stream_holds_back_half_characters() -> None:
    """No piece holds half an emoji, and at the end what is left shows."""
    stream = WORDS.stream()
    *first, last = WORDS.encode("🐍")
    assert [stream.push(i) for i in first] == ["", "", ""]
    assert stream.push(last) == "🐍"
    stream.push(first[0])
    assert stream.flush() == "\ufffd"


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9), st.text(max_size=9))
def test_long_texts_are_remembered_in_part(
    tokenizer: CodeTokenizer, parts: list[str], end: str
) -> None:
    """Where a long text is cut makes no difference, in any family."""
    text = end + "".join(parts)
    text = text * (1100 // len(text) + 1) + end
    assert tokenizer.encode(text) == list(tokenizer._encode(text))


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12))
def test_marks_in_a_text_are_text(tokenizer: CodeTokenizer, parts: list[str]) -> None:
    """Who writes about marks gets their letters, in every family."""
    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.special_ids.values())
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("family", MARKS)
def test_marks_by_name(family: str) -> None:
    """Marks have ids and no text; people see them by name. Runs of blanks are no marks."""
    tokenizer = family_tokenizer(family)
    marks = [name for name in MARKS[family] if name.strip()]
    assert list(tokenizer.special_ids) == marks
    ids = [number for name in marks if (number := tokenizer.id_of(name)) is not None]
    assert len(ids) == len(marks)
    assert tokenizer.decode([*ids, *tokenizer.encode("a é")]) == "a é"
    assert tokenizer.render([ids[0], *tokenizer.encode("a é"), ids[-1]]) == (
        f"{marks[0]}a é{marks[-1]}"
    )
    assert tokenizer.id_of("  ") is tokenizer.id_of("<absent>") is tokenizer.id_of("a") is None
    assert all(tokenizer.token_text(number) is None for number in ids)
    assert not set(ids) & set(tokenizer.continuations("<"))


def test_a_cut_makes_no_difference_in_real_code(tokenizer: CodeTokenizer) -> None:
    """A page of this file has the same ids, however much of it was seen before."""
    text = Path(__file__).read_text(encoding="utf-8")
    for end in range(1000, len(text), 97):
        assert tokenizer.encode(text[:end]) == list(tokenizer._encode(text[:end]))


def test_end_of_text_in_a_text_is_text(tokenizer: CodeTokenizer) -> None:
    """Who writes about tokens does not end the document."""
    assert tokenizer.eos_id not in tokenizer.encode(f"a{END_OF_TEXT}b")
    assert tokenizer.decode([tokenizer.eos_id, 10**6]) == ""


def test_lone_surrogates_are_no_error() -> None:
    """JSON can carry half a character; it is read as a question mark."""
    assert WORDS.decode(WORDS.encode("a\ud800b")) == "a?b"


def test_continuations() -> None:
    """What may come next if a text is to come: what begins with it, and what it begins with."""
    found = {WORDS.token_text(i) for i in WORDS.continuations("retu")}
    assert found == {"r", "re", "ret", "retu", "retur", "return"}
    assert WORDS.extends(".appe")
    assert not WORDS.extends(".append")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "is missing"),
        ("{", "cannot be read"),
        ('{"model": 1}', "cannot be read"),
        ('{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "no byte-level"),
        (
            '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "decoder":'
            ' {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,'
            ' "use_regex": false}}',
            "has no token",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, content: str | None, complaint: str) -> None:
    """What cannot be used is named in one line."""
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelDamagedError, match=complaint) as caught:
        CodeTokenizer.from_folder(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "configured", "end"),
    [
        ("causal", None, END_OF_TEXT),
        ("causal", {"eos_token": "a"}, END_OF_TEXT),
        ("starcoder", {"eos_token": {"content": "<fim_pad>"}}, END_OF_TEXT),
        ("codet5p", None, "</s>"),
        ("codet5p", {"eos_token": "</s>"}, "</s>"),
        ("codet5p", {"eos_token": {"content": "<pad>"}}, "<pad>"),
        ("codet5p", {"eos_token": "<absent>"}, "</s>"),
        ("codet5p", {"eos_token": None}, "</s>"),
        ("codet5p", [], "</s>"),
    ],
)
def test_end_of_text(tmp_path: Path, family: str, configured: object, end: str) -> None:
    """End-of-text by its name; then what the folder says; then the end of a sentence."""
    library_tokenizer(family).save(str(tmp_path / "tokenizer.json"))
    if configured is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(configured))
    tokenizer = CodeTokenizer.from_folder(tmp_path)
    assert tokenizer.render([tokenizer.eos_id]) == end


@pytest.mark.parametrize("family", SMALL)
def test_marks_that_a_file_calls_text_are_marks(tmp_path: Path, family: str) -> None:
    """Some published files do; runs of blanks stay text, truncation is left out."""
    library = library_tokenizer(family)
    library.enable_truncation(2)
    document = json.loads(library.to_str())
    for token in document["added_tokens"]:
        token["special"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    tokenizer = CodeTokenizer.from_folder(tmp_path)
    assert list(tokenizer.special_ids) == [name for name in MARKS[family] if name.strip()]
    text = f"a{MARKS[family][0]}b    c"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_library_is_imported_late() -> None:
    """Importing the module costs no tokenizer library."""
    code = "import sys, codegen_lsp.prompts.families; sys.exit('tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
