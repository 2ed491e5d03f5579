"""Languages: which one a file is in, and the little of their syntax that completion needs.

Knows names, file extensions, comment signs and what opens a block. Parses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

__all__ = ["EXTENSIONS", "PLAIN", "SYNTAXES", "Syntax", "language_of", "syntax_of"]


@dataclass(frozen=True, slots=True)
class Syntax:
    """What completion needs to know of a language's lexical structure."""

    line_comment: tuple[str, ...] = ()
    """What begins a comment that ends with its line."""

    block_comment: tuple[tuple[str, str], ...] = ()
    """Pairs of what begins and ends a comment that may span lines."""

    strings: tuple[str, ...] = ('"', "'")
    """Quotes of strings that end on their line."""

    long_strings: tuple[str, ...] = ()
    """Quotes of strings that may span lines."""

    openers: tuple[str, ...] = ("{", "(", "[")
    """A line that ends in one of these is followed by a deeper block."""

    balanced: bool = True
    """Whether brackets outside strings and comments always come in pairs."""

    @property
    def comment(self) -> tuple[str, str]:
        """What stands before and after a line that is to be a comment; ``#`` if there is none."""
        if self.line_comment:
            return f"{self.line_comment[0]} ", ""
        if self.block_comment:
            begin, end = self.block_comment[0]
            return f"{begin} ", f" {end}"
        return "# ", ""


_SLASHES: Final = (("/*", "*/"),)
_C: Final = Syntax(("//",), _SLASHES)
_SCRIPT: Final = Syntax(("//",), _SLASHES, long_strings=("`",))
_LONG_QUOTES: Final = Syntax(("//",), _SLASHES, long_strings=('"""',))

PLAIN: Final = Syntax(strings=(), openers=(), balanced=False)
"""A language nothing is known of."""

SYNTAXES: Final[Mapping[str, Syntax]] = {
    "c": _C,
    "cpp": _C,
    "csharp": _C,
    "css": Syntax((), _SLASHES),
    "dart": Syntax(("//",), _SLASHES, long_strings=('"""', "'''")),
    "go": _SCRIPT,
    "java": _LONG_QUOTES,
    "javascript": _SCRIPT,
    "javascriptreact": _SCRIPT,
    "json": Syntax(strings=('"',)),
    "jsonc": Syntax(("//",), _SLASHES, strings=('"',)),
    "kotlin": _LONG_QUOTES,
    "lua": Syntax(("--",), openers=("then", "do", "else", "{", "(")),
    "php": Syntax(("//", "#"), _SLASHES),
    "python": Syntax(("#",), long_strings=('"""', "'''"), openers=(":", "{", "(", "[")),
    "r": Syntax(("#",)),
    "ruby": Syntax(("#",), openers=("{", "(", "[", "do", "then", "else"), balanced=False),
    # A lifetime ('a) looks like the beginning of a string, so ' begins none.
    "rust": Syntax(("//",), _SLASHES, strings=('"',)),
    "scala": _LONG_QUOTES,
    "shellscript": Syntax(("#",), openers=("{", "(", "then", "do", "else"), balanced=False),
    "sql": Syntax(("--",), _SLASHES),
    "swift": Syntax(("//",), _SLASHES, strings=('"',), long_strings=('"""',)),
    "toml": Syntax(("#",), long_strings=('"""', "'''"), openers=("[", "{")),
    "typescript": _SCRIPT,
    "typescriptreact": _SCRIPT,
    "yaml": Syntax(("#",), openers=(":", "[", "{"), balanced=False),
}
"""LSP language identifier to syntax."""

EXTENSIONS: Final[Mapping[str, str]] = {
    ".bash": "shellscript",
    ".c": "c",
    ".cc": "cpp",
    ".cjs": "javascript",
    ".cpp": "cpp",
    ".cs": "csharp",
    ".css": "css",
    ".cxx": "cpp",
    ".dart": "dart",
    ".go": "go",
    ".h": "c",
    ".hpp": "cpp",
    ".hs": "haskell",
    ".htm": "html",
    ".html": "html",
    ".java": "java",
    ".js": "javascript",
    ".json": "json",
    ".jsx": "javascriptreact",
    ".kt": "kotlin",
    ".lua": "lua",
    ".md": "markdown",
    ".mjs": "javascript",
    ".php": "php",
    ".py": "python",
    ".pyi": "python",
    ".pyw": "python",
    ".r": "r",
    ".rb": "ruby",
    ".rs": "rust",
    ".rst": "restructuredtext",
    ".scala": "scala",
    ".sh": "shellscript",
    ".sql": "sql",
    ".swift": "swift",
    ".toml": "toml",
    ".ts": "typescript",
    ".tsx": "typescriptreact",
    ".txt": "plaintext",
    ".xml": "xml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".zsh": "shellscript",
}
"""Lower-case file extension to LSP language identifier."""

_NAMES: Final[Mapping[str, str]] = {
    "dockerfile": "dockerfile",
    "makefile": "makefile",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "sconstruct": "python",
}


def language_of(path: str) -> str:
    """The LSP language identifier of the file at *path* (or URI), ``""`` if unknown."""
    name = PurePath(path.replace("\\", "/")).name.lower()
    return _NAMES.get(name) or EXTENSIONS.get(PurePath(name).suffix, "")


def syntax_of(language_id: str) -> Syntax:
    """The syntax of a language; :data:`PLAIN` if it is not in the table."""
    return SYNTAXES.get(language_id, PLAIN)
