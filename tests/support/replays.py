"""Small runs of a replay made by hand, and a parser that is strict about their report."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import msgspec

from codegen_lsp.config.settings import Settings
from codegen_lsp.evaluation.replay.results import (
    Answer,
    Ask,
    Point,
    RepositoryInfo,
    Run,
    Scores,
    TypedLine,
)
from codegen_lsp.evaluation.replay.summary import summarize

__all__ = ["BASELINE", "RUN", "Page", "sample"]

KINDS: Sequence[Any] = ("line", "token", "identifier", "block")
VOID = {"meta", "link", "br", "hr", "img", "input"}


def answer(repository: str, number: int, *, right: bool | None, text: str = "total") -> Answer:
    """A position at which something right, something wrong or nothing was shown."""
    point = Point(
        repository=repository,
        path=f"file{number % 5}.py",
        line=number,
        column=4,
        kind=KINDS[number % 4],
        truth=f"{text} = sum(prices)",
    )
    good = bool(right)
    shown = None if right is None else point.truth if right else f"{text}s.append(0)"
    return Answer(
        point=point,
        text=shown,
        replaced="",
        ms=20.0 + number,
        scores=Scores(
            exact=good,
            first_line=good,
            accepted=good,
            similarity=float(good),
            prefix=len(point.truth) if good else 0,
            lines=1,
        ),
        before="def bill(prices):\n    count = 0\n    ",
        after="\n    return total",
        data={"confidence": 0.9 if good else 0.2, "source": "cold"},
    )


def sample(
    rights: Sequence[bool | None], names: Sequence[str] = ("shop", "mill"), **more: Any
) -> Run:
    """A run of the same outcomes in every repository, and a typed line in the first."""
    changes = {key: more.pop(key) for key in list(more) if key != "text"}
    answers = [
        answer(name, place, right=right, **more)
        for name in names
        for place, right in enumerate(rights)
    ]
    line = TypedLine(
        repository=names[0],
        path="typed.py",
        line=3,
        column=0,
        truth="price = 3 * count",
        keys=8,
        accepts=1,
        shown=3,
        wrong=sum(right is False for right in rights),
        asks=[
            Ask("new", 60.0, "warm"),
            Ask("typed", 0.5, "typed"),
            Ask("late", 90.0),
            Ask("late", 95.0),
        ],
    )
    infos = [
        RepositoryInfo(
            name=name, corpus="fresh", version="1.2", sha256="ab12", files=5, duplicates=0
        )
        for name in names
    ]
    run = Run(
        version="9.8.7",
        seed=3,
        settings=msgspec.json.decode(msgspec.json.encode(Settings())),
        machine={"cpus": 2},
        seconds=3725.0,
        repositories=infos,
        points=answers,
        typing=[line],
        summary=summarize(infos, answers, [line]),
    )
    return msgspec.structs.replace(run, **changes)


RUN = sample([True, True, False, None] * 4)
BASELINE = sample([True, False, False, False] * 4)


class Page(HTMLParser):
    """What a page consists of; closing tags must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it; remember what has to be closed."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Closed at once, as SVG does it."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """The one that was opened last."""
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text, and what it stands in."""
        if data.strip():
            self.words.append(("/".join(self.stack), " ".join(data.split())))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such element."""
        return [attributes for name, attributes in self.tags if name == tag]

    def text_of(self, *tags: str) -> list[str]:
        """What stands directly in such elements."""
        return [text for where, text in self.words if where.split("/")[-1] in tags]
