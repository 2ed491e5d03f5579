"""Words of identifiers, and ids that are the same everywhere."""

from __future__ import annotations

import subprocess
import sys
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.context.words import STOP_WORDS, ids_of, names, packed_ids, word_ids, words

SPLIT = {
    "parser": ["parser"],
    "http_server": ["http", "server", "http_server"],
    "HTTPServer": ["http", "server", "http_server"],
    "HTTP_SERVER": ["http", "server", "http_server"],
    "httpServer": ["http", "server", "http_server"],
    "parseHTTPHeader2": ["parse", "http", "header", "parse_http_header_2"],
    "XMLHttpRequest": ["xml", "http", "request", "xml_http_request"],
    "loadURLs": ["load", "urls", "load_urls"],
    "utf8Decode": ["utf", "decode", "utf_8_decode"],
    "int32": ["int_32"],
    "_cached_name": ["cached", "name", "cached_name"],
    "__init__": ["init"],
    "is_none": ["is_none"],
    "x": [],
    "x1": [],
    "T": [],
    "self": [],
    "return": [],
    "_": [],
    "__": [],
    "Ångström": ["ångström"],
    "größeÄndern": ["größe", "ändern", "größe_ändern"],
    "ЧитатьФайл": ["читать", "файл", "читать_файл"],
    "読む_file": ["読む", "file", "読む_file"],
    "a" * 65: [],
    "d0a1b2c3e4f5a6b7c8": [],
}


@pytest.mark.parametrize(("name", "expected"), SPLIT.items(), ids=[n[:20] for n in SPLIT])
def test_an_identifier_gives_its_words_and_then_itself(name: str, expected: list[str]) -> None:
    """Case, underscores and digits join words; stop words, letters and numbers are none."""
    assert words(name) == expected


def test_a_text_gives_words_in_order_and_repeats_them() -> None:
    """Comments and strings count; what no identifier is does not."""
    text = 'def load_user(uid):  # loads the user\n    return fetch("user", 42, uid)\n'
    assert words(text) == [
        *("load", "user", "load_user", "uid", "loads", "user", "fetch", "user", "uid"),
    ]
    assert names(text) == [
        *("def", "load_user", "uid", "loads", "the", "user", "return", "fetch", "user", "uid"),
    ]


def test_ids_are_the_checksums_of_words_and_ascend() -> None:
    """Ids can be computed by anybody, and each word counts once."""
    ids = word_ids("loadUser(user); load_user(User)")
    assert ids.dtype == np.uint32
    assert ids.tolist() == sorted(crc32(word.encode()) for word in ("load", "user", "load_user"))
    assert ids_of(["User", "user", "loadUser"]) == ids.tolist()
    assert packed_ids("loadUser user") == ids.tobytes()


def test_a_text_without_words_has_no_ids() -> None:
    """Nothing is an answer, too."""
    assert word_ids("").tolist() == word_ids("if x: return 3.14").tolist() == []


def test_ids_are_the_same_in_another_process() -> None:
    """The worker's ids are compared with the server's; Python's own hashes would not do."""
    text = "class HTTPServer: größe = 1"
    program = f"from codegen_lsp.context.words import ids_of, names; print(ids_of(names({text!r})))"
    command = [sys.executable, "-X", "utf8", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str(word_ids(text).tolist())


@given(st.text())
def test_any_text_has_words_and_as_many_ids(text: str) -> None:
    """No text is too strange, half surrogate pairs included, and words and ids agree."""
    expected = {crc32(word.encode("utf-8", "replace")) for word in words(text)}
    assert word_ids(text).tolist() == sorted(expected)


@given(st.lists(st.from_regex(r"[a-z]{2,6}", fullmatch=True), min_size=2, max_size=5))
def test_four_ways_to_join_words_are_one(parts: list[str]) -> None:
    """What people mean by a name does not depend on their language's custom."""
    snake = "_".join(parts)
    camel = parts[0] + "".join(part.title() for part in parts[1:])
    expected = [part for part in parts if part not in STOP_WORDS] + [snake]
    for joined in (snake, snake.upper(), camel, "".join(part.title() for part in parts)):
        assert words(joined) == expected
