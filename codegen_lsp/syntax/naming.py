"""Names: what a definition's node says it is called, and where its body begins.

Knows C's declarators, Rust's types, and which nodes are blocks. Does not know which node defines
something; the table of patterns does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node

    from codegen_lsp.syntax.grammars import Parsed

__all__ = ["body_start", "name_in", "of_a_class"]

_INNER: Final = frozenset(
    {
        "array_declarator",
        "attributed_declarator",
        "function_declarator",
        "init_declarator",
        "parenthesized_declarator",
        "pointer_declarator",
        "qualified_identifier",
        "reference_declarator",
        "template_function",
        "template_method",
    }
)
"""Parts of a C declarator that a name is inside of."""

_NAMES: Final = frozenset(
    {"destructor_name", "field_identifier", "identifier", "operator_name", "type_identifier"}
)

_WORD: Final = re.compile(r"[^\W\d]\w*")

_BRACED: Final = frozenset({"interface_type"})
"""Bodies that begin with a word, not with their brace."""


def name_in(parsed: Parsed, nodes: Mapping[str, Node]) -> tuple[str, int] | None:
    """The name that a match is about, and its offset; ``None`` if there is none to be seen."""
    if node := nodes.get("name"):
        return (parsed.of(node), node.start_byte) if node.end_byte > node.start_byte else None
    if node := nodes.get("named"):
        found = _WORD.search(parsed.of(node))
        return (found.group(), node.start_byte + found.start()) if found else None
    declared = _declared(nodes["declared"])
    return None if declared is None else (parsed.of(declared), declared.start_byte)


def of_a_class(parsed: Parsed, nodes: Mapping[str, Node], at: int) -> bool:
    """Whether the name at an offset of a C++ definition is said with its class (``A::b``)."""
    return "declared" in nodes and parsed.text[max(0, at - 2) : at] == "::"


def body_start(parsed: Parsed, body: Node) -> int | None:
    """Where the inside of a body begins: see ``Definition.body``."""
    text, start = parsed.text, body.start_byte
    if parsed.grammar == "python":
        return _suite_start(text, start)
    if body.type == "object" or (body.type == "object_type" and text[start : start + 1] != "{"):
        return None
    if text[start : start + 1] == "{":
        return start + 1
    if body.type in _BRACED and (brace := text.find("{", start, body.end_byte)) >= 0:
        return brace + 1
    return None


def _suite_start(text: str, start: int) -> int:
    """Of a Python suite: behind the line of its colon, or behind the colon on the same line."""
    before = text.rfind("\n", 0, start) + 1
    if text[before:start].strip():
        return start
    # Comments above the first statement belong to the body.
    while before > 0:
        above = text.rfind("\n", 0, before - 1) + 1
        line = text[above : before - 1].strip()
        if line and not line.startswith("#"):
            break
        before = above
    return before


def _declared(node: Node) -> Node | None:
    """The node of the name in a C declarator."""
    for _ in range(16):
        if node.type in _NAMES:
            return node
        inner = node.child_by_field_name("declarator") or node.child_by_field_name("name")
        if inner is None:
            inner = next((one for one in node.named_children if one.type in _INNER | _NAMES), None)
        if inner is None:
            return None
        node = inner
    return None
