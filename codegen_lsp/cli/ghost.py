"""Ghost text on a terminal: code around the cursor, the completion in its place.

Knows colours and the terminal's dangers: control characters of a file or a model are shown as
pictures, never sent.
"""

from __future__ import annotations

import re

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from codegen_lsp.cli.documents import Document
from codegen_lsp.types import Completion

__all__ = ["ghost_text", "show_ghost"]

LINES_BEFORE = 10
LINES_AFTER = 4
GHOST = "italic dim green"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def show_ghost(document: Document, offset: int, completion: Completion) -> None:
    """Print :func:`ghost_text` on stdout."""
    Console(highlight=False).print(ghost_text(document, offset, completion), soft_wrap=True)


def ghost_text(document: Document, offset: int, completion: Completion) -> Text:
    """Some lines before the cursor, the completion, some lines after it."""
    line, _ = document.position(offset)
    first = document.starts[max(0, line - 1 - LINES_BEFORE)]
    after = line + LINES_AFTER
    last = document.starts[after] if after < len(document.starts) else len(document.text)
    before = _visible(document.text[first : completion.start])
    following = _visible(document.text[completion.end : last]).rstrip("\n")
    lexer = Syntax.guess_lexer(str(document.path), code=before)
    shown = _highlighted(before, lexer)
    shown.append(_visible(completion.text), style=GHOST)
    shown.append_text(_highlighted(following, lexer))
    return shown


def _highlighted(code: str, lexer: str) -> Text:
    text = Syntax(code, lexer, theme="ansi_dark", background_color="default").highlight(code)
    # Lexers may add a newline or expand something; what is shown must be what is there.
    return text[: len(code)] if text.plain.startswith(code) else Text(code)


def _visible(text: str) -> str:
    """LF line ends and tabs stay; other control characters become their pictures."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return CONTROLS.sub(_picture, lines)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
