"""Grammars: parsing always comes back, and offsets are those of the text."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen_lsp.syntax import grammars, queries
from codegen_lsp.syntax.grammars import GRAMMARS, grammar_of, has_grammar, parse
from tests.support.nine import MODULES

LANGUAGES = sorted(GRAMMARS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_of_the_table_is_parsed(language: str) -> None:
    """The packages are installed with us; what is right has no errors."""
    parsed = parse(MODULES[language], language)
    assert parsed is not None
    assert not parsed.root.has_error, parsed.root
    assert parsed.grammar == language
    assert has_grammar(language)


@pytest.mark.parametrize("language", ["", "cobol", "ruby", "plaintext"])
def test_other_languages_have_no_grammar(language: str) -> None:
    assert not has_grammar(language)
    assert parse("x = 1", language) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_query_is_known_to_its_grammar(language: str) -> None:
    """A node that a new version of a grammar has renamed is found here, not by an editor."""
    parsed = parse("", language)
    assert parsed is not None
    for table in (queries.DEFINITIONS, queries.IMPORTS, queries.BRACKETS):
        grammars.captures(parsed, table[language])
    grammars.captures(parsed, queries.FAULTS)


@pytest.mark.parametrize("sign", ["é", "日本", "😀", "\udc80", "\0", "\ufeff", "\u2028"])
def test_offsets_are_code_points(sign: str) -> None:
    """Whatever stands in a string or comment, what follows begins where it does in the text."""
    text = f'a = "{sign}"  # {sign}\nnamed = 1\n'
    parsed = parse(text, "python")
    assert parsed is not None
    names = grammars.captures(parsed, "(identifier) @name")["name"]
    assert [parsed.of(name) for name in names] == ["a", "named"]


def test_names_need_not_be_ascii() -> None:
    parsed = parse("größe = naïve(变量)\n", "python")
    assert parsed is not None
    assert not parsed.root.has_error
    names = grammars.captures(parsed, "(identifier) @name")["name"]
    assert {parsed.of(name) for name in names} == {"größe", "naïve", "变量"}


@pytest.mark.parametrize(
    ("text", "language", "grammar"),
    [
        ("int f(struct a *b);\n", "c", "c"),
        ("class A {\n public:\n  int b;\n};\n", "c", "cpp"),
        ("std::string f();\n", "c", "cpp"),
        ("namespace a {\n}\n", "c", "cpp"),
        ("#define A(b) b ? 1 : 2\n", "c", "c"),
        ("class A: pass\n", "python", "python"),
    ],
)
def test_headers_may_be_of_either_language(text: str, language: str, grammar: str) -> None:
    assert grammar_of(text, language) == grammar


HOPELESS = [
    ("java", "a<", 50_000),
    ("java", "a<\n", 50_000),
    ("c", "=>=>fn ", 20_000),
    ("java", "`&fn =>", 20_000),
    ("python", "-::+", 20_000),
    ("go", "-<*", 20_000),
    ("typescript", "->", 20_000),
    ("cpp", "/* not ", 20_000),
    ("rust", "&::", 20_000),
    # Nothing tells these from code before they are parsed.
    ("cpp", "::.", 60_000),
    ("cpp", "/::,", 60_000),
]


@pytest.mark.parametrize(("language", "unit", "length"), HOPELESS)
def test_text_that_is_no_code_costs_little(language: str, unit: str, length: int) -> None:
    """Without a bound, each of these takes half a minute or gigabytes."""
    code = (
        "import resource, sys; from codegen_lsp.syntax.grammars import parse\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
        f"parse({unit!r} * {length // len(unit)}, {language!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_parse_that_was_given_up_leaves_no_trace() -> None:
    """The parser starts afresh: the next text is parsed as if nothing had been."""
    for language, unit, length in HOPELESS[2:]:
        parse(unit * (length // len(unit)), language)
        after = parse(MODULES[language], language)
        assert after is not None
        assert not after.root.has_error


@pytest.mark.parametrize("sign", ["(", "{", ")}", '"', "x = 1\n", "\0", "\udc80", "é ", "\n"])
def test_a_megabyte_is_parsed_or_refused(sign: str) -> None:
    text = sign * (1_000_000 // len(sign))
    for language in ("python", "typescript"):
        parsed = parse(text, language)
        assert parsed is None or parsed.root.end_byte <= len(text)


def test_longer_texts_are_data() -> None:
    assert parse("x = 1\n" * 400_000, "python") is None


def test_threads_do_not_share_a_parser() -> None:
    """Many at once find what one alone finds."""
    wrong: list[str] = []

    def work(language: str) -> None:
        text = MODULES[language]
        for _ in range(20):
            parsed = parse(text, language)
            time.sleep(0)
            if parsed is None or parsed.root.has_error or parsed.root.end_byte > len(text):
                wrong.append(language)

    threads = [threading.Thread(target=work, args=(one,)) for one in LANGUAGES[:4] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_package_that_is_missing_is_a_language_without_a_grammar(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log, however often it is asked for."""
    grammars._language.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_go", None)
    monkeypatch.setattr(grammars._PARSERS, "by_grammar", {})
    try:
        for _ in range(3):
            assert not has_grammar("go")
            assert parse("package a\n", "go") is None
        assert len(caplog.records) == 1
        assert has_grammar("python")
    finally:
        monkeypatch.undo()
        grammars._language.cache_clear()
        grammars._query.cache_clear()


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300), language=st.sampled_from(LANGUAGES))
def test_any_text_is_parsed(text: str, language: str) -> None:
    """No text raises, and a tree never reaches beyond its text."""
    parsed = parse(text, language)
    if parsed is not None:
        assert 0 <= parsed.root.start_byte <= parsed.root.end_byte <= len(text)
