"""The command line's frame: names, exit codes, where each line goes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from codegen_lsp.cli import main as frame
from codegen_lsp.cli.main import COMMANDS, main
from codegen_lsp.cli.serve import parse_address
from codegen_lsp.errors import ModelNotFoundError, UsageError

HEAVY = ["asyncio", "ctranslate2", "jax", "lsprotocol", "msgspec", "numpy", "pygls", "rich"]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def check(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], code: int, words: str
) -> None:
    """The command ends with ``code`` and one line on stderr that has ``words``."""
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert shown.err.startswith("codegen-lsp: error: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["--frobnicate"], "codegen-lsp --help"),
        (["complete"], "Missing argument"),
        (["complete", "a.py:1:1", "--model"], "requires an argument"),
        (["complete", "a.py:1:1", "--device", "abacus"], "'abacus' is not one of"),
        (["complete", "a.py"], "no position in 'a.py'; write FILE:LINE:COL"),
        (["serve", "--tcp", "nowhere"], "is not HOST:PORT"),
        (["serve", "--stdio", "--tcp", "localhost:1"], "exclude each other"),
        (["--stdio", "models", "list"], "--stdio stands alone"),
        (["models", "info"], "Missing argument"),
    ],
)
def test_wrong_usage(
    arguments: Sequence[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that makes no sense ends with 2 and says in one line how to call."""
    check(capsys, arguments, 2, words)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("gone.py:1:1", "gone.py does not exist; check the path"),
        (".:1:1", "is a directory"),
        ("binary.py:1:1", "binary file"),
        ("two.py:9:1", "two.py has no line 9; its lines are 1 to 2"),
        ("two.py:1:9", "line 1 of two.py has no column 9"),
    ],
)
def test_bad_document(
    target: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file or position that cannot be completed ends with 1 and one line that names it."""
    (tmp_path / "binary.py").write_bytes(b"\x00\x01")
    (tmp_path / "two.py").write_text("a\nb")
    check(capsys, ["complete", target], 1, words)


@pytest.mark.parametrize("name", ["nonexistent", "./nonexistent"])
def test_missing_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that is not there is named."""
    check(capsys, ["models", "info", name], 1, "nonexistent")


def test_help_lists_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` shows every command of the table with its line."""
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert name in shown
        assert entry.help in shown


def test_nothing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help appears, on stderr, and the exit code says it was no use."""
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Commands:" in shown.err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_commands_exist(name: str) -> None:
    """Each entry of the table leads to a command whose own help is not empty."""
    entry = COMMANDS[name]
    command = getattr(importlib.import_module(entry.module), entry.attribute)
    assert isinstance(command, click.Command)
    assert command.help


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_cheap(arguments: Sequence[str]) -> None:
    """Version and help import nothing that the server's start does not need."""
    code = (
        "import sys; from codegen_lsp.cli.main import main; "
        f"main({arguments!r}); print([m for m in {HEAVY} if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines()[-1] == "[]"


class Raises(click.Command):
    """A command that ends as it is told."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("raises")
        self.error = error

    def invoke(self, ctx: click.Context) -> None:
        """Raise."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ModelNotFoundError("no model 'x'", mend="try y"), 1, "error: no model 'x'; try y\n"),
        (UsageError("that\nis wrong"), 2, "error: that is wrong\n"),
        (ZeroDivisionError("oh\nno"), 1, "error: unexpected ZeroDivisionError: oh no; run again"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
    ],
)
def test_endings(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """How a command ends decides the exit code; no traceback is shown."""
    monkeypatch.setattr(frame.cli, "get_command", lambda *_: Raises(error))
    assert main(["raises"]) == code
    shown = capsys.readouterr()
    assert line in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_debug_shows_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``--debug`` the traceback comes before the line."""
    monkeypatch.setattr(frame.cli, "get_command", lambda *_: Raises(ModelNotFoundError("no")))
    assert main(["--debug", "raises"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("codegen-lsp: error: no\n")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7777", ("127.0.0.1", 7777)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_address(text: str, address: tuple[str, int]) -> None:
    """HOST:PORT, IPv6 in brackets, port 0 for a free one."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "7777", ":7777", "host:", "host:x", "host:65536", "host:-1"])
def test_no_address(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises(click.BadParameter):
        parse_address(text)


def test_models_list_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """``models list --json`` is one object on one line, whether there are models or not."""
    assert main(["models", "list", "--json"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert isinstance(json.loads(shown)["models"], list)


def test_train_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the training libraries one line says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    check(capsys, ["train", "--data", "d", "--out", "o"], 1, "pip install 'codegen-lsp[train]'")


def test_train_needs_a_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a corpus is wrong usage, and the line says how to make one."""
    pytest.importorskip("jax", reason="the [train] extra is not installed")
    check(capsys, ["train", "--data", "d", "--out", "o"], 2, "no train.npy in d; make the corpus")
