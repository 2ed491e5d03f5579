"""What a request costs beside the engine: the whole way of a keystroke, with an instant engine.

    python -m tests.bench.overhead [--lines 1000 10000] [--languages python typescript c]
        [--places 120] [--keys 12] [--around alone beside] [--cpu]
        [--whole] [--profile FILE] [--json]

The hidden rest of a line is typed at random places of a long document, key by key: a change as an
editor sends it, a snapshot, a request to the real service. Tokenizer, prompt format and gate are
those of the bundled model; the engine says at once what is hidden, with another name at the cursor,
so that what is typed next is not what was suggested. At a third of the places the answer is the
block that the line opens. *alone* is without code from elsewhere; *beside* has a folder that is
indexed, and open documents. One request after another, so that nothing is saved by what a newer one
replaces. Requests that are answered without the engine, because it said before what is typed now,
are left out; so are the first of each place, which choose snippets and read anew what is around:
they have a column of their own.

Stages are measured by wrapping the functions that the service calls, on whatever thread; *rest* is
what a request takes beside them: the event loop, threads, tasks. Milliseconds, medians of those
requests in which the stage was; the whole has its 95th percentile, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import keyword
import pstats
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from lsprotocol import types

from codegen_lsp.completion.model import LoadedModel, open_model
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.surroundings import Surroundings
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.server.documents import DocumentStore
from codegen_lsp.types import CompletionQuery, GenerationRequest, Prompt, Token
from tests.bench.overhead_stages import STAGES, Stages
from tests.support.long_documents import LANGUAGES, Spot, document, spots

LOG_PROB: Final = -0.02
"""Of every token: the gate has no doubts."""

_LEFT: Final = re.compile(r"\w+\Z")
_RIGHT: Final = re.compile(r"\w+")
_KEYWORDS: Final = frozenset(keyword.kwlist) | {
    *("char", "class", "const", "export", "include", "int", "let", "new", "number", "of"),
    *("private", "static", "string", "struct", "this", "void"),
}


@dataclass(slots=True)
class Hidden:
    """What is to be written where the cursor is."""

    before: str = ""
    """The end of the text before the cursor, as the editor has it."""

    answer: str = ""


class Replaying:
    """An engine that says what is hidden, and takes no time for it."""

    def __init__(self, hidden: Hidden, tokenizer: CodeTokenizer, length: int) -> None:
        self.info = EngineInfo("instant", "instant", "cpu", "none", 0, length)
        self._hidden = hidden
        self._tokenizer = tokenizer
        self.seconds = 0.0
        """What it took nevertheless."""
        self.asked = False

    async def load(self) -> None:
        """Nothing to load."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """The hidden text, behind what the prompt leaves out of the cursor's line."""
        self.asked = True
        started = time.perf_counter()
        said = self._tokenizer.encode(self._left_out(request) + self._hidden.answer)
        self.seconds += time.perf_counter() - started
        for token in said[: request.max_new_tokens]:
            yield Token(token, LOG_PROB)

    def _left_out(self, request: GenerationRequest) -> str:
        """What healing left out: the shortest end that the end of the prompt stands before."""
        if not request.first_ids:
            return ""
        before, end = self._hidden.before, self._tokenizer.decode(request.prompt.tokens[-6:])
        for length in range(1, 60):
            if before[: len(before) - length].endswith(end):
                return before[len(before) - length :]
        return ""

    def warm(self, prompt: Prompt) -> int:
        """Everything."""
        return len(prompt)

    async def prewarm(self, prompt: Prompt) -> None:
        """Nothing to read."""

    async def close(self) -> None:
        """Nothing to free."""


def _answer(before: str, rest: str) -> str:
    """What the engine says: what is hidden, but that the name at the cursor is another one.

    So that what is typed next is not what was suggested, and what is suggested is code.
    """
    left, right = _LEFT.search(before), _RIGHT.match(rest)
    name = (left.group() if left else "") + (right.group() if right else "")
    return f"x_{rest}" if name and name not in _KEYWORDS else rest


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the engine answered."""

    first: bool
    total: float
    stages: dict[str, float]
    shown: bool


class Bench:
    """One service, and one document in which is typed."""

    def __init__(self, model: LoadedModel, stages: Stages) -> None:
        self.stages = stages
        self._hidden = Hidden()
        length = model.engine.info.context_length
        self._engine = Replaying(self._hidden, model.tokenizer, length)
        family = replace(model.family, prepare=stages.timed("prompt", model.family.prepare))
        self._model = replace(model, engine=self._engine, family=family)
        self.answered = 0
        """Requests that were answered without the engine."""

    async def _open(self, _settings: Settings) -> LoadedModel:
        return self._model

    async def measure(
        self, uri: str, language: str, places: Sequence[Spot], around: Surroundings | None
    ) -> list[Request]:
        """Type at all *places*; the first of them only warms up."""
        store = DocumentStore()
        settings = Settings(prefetch=False)  # which works in between, not within a request
        service = CompletionService(settings, open_model=self._open, neighbours=around)
        found: list[Request] = []
        try:
            for number, spot in enumerate(places):
                store.open(types.TextDocumentItem(uri, language, 1, spot.text))
                service.forget(uri)
                if around is not None:
                    around.opened(uri, language, lambda: store.text(uri))
                done = [one async for one in self._typing(uri, spot, store, service)]
                found += done if number else []
        finally:
            await service.close()
        return found

    async def _typing(
        self, uri: str, spot: Spot, store: DocumentStore, service: CompletionService
    ) -> AsyncGenerator[Request, None]:
        line = spot.text.count("\n", 0, spot.offset)
        column = spot.offset - (spot.text.rfind("\n", 0, spot.offset) + 1)
        for number, key in enumerate(spot.typed):
            left = spot.typed[number + 1 :] + spot.rest
            typed = spot.text[max(0, spot.offset - 400) : spot.offset] + spot.typed[: number + 1]
            self._hidden.before, self._hidden.answer = typed, _answer(typed, left)
            at = types.Position(line, column + number)
            change = types.TextDocumentContentChangePartial(types.Range(at, at), key)
            self.stages.seconds.clear()
            self._engine.seconds, self._engine.asked = 0.0, False
            started = self.stages.whole()
            store.change(uri, number + 2, [change])
            seen = store.spot(uri, types.Position(line, column + number + 1))
            assert seen is not None
            self.stages.seconds["document"] += self.stages.whole() - started
            completion = await service.complete(CompletionQuery(seen.snapshot, seen.offset))
            total = self.stages.whole() - started - self._engine.seconds
            if not self._engine.asked:
                self.answered += 1
                continue
            stages = dict(self.stages.seconds)
            stages["rest"] = total - sum(stages.values())
            yield Request(number == 0, total, stages, completion is not None)


def _indexed(root: Path, texts: dict[str, str]) -> Surroundings:
    """A folder of files, all of them read, two of them open."""
    around = Surroundings()
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")
    around.set_folders([root])
    around.start()
    around.wait_ready(60.0)
    for name, text in list(texts.items())[:2]:
        language = next(k for k, (end, _) in LANGUAGES.items() if name.endswith(end))
        around.opened((root / name).as_uri(), language, lambda text=text: text)  # type: ignore[misc]
    return around


def _others(language: str) -> dict[str, str]:
    """Files beside the document: pieces of one as long, from elsewhere in it."""
    text = document(language, 12_000)
    end, lines = LANGUAGES[language][0], text.splitlines(keepends=True)
    return {
        f"other_{start}{end}": "".join(lines[start : start + 400])
        for start in range(0, len(lines), 400)
    }


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def row(label: str, found: Sequence[Request]) -> dict[str, object]:
    """The figures of some requests."""
    keys = [one for one in found if not one.first]
    firsts = [one.total for one in found if one.first]
    totals = [one.total for one in keys]
    stages = {
        name: _ms(median(values))
        for name in STAGES
        if (values := [one.stages[name] for one in keys if name in one.stages])
    }
    return {
        "case": label,
        "requests": len(keys),
        "shown": sum(one.shown for one in keys),
        "p50_ms": _ms(median(totals)),
        "p95_ms": _ms(_p95(totals)),
        "first_p50_ms": _ms(median(firsts)) if firsts else None,
        "stages_p50_ms": stages,
    }


def _show(one: dict[str, Any]) -> None:
    stages: dict[str, float] = one["stages_p50_ms"]
    figures: list[object]
    figures = [one["requests"], one["p50_ms"], one["p95_ms"], one["first_p50_ms"]]
    figures += [stages.get(name, "") for name in STAGES]
    print(f"| {one['case']} | " + " | ".join(map(str, figures)) + " |", flush=True)


async def _model() -> LoadedModel:
    """The bundled model, without an engine that could be asked."""
    model = await open_model(Settings())
    await model.engine.close()
    return model


def _run(given: argparse.Namespace, stages: Stages) -> list[dict[str, object]]:
    bench = Bench(asyncio.run(_model()), stages)
    rows = []
    for language in given.languages:
        for lines in given.lines:
            places = list(spots(document(language, lines), given.places + 1, given.keys))
            for around in given.around:
                with tempfile.TemporaryDirectory() as scratch:
                    root = Path(scratch).resolve()
                    beside = _indexed(root, _others(language)) if around == "beside" else None
                    uri = (root / f"long{LANGUAGES[language][0]}").as_uri()
                    found = asyncio.run(bench.measure(uri, language, places, beside))
                    if beside is not None:
                        beside.close()
                rows.append(row(f"{language} {lines} {around}", found))
                _show(rows[-1])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.overhead", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--languages", nargs="+", choices=list(LANGUAGES), default=list(LANGUAGES))
    parser.add_argument("--places", type=int, default=120)
    parser.add_argument("--keys", type=int, default=12)
    parser.add_argument("--around", nargs="+", choices=["alone", "beside"], default=["alone"])
    parser.add_argument("--cpu", action="store_true", help="CPU time, where others work beside")
    parser.add_argument("--whole", action="store_true", help="without stages, which cost time")
    parser.add_argument("--profile", type=Path, help="of the stages; for pstats")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    stages = Stages(cpu=given.cpu)
    if not given.whole:
        stages.wrap()
    stages.profiles = None if given.profile is None else []
    print("| case | requests | p50 | p95 | first | " + " | ".join(STAGES) + " |")
    print("|---" * (5 + len(STAGES)) + "|")
    rows = _run(given, stages)
    if stages.profiles:
        total = pstats.Stats(stages.profiles[0])
        for one in stages.profiles[1:]:
            with suppress(TypeError):  # nothing was called
                total.add(one)
        total.dump_stats(given.profile)
    if given.as_json:
        print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
