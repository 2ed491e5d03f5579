"""How a completion is shown: on a terminal, in a pipe, as JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import pytest
from rich.console import Console

from codegen_lsp import completer
from codegen_lsp.cli.complete import summary
from codegen_lsp.cli.documents import Document, read_document
from codegen_lsp.cli.ghost import GHOST, ghost_text
from codegen_lsp.cli.main import main
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.errors import ModelDamagedError
from codegen_lsp.types import Completion, Source, Timings

INFO = EngineInfo("ct2", "small", "cpu", "int8_float32", 2, 1024)
TIMINGS = Timings(
    queue_ms=210.4, first_token_ms=20.0, total_ms=306.2, prompt_tokens=9, new_tokens=18
)
CODE = "def add(a, b):\r\n    return a)\r\nprint(1)\r\n"
CURSOR = CODE.index(")\r\nprint")


class FakeCompleter:
    """Answers what a test has laid out, and remembers how it was called."""

    answer: ClassVar[Completion | Exception | None] = None
    calls: ClassVar[list[tuple[Settings, str, int, str]]] = []

    def __init__(self, settings: Settings, *, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.info = INFO

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def complete(self, text: str, offset: int, *, path: str) -> Completion | None:
        """The laid-out answer."""
        self.calls.append((self.settings, text, offset, path))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def explain(self, text: str, offset: int, *, path: str) -> str:
        """The text before the cursor."""
        return text[:offset]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeCompleter]:
    """No model: :class:`FakeCompleter`; a home and a working directory of its own."""
    monkeypatch.setattr(completer, "Completer", FakeCompleter)
    monkeypatch.setattr(FakeCompleter, "calls", [])
    monkeypatch.setattr(FakeCompleter, "answer", None)
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_bytes(CODE.encode())
    return FakeCompleter


def answer(text: str = " + b)", *, after: int = 1) -> Completion:
    """A completion at the cursor that replaces ``after`` characters after it."""
    return Completion(text, CURSOR, CURSOR + after, Source.COLD, "small", -0.25, timings=TIMINGS)


def run(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    code = main(["complete", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_pipe(fake: type[FakeCompleter], capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe the text stands alone; the file's text is passed on as it is."""
    fake.answer = answer()
    assert run(["a.py:2:13"], capsys) == (0, " + b)\n", "")
    ((_, text, offset, path),) = fake.calls
    assert (text, offset, path) == (CODE, CURSOR, "a.py")


def test_json(fake: type[FakeCompleter], capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` gives text, 1-based range, source, model, engine and timings on one line."""
    fake.answer = answer()
    code, out, err = run(["a.py:2:13", "--json"], capsys)
    assert (code, err, out.count("\n")) == (0, "", 1)
    shown = json.loads(out)
    assert shown["text"] == " + b)"
    assert shown["range"] == {"start": {"line": 2, "column": 13}, "end": {"line": 2, "column": 14}}
    assert (shown["source"], shown["model"]) == ("cold", "small")
    assert shown["engine"]["compute_type"] == "int8_float32"
    assert shown["timings"]["new_tokens"] == 18


def test_nothing(fake: type[FakeCompleter], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to suggest is no failure: an empty stdout, or an empty text in JSON."""
    assert run(["a.py:1"], capsys) == (0, "", "nothing to suggest here\n")
    code, out, _ = run(["a.py:1", "--json"], capsys)
    shown = json.loads(out)
    assert (code, shown["text"], shown["source"]) == (0, "", None)
    assert shown["range"]["start"] == shown["range"]["end"] == {"line": 1, "column": 15}


def test_error(fake: type[FakeCompleter], capsys: pytest.CaptureFixture[str]) -> None:
    """A model that cannot be used is one line on stderr and exit code 1."""
    fake.answer = ModelDamagedError("model.bin is missing", mend="reinstall")
    line = "codegen-lsp: error: model.bin is missing; reinstall\n"
    assert run(["a.py:1", "--json"], capsys) == (1, "", line)


def test_show_prompt(fake: type[FakeCompleter], capsys: pytest.CaptureFixture[str]) -> None:
    """``--show-prompt`` prints what the model would read and completes nothing."""
    assert run(["a.py:1:8", "--show-prompt"], capsys) == (0, "def add\n", "")
    assert run(["a.py:1:8", "--show-prompt", "--json"], capsys)[1] == '{"prompt": "def add"}\n'
    assert not fake.calls


def test_settings(
    fake: type[FakeCompleter], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Flags win over the nearest workspace file; a wrong line of it is a warning."""
    (tmp_path / ".codegen-lsp.toml").write_text('device = "cuda"\nmodel = "x"\nmodle = "y"\n')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.py").write_text("")
    code, _, err = run(["deep/b.py:1:1", "--model", "mine"], capsys)
    settings = fake.calls[0][0]
    assert (code, settings.model, settings.device) == (0, "mine", "cuda")
    assert "codegen-lsp: warning: " in err
    assert "modle" in err


@pytest.mark.parametrize(
    ("info", "bundled", "line"),
    [
        (
            INFO,
            True,
            "bundled model small, int8_float32 on 2 threads: 18 tokens in 96 ms (load 210 ms)",
        ),
        (None, False, "model small: 18 tokens in 96 ms (load 210 ms)"),
        (
            EngineInfo("ct2", "small", "cuda", "float16", 0, 9),
            False,
            "model small, float16 on cuda: 18 tokens in 96 ms (load 210 ms)",
        ),
        (
            EngineInfo("ct2", "small", "cpu", "int8", 1, 9),
            False,
            "model small, int8 on 1 thread: 18 tokens in 96 ms (load 210 ms)",
        ),
    ],
)
def test_summary(info: EngineInfo | None, bundled: bool, line: str) -> None:
    """One line says what computed the answer and how long it took, loading apart."""
    assert summary(answer(), info, bundled=bundled) == line


def test_ghost_stands_in_its_place(tmp_path: Path) -> None:
    """The completion replaces its range between the code before and after, in its own style."""
    (tmp_path / "a.py").write_bytes(CODE.encode())
    shown = ghost_text(read_document(tmp_path / "a.py"), CURSOR, answer(" + b)\n\n"))
    assert shown.plain == "def add(a, b):\n    return a + b)\n\n\nprint(1)"
    (ghost,) = (span for span in shown.spans if span.style == GHOST)
    assert shown.plain[ghost.start : ghost.end] == " + b)\n\n"


def test_ghost_shows_a_window() -> None:
    """Ten lines before the cursor's and four after it are shown, not the whole file."""
    lines = [f"x{number} = 1\n" for number in range(100)]
    starts = tuple(sum(map(len, lines[:number])) for number in range(101))
    document = Document(Path("a.py"), "".join(lines), starts)
    at = starts[50]
    shown = ghost_text(document, at, Completion("y", at, at, Source.WARM, "m")).plain.splitlines()
    assert (shown[0], shown[10], shown[-1], len(shown)) == ("x40 = 1", "yx50 = 1", "x54 = 1", 15)


def test_ghost_disarms_control_characters() -> None:
    """Neither the file nor the model can send the terminal an escape sequence."""
    document = Document(Path("a.py"), "a\x1b[2J\x9b\x07", (0,))
    shown = ghost_text(document, 1, Completion("\x1b]0;x\x7f", 1, 1, Source.WARM, "m")).plain
    assert shown == "a␛]0;x␡␛[2J�␇"


def test_terminal(
    fake: type[FakeCompleter], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the code appears around the ghost text, and the line of numbers on stderr."""
    fake.answer = answer()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert main(["complete", "a.py:2:13"]) == 0
    plain = Console(file=io.StringIO(), force_terminal=False).render_str(screen.getvalue()).plain
    assert "\x1b[" in screen.getvalue()
    assert "print" in plain
    assert "18 tokens in 96 ms" in capsys.readouterr().err
