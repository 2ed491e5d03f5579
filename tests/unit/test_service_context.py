"""What the completion service does with code from elsewhere, with doubt and with secrets."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Sequence

import pytest

from codegen_lsp.completion import preparing
from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.completion.service import CompletionService
from codegen_lsp.config.settings import Settings
from codegen_lsp.context.copies import Text
from codegen_lsp.context.copies_texts import Searched
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.types import CompletionQuery, Snippet, Trigger
from tests.support.cursor import query_at, says, word_tokenizer

TOKENIZER = word_tokenizer(["return", " self", "name", "client"])
CODE = "def f(self):\n    ¦\n"
SNIPPET = Snippet("other.py", "python", "def helper():\n    return 1")


class Neighbours:
    """Remembers what it was asked, and says what it was told to."""

    def __init__(self, *answers: Sequence[Snippet] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Collection[str], int]] = []
        self.prepared: list[str] = []
        self.forgotten: list[str] = []
        self.threads: set[int] = set()
        self.edits = 0

    def prepare(self, query: CompletionQuery) -> None:
        self.prepared.append(query.snapshot.uri)

    def snippets(
        self, query: CompletionQuery, sources: Collection[str], limit: int
    ) -> tuple[Snippet, ...]:
        self.asked.append((query.snapshot.uri, sources, limit))
        self.threads.add(threading.get_ident())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return tuple(answer)

    def texts(self, query: CompletionQuery) -> Searched:
        text = query.snapshot.text
        return Searched((Text("a.py", text),), query.offset)

    def stamp(self, uri: str) -> int:
        return self.edits

    def forget(self, uri: str) -> None:
        self.forgotten.append(uri)


def made(
    engine: ScriptedEngine, settings: Settings | None = None, neighbours: Neighbours | None = None
) -> CompletionService:
    """A service whose model is *engine*."""

    async def open_model(_: Settings) -> LoadedModel:
        return LoadedModel(engine, TOKENIZER, FAMILIES["causal"], "scripted")

    return CompletionService(
        settings or Settings(suggestions="eager"), open_model=open_model, neighbours=neighbours
    )


def engine_saying(text: str, *likely: float, remote: bool = False) -> ScriptedEngine:
    """An engine that says *text*, with these probabilities of its tokens."""
    return ScriptedEngine(
        says(TOKENIZER, text), log_probs=[math.log(p) for p in likely], remote=remote
    )


def prompt_of(engine: ScriptedEngine) -> str:
    """What the engine read last."""
    return TOKENIZER.decode(engine.requests[-1].prompt.tokens)


async def test_snippets_reach_the_prompt() -> None:
    """As comments before the document, looked for on another thread than the event loop's."""
    engine, neighbours = engine_saying("return self\n"), Neighbours([SNIPPET])
    service = made(engine, neighbours=neighbours)
    assert await service.complete(query_at(CODE)) is not None
    assert prompt_of(engine).startswith("# other.py\n# def helper():\n#     return 1\ndef f(")
    uri = query_at(CODE).snapshot.uri
    assert set(neighbours.prepared) == {uri}
    [(asked, sources, limit)] = neighbours.asked
    assert (asked, list(sources)) == (uri, ["open", "imports", "definitions", "similar"])
    assert limit > 1000
    assert threading.get_ident() not in neighbours.threads
    service.forget(uri)
    assert neighbours.forgotten == [uri]


@pytest.mark.parametrize(
    ("sources", "asked"),
    [((), None), (("header",), None), (("similar", "header"), ["similar"]), (("open",), ["open"])],
)
async def test_only_the_sources_of_the_settings(
    sources: tuple[str, ...], asked: list[str] | None
) -> None:
    """The document's own header is no snippet; without sources nobody is asked."""
    neighbours = Neighbours([])
    settings = Settings(context_sources=sources, suggestions="eager")  # type: ignore[arg-type]
    service = made(engine_saying("return self\n"), settings, neighbours)
    assert await service.complete(query_at(CODE)) is not None
    assert [list(names) for _, names, _ in neighbours.asked] == ([] if asked is None else [asked])


async def test_trouble_with_snippets_costs_only_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails is named; what takes too long is gone on without."""
    engine = engine_saying("return self\n")
    service = made(engine, neighbours=Neighbours(OSError("gone")))
    assert await service.complete(query_at(CODE)) is not None
    assert "no snippets: OSError" in caplog.text

    released = threading.Event()

    class Slow(Neighbours):
        def snippets(
            self, query: CompletionQuery, sources: Collection[str], limit: int
        ) -> tuple[Snippet, ...]:
            released.wait(20)
            return (SNIPPET,)

    monkeypatch.setattr(preparing, "SNIPPETS_SECONDS", 0.01)
    service = made(engine, neighbours=Slow())
    try:
        assert await service.complete(query_at(CODE)) is not None
    finally:
        released.set()
    assert "other.py" not in prompt_of(engine)


SURE, GUESS = (0.999,) * 12, (0.999, 0.999, 0.999, 1e-6)


@pytest.mark.parametrize(
    ("suggestions", "likely", "trigger", "shown"),
    [
        ("eager", GUESS, Trigger.AUTOMATIC, "return self.client"),
        ("balanced", SURE, Trigger.AUTOMATIC, "return self.client"),
        ("quiet", SURE, Trigger.AUTOMATIC, "return self.client"),
        ("balanced", GUESS, Trigger.AUTOMATIC, "return self."),
        ("balanced", (1e-9,) * 4, Trigger.AUTOMATIC, None),
        ("quiet", (1e-9,) * 4, Trigger.INVOKED, "return self.client"),
    ],
)
async def test_doubt(
    suggestions: str, likely: Sequence[float], trigger: Trigger, shown: str | None
) -> None:
    """What is doubtful is cut where the doubt begins, or not shown; who asks gets all of it."""
    engine = engine_saying("return self.client\n", *likely)
    service = made(engine, Settings(suggestions=suggestions))  # type: ignore[arg-type]
    completion = await service.complete(query_at(CODE, trigger))
    assert (None if completion is None else completion.text) == shown
    if completion is not None:
        assert completion.confidence is not None
        assert "".join(piece.text for piece in completion.pieces) == completion.text


@pytest.mark.parametrize(
    ("sure", "doubtful", "shown"),
    [("return {", "self}", None), ("return self", ".client", "\n    return self")],
)
async def test_doubt_below_the_line(sure: str, doubtful: str, shown: str | None) -> None:
    """A beginning that stands on a line of its own is shown only where it can stay."""
    said = f"\n    {sure}"
    count = len(TOKENIZER.encode(said))
    engine = engine_saying(f"{said}{doubtful}\n", *(0.999,) * count, *(1e-6,) * 5)
    completion = await made(engine, Settings()).complete(
        query_at("def f(self):¦\n", Trigger.AUTOMATIC)
    )
    assert (None if completion is None else completion.text) == shown


SECRET = "".join(("ghp_", "x9Q2", "mN7v", "Kp4T", "zR8w", "Lc3Y", "bH6d", "Fg1J", "sA5u", "eV0i"))
HOLDS_SECRET = f'TOKEN = "{SECRET}"\n\n\ndef f(self):\n    ¦\n'


@pytest.mark.parametrize("remote", [False, True])
async def test_secrets_stay_on_this_machine(remote: bool) -> None:
    """A local engine reads what is there; what leaves has a placeholder, in snippets as well."""
    engine = engine_saying("return self\n", remote=remote)
    neighbours = Neighbours([Snippet("keys.py", "python", f'KEY = "{SECRET}"')])
    service = made(engine, neighbours=neighbours)
    assert await service.complete(query_at(HOLDS_SECRET)) is not None
    assert (SECRET in prompt_of(engine)) is not remote
    assert prompt_of(engine).count(SECRET) == (0 if remote else 2)
    assert "# KEY = " in prompt_of(engine)


@pytest.mark.parametrize("remote", [False, True])
async def test_files_that_keep_secrets_stay_on_this_machine(remote: bool) -> None:
    """They are completed by a local engine only."""
    engine = engine_saying("localhost\n", remote=remote)
    query = query_at("HOST=¦\n", uri="file:///project/.env", language="dotenv")
    completion = await made(engine).complete(query)
    assert (completion is None) is remote
    assert len(engine.requests) == (0 if remote else 1)


async def test_a_search_that_hangs_is_not_begun_again() -> None:
    """A folder on a dead network costs each answer its wait, and one thread in all."""
    held = threading.Event()

    class Hanging(Neighbours):
        def snippets(
            self, query: CompletionQuery, sources: Collection[str], limit: int
        ) -> tuple[Snippet, ...]:
            self.asked.append((query.snapshot.uri, sources, limit))
            held.wait(5)
            return (SNIPPET,)

    engine, neighbours = engine_saying("return self\n"), Hanging()
    service = made(engine, neighbours=neighbours)
    for letter in "abc":
        assert await service.complete(query_at(f"def {letter}(self):\n    ¦\n")) is not None
        assert "helper" not in prompt_of(engine)
    assert len(neighbours.asked) == 1
    held.set()
    assert await service.complete(query_at("def d(self):\n    ¦\n")) is not None
    assert "helper" in prompt_of(engine)
    await service.close()
