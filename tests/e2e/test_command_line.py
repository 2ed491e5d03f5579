"""The real program in a process of its own, with a real engine.

Most rows use a tiny random model, which has nothing to say but says it through every layer; the
bundled model is used where it is there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.models.store import bundled_folder
from tests.support.tiny import tiny_model

CODE = "def add(first, second):\n    return first + second\n\n\ndef subtract(first, second):\n    "

needs_bundled = pytest.mark.skipif(
    not (bundled_folder() / "model.bin").is_file(), reason="no bundled model in this checkout"
)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that loads in a blink."""
    return tiny_model(tmp_path_factory)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one Python file, ``a.py``."""
    (tmp_path / "a.py").write_text(CODE, encoding="utf-8")
    return tmp_path


def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The program's end, with a home of its own inside ``folder``."""
    own = {**os.environ, "CODEGEN_LSP_HOME": str(folder / "home"), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "-m", "codegen_lsp", *arguments],
        cwd=folder,
        env={**own, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def last_object(shown: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object on the last line of stdout."""
    value = json.loads(shown.stdout.splitlines()[-1])
    assert isinstance(value, dict)
    return value


def test_complete(place: Path, tiny: Path) -> None:
    """A completion, or none, is one object; nothing else is on stdout."""
    shown = run(["complete", "a.py:6:5", "--json", "--model", str(tiny)], place)
    assert (shown.returncode, shown.stderr) == (0, "")
    answer = last_object(shown)
    assert answer["position"] == {"line": 6, "column": 5}
    assert answer["engine"]["engine"] == "ct2"
    assert len(shown.stdout.splitlines()) == 1


def test_show_prompt(place: Path, tiny: Path) -> None:
    """The prompt is the code before the cursor, in the model's form."""
    shown = run(["complete", "a.py:1:8", "--show-prompt", "--model", str(tiny)], place)
    assert shown.returncode == 0
    assert "def add" in shown.stdout


def check_failure(shown: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    """One line on stderr with ``words``, nothing on stdout."""
    assert shown.returncode == code, shown.stderr
    assert shown.stdout == ""
    assert words in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["complete", "gone.py:1:1"], 1, "gone.py does not exist"),
        (["complete", "a.py:99:1"], 1, "has no line 99; its lines are 1 to 6"),
        (["complete", "a.py"], 2, "write FILE:LINE:COL"),
        (["complete", "a.py:1:1", "--model", "no-such-model"], 1, "no model 'no-such-model'"),
        (["complete", "a.py:1:1", "--model", "./empty"], 1, "empty"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_failure(arguments: Sequence[str], code: int, words: str, place: Path) -> None:
    """What is wrong and how to mend it, on one line of stderr, with the right exit code."""
    (place / "empty").mkdir()
    check_failure(run(arguments, place), code, words)


def test_damaged_model(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A truncated model is named; the traceback appears only with ``--debug``."""
    folder = tiny_model(tmp_path_factory)
    weights = folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-100])
    arguments = ["complete", "a.py:6:5", "--model", str(folder)]
    check_failure(run(arguments, place), 1, "model.bin")
    assert "Traceback" in run([*arguments, "--debug"], place).stderr


def test_doctor(place: Path, tiny: Path) -> None:
    """With a model that works nothing fails; with one that does not, doctor ends with 1."""
    shown = run(["doctor", "--json", "--model", str(tiny)], place)
    report = last_object(shown)
    failed = [row for row in report["checks"] if row["status"] == "fail"]
    assert (shown.returncode, failed) == (0, [])
    assert {"engine", "model", "completion", "home"} <= {row["name"] for row in report["checks"]}
    shown = run(["doctor", "--model", "no-such-model"], place)
    assert shown.returncode == 1
    assert "fail  model: no model 'no-such-model'" in shown.stdout
    assert "-> " in shown.stdout


def test_doctor_names_wrong_settings(place: Path, tiny: Path) -> None:
    """A settings line that is ignored is a warning that names file and key."""
    (place / ".codegen-lsp.toml").write_text("maxNewTokens = -1\n", encoding="utf-8")
    shown = run(["doctor", "--json", "--model", str(tiny)], place)
    rows = [row for row in last_object(shown)["checks"] if row["status"] == "warn"]
    assert any("maxNewTokens" in row["detail"] for row in rows)


def test_models(place: Path, tiny: Path) -> None:
    """``models list`` names what is in the store, ``models info`` checks and describes one."""
    store = place / "home" / "models"
    store.mkdir(parents=True)
    (store / "mine").symlink_to(tiny, target_is_directory=True)
    listed = last_object(run(["models", "list", "--json"], place))["models"]
    assert "mine" in [model["model"] for model in listed]
    described = last_object(run(["models", "info", "mine", "--json"], place))
    assert (described["name"], described["languages"]) == ("tiny", ["python"])
    assert "context length: 64" in run(["models", "info", "mine"], place).stdout


def test_broken_pipe(place: Path) -> None:
    """A reader that goes away early is no reason for noise."""
    with subprocess.Popen(
        [sys.executable, "-m", "codegen_lsp", "--help"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("arguments", [["--stdio"], ["serve", "--stdio"], ["serve"]])
def test_serve_ends_with_its_editor(arguments: Sequence[str], place: Path) -> None:
    """However it is started, the server ends quietly when stdin is closed."""
    shown = run(arguments, place)
    assert (shown.returncode, shown.stdout) == (0, "")


def test_bench_engine(place: Path, tiny: Path) -> None:
    """A report has every number of the README; they are positive and in order."""
    options = ["--model", str(tiny), "--engine", "ct2", "--quick", "--rounds", "1", "--json"]
    shown = run(["bench", "engine", *options], place)
    assert shown.returncode == 0, shown.stderr
    report = last_object(shown)
    own, peer = report["engines"]
    assert own["peer"] == peer["label"]
    assert own["measures"]["prefill_tokens_per_s"]["p50"] > 0
    assert own["ratios"]["extend_8_first_ms"] > 0
    for part in ("initialize_ms", "first_completion_ms", "completion_ms"):
        assert 0 < report["server"][part]["p50"] <= report["server"][part]["p95"]
    assert report["server"]["resident_mib"] > 10
    assert report["bandwidth_gb_per_s"] > 0.1


def test_bench_typing(place: Path, tiny: Path) -> None:
    """A session of a few keys ends in one line of JSON with what it cost."""
    options = ["--keystrokes", "5", "--files", "1", "--fast", "--idle", "0", "--json"]
    shown = run(["bench", "typing", "--model", str(tiny), *options], place)
    assert shown.returncode == 0, shown.stderr
    session = last_object(shown)["sessions"][0]
    assert session["keys"] == 5
    assert sum(session["asked"].values()) <= 5
    assert session["peak_mib"] >= session["final_mib"] > 10


@needs_bundled
def test_bundled_model_completes(place: Path) -> None:
    """With nothing configured the bundled model has something to say about plain code."""
    shown = run(["complete", "a.py:6:5", "--json"], place)
    assert shown.returncode == 0, shown.stderr
    assert last_object(shown)["text"].strip()
    assert run(["complete", "a.py:6:5"], place).stdout.strip()


@needs_bundled
def test_completer_from_python(place: Path) -> None:
    """The façade completes without an editor, from code that is not asynchronous."""
    code = (
        "from codegen_lsp import Completer\n"
        f"text = {CODE!r}\n"
        "with Completer() as completer:\n"
        "    print(completer.complete(text, len(text), path='a.py').text)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip()
