"""The README names what there is: every setting with its default, every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from codegen_lsp.cli.main import COMMANDS
from codegen_lsp.config.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROWS = [line for line in README.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("field", msgspec.structs.fields(Settings), ids=lambda f: f.encode_name)
def test_every_setting_is_in_the_table_with_its_default(field: msgspec.structs.FieldInfo) -> None:
    """Names as they go over the wire, defaults as JSON."""
    row = next((row for row in ROWS if f"`{field.encode_name}`" in row.split("|")[1]), None)
    assert row is not None, f"{field.encode_name} is not in the README"
    names, defaults = (re.findall(r"`([^`]*)`", cell) for cell in row.split("|")[1:3])
    default = json.dumps(msgspec.to_builtins(field.default))
    assert defaults[names.index(field.encode_name)] == default


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_in_the_table(command: str) -> None:
    """A command that is not named is not found."""
    assert any(f"`codegen-lsp {command}" in row for row in ROWS)
