"""Secrets to be planted in texts: put together by chance, so that none stands in the repository."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable

__all__ = ["HEX", "TOKENS", "WORD", "drawn", "pem"]

WORD = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def drawn(seed: int, alphabet: str, length: int) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


def web_token(seed: int) -> str:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    return f"{part('{' + chr(34) + 'alg' + chr(34) + ':1}')}.{part(f'{{user:{seed}}}')}." + drawn(
        seed, WORD + "-_", 43
    )


TOKENS: dict[str, Callable[[int], str]] = {
    "aws id": lambda seed: "AK" + "IA" + drawn(seed, string.ascii_uppercase + "234567", 16),
    "aws secret": lambda seed: drawn(seed, WORD + "/+", 40),
    "github": lambda seed: "gh" + "p_" + drawn(seed, WORD, 36),
    "github fine": lambda seed: (
        "github" + "_pat_" + drawn(seed, WORD, 22) + "_" + drawn(seed, WORD, 59)
    ),
    "gitlab": lambda seed: "gl" + "pat-" + drawn(seed, WORD + "-_", 20),
    "slack": lambda seed: (
        "xo" + "xb-" + drawn(seed, string.digits, 12) + "-" + drawn(seed, WORD, 24)
    ),
    "google": lambda seed: "AI" + "za" + drawn(seed, WORD + "-_", 35),
    "openai": lambda seed: "sk" + "-proj-" + drawn(seed, WORD, 48),
    "anthropic": lambda seed: "sk" + "-ant-api03-" + drawn(seed, WORD + "-_", 93) + "AA",
    "stripe": lambda seed: "sk" + "_live_" + drawn(seed, WORD, 24),
    "npm": lambda seed: "np" + "m_" + drawn(seed, WORD, 36),
    "pypi": lambda seed: "py" + "pi-AgEI" + drawn(seed, WORD + "-_", 150),
    "hub": lambda seed: "h" + "f_" + drawn(seed, WORD, 34),
    "mail": lambda seed: "S" + "G." + drawn(seed, WORD, 22) + "." + drawn(seed, WORD, 43),
    "bot": lambda seed: drawn(seed, "123456789", 9) + ":A" + "A" + drawn(seed, WORD, 33),
    "vault": lambda seed: "hv" + "s." + drawn(seed, WORD, 24),
    "web token": web_token,
    "base64, 64": lambda seed: drawn(seed, WORD + "+/", 64),
    "letters and digits": lambda seed: drawn(seed, WORD, 40),
}
"""Kinds that are found wherever they stand."""


def pem(seed: int, kind: str = "RSA ") -> str:
    body = drawn(seed, WORD + "+/", 200)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    dashes = "-" * 5
    return "\n".join(
        [
            f"{dashes}BEGIN {kind}PRIVATE KEY{dashes}",
            *lines,
            f"{dashes}END {kind}PRIVATE KEY{dashes}",
        ]
    )
