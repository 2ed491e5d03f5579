"""Real places in real code, the same on every machine with the same Python.

Knows how to cut documents with a prefix of so many tokens out of the standard library, which is
the one body of code that every machine has. For speed it matters little that a model may have
seen them; for quality it matters a lot, so quality is not measured with these.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen_lsp.errors import CorpusError
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["Place", "library_texts", "places"]

MODULES: Sequence[str] = (
    "argparse.py",
    "asyncio/base_events.py",
    "calendar.py",
    "configparser.py",
    "csv.py",
    "dataclasses.py",
    "difflib.py",
    "email/message.py",
    "http/client.py",
    "inspect.py",
    "logging/handlers.py",
    "mailbox.py",
    "shutil.py",
    "smtplib.py",
    "tarfile.py",
    "textwrap.py",
    "urllib/request.py",
    "zipfile/__init__.py",
)

PLACES_PER_MODULE = 3
LINES_BEFORE = 120
LINES_AFTER = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A document and a cursor in it."""

    name: str
    prefix: str
    suffix: str
    prompt: tuple[int, ...]
    """``prefix`` in the model's tokens."""

    @property
    def line(self) -> int:
        """0-based line of the cursor."""
        return self.prefix.count("\n")

    @property
    def character(self) -> int:
        """0-based column of the cursor in code points."""
        return len(self.prefix) - self.prefix.rfind("\n") - 1


def places(tokenizer: CodeTokenizer, *, prompt_tokens: int) -> list[Place]:
    """Different places whose prefix has close to, and at most, ``prompt_tokens`` tokens.

    :raises CorpusError: this Python has no standard library in source form.
    """
    found = [
        place
        for module in MODULES
        for place in _in_module(tokenizer, module, prompt_tokens=prompt_tokens)
    ]
    if not found:
        raise CorpusError(
            "the standard library is not there as source", mend="install Python with its Lib folder"
        )
    return found


def library_texts() -> list[str]:
    """The modules themselves, whole, in a fixed order; those that are there as source."""
    texts = (_text_of(module) for module in MODULES)
    return [text for text in texts if text is not None]


def _text_of(module: str) -> str | None:
    path = Path(sysconfig.get_paths()["stdlib"], module)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _in_module(tokenizer: CodeTokenizer, module: str, *, prompt_tokens: int) -> Iterator[Place]:
    text = _text_of(module)
    if text is None:
        return
    lines = text.splitlines(keepends=True)
    for part in range(1, PLACES_PER_MODULE + 1):
        at = _code_line(lines, len(lines) * part // (PLACES_PER_MODULE + 1))
        line = lines[at]
        indent = len(line) - len(line.lstrip())
        cut = indent + (len(line.rstrip()) - indent) // 2
        before = "".join(lines[max(0, at - LINES_BEFORE) : at]) + line[:cut]
        prefix = _last_tokens(tokenizer, before, prompt_tokens)
        suffix = line[cut:] + "".join(lines[at + 1 : at + 1 + LINES_AFTER])
        prompt = tuple(tokenizer.encode(prefix))
        if len(prompt) >= prompt_tokens // 2:
            yield Place(f"{module}:{at + 1}", prefix, suffix, prompt)


def _code_line(lines: Sequence[str], at: int) -> int:
    """The first line from ``at`` on that has some code to be cut in half."""
    candidates = (i for i in range(at, len(lines)) if len(lines[i].strip()) >= 12)
    return next(candidates, at)


def _last_tokens(tokenizer: CodeTokenizer, text: str, count: int) -> str:
    """The end of ``text`` that fits ``count`` tokens, from a line's start."""
    lines = text.splitlines(keepends=True)
    kept: list[str] = []
    used = 0
    for line in reversed(lines):
        used += len(tokenizer.encode(line))
        if used > count:
            break
        kept.append(line)
    return "".join(reversed(kept))
