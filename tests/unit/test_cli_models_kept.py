"""``codegen-lsp models``: downloads that wait, and models that another process changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codegen_lsp.cli.main import main
from codegen_lsp.cli.models_list import _installed_cells
from codegen_lsp.models.downloads import downloads
from codegen_lsp.models.gguf import gguf_file
from codegen_lsp.models.store import find_model, install, installed
from tests.support.stored import make

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's, with one model."""
    home = tmp_path / "home"
    install(make(tmp_path / "source", "mine"), home)
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(home))
    return home


def test_what_was_fetched_is_told(capsys: Capture, home: Path) -> None:
    """It takes room and is in no table; a line says how it goes."""
    folder = downloads(home, "org/big") / "commit"
    folder.mkdir(parents=True)
    with (folder / "model.bin.incomplete").open("wb") as file:
        file.truncate(2_500_000)
    small = downloads(home, "org/refused") / "commit"
    small.mkdir(parents=True)
    (small / "config.json").write_bytes(b"{}")
    assert main(["models", "list"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("2.5 MB of org/big were fetched and are kept: ")
    assert captured.err.count("\n") == 1
    assert "org/big" not in captured.out
    assert main(["models", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["downloads"]
    assert told == [{"repo": "org/big", "bytes": 2_500_000}, {"repo": "org/refused", "bytes": 2}]
    assert main(["models", "remove", "org/big"]) == 0
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().err == ""


def test_removing_says_that_it_waits(capsys: Capture, home: Path) -> None:
    """Somebody else changes the model; what is removed is what he leaves."""
    script = (
        "import sys; from pathlib import Path; from codegen_lsp.models.store import locked\n"
        "with locked('mine', Path(sys.argv[1])): print('now', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        assert other.stdout.readline() == "now\n"
        # A process of its own: what pytest captures in this one is not for two threads to use.
        command = [sys.executable, "-m", "codegen_lsp", "models", "remove", "mine", "--yes"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as removing:
            assert removing.stderr is not None
            said = removing.stderr.readline()
            assert "another process is changing mine; waiting for it" in said
            assert removing.poll() is None
            other.stdin.close()
            assert removing.wait(60) == 0
    assert "mine" not in {model.name for model in installed(home)}


def made_of(name: str, home: Path) -> Path:
    """A GGUF that was made of a model."""
    file = gguf_file(find_model(name, home), home, "q8_0")
    file.parent.mkdir(parents=True)
    with file.open("wb") as out:
        out.truncate(2_500_000)
    return file


@pytest.mark.parametrize("name", ["bundled", "its own"])
def test_what_was_made_of_the_bundled_model_can_be_removed(
    name: str, capsys: Capture, home: Path
) -> None:
    """By either of its names; the model stays, and a second time there is nothing to remove."""
    bundled = find_model("bundled", home)
    called = bundled.manifest.name if name == "its own" else name
    file, other = made_of("bundled", home), made_of("mine", home)
    assert main(["models", "remove", called]) == 0
    told = f"what was made of {called} for llama.cpp removed, 2.5 MB free\n"
    assert capsys.readouterr().out == told
    assert (file.exists(), other.exists(), find_model("bundled", home)) == (False, True, bundled)
    assert main(["models", "remove", called]) == 1
    assert "the bundled model cannot be removed" in capsys.readouterr().err


def test_what_was_made_of_a_folder_can_be_removed(
    tmp_path: Path, capsys: Capture, home: Path
) -> None:
    """By the name in its manifest; the folder stays as it is."""
    folder = make(tmp_path / "elsewhere", "theirs")
    file = made_of(str(folder), home)
    assert main(["models", "remove", "theirs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": "theirs", "bytes": 2_500_000}
    assert not file.exists()
    assert (folder / "model.bin").exists()


@pytest.mark.parametrize("name", ["..", ".", "../mine", ""])
def test_no_name_leads_elsewhere(name: str, capsys: Capture, home: Path) -> None:
    """What is removed is below the folder of what was made, whatever the name."""
    made_of("bundled", home)
    before = sorted(home.rglob("*"))
    assert main(["models", "remove", name]) == 1
    assert f"no installed model {name!r}" in capsys.readouterr().err
    assert [path for path in before if not path.exists()] == []


def test_what_was_made_of_a_model_is_told(capsys: Capture, home: Path) -> None:
    """With its size, as part of what the model takes on the disk."""
    assert main(["models", "info", "mine"]) == 0
    assert "gguf bytes: 0 (0 bytes)\n" in capsys.readouterr().out
    made_of("mine", home)
    assert main(["models", "list", "--installed", "--json"]) == 0
    models = json.loads(capsys.readouterr().out.splitlines()[-1])["models"]
    assert {one["model"]: one["gguf_bytes"] for one in models} == {"bundled": 0, "mine": 2_500_000}
    cells = {row[0]: row[3] for row in _installed_cells(installed(home), 2**33)}
    assert cells["mine"] == "2.5 MB"


def test_a_home_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that cannot be spelled out is taken as it is written, as shells do."""
    monkeypatch.setenv("CODEGEN_LSP_HOME", "~nobody-of-that-name/x")
    assert main(["models", "list", "--installed"]) == 0
