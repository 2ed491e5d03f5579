"""Tokenizers made from what models are published with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from codegen_lsp.converters.tiktoken_rebuild import (
    GPT2_TOKENS,
    SPECIAL_TOKENS,
    rank_tokenizer,
    ranks_of,
)
from codegen_lsp.converters.tokenizer_files import ensure_tokenizer, family_of_folder
from codegen_lsp.errors import ConversionError
from codegen_lsp.prompts.tokenizer import END_OF_TEXT, CodeTokenizer
from tests.support.data import test_data
from tests.support.marks import MARKS, library_tokenizer

PUBLISHED = ("vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json")

GPT2_PATTERN = (
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
)

PIECES = [
    *(" ", "  ", "    ", " " * 31, " " * 33, "\t", "\t\t", "\t" * 9, "\t" * 12, "\n", "\r\n"),
    *("def f(x):", "return", " return", "x = 10000", "3.14", "0x1F", "é", "日本語", "код", "🐍"),
    *("don't", "'ve", "____", "====", "----", "(", ")", '"""', "<mask_1>", "<eom>", "\u0301"),
    *("\x85", "\u2028", "\xa0", "\0", "ﷺ", "<", ">", "a", "A", "aAa", "\\n", "# c"),
]

CODE = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=24).map("".join)
"""Text that has everything tokenizers treat in a way of its own."""


def published(folder: Path, *names: str) -> Path:
    """*folder* with files of CodeGen1 in it."""
    folder.mkdir(exist_ok=True)
    for name in names or PUBLISHED:
        shutil.copyfile(test_data("codegen_tokenizer") / name, folder / name)
    return folder


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    """*folder* with the given JSON (or, for strings, text) files in it."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def small(family: str) -> dict[str, Any]:
    """Files of a small model of *family*, as the older publications have them."""
    document = json.loads(library_tokenizer(family, ["return", " x"]).to_str())
    merges = "".join(f"{left} {right}\n" for left, right in document["model"]["merges"])
    added = {token["content"]: token["id"] for token in document["added_tokens"]}
    return {
        "vocab.json": document["model"]["vocab"],
        "merges.txt": f"#version: 0.2\n{merges}",
        "added_tokens.json": added,
    }


def loaded(folder: Path, **options: Any) -> Tokenizer:
    """The tokenizer that :func:`ensure_tokenizer` leaves in *folder*."""
    path = ensure_tokenizer(folder, **options)
    assert path == folder / "tokenizer.json"
    return Tokenizer.from_file(str(path))


# CodeGen1


@pytest.fixture(scope="module")
def codegen1(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Made from ``vocab.json``, ``merges.txt`` and the added tokens."""
    return loaded(published(tmp_path_factory.mktemp("made") / "codegen1"))


@pytest.fixture(scope="module")
def original() -> Tokenizer:
    """As published."""
    return Tokenizer.from_file(str(test_data("codegen_tokenizer") / "tokenizer.json"))


def test_codegen1_vectors(codegen1: Tokenizer) -> None:
    """What is made gives the published ids, and the text back."""
    cases = json.loads((test_data("codegen_tokenizer") / "test_vectors.json").read_text())["cases"]
    for case in cases:
        assert codegen1.encode(case["text"]).ids == case["ids"], case["text"]
        assert codegen1.decode(case["ids"], skip_special_tokens=False) == case["text"]


def test_codegen1_tokens(codegen1: Tokenizer, original: Tokenizer) -> None:
    """The same names have the same ids; runs of blanks are text, end-of-text is not."""
    assert codegen1.get_vocab() == original.get_vocab()
    special = {t.content for t in codegen1.get_added_tokens_decoder().values() if t.special}
    assert special == {END_OF_TEXT}


@given(CODE)
def test_codegen1_is_the_published_tokenizer(
    codegen1: Tokenizer, original: Tokenizer, text: str
) -> None:
    """The same ids for any text."""
    assert codegen1.encode(text).ids == original.encode(text).ids


# CodeGen2 and CodeT5+


def test_codegen2_marks(tmp_path: Path) -> None:
    """905 marks more than CodeGen1: special, although no file says so; blanks stay text."""
    folder = published(tmp_path / "codegen2")
    added = json.loads((folder / "added_tokens.json").read_text())
    added |= {name: 50295 + place for place, name in enumerate(SPECIAL_TOKENS)}
    assert len(added) == 943
    write(folder, {"added_tokens.json": added})
    loaded(folder)
    tokenizer = CodeTokenizer.from_folder(folder)
    assert (tokenizer.vocab_size, tokenizer.eos_id) == (51200, 50256)
    assert set(tokenizer.special_ids) == {END_OF_TEXT, *SPECIAL_TOKENS}
    assert tokenizer.encode("    return x") == [50284, 7783, 2124]
    assert tokenizer.decode(tokenizer.encode("a<mask_1>\t\tb")) == "a<mask_1>\t\tb"
    assert tokenizer.id_of("<mask_1>") == 51199
    assert family_of_folder(folder) == "codegen2"


@pytest.mark.parametrize("where", ["map", "config", "neither"])
def test_codet5p_marks(tmp_path: Path, where: str) -> None:
    """Marks inside the vocabulary and behind it are special, wherever that is said."""
    files = small("codet5p")
    inside = MARKS["codet5p"][:5]
    added = files.pop("added_tokens.json")
    files["vocab.json"] |= {name: added.pop(name) for name in inside}
    if where == "map":
        extra = [f"<extra_id_{n}>" for n in range(3)]
        files["special_tokens_map.json"] = {
            "eos_token": {"content": "</s>", "lstrip": True},
            "mask_token": "<mask>",
            "additional_special_tokens": extra,  # their ids are said nowhere: they come last
        }
    elif where == "config":
        entries = {str(n): {"content": name, "special": True} for name, n in added.items()}
        files["tokenizer_config.json"] = {"added_tokens_decoder": entries, "eos_token": "</s>"}
    else:
        files["added_tokens.json"] = added
    loaded(write(tmp_path / "t5", files))
    tokenizer = CodeTokenizer.from_folder(tmp_path / "t5")
    assert set(tokenizer.special_ids) == set(MARKS["codet5p"])
    assert {name: tokenizer.id_of(name) for name in added} == added
    assert tokenizer.eos_id == tokenizer.id_of("</s>")


def test_blanks_are_text(tmp_path: Path) -> None:
    """Whatever a file says: a mark has no text, and blanks are nothing else."""
    files = small("codegen2")
    files["special_tokens_map.json"] = {"additional_special_tokens": ["  ", "<eom>"]}
    loaded(write(tmp_path, files))
    tokenizer = CodeTokenizer.from_folder(tmp_path)
    assert tokenizer.id_of("  ") is None
    assert tokenizer.decode(tokenizer.encode("a  b")) == "a  b"


# CodeGen2.5


@cache
def codegen25() -> Tokenizer:
    """Rebuilt, GPT-2's part from CodeGen1's files."""
    tokenizer: Tokenizer = rank_tokenizer(ranks_of(test_data("codegen_tokenizer")))
    return tokenizer


@cache
def judge() -> Any:
    """The same encoding in the library it was published for."""
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken judges the rebuilt encoding")
    special = {END_OF_TEXT: 50256} | {n: 50295 + i for i, n in enumerate(SPECIAL_TOKENS)}
    return tiktoken.Encoding(
        "codegen25",
        pat_str=GPT2_PATTERN,
        mergeable_ranks=ranks_of(test_data("codegen_tokenizer")),
        special_tokens=special,
        explicit_n_vocab=51200,
    )


def test_codegen25_ids() -> None:
    """The ids that CodeGen2.5's own program gives."""
    table = {
        " " * 31: 50257,
        "  ": 50286,
        "\t" * 9: 50287,
        "\t\t": 50294,
    }
    for text, number in table.items():
        assert codegen25().encode(text).ids == [number]
    marks = {"<fim_prefix>": 50295, "<reponame>": 50312, "<dummy_0>": 50313, "<sep>": 50317}
    marks |= {"<eom>": 50318, "<mask_881>": 50319, "<mask_1>": 51199, END_OF_TEXT: GPT2_TOKENS}
    for name, number in marks.items():
        assert codegen25().token_to_id(name) == number
    assert codegen25().get_vocab_size() == 51200


def test_codegen25_is_tiktokens_on_the_vectors_and_on_this_repository() -> None:
    """The same ids, file by file."""
    cases = json.loads((test_data("codegen_tokenizer") / "test_vectors.json").read_text())["cases"]
    root = Path(__file__).resolve().parents[2]
    files = [*sorted((root / "codegen_lsp").rglob("*.py")), root / "README.md"]
    texts = [case["text"] for case in cases] + [f.read_text(encoding="utf-8") for f in files]
    for text in texts:
        ids = codegen25().encode(text).ids
        assert ids == judge().encode(text, allowed_special="all"), text[:80]
        assert codegen25().decode(ids, skip_special_tokens=False) == text


@given(CODE)
def test_codegen25_is_tiktokens_on_any_text(text: str) -> None:
    """The same ids, special tokens included where they are taken for such."""
    assert codegen25().encode(text).ids == judge().encode(text, allowed_special="all")


@given(st.text("-=*_. \t\n", max_size=150))
def test_codegen25_merges_runs_as_tiktoken_does(text: str) -> None:
    """Where pieces overlap in many ways, the same ones are merged first."""
    assert codegen25().encode(text).ids == judge().encode_ordinary(text)


def test_codegen25_folder(tmp_path: Path) -> None:
    """A folder without a vocabulary is known by its configuration, or by name."""
    gpt2 = published(tmp_path / "gpt2", "vocab.json")
    config = {"model_type": "llama", "vocab_size": 51200}
    for name, files, family in (
        ("config", {"config.json": config}, None),
        ("class", {"tokenizer_config.json": {"tokenizer_class": "CodeGen25Tokenizer"}}, None),
        ("program", {"tokenization_codegen25.py": ""}, None),
        ("said", {}, "codegen25"),
    ):
        folder = write(tmp_path / name, files)
        if family is None:
            assert family_of_folder(folder) == "codegen25"
        with pytest.raises(ConversionError, match="companion"):
            ensure_tokenizer(folder, family=family)
        assert not (folder / "tokenizer.json").exists()
        assert loaded(folder, companion=gpt2, family=family).token_to_id("<mask_1>") == 51199
    assert family_of_folder(tmp_path / "config") == "codegen25"


@pytest.mark.parametrize(
    "vocab", [None, "[", {"a": 0}, {"日": 0}, {str(n): n for n in range(50256)}, [1]]
)
def test_codegen25_wrong_companion(tmp_path: Path, vocab: object) -> None:
    """Only GPT-2's vocabulary will do."""
    write(tmp_path / "gpt2", {} if vocab is None else {"vocab.json": vocab})
    with pytest.raises(ConversionError, match="GPT-2") as caught:
        ensure_tokenizer(tmp_path, companion=tmp_path / "gpt2", family="codegen25")
    assert "\n" not in str(caught.value)


# Published tokenizer.json, families, and what is refused


def test_a_published_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """Not one byte changes."""
    content = library_tokenizer("starcoder", ["return"]).to_str(pretty=True)
    write(tmp_path, {"tokenizer.json": content, "config.json": {"vocab_size": 400}})
    assert ensure_tokenizer(tmp_path).read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    ("tokens", "model_type", "family"),
    [
        ("causal", "codegen", "causal"),
        ("causal", "gpt_bigcode", "causal"),
        ("codegen2", "codegen", "codegen2"),
        ("codegen2", None, "codegen2"),
        ("codegen25", "llama", "codegen25"),
        ("starcoder", "gpt_bigcode", "starcoder"),
        ("santacoder", "gpt2", "santacoder"),
        ("codet5p", "t5", "codet5p"),
        ("codet5p", None, "codet5p"),
    ],
)
def test_families(tmp_path: Path, tokens: str, model_type: str | None, family: str) -> None:
    """Told by the model's type and the tokenizer's marks, with ``tokenizer.json`` or without."""
    config = {} if model_type is None else {"model_type": model_type}
    write(tmp_path, small(tokens) | {"config.json": config})
    assert family_of_folder(tmp_path) == family
    ensure_tokenizer(tmp_path)
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (tmp_path / name).unlink()
    assert family_of_folder(tmp_path) == family


@pytest.mark.parametrize("family", MARKS)
def test_a_made_tokenizer_is_the_one_it_was_taken_from(tmp_path: Path, family: str) -> None:
    """Older files and ``tokenizer.json`` say the same."""
    made = loaded(write(tmp_path, small(family)))
    given = library_tokenizer(family, ["return", " x"])
    assert made.get_vocab() == given.get_vocab()
    marks = {n: t.special for n, t in given.get_added_tokens_decoder().items()}
    assert {n: t.special for n, t in made.get_added_tokens_decoder().items()} == marks


def broken(**changes: object) -> dict[str, Any]:
    """The files of a small CodeGen1 with some replaced."""
    files = small("causal") | {name.replace("__", "."): v for name, v in changes.items()}
    return {name: content for name, content in files.items() if content is not None}


def sentencepiece() -> str:
    """A tokenizer that is not byte-level."""
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer.to_str()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "no tokenizer in"),
    ({"config.json": {"model_type": "llama", "vocab_size": 32000}}, "no tokenizer in"),
    (broken(merges__txt=None), "no tokenizer in"),
    (broken(vocab__json=None), "no tokenizer in"),
    (broken(vocab__json="{"), "cannot read .*vocab.json"),
    (broken(vocab__json=[]), "no JSON object"),
    (broken(vocab__json={"a": 0}), "do not fit together"),
    (broken(vocab__json={"a": "b"}), "do not fit together"),
    (broken(merges__txt="#version: 0.2\na\n"), "no pairs"),
    (broken(merges__txt="zz qq\n"), "do not fit together"),
    (broken(added_tokens__json={"<x>": 9999}), "cannot have the id 9999"),
    (broken(added_tokens__json={"<x>": "9"}), "an id that is none"),
    (broken(added_tokens__json="version https://git-lfs"), "cannot read .*added_tokens"),
    (broken(config__json={"vocab_size": 100}), "ids up to 2.., the model 100 rows"),
    ({"tokenizer.json": "version https://git-lfs"}, "cannot read .*tokenizer.json"),
    ({"tokenizer.json": sentencepiece()}, "not byte-level"),
    (
        {
            "tokenizer.json": library_tokenizer("causal").to_str(),
            "config.json": {"vocab_size": 256},
        },
        "ids up to 256, the model 256 rows",
    ),
]


@pytest.mark.parametrize(("files", "complaint"), REFUSED)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, files: dict[str, Any], complaint: str
) -> None:
    """One line, and nothing is left behind that was not there."""
    write(tmp_path, files)
    with pytest.raises(ConversionError, match=complaint) as caught:
        ensure_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is one line, and leaves nothing."""
    files = small("causal")
    write(tmp_path, files)

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConversionError, match="No space left"):
        ensure_tokenizer(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(files)
