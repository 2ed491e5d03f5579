"""The report of a replay: a page that is whole, honest about what it got, and always the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codegen_lsp.cli.eval_tables import show_comparison
from codegen_lsp.errors import DocumentError, UsageError
from codegen_lsp.evaluation.replay.bootstrap import compare
from codegen_lsp.evaluation.replay.report import write_report
from codegen_lsp.evaluation.replay.report_examples import examples_of
from codegen_lsp.evaluation.replay.report_words import MINUS, SPACE
from codegen_lsp.evaluation.replay.results import Run, write_run
from codegen_lsp.evaluation.replay.summary import summarize
from tests.support.replays import BASELINE, RUN, Page, sample

pytest.importorskip("matplotlib", reason="the extra [eval] is not installed")
pytest.importorskip("jinja2", reason="the extra [eval] is not installed")

HOSTILE = "</code></pre><script>alert('<&>')</script>"


def page_of(tmp_path: Path, run: Run = RUN, **given: Any) -> tuple[Page, str]:
    """The report of a run, parsed and as it is."""
    path = tmp_path / "report.html"
    write_report(run, path, **given)
    text = path.read_text(encoding="utf-8")
    return Page(text), text


FULL: dict[str, Any] = {"baseline": BASELINE, "others": [("no context", BASELINE)]}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str]:
    """A report with everything in it."""
    return page_of(tmp_path_factory.mktemp("full"), **FULL)


def test_a_report_is_a_page_for_everyone(full: tuple[Page, str]) -> None:
    """Headings in order, captions, names for what is only drawn, identifiers that are unique."""
    page, _ = full
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.text_of("h2") == [
        "Key figures",
        "Quality",
        "What was accepted",
        "Against the baseline",
        "Ablations",
        "Latency",
        "Numbers",
        "Examples",
    ]
    figures = [tag for tag, _ in page.tags if tag in ("figure", "svg", "figcaption")]
    assert figures == ["figure", "svg", "figcaption"] * 12
    assert len(page.text_of("figcaption")) == 12
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert svg["aria-label"]
    assert len(page.text_of("caption")) == len(page.all("table")) == 6
    assert {one.get("scope") for one in page.all("th")} == {"col", "row"}
    names = Counter(one["id"] for _, one in page.tags if "id" in one)
    assert names.most_common(1)[0][1] == 1
    assert page.all("html")[0]["lang"] == "en"


def test_a_report_needs_nothing_else(full: tuple[Page, str]) -> None:
    """No script, nothing that is fetched; every reference is to the page itself."""
    page, text = full
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|@import|src=|url\((?!#)", text)
    names = {one["id"] for _, one in page.tags if "id" in one}
    used = {one["href"] for _, one in page.tags if "href" in one}
    used |= set(re.findall(r"url\((#[^)]*)\)", text))
    assert used
    assert {f"#{name}" for name in names} >= used
    assert len(text) < 400_000


def test_both_schemes_have_every_colour(full: tuple[Page, str]) -> None:
    """What a plot is drawn in is defined twice, and plots have no colours of their own."""
    _, text = full
    plots = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    used = set(re.findall(r"var\((--[a-z]+)\)", text))
    assert len(used) > 5
    for name in used:
        assert len(re.findall(rf"{name}: #", text)) == 2, name
    assert re.findall(r"#[0-9a-f]{6}\b", plots) == []


def test_what_a_report_says(tmp_path: Path, full: tuple[Page, str]) -> None:
    """The model, the settings that differ, what was asked, the corpora, every number's meaning."""
    settings = {
        **RUN.settings,
        "model": "/models/own",
        "suggestions": "quiet",
        "contextSources": [],
    }
    run = msgspec.structs.replace(RUN, settings=settings)
    page, text = page_of(tmp_path, run)
    assert page.text_of("h1") == ["Replay of own"]
    chips = [text for where, text in page.words if where.endswith("li/code")]
    assert chips == ["model = /models/own", "suggestions = quiet", "contextSources = none"]
    for words in (
        "9.8.7",
        "32 hidden positions",
        "1 typed lines",
        f"1{SPACE}h 2{SPACE}min",
        "ab12",
    ):
        assert words.replace(SPACE, " ") in " ".join(text.split()).replace(SPACE, " ")
    assert page.text_of("title") == ["Replay of own: codegen-lsp 9.8.7"]
    for name in ("exact match", "keystrokes saved", "loops"):
        assert name in page.text_of("dt")
    for words in ("All settings are the defaults", "with the same settings"):
        assert words not in text
        assert words in full[1]


def test_numbers_of_a_report(full: tuple[Page, str]) -> None:
    """Values, differences and intervals are those of the summary and of the bootstrap."""
    page, text = full
    key = [words for where, words in page.words if where.endswith("dl/div/dd")]
    assert key[:3] == ["50.0 %", "+25.0 pp better", "+25.0 … +25.0"]
    label = next(one["aria-label"] for one in page.all("svg"))
    assert label is not None
    assert label.startswith("all: 50 % right, 25 % wrong, 25 % not shown; start of a line: 100 %")
    assert "Left out: 2 of 4 questions while typing" in text
    assert "16 of 24" in text  # suggestions of 10 to 19 characters that were right
    labels = [one["aria-label"] or "" for one in page.all("svg")]
    assert "said 20 %, right 0 of 8; said 90 %, right 16 of 16" in labels
    assert f"no context: {MINUS}25.0{SPACE}pp" in labels[-4 - 1]


def test_lengths_of_suggestions(tmp_path: Path) -> None:
    """By visible characters: 20 of them belong to those of 20 to 39, one less does not."""
    for letters, label in ((8, "20 to 39"), (7, "10 to 19")):
        run = sample([True], ["shop"], text="x" * letters)
        page, _ = page_of(tmp_path, run)
        length = letters + len(" = sum(prices)")
        told = f"{label} characters: {length} of {length} right"
        assert any(told in (one["aria-label"] or "") for one in page.all("svg"))


def test_code_stays_code(tmp_path: Path) -> None:
    """What looks like a page in code, names, settings or data is text of the page."""
    names = [HOSTILE, "b"]
    run = sample([True, False, None], names, text=HOSTILE, machine={HOSTILE: HOSTILE})
    run = msgspec.structs.replace(run, settings={**run.settings, "model": f"a{HOSTILE}"})
    page, text = page_of(tmp_path, run, baseline=run, others=[(HOSTILE, run)])
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script" not in text
    shown = "".join(words for where, words in page.words if where.endswith("code/ins"))
    assert HOSTILE in shown
    assert any(HOSTILE in (one["aria-label"] or "") for one in page.all("svg"))


ODD = (r"$\oops$", "$a$ $", "日本語", "x" * 300, "", "\udcff", "a\nb", "-", "\x01")


def test_odd_names(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A name is no formula, has any length and any letters."""
    run = sample([True, False, None], ODD)
    page, _ = page_of(tmp_path, run, others=[(name, run) for name in ODD])
    assert "日本語" in page.text_of("th")
    assert r"$\oops$" in page.text_of("text")
    assert "x" * 28 not in "".join(page.text_of("text"))
    assert [str(one.message) for one in recwarn] == []


SILENT = sample([None, None])
MEAGRE = {
    "nothing shown": SILENT,
    "no points": msgspec.structs.replace(
        SILENT, points=[], summary=summarize(SILENT.repositories, [], SILENT.typing)
    ),
    "no lines": msgspec.structs.replace(
        RUN, typing=[], summary=summarize(RUN.repositories, RUN.points, [])
    ),
    "one repository": sample([True, False], ["shop"]),
    "nothing said": msgspec.structs.replace(
        RUN, points=[msgspec.structs.replace(one, data=None) for one in RUN.points]
    ),
    "odd confidence": msgspec.structs.replace(
        RUN,
        points=[
            msgspec.structs.replace(one, data={"confidence": value})
            for one, value in zip(RUN.points, [None, 7.5, -1, "much"] * 8, strict=True)
        ],
    ),
}


@pytest.mark.parametrize("name", MEAGRE)
def test_what_is_not_there_is_left_out(tmp_path: Path, name: str) -> None:
    """No empty figure, no section without anything."""
    run = MEAGRE[name]
    page, _ = page_of(tmp_path, run, baseline=run)
    figures = page.text_of("figcaption")
    assert len(page.all("svg")) == len(page.all("figure")) == len(figures) > 0
    said = any("confidence that came" in caption for caption in figures)
    assert said == (name in ("no lines", "one repository"))


def test_an_empty_run_is_a_page(tmp_path: Path) -> None:
    """With its numbers, all of which are none."""
    empty = msgspec.structs.replace(
        RUN, points=[], typing=[], summary=summarize(RUN.repositories, [], [])
    )
    page, _ = page_of(tmp_path, empty)
    assert page.text_of("h2") == ["Key figures", "Numbers"]


def test_the_same_runs_give_the_same_bytes(tmp_path: Path, full: tuple[Page, str]) -> None:
    """Also in another process, with other hashes and other habits of plotting."""
    _, text = full
    write_run(RUN, tmp_path / "run.json")
    write_run(BASELINE, tmp_path / "baseline.json")
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.marker: s\n")
    code = (
        "from pathlib import Path\n"
        "from codegen_lsp.evaluation.replay.report import write_report\n"
        "from codegen_lsp.evaluation.replay.results import read_run\n"
        "run, other = read_run(Path('run.json')), read_run(Path('baseline.json'))\n"
        "write_report(run, Path('again.html'), baseline=other, others=[('no context', other)])\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_examples(tmp_path: Path, full: tuple[Page, str]) -> None:
    """A few of each outcome, the same each time, what is right told from what is not."""
    found = examples_of(RUN)
    assert Counter(one.outcome for one in found) == {"right": 7, "wrong": 7, "not shown": 6}
    assert found == examples_of(RUN)
    assert found != examples_of(msgspec.structs.replace(RUN, seed=4))
    wrong = next(one for one in found if one.outcome == "wrong")
    assert (wrong.above, wrong.head) == ("def bill(prices):\n    count = 0\n", "    ")
    assert wrong.after == "\n    return total"
    assert (wrong.truth, wrong.right, wrong.rest) == ("total = sum(prices)", "total", "s.append(0)")
    assert len(full[0].all("article")) == 20
    assert "Examples" not in page_of(tmp_path, examples=False)[0].text_of("h2")


def test_examples_lose_the_indentation_of_all_their_lines() -> None:
    """They stand in narrow columns."""
    (one,) = sample([True], ["shop"]).points
    point = msgspec.structs.replace(one.point, truth="if ready:\n            go()")
    before, after = "    def run():\n\n        ", "\n        stop()"
    deep = msgspec.structs.replace(
        one, point=point, text="if ready:\n            wait()", before=before, after=after
    )
    (found,) = examples_of(msgspec.structs.replace(RUN, points=[deep]))
    assert (found.above, found.head) == ("def run():\n\n", "    ")
    assert (found.truth, found.after) == ("if ready:\n        go()", "\n    stop()")
    assert (found.right, found.rest) == ("if ready:\n        ", "wait()")


def test_long_examples_are_cut() -> None:
    """A body of a hundred lines is not shown whole."""
    long = sample([True], ["shop"], text="\n".join(["x = 1"] * 100))
    (one,) = examples_of(long)
    assert one.truth.count("\n") == 9
    assert one.truth.endswith("…")


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    """One line that says which of them; nothing is written."""
    path = tmp_path / "report.html"
    with pytest.raises(UsageError, match="the baseline: the two runs did not ask the same"):
        write_report(RUN, path, baseline=sample([True]))
    with pytest.raises(UsageError, match="no context: the two runs did not ask the same"):
        write_report(RUN, path, others=[("no context", sample([True]))])
    assert not path.exists()
    with pytest.raises(DocumentError, match="cannot write"):
        write_report(RUN, tmp_path / "no" / "report.html")


def test_five_ablations(tmp_path: Path) -> None:
    """A row for each, in the table and in every plot, in their order; names may come again."""
    others = [(f"no {name}", BASELINE) for name in ("open", "imports", "definitions", "similar")]
    others += [("no open", RUN), ("gate & <more>", BASELINE)]
    page, text = page_of(tmp_path, others=others)
    names = [name for name, _ in others]
    assert [label for label in page.text_of("th") if label in names] == names
    forests = [one["aria-label"] or "" for one in page.all("svg")][-6:-2]
    for label in forests:
        assert [row.rpartition(": ")[0] for row in label.split("; ")] == names
    assert "gate &amp; &lt;more&gt;" in text


def test_one_point_is_a_page_that_is_sure_of_nothing(tmp_path: Path) -> None:
    """With a baseline and an ablation, in the report and in the command's table."""
    run, before = (
        msgspec.structs.replace(one, typing=[], summary=summarize(one.repositories, one.points, []))
        for one in (sample([True], ["shop"]), sample([False], ["shop"]))
    )
    page, _ = page_of(tmp_path, run, baseline=before, others=[("off", before)])
    assert {"Against the baseline", "Ablations"} <= set(page.text_of("h2"))
    text = " ".join(words for _, words in page.words)
    assert "over 1 position, 1,000 draws" in text
    assert "better" not in {one.get("class") for _, one in page.tags}
    show_comparison(compare(before, run))
