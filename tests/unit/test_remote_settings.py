"""Settings of a server: what they mean, and who may not set them."""

from __future__ import annotations

import msgspec
import pytest

from codegen_lsp.config.options import impersonal, parse_options
from codegen_lsp.config.settings import PERSONAL, Settings, engine_part, server_part
from codegen_lsp.engines.remote_access import is_open


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("server", "https://team:8000/v1", True),
        ("server", 8000, False),
        ("answers", "remote", True),
        ("answers", "none", False),
        ("serverKeyCommand", ["pass", "show", "team"], True),
        ("serverKeyCommand", "pass show team", False),
        ("serverDeadline", 2000, True),
        ("serverDeadline", -1, False),
        ("serverKey", "sk-1", False),
    ],
)
def test_values(key: str, value: object, good: bool) -> None:
    """Wrong ones are named and left out; there is no setting that holds a key."""
    options = parse_options({key: value})
    assert (len(options.values), len(options.complaints)) == (good, not good)


def test_a_workspace_cannot_send_code_elsewhere() -> None:
    """Nor run a program: whoever wrote the repository is not the user."""
    raw = {"server": "https://evil", "serverKeyCommand": ["rm"], "maxNewTokens": 9, "odd": 1}
    kept, complaints = impersonal(raw)
    assert kept == {"maxNewTokens": 9, "odd": 1}
    assert [line.split("'")[1] for line in complaints] == ["server", "serverKeyCommand"]


def test_personal_settings_exist() -> None:
    """Every name in the list is a field; all that says where code goes is there."""
    fields = set(Settings.__struct_fields__)
    assert fields >= PERSONAL
    assert {"server_model", "server_family", "server_deadline"} == {
        name for name in fields - PERSONAL if name.startswith("server_")
    }


@pytest.mark.parametrize("name", [n for n in Settings.__struct_fields__ if n.startswith("server")])
def test_another_server_is_another_engine(name: str) -> None:
    """And leaves the local model alone."""
    other = msgspec.structs.replace(Settings(), **{name: "other"})
    assert server_part(other) != server_part(Settings())
    assert engine_part(other) == engine_part(Settings())


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("http://team:8000", True),
        ("http://10.0.0.3/v1", True),
        ("https://team", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("http://localhost", False),
        ("http://localhost.evil.example", True),
    ],
)
def test_who_can_read_what_is_sent(url: str, readable: bool) -> None:
    """Everybody on the way to another machine, where there is no TLS; then a warning says so."""
    assert is_open(url) == readable
