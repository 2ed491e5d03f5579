"""``tests.bench.gpu``: everybody is measured, on the same tokens, and what fails is a line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from codegen_lsp.converters.checkpoint import open_checkpoint, read_config
from codegen_lsp.converters.shape import Shape
from codegen_lsp.evaluation.bench.spreads import Spread
from codegen_lsp.types import Prompt
from tests.bench import gpu, gpu_cublas
from tests.bench.gpu_cublas import NEWER, WANTED, Way
from tests.bench.gpu_peer import EAGER, TorchSubject
from tests.bench.gpu_shapes import END, NEVER, SHAPES, write_hf
from tests.bench.gpu_subjects import (
    ANCHORED,
    LENGTH,
    MORE,
    NEW_TOKENS,
    PLAIN,
    TAIL,
    Ct2Subject,
    Sample,
    Text,
    draw_text,
    told,
)

CPU = ("--device", "cpu", "--shapes", "tiny", "--rounds", "2", "--threads", "1", "--no-compile")


def json_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line that was printed, and what it says."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_everybody_answers_alike_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for every engine, type and mode; float32 writes the tokens that transformers does."""
    pytest.importorskip("torch", reason="the peer needs torch")
    pytest.importorskip("transformers", reason="the peer is transformers")
    assert gpu.main([*CPU, "--json"]) == 0
    found = json_line(capsys)
    rows = {(row["engine"], row["kind"], row["mode"]): row for row in found["rows"]}
    assert list(rows) == [
        ("transformers", "float32", EAGER),
        ("CTranslate2", "float32", PLAIN),
        ("CTranslate2", "float32", ANCHORED),
        ("CTranslate2", "int8", PLAIN),
        ("CTranslate2", "int8", ANCHORED),
    ]
    for (_, kind, _), row in rows.items():
        assert [row[name]["count"] for name in ("cold", "warm", "step")] == [2, 2, 2], row
        assert kind != "float32" or row["alike"] == 1.0, row
    assert (found["cublas"], found["plan"]["rounds"]) == ([], 2)


def test_a_peer_that_is_missing_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without transformers the others are measured, and the table says what is missing."""

    def load(_: object) -> None:
        raise ImportError("No module named 'transformers'")

    monkeypatch.setattr(TorchSubject, "load", load)
    assert gpu.main([*CPU, "--rounds", "1", "--json"]) == 0
    peer, *others = json_line(capsys)["rows"]
    assert (peer["cold"], peer["note"]) == (None, "No module named 'transformers'")
    assert all(row["cold"] for row in others)


def test_where_nothing_runs_every_line_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device that is not there: no crash, no figures, status 1."""

    def load(_: object) -> None:
        raise RuntimeError("no CUDA-capable device\nis detected")

    monkeypatch.setattr(TorchSubject, "load", load)
    monkeypatch.setattr(Ct2Subject, "load", load)
    monkeypatch.setenv(gpu.READY, "a: failed, b\nc: works")
    assert gpu.main(["--device", "cuda", "--shapes", "tiny", "--rounds", "1", "--json"]) == 1
    found = json_line(capsys)
    assert found["cublas"] == ["a: failed, b", "c: works"]
    half = ["float16", "bfloat16"]
    in_two_ways = [row["kind"] for row in found["rows"]]
    assert in_two_ways[::2] == in_two_ways[1::2] == [*half, *half, "int8_float16"]
    assert {row["note"] for row in found["rows"]} == {"no CUDA-capable device is detected"}


def test_anchors_serve_where_they_are_said_to(tmp_path: Path) -> None:
    """Without anchors nothing is kept; with them all that the server calls stable, and as long as
    the rounds last."""
    shape, rounds = SHAPES["tiny"], 4
    plan = gpu.Plan("cpu", ("tiny",), rounds, threads=1, compiled=False)
    *_, subject = gpu._subjects(shape, plan, tmp_path)
    assert isinstance(subject, Ct2Subject)
    subject.load()
    try:
        for number in range(rounds + 1):
            prompt = Prompt((), draw_text(shape, number).ids)
            subject._runner.run(subject._sample(draw_text(shape, number), LENGTH + MORE))
            assert subject._loaded.warm(prompt) == 0
            assert list(subject.measure(draw_text(shape, number))) == [PLAIN, ANCHORED]
        for number in range(rounds + 1):
            prompt = Prompt((), draw_text(shape, number).ids)
            assert subject._loaded.warm(prompt) == LENGTH - TAIL
    finally:
        subject.close()


class Failing:
    """A subject that answers in no time, *until* it was measured so often."""

    engine, kind, modes = "failing", "float32", ("only", "never")
    notes: ClassVar = {"never": "as was said"}

    def __init__(self, until: int, answer: int) -> None:
        self.calls = 0
        self.closed = False
        self._until = until
        self._answer = answer

    def load(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def measure(self, _: Text) -> dict[str, Sample]:
        self.calls += 1
        if self.calls > self._until:
            raise MemoryError("enough")
        tokens = (7,) * self._answer + (8,) * (NEW_TOKENS - self._answer)
        return {"only": Sample(float(self.calls), 2.0, 3.0, tokens)}


def test_what_fails_later_keeps_what_it_brought(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once is not counted; a subject that fails is not asked again, and everybody is closed."""
    subjects = [Failing(99, NEW_TOKENS), Failing(3, 12), Failing(0, 0)]
    monkeypatch.setattr(gpu, "_subjects", lambda *_: iter(subjects))
    rows = gpu.measure_shape("tiny", gpu.Plan("cpu", ("tiny",), rounds=5), tmp_path / "shape")
    assert [one.calls for one in subjects] == [6, 4, 1]
    only, never = rows[::2], rows[1::2]
    assert [row.cold and row.cold.count for row in only] == [5, 2, None]
    assert [row.cold and row.cold.p50 for row in only] == [4.0, 2.5, None]
    assert [row.alike for row in only] == [1.0, 0.5, None]
    assert [row.note for row in only] == ["", "enough", "enough"]
    assert [row.note for row in never] == ["as was said", "enough", "enough"]
    assert all(one.closed for one in subjects)
    assert list((tmp_path / "shape").iterdir()) == []


@pytest.mark.parametrize("wrong", [("--shapes", "7B"), ("--rounds", "0"), ("--rounds", "x")])
def test_what_makes_no_sense(wrong: tuple[str, str]) -> None:
    """Wrong arguments end with status 2 before anything is made."""
    with pytest.raises(SystemExit) as ended:
        gpu.main([*CPU, *wrong])
    assert ended.value.code == 2


LIBRARIES: dict[str, tuple[list[str], list[str]]] = {
    "nothing": ([], ["there is no " + WANTED, "there is no " + NEWER]),
    "only 12": ([f"nvidia/cublas/lib/{WANTED}"], ["", "there is no " + NEWER]),
    "only 13": ([f"nvidia/cu13/lib/{NEWER}"], ["there is no " + WANTED, ""]),
    "both": ([f"nvidia/cublas/lib/{WANTED}", f"cuda-13.0/lib64/{NEWER}"], ["", ""]),
}


@pytest.mark.parametrize(("files", "missing"), LIBRARIES.values(), ids=LIBRARIES)
def test_ways_to_find_cublas(tmp_path: Path, files: list[str], missing: list[str]) -> None:
    """As it is, loaded beforehand, by a link: each says what it lacks."""
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    places = gpu_cublas.folders([str(tmp_path)], [str(tmp_path)])
    plain, *others = gpu_cublas.ways(places, tmp_path / "link")
    assert (plain.preload, plain.search, plain.missing) == ((), (), "")
    assert [way.missing for way in others] == missing


def test_a_link_leads_to_the_newer_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old name is found on the path of a process, before what was on it, and is the new file;
    what is loaded beforehand begins with what the library needs."""
    new, old = tmp_path / "nvidia" / "cu13" / "lib", tmp_path / "nvidia" / "cublas" / "lib"
    for folder, names in ((new, (NEWER,)), (old, (WANTED, gpu_cublas.BESIDE[WANTED]))):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text(name)
    monkeypatch.setenv("LD_LIBRARY_PATH", "before")
    places = gpu_cublas.folders([str(tmp_path)], [])
    _, loaded, linked = gpu_cublas.ways(places, tmp_path / "link")
    assert [path.name for path in loaded.preload] == [gpu_cublas.BESIDE[WANTED], WANTED]
    first, second, last = linked.environment()["LD_LIBRARY_PATH"].split(os.pathsep)
    assert (Path(first) / WANTED).read_text() == NEWER
    assert (Path(second), last) == (new, "before")


CHOICES: dict[str, tuple[Sequence[tuple[str, str]], str | None, list[str]]] = {
    "the first works": ((("a", ""), ("b", "")), "a", ["a: works"]),
    "the second": ((("a", "no such"), ("b", "")), "b", ["a: failed, no such", "b: works"]),
    "none": ((("a", "x"), ("b", "y")), None, ["a: failed, x", "b: failed, y"]),
}


@pytest.mark.parametrize(("tries", "chosen", "lines"), CHOICES.values(), ids=CHOICES)
def test_the_first_way_that_works(
    tries: Sequence[tuple[str, str]], chosen: str | None, lines: list[str]
) -> None:
    """Ways are tried until one works, and what came of each is told; nothing is asked of one that
    cannot be tried."""
    outcome = dict(tries)
    probe: Callable[[Way], str] = lambda way: outcome[way.name]  # noqa: E731
    candidates = [Way("absent", missing="there is none"), *(Way(name) for name, _ in tries)]
    way, told_lines = gpu_cublas.choose(candidates, probe)
    assert (way.name if way else None) == chosen
    assert told_lines == ["absent: not tried, there is none", *lines]


def test_a_try_that_fails_says_why(tmp_path: Path) -> None:
    """A process that cannot load what it is to load beforehand ends with that line."""
    why = gpu_cublas.probe(Way("a", preload=(tmp_path / "libnone.so",)), tmp_path)
    assert "libnone.so" in why


def test_a_link_is_found_by_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only a link works, the same is measured in a process that begins with it on its path,
    and is told what was tried; its status is ours."""
    (tmp_path / NEWER).touch()
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], *, env: dict[str, str], **_: object) -> SimpleNamespace:
        ran.append((command, env))
        return SimpleNamespace(returncode=7)

    monkeypatch.delenv(gpu.READY, raising=False)
    monkeypatch.setattr(gpu_cublas, "folders", lambda: [tmp_path])
    monkeypatch.setattr(gpu_cublas, "probe", lambda way, _: "" if way.search else "no such file")
    monkeypatch.setattr(subprocess, "run", run)
    assert gpu.main(["--device", "cuda", "--shapes", "tiny"]) == 7
    [(command, environment)] = ran
    assert command[1:] == ["-m", "tests.bench.gpu", "--device", "cuda", "--shapes", "tiny"]
    assert environment["LD_LIBRARY_PATH"].split(os.pathsep)[1] == str(tmp_path)
    assert [line.split(": ")[1] for line in environment[gpu.READY].splitlines()] == [
        "failed, no such file",
        "not tried, there is no libcublas.so.12",
        "works",
    ]


@pytest.mark.parametrize(("name", "parameters"), [("350M", 356_712_448), ("2B", 2_779_356_160)])
def test_the_shapes_are_codegens(name: str, parameters: int) -> None:
    """As many parameters as the published models have."""
    shape = SHAPES[name]
    width, words = shape.n_embd, shape.vocab_size
    layer = 3 * width * width + width * width + 8 * width * width + 5 * width + 2 * width
    assert shape.n_layer * layer + 2 * words * width + words + 2 * width == parameters


def test_a_random_model_is_the_same_each_time(tmp_path: Path) -> None:
    """Weights follow from the shape, no two matrices are alike, and end-of-text never comes."""
    one, other = (open_checkpoint(write_hf(tmp_path / n, SHAPES["tiny"])) for n in "ab")
    assert all((one[name] == other[name]).all() for name in one)
    assert Shape.from_config(read_config(tmp_path / "a")) == SHAPES["tiny"]
    first, second = (one[f"transformer.h.{n}.mlp.fc_in.weight"] for n in (0, 1))
    assert (first != second).any()
    assert one["lm_head.bias"][END] == NEVER


def test_texts() -> None:
    """A text is as long as it must be, never holds end-of-text, and no two begin alike."""
    texts = [draw_text(SHAPES["tiny"], number).ids for number in range(3)]
    assert {len(ids) for ids in texts} == {LENGTH + MORE}
    assert all(END not in ids and max(ids) < SHAPES["tiny"].vocab_size for ids in texts)
    assert len({ids[:8] for ids in texts}) == 3


def test_a_row_as_it_is_printed() -> None:
    """Medians and 95th percentiles in two digits; a failure is one cell of one line."""
    row = gpu.Row("2B", "CTranslate2", "float16", ANCHORED, Spread(1, 2.345, 3), alike=0.5)
    assert gpu._line(row) == "| 2B | CTranslate2 | float16 | anchors | 1.00 / 2.35 |  |  | 50% |  |"
    assert told(RuntimeError("a | b\nc")) == "a / b c"
    assert told(MemoryError()) == "MemoryError"
    assert len(told(RuntimeError("word " * 100))) <= 160
