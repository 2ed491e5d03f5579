r"""Secrets that show by their form: keys and tokens of known services, private keys, addresses.

A visible table of formats, and three forms that are no token: the lines of a private key, what
follows ``Bearer`` and ``Basic``, and the password in ``scheme://user:password@host``. Every
expression begins at fixed words and is bounded or never gives back what it took, so the time grows
with the length of the text, whatever the text is. Knows no programming language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["FORMATS", "PLACEHOLDER", "Span", "addresses", "headers", "private_keys", "tokens"]

PLACEHOLDER: Final = "REDACTED"
"""What stands where a secret stood: a word, so that it can stand in a string and out of one."""


class Span(NamedTuple):
    """A part of a text that is to be hidden."""

    start: int
    end: int
    kind: str
    """What it looks like."""


_HAS_DIGIT: Final = r"(?=[A-Za-z_\-]{0,80}[0-9])"

FORMATS: Final[tuple[tuple[str, str], ...]] = (
    ("aws key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("github token", r"(?:gh[pousr]_[A-Za-z0-9]{36,}+|github_pat_\w{22,}+)"),
    ("gitlab token", r"(?:gl(?:pat|dt|rt|cbt|ptt|ft|imt|soat|agent|oas)-|GR1348941)[\w\-]{20,}+"),
    ("slack token", r"(?:xox[a-z]|xapp)-[A-Za-z0-9\-]{10,}+"),
    ("google key", r"(?:AIza[\w\-]{35}|ya29\.[\w\-]{20,}+|GOCSPX-[\w\-]{20,}+)"),
    ("model service key", rf"sk-{_HAS_DIGIT}[\w\-]{{20,}}+"),
    ("model service key", r"(?:gsk_[A-Za-z0-9]{40,}+|xai-[A-Za-z0-9]{40,}+|r8_[A-Za-z0-9]{30,}+)"),
    ("hub token", r"(?:hf|api_org)_[A-Za-z0-9]{30,}+"),
    ("stripe key", r"(?:(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/=]{20,}+)"),
    ("package index token", r"(?:npm_[A-Za-z0-9]{36,}+|pypi-[\w\-]{50,}+|rubygems_[0-9a-f]{48})"),
    ("mail service key", r"(?:SG\.[\w\-]{16,32}\.[\w\-]{16,}+|key-[0-9a-f]{32}(?![0-9a-f]))"),
    ("mail service key", r"[0-9a-f]{32}-(?:[0-9a-f]{8}-[0-9a-f]{8}|us[0-9]{1,2})(?![\w\-])"),
    ("telephone service key", r"SK[0-9a-f]{32}(?![0-9A-Za-z])"),
    ("shop token", r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,}+"),
    ("bot token", r"[0-9]{8,10}:AA[\w\-]{32,}+"),
    ("bot token", r"[MNO][\w\-]{23,25}\.[\w\-]{6}\.[\w\-]{27,}+"),
    ("cloud token", r"(?:dapi[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{64}|dckr_pat_[\w\-]{20,}+)"),
    ("cloud token", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}"),
    ("azure secret", r"[\w.\-]{3}[78]Q~[\w.~\-]{31,}+"),
    ("azure token", r"(?=[a-z]{0,40}[2-7])[a-z2-7]{52}(?![A-Za-z0-9_])"),
    ("vault token", r"hv[sbr]\.[\w\-]{20,}+"),
    ("age key", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}+"),
    (
        "service token",
        rf"(?:lin_api|figd|ntn|glsa|pscale_tkn|pscale_pw)_{_HAS_DIGIT}\w{{24,}}+",
    ),
    ("service token", r"(?:sntrys_[\w+/=]{24,}+|sq0[a-z]{3}-[\w\-]{22,}+|NRAK-[A-Z0-9]{27})"),
    (
        "service token",
        r"(?:pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|(?:pul-|sbp_)[0-9a-f]{40}|AT[A-Z]TT3x[\w\-=]{60,}+)",
    ),
    ("web token", r"(?<!-)eyJ[\w\-]{8,}+\.[\w\-]{8,}+(?:\.[\w\-]*+)?"),
    ("webhook", r"hooks\.slack\.com/services/[\w/]{20,}+"),
    ("webhook", r"discord(?:app)?\.com/api/webhooks/[\w/\-]{30,}+"),
)
"""What it is called, and what it looks like; none of them has a group or an upper end."""

_LONG: Final = re.compile(r"[A-Za-z0-9_\-./+=:~]{16,}+")
"""Where a token may be: looked for first, because most of a text is shorter words."""

_TOKEN: Final = re.compile(
    # Not within a word; but the letter of an escape, "\n", belongs to none.
    r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))(?:" + "|".join(f"({regex})" for _, regex in FORMATS) + ")"
)
_HEADER: Final = re.compile(
    r"[Bb](?:earer|asic|EARER|ASIC)[ \t]{1,4}"
    r"(?=[A-Za-z._~+/\-]{0,80}[0-9=])([\w.~+/\-]{12,}+=*+)"
)
_SCHEME: Final = re.compile(
    r"[Aa]uthorization[\"'`\]]{0,2}[ \t]{0,4}[:=,][ \t]{0,4}[bfr]?[\"'`]?[A-Za-z]{2,20}[ \t]{1,4}"
    r"(?=[A-Za-z._~+/\-]{0,80}[0-9=])([\w.~+/\-]{12,}+=*+)"
)
"""Any scheme, where the header's name stands before it."""

_ADDRESS: Final = re.compile(r"://[^\s/:@\"'<>`]{0,128}:([^\s/\"'<>`]{1,256})@")
"""A password may hold an ``@``: it goes to the last one before the host."""

_LOGIN: Final = re.compile(
    r"(?:\b(?:curl|wget|http)\b[^\n]{0,80}? (?:-u|--user)[ =][\"']?[\w.@+\-]{1,64}:"
    r"|\bsshpass +-p *[\"']?"
    r"|\bidentified +by +[\"']"
    r"|\bauth *[=:] *[(\[] *[\"'][^\"'\n]{1,64}[\"'], *[\"'])"
    r"(?P<password>[^\s\"'`<>]{4,128})",
    re.IGNORECASE,
)
"""What a command, a statement or a call takes for a password by its place."""

_NO_PASSWORD: Final = re.compile(
    rf"[*.xX]+\Z|(?:pass(?:word)?|pwd?|secret|token|{PLACEHOLDER})\Z|[{{$%]|\[?port", re.IGNORECASE
)

_KEY: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_HEADERS: Final = re.compile(
    r"(?:(?:\\[nr]|[\s\"'+])*+(?:Proc-Type|DEK-Info|Version|Comment): ?[\w .,/\-()]*+){0,8}+"
)
_KEY_GAP: Final = re.compile(r"(?:\\[nr]|[\s\"'+,;#*|\\/]){0,64}+")
_KEY_RUN: Final = re.compile(r"[A-Za-z0-9+/=]++")
_KEY_LINE: Final = 24
"""Characters of a line of a key; only the last line of one may be shorter."""


def tokens(text: str) -> Iterator[Span]:
    """Whatever has one of :data:`FORMATS`."""
    for run in _LONG.finditer(text):
        for match in _TOKEN.finditer(text, *run.span()):
            yield Span(*match.span(), FORMATS[(match.lastindex or 1) - 1][0])


def headers(text: str) -> Iterator[Span]:
    """What follows the scheme in an ``Authorization`` header."""
    for regex in (_HEADER, _SCHEME):
        for match in regex.finditer(text):
            if PLACEHOLDER not in match[1]:
                yield Span(*match.span(1), "authorization")


def addresses(text: str) -> Iterator[Span]:
    """Passwords in addresses and of logins, unless they are a place to put one."""
    for regex in (_ADDRESS, _LOGIN):
        for match in regex.finditer(text):
            if not _NO_PASSWORD.match(match[1]):
                yield Span(*match.span(1), "password")


def private_keys(text: str) -> Iterator[Span]:
    """The lines of private keys, one by one, however a program writes them down.

    The text may end within a key. Where it begins within one, the lines still look like chance.
    """
    for key in _KEY.finditer(text):
        at = _end(_KEY_HEADERS, text, key.end())
        begun = False
        while True:
            start = _end(_KEY_GAP, text, at)
            at = _end(_KEY_RUN, text, start)
            whole = at - start >= _KEY_LINE
            if not whole and not (begun and at > start and _is_last(text, at)):
                break
            yield Span(start, at, "private key")
            begun = True


def _is_last(text: str, at: int) -> bool:
    """Whether the key ends here, or the text does."""
    end = _end(_KEY_GAP, text, at)
    return end == len(text) or text.startswith("-----END", end)


def _end(regex: re.Pattern[str], text: str, at: int) -> int:
    match = regex.match(text, at)
    return match.end() if match else at
