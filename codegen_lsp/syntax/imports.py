"""Imports: what the statements that the trees call imports say.

Knows how ten languages write them, once a grammar has told where one begins and ends. Does not
know which file a module is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from codegen_lsp.syntax.lines import line_end, line_start
from codegen_lsp.syntax.queries import IMPORTS

if TYPE_CHECKING:
    from codegen_lsp.syntax.grammars import Parsed

__all__ = ["imports"]

_Modules = Iterator[tuple[str, tuple[str, ...]]]
"""Modules, with the names imported from each."""

_DEEPEST: Final = 12
"""Groups within groups in one Rust ``use``."""

_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_PYTHON_COMMENT: Final = re.compile(r"#[^\n]*|\\\n")
_AS: Final = re.compile(r"\s+as\s.*", re.DOTALL)
_FROM: Final = re.compile(r"from\s*([.\s]*[\w.]*)\s*import\b(.*)", re.DOTALL)
_JAVA: Final = re.compile(r"import\s+(static\s)?\s*([\w$.\s]+?)\s*(\.\s*\*)?\s*;")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_DEFAULT: Final = re.compile(r"(?:import|export)\s+(?:type\s+)?([^\W\d][\w$]*)\s*(?:,|from\b)")
_SCRIPT_NAME: Final = re.compile(r"(?:type\s+)?([^\W\d][\w$]*)")
_USE: Final = re.compile(r"\buse\s+(.*?);", re.DOTALL)
_MOD: Final = re.compile(r"\bmod\s+(\w+)\s*;")


def imports(parsed: Parsed) -> Iterator[tuple[int, int, str, tuple[str, ...]]]:
    """Where each import begins and ends (whole lines), its module and names; in order."""
    from codegen_lsp.syntax import grammars

    text, read = parsed.text, _READERS[parsed.grammar]
    found = []
    for _, nodes in grammars.matches(parsed, IMPORTS[parsed.grammar]):
        node = nodes["statement"]
        # No predicate of the query asks this: tree-sitter would want the text as bytes of its own.
        if "called" in nodes and parsed.of(nodes["called"]) != "require":
            continue
        start, end = line_start(text, node.start_byte), node.end_byte
        if end <= node.start_byte or text[end - 1] != "\n":
            end = line_end(text, end)
        found.append((start, end, node, nodes.get("module")))
    for start, end, node, module in sorted(found, key=lambda one: one[2].start_byte):
        named = "" if module is None else parsed.of(module).strip("\"'`<>\n\r\t ")
        for path, names in read(parsed.of(node), named):
            if path:
                yield start, end, path, names


def _python(statement: str, _: str) -> _Modules:
    plain = _PYTHON_COMMENT.sub(" ", statement)
    found = _FROM.match(plain)
    if found is None:
        for part in plain.partition("import")[2].split(","):
            yield "".join(_AS.sub("", part.strip()).split()), ()
        return
    parts = (_AS.sub("", part.strip()) for part in found.group(2).strip(" \t\r\n();").split(","))
    yield "".join(found.group(1).split()), tuple(part.strip() for part in parts if part.strip())


def _java(statement: str, _: str) -> _Modules:
    found = _JAVA.match(_COMMENT.sub(" ", statement))
    if found is None:
        return
    static, path, star = found.groups()
    path = "".join(path.split())
    module, _, name = path.rpartition(".")
    if star:
        yield path, ("*",)
    elif static:
        yield module, (name,)
    else:
        yield path, (name,)


def _script(statement: str, module: str) -> _Modules:
    plain = _COMMENT.sub(" ", statement)
    names = [found.group(1) for found in [_DEFAULT.match(plain)] if found]
    for group in _BRACES.findall(plain.rpartition(module)[0] if module else ""):
        named = (_SCRIPT_NAME.match(part.strip()) for part in group.split(","))
        names += [found.group(1) for found in named if found]
    if re.match(r"(?:import|export)\b[^{}]*\*", plain):
        names.append("*")
    yield module, tuple(dict.fromkeys(names))


def _path_only(_: str, module: str) -> _Modules:
    yield module, ()


def _rust(statement: str, _: str) -> _Modules:
    plain = _COMMENT.sub(" ", statement)
    if found := _MOD.search(plain):
        yield f"self::{found.group(1)}", ()
    elif found := _USE.search(plain):
        yield from _tree("", "".join(_AS.sub("", part) + end for part, end in _pieces(found[1])), 0)


def _pieces(tree: str) -> Iterator[tuple[str, str]]:
    """The paths of a use tree, each with the sign behind it."""
    for found in re.finditer(r"([^{},]*)([{},]|$)", tree):
        yield found.group(1).strip(), found.group(2)


def _tree(prefix: str, tree: str, depth: int) -> _Modules:
    """The modules of a use tree below *prefix*: a path each, a group of names as one."""
    names = []
    for part in _parts(tree):
        head, brace, rest = part.partition("{")
        path = _joined(prefix, head.strip().strip(":"))
        if brace and depth < _DEEPEST:
            yield from _tree(path, rest.rpartition("}")[0], depth + 1)
        elif part == "self" or (prefix and "::" not in part and depth):
            names.append(part)
        elif part.endswith("*"):
            yield _joined(prefix, part.removesuffix("*").rstrip(":")), ("*",)
        elif part:
            yield path, (path.rpartition("::")[2],)
    named = tuple(name for name in names if name and name != "self")
    if names:
        yield prefix, named


def _joined(prefix: str, path: str) -> str:
    return f"{prefix}::{path}" if prefix and path else prefix or path


def _parts(tree: str) -> Iterator[str]:
    """What stands between commas that are in no braces."""
    depth, start = 0, 0
    for at, sign in enumerate(tree):
        depth += (sign == "{") - (sign == "}")
        if sign == "," and not depth:
            yield tree[start:at].strip()
            start = at + 1
    yield tree[start:].strip()


_READERS: Final[Mapping[str, Callable[[str, str], _Modules]]] = {
    "c": _path_only,
    "cpp": _path_only,
    "go": _path_only,
    "java": _java,
    "javascript": _script,
    "javascriptreact": _script,
    "python": _python,
    "rust": _rust,
    "typescript": _script,
    "typescriptreact": _script,
}
