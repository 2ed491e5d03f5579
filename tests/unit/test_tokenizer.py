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

from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import END_OF_TEXT, CodeTokenizer
from tests.support.cursor import word_tokenizer
from tests.support.data import test_data

WORDS = word_tokenizer([".append", "return", " x", "\n    "])


@pytest.fixture(scope="module", params=["words", "codegen", "bundled"])
def tokenizer(request: pytest.FixtureRequest) -> Iterator[CodeTokenizer]:
    """Each tokenizer at hand."""
    if request.param == "words":
        yield WORDS
    elif request.param == "codegen":
        yield CodeTokenizer.from_folder(test_data("codegen_tokenizer"))
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


@given(st.lists(st.sampled_from(["    x = 'é'\n", "\n", "def f():\n", "  \t\r\n", "🐍"] * 30)))
def test_long_texts_are_remembered_in_part(parts: list[str]) -> None:
    """Where a long text is cut makes no difference."""
    text = "".join(parts * 20)
    assert WORDS.encode(text) == list(WORDS._encode(text))


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


def test_the_library_is_imported_late() -> None:
    """Importing the module costs no tokenizer library."""
    code = "import sys, codegen_lsp.prompts.families; sys.exit('tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
