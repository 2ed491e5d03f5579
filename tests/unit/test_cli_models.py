"""``codegen-lsp models``: what is shown of what is installed and what is not, and what goes."""

from __future__ import annotations

import importlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from codegen_lsp.cli.main import main
from codegen_lsp.cli.models_cmd import COMMANDS
from codegen_lsp.cli.models_text import bytes_text, count_text, languages_text
from codegen_lsp.models.catalog import CATALOG
from codegen_lsp.models.manifest import Check, Origin
from codegen_lsp.models.store import find_model, install, remove
from tests.support.stored import make

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one pulled model, one of nobody's and one that was put there by hand."""
    place = tmp_path_factory.mktemp("prepared")
    home = place / "home"
    origin = Origin(repo="Salesforce/codegen-350M-mono", revision="a" * 40, files={"x_y": "0"})
    check = Check(name="int8 against numpy", max_abs=0.0123, agreement=0.995, divergence=3e-5)
    given: Mapping[str, Any] = {
        "parameters": 356_712_448,
        "compute_type": "int8",
        "languages": ("python",),
        "licence": "BSD-3-Clause",
        "origin": origin,
        "checks": (check,),
    }
    install(make(place / "a", "codegen-350M-mono", **given), home, name="mine")
    install(make(place / "b", "house-style", description="Our [bold] own"), home)
    make(home / "models" / "by-hand", "by-hand")
    return home


@pytest.fixture(autouse=True)
def home(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that is the user's."""
    home = tmp_path / "home"
    shutil.copytree(prepared, home)
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


def shown(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """What a command says on stdout; nothing on stderr if it ends well."""
    assert main(["models", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.err == "" or code
    return captured.out


# --- list ----------------------------------------------------------------------------------------


def test_lines_of_a_pipe(capsys: Capture, home: Path) -> None:
    """One line for each model, nine fields, what is installed first and nothing twice."""
    rows = [line.split("\t") for line in shown(capsys, "list").splitlines()]
    assert {len(row) for row in rows} == {9}
    assert [row[:2] for row in rows[:4]] == [
        ["bundled", "bundled"],
        ["by-hand", "installed"],
        ["house-style", "installed"],
        ["mine", "installed"],
    ]
    names = [row[0] for row in rows[4:]]
    assert names == [name for name in CATALOG if name != "codegen-350M-mono"]
    mine = rows[3]
    assert mine[2:6] == ["356712448", "64", "python", "BSD-3-Clause"]
    assert mine[8] == str(find_model("mine", home).path)
    states = {row[0]: row[1] for row in rows}
    assert (states["codegen2-1B"], states["codegeex2-6b"]) == ("available", "remote")
    by_name = {row[0]: row for row in rows}
    assert by_name["codegen-2B-multi"][4] == "c,cpp,go,java,javascript,python"
    assert by_name["codegen-2B-multi"][8] == "Salesforce/codegen-2B-multi"


def test_only_what_is_installed(capsys: Capture) -> None:
    """``--installed`` leaves out the catalog, in every form."""
    assert len(shown(capsys, "list", "--installed").splitlines()) == 4
    assert "catalog" not in json.loads(shown(capsys, "list", "--installed", "--json"))


def test_list_as_json(capsys: Capture) -> None:
    """Everything, on one line: what is installed and the whole catalog, marked."""
    text = shown(capsys, "list", "--json")
    assert text.count("\n") == 1
    listed = json.loads(text)
    assert [model["model"] for model in listed["models"]][1:] == ["by-hand", "house-style", "mine"]
    catalog = {entry["name"]: entry for entry in listed["catalog"]}
    assert list(catalog) == list(CATALOG)
    assert [name for name, entry in catalog.items() if entry["installed"]] == ["codegen-350M-mono"]
    entry = catalog["codegen2-3_7B"]
    assert entry["hub_id"] == "Salesforce/codegen2-3_7B_P"
    assert entry["shape"]["parts"] == 8
    assert entry["memory_bytes"].keys() == entry["fits"].keys() == {"int8", "float16", "float32"}
    assert {"verified", "licence", "smallest_machine", "tokenizer", "infill"} <= entry.keys()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_tables_of_a_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """No line is longer than the terminal, no row is wrapped, and what matters is not cut."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown(capsys, "list")).splitlines()
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if re.match("code|star|santa|mine|house|by-hand", line)]
    assert len(rows) == len(CATALOG) + 3
    assert (
        all(re.search(r"(bytes|.B) +(fits|tight|too big|remote)", row) for row in rows)
        or width < 60
    )
    if width >= 80:
        mine = next(line for line in lines if line.startswith("codegen-350M-mono *"))
        assert mine.split()[1:] == [
            "*",
            "357M",
            "2048",
            "1.2",
            "GB",
            "fits",
            "python",
            "BSD-3-Clause",
        ]
        assert any("bigcode-openrail-m" in line for line in lines)
    if width >= 100:
        assert any(line.rstrip().endswith("Our [bold] own") for line in lines)


def test_damage_is_told(capsys: Capture, home: Path) -> None:
    """A model that cannot be used is not listed, and a warning says why and what to do."""
    (find_model("mine", home).path / "model.bin").unlink()
    (home / "models" / "house-style" / "current").write_text("nonsense")
    assert main(["models", "list"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("codegen-lsp: warning: ") == 2
    assert "models remove mine" in captured.err
    assert "models remove house-style" in captured.err
    assert "house-style" not in captured.out


def test_no_models(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package without its model and an empty store: the catalog is shown, and a way out."""
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("codegen_lsp.models.store.bundled_folder", lambda: tmp_path / "none")
    assert main(["models", "list"]) == 0
    captured = capsys.readouterr()
    assert "reinstall codegen-lsp" in captured.err
    assert len(captured.out.splitlines()) == len(CATALOG)
    assert not (tmp_path / "empty").exists()


# --- info ----------------------------------------------------------------------------------------


def test_info_of_an_installed_model(capsys: Capture, home: Path) -> None:
    """All of its manifest, where it came from, what was checked, what it takes."""
    text = shown(capsys, "info", "mine")
    for line in (
        "model: mine",
        "name: codegen-350M-mono",
        "parameters: 356,712,448",
        "context length: 64",
        f"version: {find_model('mine', home).version}",
        "origin repo: Salesforce/codegen-350M-mono",
        f"origin revision: {'a' * 40}",
        "origin files x_y: 0",
        "check: int8 against numpy: differs by at most 0.012, same likeliest token in 99.50%,"
        " divergence 3e-05",
        "description: -",
    ):
        assert line in text.splitlines()
    described = json.loads(shown(capsys, "info", "mine", "--json"))
    assert described["origin"]["files"] == {"x_y": "0"}
    assert described["checks"][0]["agreement"] == 0.995
    assert described["memory_bytes"] > 356_712_448


def test_info_of_a_published_model(capsys: Capture) -> None:
    """The row of the catalog, memory for each compute type, and how to get it."""
    for name in ("codegen2-3.7B", "Salesforce/codegen2-3_7B_P"):
        text = shown(capsys, "info", name)
        assert "name: codegen2-3_7B" in text
        assert "get it: codegen-lsp models pull codegen2-3_7B" in text
        assert "memory bytes int8: 5,516,156,928 (5.5 GB)" in text
        assert "smallest machine: 16 GB laptop" in text
        assert "parameters: 3,641,174,016" in text
    described = json.loads(shown(capsys, "info", "starcoder", "--json"))
    assert (described["gated"], described["installed"]) == (True, False)


def test_info_of_a_remote_model(capsys: Capture) -> None:
    """It says where it can run, and not how to pull it."""
    text = shown(capsys, "info", "codegeex2-6b")
    assert "team's server" in text
    assert "models pull" not in text


def test_info_of_a_published_model_under_another_name(capsys: Capture) -> None:
    """What is installed as ``mine`` is found by what its manifest calls it."""
    assert "model: mine" in shown(capsys, "info", "codegen-350M-mono")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hose-style", "house-style"),
        ("codegen2-1", "codegen2-1B"),
        ("qqqqq", "see: models list"),
        ("./nowhere", "no folder './nowhere'"),
        ("~nobody-of-that-name/x", "no folder"),
        ("", "no model ''"),
    ],
)
def test_info_of_the_unknown(capsys: Capture, name: str, words: str) -> None:
    """The nearest names, of both tables, on one line."""
    assert main(["models", "info", name]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_info_checks_files(capsys: Capture, home: Path) -> None:
    """A changed file is named."""
    path = find_model("mine", home).path / "model.bin"
    path.write_bytes(b"X" + path.read_bytes()[1:])
    assert main(["models", "info", "mine"]) == 1
    assert "was changed since it was installed; run: codegen-lsp models" in capsys.readouterr().err


# --- remove --------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize(
    ("answer", "code", "gone"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)]
)
def test_remove_asks(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    answer: str,
    code: int,
    gone: bool,
) -> None:
    """On a terminal, with the size and the folder; no answer is no."""
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(["models", "remove", "mine"]) == code
    captured = capsys.readouterr()
    assert str(home / "models" / "mine") in captured.err
    assert "kB" in captured.err
    assert (home / "models" / "mine").exists() is not gone
    assert ("removed" in captured.out) is gone


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The end of input at the question is an interruption; the model stays."""
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert main(["models", "remove", "mine"]) == 130
    assert find_model("mine", home)


@pytest.mark.parametrize("flags", [[], ["--yes"]])
def test_remove_without_a_terminal(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, home: Path, flags: list[str]
) -> None:
    """Scripts are not asked; nor is who says ``--yes``."""
    monkeypatch.setattr("sys.stdin", Terminal() if flags else io.StringIO())
    assert re.fullmatch(r"mine removed, 1\.\d kB free\n", shown(capsys, "remove", "mine", *flags))
    assert not (home / "models" / "mine").exists()


def test_remove_as_json(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that are free now."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said = json.loads(shown(capsys, "remove", "by-hand", "--json"))
    assert said["model"] == "by-hand"
    assert said["bytes"] > 100


def test_a_damaged_model_can_be_removed(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """That is how it is mended."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (home / "models" / "mine" / "current").write_text("nonsense")
    assert "mine removed" in shown(capsys, "remove", "mine")
    assert shown(capsys, "list", "--installed").count("\n") == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bundled", "the bundled model cannot be removed"),
        ("min", "no installed model 'min'; installed: mine"),
        ("codegen-2B-mono", "no installed model 'codegen-2B-mono'"),
        ("../home", "no installed model '../home'"),
    ],
)
def test_what_is_not_removed(capsys: Capture, name: str, words: str) -> None:
    """One line; nothing goes."""
    assert main(["models", "remove", name, "--yes"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert words in captured.err


def test_it_went_meanwhile(capsys: Capture, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Another process removed it while the user thought about it."""
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    monkeypatch.setattr(click, "confirm", lambda *_, **__: bool(remove("mine", home)))
    assert main(["models", "remove", "mine"]) == 1
    assert "no installed model 'mine'" in capsys.readouterr().err


# --- The table of commands, and words ------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_exist(name: str) -> None:
    """Each entry of the table leads to a command whose own help is not empty."""
    entry = COMMANDS[name]
    command = getattr(importlib.import_module(entry.module), entry.attribute)
    assert isinstance(command, click.Command)
    assert (command.name, bool(command.help)) == (name, True)


def test_help_is_cheap() -> None:
    """It shows every command of the table and imports none, nor the store."""
    code = (
        "import sys; from codegen_lsp.cli.main import main; main(['models', '--help']); "
        "print([m for m in sys.modules if m.startswith('codegen_lsp.models')"
        " or m in ('msgspec', 'rich', 'filelock', 'asyncio')])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines()[-1] == "[]"
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.help)}$", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (20_599_676_928, "21 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_in_words(number: int, text: str) -> None:
    """Two digits at least, and never 1000 of a unit that has a larger one."""
    assert bytes_text(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "?"), (6_046_976, "6.0M"), (9.994e8, "999M"), (9.995e8, "1.0B")]
)
def test_weights_in_words(number: float, text: str) -> None:
    """Millions and billions, as names of models have them."""
    assert count_text(int(number)) == text


def test_languages_in_words() -> None:
    """One by its name, several by their number; none is not unknown."""
    assert languages_text(["python"]) == "python"
    assert languages_text(["c", "go"]) == "2"
    assert languages_text([]) == "?"
    assert languages_text([], natural=True) == "none"
