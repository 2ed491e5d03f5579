"""Queries: what a definition, an import and a bracket look like in each grammar's trees.

A table per question, grammar to patterns in tree-sitter's query language. Knows the names of the
grammars' nodes; what is made of what is found is the business of who asks.

Names in patterns of definitions: ``@name``; ``@def``, the lines that belong to it; ``@body``, where
it has one. ``#set! kind`` says what it is; a function right inside a class or type is a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["BRACKETS", "DEFINITIONS", "FAULTS", "IMPORTS"]

_PYTHON: Final = """
((function_definition name: (_) @name body: (_) @body) @def (#set! kind "function"))
((class_definition name: (_) @name body: (_) @body) @def (#set! kind "class"))
((decorated_definition definition: (function_definition name: (_) @name body: (_) @body)) @def
  (#set! kind "function"))
((decorated_definition definition: (class_definition name: (_) @name body: (_) @body)) @def
  (#set! kind "class"))
((module (expression_statement (assignment left: (identifier) @name)) @def)
  (#set! kind "variable"))
((class_definition body: (block
  (expression_statement (assignment left: (identifier) @name)) @def)) (#set! kind "variable"))
((type_alias_statement . (type (identifier) @name)) @def (#set! kind "type"))
((type_alias_statement . (type (generic_type . (identifier) @name))) @def (#set! kind "type"))
"""

_JAVA: Final = """
([(class_declaration name: (_) @name body: (_) @body)
  (interface_declaration name: (_) @name body: (_) @body)
  (enum_declaration name: (_) @name body: (_) @body)
  (record_declaration name: (_) @name body: (_) @body)
  (annotation_type_declaration name: (_) @name body: (_) @body)] @def (#set! kind "class"))
((method_declaration name: (_) @name body: (_)? @body) @def (#set! kind "method"))
([(constructor_declaration name: (_) @name body: (_) @body)
  (compact_constructor_declaration name: (_) @name body: (_) @body)] @def (#set! kind "method"))
([(field_declaration declarator: (variable_declarator name: (_) @name))
  (constant_declaration declarator: (variable_declarator name: (_) @name))] @def
  (#set! kind "variable"))
"""

_JAVASCRIPT: Final = """
([(function_declaration name: (_) @name body: (_) @body)
  (generator_function_declaration name: (_) @name body: (_) @body)] @def (#set! kind "function"))
((export_statement declaration: [
  (function_declaration name: (_) @name body: (_) @body)
  (generator_function_declaration name: (_) @name body: (_) @body)]) @def (#set! kind "function"))
((class_declaration name: (_) @name body: (_) @body) @def (#set! kind "class"))
((export_statement declaration: (class_declaration name: (_) @name body: (_) @body)) @def
  (#set! kind "class"))
((method_definition name: (_) @name body: (_) @body) @def (#set! kind "method"))
([(lexical_declaration (variable_declarator name: (identifier) @name
    value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]))
  (variable_declaration (variable_declarator name: (identifier) @name
    value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]))] @def
  (#set! kind "function"))
((export_statement declaration: [
  (lexical_declaration (variable_declarator name: (identifier) @name
    value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]))
  (variable_declaration (variable_declarator name: (identifier) @name
    value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]))]) @def
  (#set! kind "function"))
((program (lexical_declaration (variable_declarator name: (identifier) @name)) @def)
  (#set! kind "variable"))
((program (variable_declaration (variable_declarator name: (identifier) @name)) @def)
  (#set! kind "variable"))
((export_statement declaration: (lexical_declaration
  (variable_declarator name: (identifier) @name))) @def (#set! kind "variable"))
((expression_statement (assignment_expression
  left: [(identifier) @name (member_expression property: (_) @name)]
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)])) @def
  (#set! kind "function"))
((pair key: (property_identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @def
  (#set! kind "function"))
"""

_FIELD: Final = """
((class_body ({field} {name}: (_) @name) @def) (#set! kind "variable"))
((class_body ({field} {name}: (_) @name value: (arrow_function body: (_) @body)) @def)
  (#set! kind "function"))
"""

_TYPESCRIPT: Final = (
    _JAVASCRIPT
    + _FIELD.format(field="public_field_definition", name="name")
    + """
((abstract_class_declaration name: (_) @name body: (_) @body) @def (#set! kind "class"))
((export_statement declaration: (abstract_class_declaration name: (_) @name body: (_) @body)) @def
  (#set! kind "class"))
([(interface_declaration name: (_) @name body: (_) @body)
  (enum_declaration name: (_) @name body: (_) @body)
  (type_alias_declaration name: (_) @name)] @def (#set! kind "type"))
((export_statement declaration: [
  (interface_declaration name: (_) @name body: (_) @body)
  (enum_declaration name: (_) @name body: (_) @body)
  (type_alias_declaration name: (_) @name)]) @def (#set! kind "type"))
((function_signature name: (_) @name) @def (#set! kind "function"))
((export_statement declaration: (function_signature name: (_) @name)) @def
  (#set! kind "function"))
((abstract_method_signature name: (_) @name) @def (#set! kind "method"))
"""
)

_GO: Final = """
((function_declaration name: (_) @name body: (_)? @body) @def (#set! kind "function"))
((method_declaration name: (_) @name body: (_)? @body) @def (#set! kind "method"))
((type_spec name: (_) @name type: (struct_type (field_declaration_list) @body)) @def
  (#set! kind "class"))
((type_spec name: (_) @name type: (interface_type) @body) @def (#set! kind "type"))
((type_spec name: (_) @name) @def (#set! kind "type"))
((type_alias name: (_) @name) @def (#set! kind "type"))
((type_declaration . (type_spec name: (_) @name type: (struct_type (field_declaration_list) @body))
  .) @def (#set! kind "class"))
((type_declaration . (type_spec name: (_) @name type: (interface_type) @body) .) @def
  (#set! kind "type"))
((type_declaration . (type_spec name: (_) @name) .) @def (#set! kind "type"))
((source_file (const_declaration (const_spec name: (_) @name) @def)) (#set! kind "variable"))
((source_file (var_declaration (var_spec name: (_) @name) @def)) (#set! kind "variable"))
((source_file (var_declaration (var_spec_list (var_spec name: (_) @name) @def)))
  (#set! kind "variable"))
"""

_C: Final = """
((function_definition declarator: (_) @declared body: (_) @body) @def (#set! kind "function"))
([(struct_specifier name: (_) @name body: (_) @body)
  (union_specifier name: (_) @name body: (_) @body)] @def (#set! kind "class"))
((enum_specifier name: (_) @name body: (_) @body) @def (#set! kind "type"))
((type_definition declarator: (type_identifier) @name) @def (#set! kind "type"))
((type_definition declarator: (_) @declared) @def (#set! kind "type"))
((type_definition type: [(struct_specifier body: (_) @body) (union_specifier body: (_) @body)]
  declarator: (type_identifier) @name) @def (#set! kind "class"))
((preproc_def name: (_) @name) @def (#set! kind "variable"))
((preproc_function_def name: (_) @name) @def (#set! kind "function"))
((declaration declarator: (function_declarator) @declared) @def (#set! kind "function"))
((declaration declarator: (pointer_declarator declarator: (function_declarator)) @declared) @def
  (#set! kind "function"))
((translation_unit (declaration declarator: (init_declarator declarator: (_) @declared)) @def)
  (#set! kind "variable"))
"""

_CPP: Final = (
    _C
    + """
((class_specifier name: (_) @name body: (_) @body) @def (#set! kind "class"))
((template_declaration (class_specifier name: (_) @name body: (_) @body)) @def
  (#set! kind "class"))
((template_declaration (struct_specifier name: (_) @name body: (_) @body)) @def
  (#set! kind "class"))
((template_declaration (function_definition declarator: (_) @declared body: (_) @body)) @def
  (#set! kind "function"))
((field_declaration declarator: (function_declarator) @declared) @def (#set! kind "method"))
((field_declaration declarator: (pointer_declarator declarator: (function_declarator)) @declared)
  @def (#set! kind "method"))
((field_declaration declarator: (reference_declarator (function_declarator)) @declared) @def
  (#set! kind "method"))
((declaration declarator: (reference_declarator (function_declarator)) @declared) @def
  (#set! kind "function"))
((function_definition declarator: (_) @declared) @def (#set! kind "function"))
((alias_declaration name: (_) @name) @def (#set! kind "type"))
((concept_definition name: (_) @name) @def (#set! kind "type"))
((declaration_list (declaration declarator: (init_declarator declarator: (_) @declared)) @def)
  (#set! kind "variable"))
"""
)

_RUST: Final = """
((function_item name: (_) @name body: (_) @body) @def (#set! kind "function"))
((function_signature_item name: (_) @name) @def (#set! kind "function"))
([(struct_item name: (_) @name body: (_)? @body)
  (union_item name: (_) @name body: (_) @body)
  (enum_item name: (_) @name body: (_) @body)
  (impl_item type: (_) @named body: (_) @body)] @def (#set! kind "class"))
((trait_item name: (_) @name body: (_) @body) @def (#set! kind "type"))
((type_item name: (_) @name) @def (#set! kind "type"))
([(const_item name: (_) @name) (static_item name: (_) @name)] @def (#set! kind "variable"))
((macro_definition name: (_) @name) @def (#set! kind "function"))
"""

_SCRIPT: Final = _JAVASCRIPT + _FIELD.format(field="field_definition", name="property")

DEFINITIONS: Final[Mapping[str, str]] = {
    "c": _C,
    "cpp": _CPP,
    "go": _GO,
    "java": _JAVA,
    "javascript": _SCRIPT,
    "javascriptreact": _SCRIPT,
    "python": _PYTHON,
    "rust": _RUST,
    "typescript": _TYPESCRIPT,
    "typescriptreact": _TYPESCRIPT,
}
"""``@declared`` is a C declarator, ``@named`` a Rust type: the name is somewhere inside."""

_PYTHON_IMPORTS: Final = """
[(import_statement) (import_from_statement) (future_import_statement)] @statement
"""

_SCRIPT_IMPORTS: Final = """
(import_statement source: (string) @module) @statement
(export_statement source: (string) @module) @statement
(variable_declarator value: (call_expression function: (identifier) @called
  arguments: (arguments . (string) @module))) @statement
(expression_statement (call_expression function: (identifier) @called
  arguments: (arguments . (string) @module))) @statement
(call_expression function: (import) arguments: (arguments . (string) @module)) @statement
"""

IMPORTS: Final[Mapping[str, str]] = {
    "c": "(preproc_include path: (_) @module) @statement",
    "cpp": "(preproc_include path: (_) @module) @statement",
    "go": "(import_spec path: (_) @module) @statement",
    "java": "(import_declaration) @statement",
    "javascript": _SCRIPT_IMPORTS,
    "javascriptreact": _SCRIPT_IMPORTS,
    "python": _PYTHON_IMPORTS,
    "rust": "[(use_declaration) (mod_item !body)] @statement",
    "typescript": _SCRIPT_IMPORTS,
    "typescriptreact": _SCRIPT_IMPORTS,
}
"""``@statement`` is what imports; ``@module`` the string it imports from, where that is one;
``@called`` must be ``require``. No pattern compares texts (``#eq?``): see :mod:`imports`."""

_ROUND: Final = '["(" "[" "{"] @open [")" "]" "}"] @close'
_TEMPLATE: Final = '["(" "[" "{" "${"] @open [")" "]" "}"] @close'

BRACKETS: Final[Mapping[str, str]] = {
    "c": _ROUND,
    "cpp": _ROUND,
    "go": _ROUND,
    "java": _ROUND,
    "javascript": _TEMPLATE,
    "javascriptreact": _TEMPLATE,
    "python": _ROUND,
    "rust": _ROUND,
    "typescript": _TEMPLATE,
    "typescriptreact": _TEMPLATE,
}
"""Brackets that are tokens, not text in strings and comments."""

FAULTS: Final = "(ERROR) @error (MISSING) @missing"
