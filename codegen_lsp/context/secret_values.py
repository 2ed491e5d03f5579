r"""Secrets that show by what they are called, and those that show by being chance.

Knows the names people give to secrets, how languages write a name and its value, and what letters
drawn at random look like: they change between lower case, upper case and digits every other
character, names and words every fifth. Over CPython's library that finds one run in 3,000 lines,
nearly all of them encoded data. What is random but public stays: identifiers (UUIDs, commits),
digests in a line that calls them so, public keys.

The time grows with the length of the text, whatever the text is.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from codegen_lsp.context.secret_formats import PLACEHOLDER, Span

__all__ = ["by_chance", "named"]

_NAME: Final = re.compile(
    r"(?P<password>passw(?:or)?d|passwort|passphrase|pwd)|secret|token|credentials?|(?P<key>key)"
)
_KEYS: Final = (
    *("access", "account", "api", "auth", "encryption", "license", "master", "private", "secret"),
    *("shared", "signing"),
)
"""Keys that are secret, by what stands before the word."""

_ENDING: Final = r"(?:[_-]?(?:base|dev|hash|live|prod|production|staging|test|value))?[0-9]{0,3}"
_LITERAL: Final = (
    r"(?:[rbfuRBFU@$L]{0,2})(?P<quote>\"\"\"|'''|[\"'`])"
    r"(?P<value>(?:\\.|[^\\\n]){1,512}?)(?P=quote)"
)
_QUOTED: Final = re.compile(
    _ENDING + r"(?:[\"'`]?\]?[ \t]{0,8}(?:\?|:[ \t]{0,4}[A-Za-z][\w.\[\] |]{0,40})?"
    r"\s{0,8}(?::=|=>|===?|!==?|[=:]|<-)\s{0,8}"
    r"|(?P<loose>[\"']?,[ \t]{0,4}|\([ \t]{0,4}|[ \t]{1,8}))" + _LITERAL
)
"""``name = "…"``, ``"name": "…"``, ``name: str = "…"``; loosely also ``set_name("…")`` and
``#define NAME "…"``."""

_FALLBACK: Final = re.compile(
    _ENDING
    + r"[\"'`]?\]?[ \t]{0,8}(?::[^=\n]{0,40})?[=:][^\n;]{1,120}?(?:\bor|\|\||\?\?)[ \t]{1,4}"
    + _LITERAL
)
"""``name = environment["…"] or "…"``, ``name = process.env.NAME || "…"``."""

_MARKUP: Final = re.compile(
    _ENDING + r"(?:>|[\"'][ \t]{1,4}value[ \t]{0,4}=[ \t]{0,4}[\"'])(?P<value>[^\s<>\"'&]{4,256})"
    r"(?=</|[\"'])",
    re.IGNORECASE,
)
"""``<name>…</name>``, ``<add key="name" value="…"/>``."""

_BARE: Final = re.compile(
    _ENDING + r"(?P<sign>=|: ?)(?P<value>[^\s\"'`$<>{}()\[\],;&|]{6,256})(?=[\s;&\"'`]|\Z)"
)
"""``NAME=…`` in a shell, ``name=…;`` in an address of a database, ``name: …`` in YAML."""

_STAND_IN: Final = re.compile(
    rf"{PLACEHOLDER}|placeholder|example|change[-_ ]?me|your[-_ ]|dummy"
    r"|[*.xX•]{3,}\Z|\A[*.xX•]+\Z"
    r"|%[sd(]|\A\$[\w({]|\$\{|\{[\w.\[\]:!()]*\}|<[^<>]*>|\A(?:[/~]|\.{1,2}/|https?:)"
    r"|\A(?:none|null|nil|true|false|undefined|string|text|str|required|optional|hidden|invalid"
    r"|bearer|basic|pass|test)\Z",
    re.IGNORECASE,
)
_TYPE_LIKE: Final = re.compile(r"[A-Za-z]+(?:8|16|32|64|128)?[A-Za-z]*\Z")

_RUN: Final = re.compile(r"(?<!\\)[A-Za-z0-9+/_\-]{20,}+={0,2}+")
_PIECE: Final = re.compile(r"[A-Za-z0-9+]{20,}+={0,2}+")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_HEX: Final = re.compile(r"(?:0x)?[0-9a-fA-F-]+\Z")
_PART_IN_HEX: Final = re.compile(r"(?<![A-Za-z0-9])[0-9a-f]{4,}+(?![A-Za-z0-9])")
"""In a path: a commit, a part of a UUID."""

_PUBLIC: Final = re.compile(
    r"sha\d|md5|blake|digest|checksum|hash|integrity|fingerprint|commit|revision|etag|[ug]uid"
    r"|\bh1:|base64,|ssh-(?:rsa|dss|ed25519)|ecdsa-sha2",
    re.IGNORECASE,
)
_BEFORE: Final = 120
"""Characters before a run in which a word may say that it is public."""

_LONG: Final = 32
_MEAN_WORD: Final = (2.7, 3.2)
"""Characters between two changes, in a run shorter than :data:`_LONG` and in others."""

_ENTROPY: Final = 3.4
"""Bits per character; 20 characters drawn at random have more in 99 of 100 cases."""

_HEX_ENTROPY: Final = 3.0
_COMMIT: Final = 40


def named(text: str) -> Iterator[Span]:
    """Values whose name says that they are secret, where they are no stand-ins for one."""
    for name in _names(text):
        password = name["password"] is not None
        match = next((one for one in _matches(text, name.end()) if one is not None), None)
        if match is None or _is_stand_in(match["value"]):
            continue
        value = match["value"]
        if match.re is not _BARE:
            sure = password and not match.groupdict().get("loose")
            found = _is_mixed(value) or (sure and _is_word(value))
        else:
            shouted = text[name.start()].isupper() and match["sign"] == "="
            found = _is_bare_secret(value, trusted=password or shouted)
        if found:
            yield Span(*match.span("value"), "password" if password else "secret")


def _matches(text: str, at: int) -> Iterator[re.Match[str] | None]:
    """The ways in which a value may follow a name that ends at *at*."""
    return (regex.match(text, at) for regex in (_QUOTED, _MARKUP, _FALLBACK, _BARE))


def _names(text: str) -> Iterator[re.Match[str]]:
    """Where names of secrets end; the places are the same in *text* and in lower case."""
    lower = text.lower()
    if len(lower) != len(text):  # a letter that becomes two
        lower = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
    for name in _NAME.finditer(lower):
        before = lower[max(0, name.start() - 12) : name.start()].rstrip("_-")
        if name["key"] is None or before.endswith(_KEYS):
            yield name


def _is_stand_in(value: str) -> bool:
    """Whether *value* is a place for a secret, a word for one, or the name of one."""
    if _STAND_IN.search(value):
        return True
    return any(_names(value)) and sum(map(str.isdigit, value)) < 2


def _is_word(value: str) -> bool:
    return len(value) >= 4 and not any(map(str.isspace, value))


def _is_mixed(value: str) -> bool:
    """Whether *value* has what secrets have and names seldom: letters and digits, and length."""
    if len(value) < 8 or any(map(str.isspace, value)):
        return False
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def _is_bare_secret(value: str, *, trusted: bool) -> bool:
    """The same without quotes, where *value* may be code: a variable, a type."""
    if trusted and _is_mixed(value) and not _TYPE_LIKE.match(value):
        return True
    return len(value) >= 20 and _is_random(value)


def by_chance(text: str) -> Iterator[Span]:
    """Runs of 20 characters and more that nobody thought of."""
    for run in _RUN.finditer(text):
        if PLACEHOLDER in run[0] or _is_public(text, run):
            continue
        if _is_hex(run[0]):
            if _is_key_in_hex(text, run):
                yield Span(*run.span(), "high entropy")
        elif _is_random(run[0]):
            yield Span(*run.span(), "high entropy")
        else:
            # A random part of a path or of a longer name.
            for piece in _PIECE.finditer(text, run.start(), run.end()):
                if not _is_hex(piece[0]) and _is_random(piece[0]):
                    yield Span(*piece.span(), "high entropy")


def _is_public(text: str, run: re.Match[str]) -> bool:
    """Whether the line says before the run that it is a digest, an identifier, a public key."""
    start = max(0, run.start() - _BEFORE)
    line = max(start, text.rfind("\n", start, run.start()) + 1)
    return _PUBLIC.search(text, line, run.start() + 8) is not None or run[0].startswith("_Z")


def _is_hex(run: str) -> bool:
    return _HEX.match(run) is not None


def _is_key_in_hex(text: str, run: re.Match[str]) -> bool:
    """A string of 32 hexadecimal digits and more; a commit (40), a UUID or a number is none."""
    value = run[0]
    quotes = text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]
    if quotes not in (('"', '"'), ("'", "'"), ("`", "`")) or "-" in value:
        return False
    if len(value) < 32 or len(value) == _COMMIT or value[1] == "x" or value.isdigit():
        return False
    return _entropy(value) > _HEX_ENTROPY


def _is_random(run: str) -> bool:
    """Whether letters and digits change as often as they do when drawn at random."""
    run = _PART_IN_HEX.sub("", run) if "/" in run else run
    words = _WORD.findall(run)
    letters = sum(map(len, words))
    if len(run) < 20 or letters < 0.84 * len(run.rstrip("=")):
        return False
    if letters > _MEAN_WORD[len(run) >= _LONG] * len(words) or run.isdigit():
        return False
    return _entropy(run) > _ENTROPY


def _entropy(run: str) -> float:
    """Bits per character."""
    total = len(run)
    return -sum(n / total * math.log2(n / total) for n in Counter(run).values())
