"""Expecting: whether a cursor waits for a block, a statement or the rest of an expression.

A name is put where the cursor is, and the place of that name in the tree tells. Knows which nodes
hold statements, and after which signs an expression must follow. Does not know answers.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Final

from codegen_lsp.syntax.brackets import closers
from codegen_lsp.syntax.lines import bare, indent_of, line_end, line_start
from codegen_lsp.syntax.near import inside, near

if TYPE_CHECKING:
    from tree_sitter import Node

    from codegen_lsp.syntax.grammars import Parsed

__all__ = ["BLOCKS", "Expectation", "expects", "is_block"]


class Expectation(enum.Enum):
    """What stands next at a cursor."""

    BLOCK = "block"
    """The statements or members of a block that has none yet."""

    STATEMENT = "statement"
    """The rest of a statement, or one more in a block that has some."""

    EXPRESSION = "expression"
    """The rest of an expression, an argument list or a string."""


BLOCKS: Final = frozenset(
    {
        "annotation_type_body",
        "block",
        "case_statement",
        "class_body",
        "communication_case",
        "compound_statement",
        "constructor_body",
        "declaration_list",
        "default_case",
        "enum_body",
        "enum_body_declarations",
        "enum_variant_list",
        "enumerator_list",
        "expression_case",
        "expression_switch_statement",
        "field_declaration_list",
        "interface_body",
        "interface_type",
        "match_block",
        "object_type",
        "select_statement",
        "statement_block",
        "switch_block",
        "switch_block_statement_group",
        "switch_body",
        "switch_case",
        "switch_default",
        "type_case",
        "type_switch_statement",
    }
)
"""Nodes of all grammars that hold statements, members or cases."""

_DOCUMENTED: Final = frozenset({"class_definition", "function_definition"})

_CHAIN: Final = frozenset({".", "->", "::", "?."})
"""What joins the parts of one name."""

_SIGNS: Final = (
    "= := += -= *= /= //= %= **= @= &= |= ^= <<= >>= >>>= ??= &&= ||= + - * / // % ** == != === "
    "!== < > <= >= && || ?? ! ~ ^ & | << >> >>> ? .. ..= ... <-"
)
_WORDS: Final = (
    "and or not in is if elif while return yield await assert raise throw del delete typeof "
    "instanceof new match switch case of as co_return co_await co_yield go defer"
)
_DEMANDS: Final = frozenset([*_SIGNS.split(), *_WORDS.split(), "not in", "is not"])
"""Tokens after which an expression must follow."""

_LITERAL: Final = re.compile(r"(?:[=,(\[:?&]|\b(?:return|in|of|yield))\s*\Z")
"""What stands before a brace that begins a value, where the tree does not say."""

_TERNARY: Final = ("conditional_expression", "ternary_expression", "lambda")

_PROBE: Final = "zq"

_ENDED: Final = frozenset({"c", "cpp"})
"""Languages in which braces may hold values wherever they hold statements without an end."""

_ABOVE_BODY: Final = (":", '"""', "'''")
"""What the line above a Python body ends in."""


def expects(text_before: str, text_after: str, language_id: str) -> Expectation | None:
    """What stands next between two texts.

    ``None`` where there is no grammar, and for text that is no code.
    """
    from codegen_lsp.syntax import grammars

    if not grammars.has_grammar(language_id):
        return None
    piece = _into_suite(near(text_before, language_id).text, text_after, language_id)
    parsed = grammars.parse(piece + _PROBE, language_id)
    if parsed is None:
        return None
    if missing := closers(parsed):
        ended = ";" if missing[0] == "}" and parsed.grammar in _ENDED else ""
        parsed = grammars.parse(f"{piece}{_PROBE}{ended}{missing}\n", language_id) or parsed
    # A pattern may take what is none for a quote; where all is well, nothing is open.
    if parsed.root.has_error and (within := inside(piece, language_id)):
        return Expectation.EXPRESSION if within == "string" else Expectation.STATEMENT
    probe = parsed.root.descendant_for_byte_range(len(piece), len(piece) + 1)
    if probe is None or "comment" in probe.type:
        return Expectation.STATEMENT
    return _judge(parsed, probe, len(piece), text_after)


def _into_suite(piece: str, after: str, language_id: str) -> str:
    """Of Python, a blank line below an opener or docstring is made as deep as a body is."""
    start = line_start(piece, len(piece))
    code = bare(piece[:start])
    if language_id != "python" or piece[start:].strip() or not code.endswith(_ABOVE_BODY):
        return piece
    deep = indent_of(code[line_start(code, len(code)) :]) + (4 if code.endswith(":") else 0)
    if indent_of(piece[start:]) >= max(deep - 3, 1) or _first_indent(after) >= max(deep - 3, 1):
        return piece
    return f"{code}\n{' ' * deep}"


def _first_indent(after: str) -> int:
    """The columns of the first line below the cursor's that holds something."""
    for line in after.split("\n")[1:]:
        if line.strip():
            return indent_of(line)
    return 0


def _judge(parsed: Parsed, probe: Node, cursor: int, after: str) -> Expectation:
    node, holder, demanded = _climb(probe, cursor)
    block = holder.type in BLOCKS
    if not block and (opener := _open_in(holder, cursor)) is not None:
        block = is_block(parsed, holder, opener)
        demanded = demanded or not block
    if demanded:
        return Expectation.EXPRESSION
    if block and node.start_byte == cursor and _is_empty(parsed, holder, cursor, after):
        return Expectation.BLOCK
    return Expectation.STATEMENT


def _climb(probe: Node, cursor: int) -> tuple[Node, Node, bool]:
    """What the probe is a part of, what holds that, and whether an expression must follow.

    What holds it is a block, the whole text, or whatever has a bracket open at the cursor.
    """
    node, leading, demanded = probe, True, False
    while (around := node.parent) is not None:
        before = node.prev_sibling
        if leading and before is not None and before.type not in _CHAIN:
            leading = before.type == "comment"
            demanded = not leading and _demands(before, around)
        if around.type in BLOCKS or around.parent is None or _open_in(around, cursor):
            return node, around, demanded
        node = around
    return node, node, demanded


def _demands(before: Node, around: Node) -> bool:
    if before.type in (":", "else"):
        return around.type in _TERNARY
    return not before.is_named and before.type in _DEMANDS


def _open_in(around: Node, cursor: int) -> Node | None:
    """The innermost bracket among the children of a node that is open at the cursor."""
    stack: list[Node] = []
    for child in around.children:
        if child.start_byte >= cursor:
            break
        if child.type in ("(", "[", "{", "${"):
            stack.append(child)
        elif child.type in (")", "]", "}") and stack:
            stack.pop()
    return stack[-1] if stack else None


def is_block(parsed: Parsed, around: Node, opener: Node) -> bool:
    """Whether a bracket in a node begins a block of statements or members."""
    if parsed.text[opener.end_byte - 1] != "{":
        return False
    if around.type == "ERROR" or around.parent is None:
        at = opener.start_byte
        return opener.type == "{" and not _LITERAL.search(parsed.text, max(0, at - 40), at)
    return around.type in BLOCKS


def _is_empty(parsed: Parsed, block: Node, cursor: int, after: str) -> bool:
    """Whether a block has nothing before and after the cursor; a docstring is nothing."""
    held: list[Node] = []
    opener = block.parent.start_byte if block.type == "block" and block.parent else block.start_byte
    for child in block.children:
        if child.start_byte >= cursor:
            break
        if child.type in ("{", ":"):
            held, opener = [], child.start_byte
        elif child.is_named and "comment" not in child.type:
            held.append(child)
    if held and not (len(held) == 1 and _is_docstring(held[0], block)):
        return False
    return not _goes_on(after, indent_of(parsed.text[line_start(parsed.text, opener) :]))


def _is_docstring(node: Node, block: Node) -> bool:
    within = block.parent is not None and block.parent.type in _DOCUMENTED
    return within and node.named_child_count == 1 and node.named_child(0).type == "string"


def _goes_on(after: str, columns: int) -> bool:
    """Whether what follows the cursor goes on with a block whose opener is so deep."""
    tail = after[: line_end(after, 0)].strip()
    if tail:
        return tail[0] not in ")]}"
    first = after.lstrip()[:1]
    return bool(first) and first not in ")]}" and _first_indent(after) > columns
