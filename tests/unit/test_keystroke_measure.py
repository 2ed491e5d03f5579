"""What a keystroke takes an engine, and the choice that follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen_lsp.cli import preparing
from codegen_lsp.completion.choosing import choose_engine
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.hardware import fingerprint
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from codegen_lsp.evaluation.keystroke import (
    ROOM,
    ROUNDS,
    TYPED,
    WARM,
    WRITTEN,
    measure_keystroke,
    measure_keystrokes,
    sample_ids,
)
from codegen_lsp.models.choice import measured, remember
from codegen_lsp.models.folders import ModelFolder
from codegen_lsp.models.gguf import gguf_file
from codegen_lsp.models.reporting import Silent
from codegen_lsp.models.store import find_model
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest

IDS = list(range(ROOM))


def saying(count: int) -> ScriptedEngine:
    return ScriptedEngine(lambda _: range(count), delay=0.002)


async def test_engines_take_turns() -> None:
    """Each reads the same place and then, round by round, eight tokens more."""
    asked: list[tuple[str, GenerationRequest]] = []

    def engine(name: str) -> ScriptedEngine:
        def answer(request: GenerationRequest) -> range:
            asked.append((name, request))
            return range(WRITTEN)

        return ScriptedEngine(answer)

    both = {"a": engine("a"), "b": engine("b")}
    times = await measure_keystrokes(both, IDS)
    assert [name for name, _ in asked] == ["a", "b"] * (ROUNDS + 1)
    for turn in range(ROUNDS + 1):
        prompt = asked[2 * turn][1].prompt
        assert prompt.stable == tuple(range(WARM))
        assert prompt.tokens == tuple(range(WARM + TYPED * (turn + 1)))
        assert asked[2 * turn][1] == asked[2 * turn + 1][1]
    assert set(times) == {"a", "b"}
    assert min(times.values()) > 0
    assert both["a"].loads == 1


async def test_an_answer_that_ends_early_is_no_fast_one() -> None:
    """What is missing is counted at the pace of the rest."""
    short, whole = await measure_keystroke(saying(3), IDS), await measure_keystroke(saying(12), IDS)
    assert short > whole / 2


@pytest.mark.parametrize("written", [0, 1])
async def test_an_answer_that_says_nothing_is_no_figure(written: int) -> None:
    """An engine that ends its answer at once would be the fastest of all."""
    with pytest.raises(GenerationError, match="b wrote nothing"):
        await measure_keystrokes({"a": saying(12), "b": saying(written)}, IDS)


async def test_a_failure_is_the_caller_s() -> None:
    """No figure is made up."""

    def fail(_: GenerationRequest) -> range:
        raise GenerationError("gone")

    with pytest.raises(GenerationError, match="gone"):
        await measure_keystroke(ScriptedEngine(fail), IDS)


def test_the_sample_is_long_enough() -> None:
    """Whatever the tokenizer makes of it."""
    assert len(sample_ids(lambda text: [len(text)])) == ROOM
    assert len(sample_ids(lambda text: [ord(c) for c in text])) == ROOM


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_the_bundled_model_is_prepared_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both engines; what was measured is remembered, and ``auto`` is what was faster."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    pytest.importorskip("gguf", reason="gguf is not installed")
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path))
    model, notes = find_model("bundled", tmp_path), Notes()
    winner = preparing.prepare_and_measure(model, tmp_path, notes)
    times = measured(model, fingerprint(), tmp_path)
    assert winner in times
    assert set(times) == {"ct2", "llama"}
    assert any("a keystroke takes" in said for said in notes.said)
    assert choose_engine(model, Settings(), tmp_path).engine == winner
    before = len(notes.said)
    assert preparing.prepare_and_measure(model, tmp_path, notes) == winner
    assert len(notes.said) == before  # once
    asked = choose_engine(model, Settings(engine="llama"), tmp_path)
    assert asked.gguf == gguf_file(model, tmp_path, "q8_0")


@pytest.mark.parametrize("package", ["xllamacpp", "gguf"])
def test_what_is_missing_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """A pull works without llama.cpp; who asks for it by name hears what to install."""
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    model, notes = find_model("bundled", tmp_path), Notes()
    assert preparing.prepare_and_measure(model, tmp_path, notes) is None
    assert f"{package} is not installed" in notes.said[0]
    with pytest.raises(EngineUnavailableError, match=f"{package} is not installed"):
        preparing.prepare_gguf(model, tmp_path, Silent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("faster", ["llama", "ct2"])
def test_what_went_with_its_model_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: str
) -> None:
    """A model that is pulled once more: what was measured still holds, llama.cpp's file is gone."""
    made: list[str] = []

    def prepared(model: ModelFolder, *_: object) -> Path:
        made.append(model.name)
        return tmp_path / "m.gguf"

    def measure_again(*_: object) -> dict[str, float]:
        raise AssertionError("nothing is measured again")

    monkeypatch.setattr(preparing, "what_lacks", lambda _: "")
    monkeypatch.setattr(preparing, "prepare_gguf", prepared)
    monkeypatch.setattr(preparing, "measure", measure_again)
    model = find_model("bundled", tmp_path)
    remember(model, fingerprint(), {"ct2": 20.0, "llama": 20.0, faster: 10.0}, tmp_path)
    assert preparing.prepare_and_measure(model, tmp_path, Notes()) == faster
    assert made == (["bundled"] if faster == "llama" else [])


def test_a_measurement_that_fails_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is remembered."""

    def prepared(*_: object) -> Path:
        return tmp_path / "m.gguf"

    def fail(*_: object) -> None:
        raise GenerationError("the engine failed")

    monkeypatch.setattr(preparing, "what_lacks", lambda _: "")
    monkeypatch.setattr(preparing, "prepare_gguf", prepared)
    monkeypatch.setattr(preparing, "measure", fail)
    model, notes = find_model("bundled", tmp_path), Notes()
    assert preparing.prepare_and_measure(model, tmp_path, notes) is None
    assert notes.said == ["not measured which engine is faster: the engine failed"]
    assert measured(model, fingerprint(), tmp_path) == {}


def test_the_sample_is_read_by_the_model_s_own_tokenizer() -> None:
    """Every id of it is one of the vocabulary's."""
    tokenizer = CodeTokenizer.from_folder(find_model("bundled", Path()).path)
    assert max(sample_ids(tokenizer.encode)) < tokenizer.vocab_size
