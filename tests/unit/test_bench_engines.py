"""``bench engine``: what is measured on an engine, and what the figures are compared with."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest

from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.errors import GenerationError, UsageError
from codegen_lsp.evaluation.bench import corpus, subjects
from codegen_lsp.evaluation.bench.bandwidth import copy_bandwidth, floor_ms
from codegen_lsp.evaluation.bench.corpus import pages_from, unseen_pages
from codegen_lsp.evaluation.bench.llama_peer import Chunk, LlamaPeer
from codegen_lsp.evaluation.bench.rounds import (
    NEW_TOKENS,
    Lengths,
    Texts,
    lengths_for,
    measure_round,
)
from codegen_lsp.evaluation.bench.spreads import Spread
from codegen_lsp.evaluation.bench.vim_peer import LOOK_BEHIND, PREDICT, VimPeer
from codegen_lsp.evaluation.bench.weights import bytes_per_token, embedding_weights
from codegen_lsp.evaluation.speed import EngineSpeed, Plan, _against, _measure_engines, keystrokes
from codegen_lsp.models.store import ModelFolder, bundled_folder, find_model
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt, Token

needs_bundled = pytest.mark.skipif(
    not (bundled_folder() / "model.bin").exists(), reason="the bundled model is not there"
)

INFO = EngineInfo("counting", "none", "cpu", "none", 1, 2048)


class Counting:
    """An engine that writes numbers and remembers what it was asked."""

    info = INFO

    def __init__(self, ends_after: int = 10_000) -> None:
        self.requests: list[GenerationRequest] = []
        self.closed_early = 0
        self._ends_after = ends_after

    async def load(self) -> None:
        pass

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        self.requests.append(request)
        whole = False
        try:
            for number in range(min(request.max_new_tokens, self._ends_after)):
                yield Token(number)
            whole = True
        finally:
            self.closed_early += not whole

    def warm(self, prompt: Prompt) -> int:
        return 0

    async def prewarm(self, prompt: Prompt) -> None:
        pass

    async def close(self) -> None:
        pass


TEXTS = Texts(tuple(range(2000)), tuple(range(5000, 5100)))


async def test_one_round() -> None:
    """Every measure is there; extensions share their stable part with what was read before."""
    engine = Counting()
    found = await measure_round(engine, TEXTS, Lengths())
    assert set(found) == {
        "prefill_tokens_per_s",
        "decode_ms_0",
        "decode_ms_500",
        "decode_ms_1500",
        "extend_8_first_ms",
        "extend_8_ms",
        "extend_16_first_ms",
        "extend_16_ms",
        "repetitive_ms",
        "cancel_ms",
        "cancel_to_first_ms",
    }
    by_length = {len(request.prompt): request.prompt for request in engine.requests}
    assert by_length[1008].stable == by_length[1000].stable == by_length[1016].stable
    assert by_length[1008].tokens == TEXTS.prose[:1008]
    assert engine.closed_early == 1


async def test_an_answer_that_ends_early_is_no_measure() -> None:
    """Where the model has nothing to say there is no time for 24 tokens of it."""
    found = await measure_round(Counting(ends_after=5), TEXTS, Lengths())
    assert "extend_8_first_ms" in found
    assert not {"extend_8_ms", "decode_ms_500"} & set(found)


@pytest.mark.parametrize("context", [64, 256, 1024, 2048])
@pytest.mark.parametrize("quick", [False, True])
async def test_lengths_fit_the_context(context: int, quick: bool) -> None:
    """No request of a round needs more than a model can take."""
    engine = Counting()
    await measure_round(engine, TEXTS, lengths_for(context, quick=quick))
    ordinary = [one for one in engine.requests if one.prompt.tokens[-1] < len(TEXTS.prose)]
    assert max(len(one.prompt) + one.max_new_tokens for one in ordinary) <= context


@needs_bundled
def test_subjects_and_their_peers() -> None:
    """Each engine stands before its peer; what cannot be there says why, in one line."""

    def refuse(folder: ModelFolder, quantization: str) -> Path:
        raise UsageError(f"no {quantization} here", mend="make one")

    folder = find_model("bundled", Path("nowhere"))
    found, absent = subjects.choose(folder, Settings(), ("ct2", "llama"), refuse)
    assert [(one.label, one.peer) for one in found] == [
        ("ct2 int8", "CTranslate2 int8, no anchors"),
        ("CTranslate2 int8, no anchors", ""),
    ]
    there = importlib.util.find_spec("xllamacpp") is not None
    assert [one.label for one in absent] == (["llama q8_0", "llama q4_0"] if there else ["llama"])
    assert all("\n" not in one.why for one in absent)


@needs_bundled
def test_a_peer_has_as_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ours has for such a file: llama.cpp would take all cores, which is no comparison."""
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"small")
    monkeypatch.setattr(subjects, "available", lambda: True)
    monkeypatch.setattr(subjects, "default_threads", lambda _, size: 10 + size)
    folder = find_model("bundled", tmp_path)
    for asked, threads in ((0, 15), (3, 3)):
        settings = Settings(threads=asked)
        found, _ = subjects.choose(folder, settings, ("llama",), lambda *_: gguf)
        peers = [one.make().info.threads for one in found if not one.peer]
        assert peers == [threads, threads]


def test_ratios_are_to_the_peer() -> None:
    """Medians by medians, of what both have; a keystroke counts where one stands for an engine."""

    def speed(label: str, peer: str, **medians: float) -> EngineSpeed:
        measures = {name: Spread(value, value, 1) for name, value in medians.items()}
        return EngineSpeed(label, INFO, peer, 1.0, 1.0, measures)

    ours = speed("ours", "theirs", extend_8_ms=50.0, cancel_ms=2.0)
    theirs = speed("theirs", "", extend_8_ms=40.0, load_ms=0.0)
    assert _against(ours, theirs).ratios == {"extend_8_ms": 1.25}
    listed = [
        subjects.Subject("ours", Counting, "theirs", "ct2"),
        subjects.Subject("absent", Counting, "theirs", "llama"),
        subjects.Subject("theirs", Counting),
    ]
    assert keystrokes([ours, theirs], listed) == {"ct2": 50.0}


class Dying(Counting):
    """One that dies in its second round."""

    rounds = 0

    async def load(self) -> None:
        Dying.rounds += 1

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        if Dying.rounds > 1:
            raise GenerationError("the peer has ended", mend="start it again")
        async for token in super().generate(request):
            yield token


@needs_bundled
async def test_who_dies_on_the_way_spoils_nothing() -> None:
    """The others are measured to the end; of it is said why it is missing."""
    folder = find_model("bundled", Path("nowhere"))
    tokenizer = CodeTokenizer.from_folder(folder.path)
    both = [subjects.Subject("ours", Counting), subjects.Subject("theirs", Dying)]
    absent: list[subjects.Absent] = []
    plan = Plan(rounds=2, quick=True)
    measured = await _measure_engines(folder, tokenizer, both, absent, plan, lambda _: None)
    assert [one.label for one in measured] == ["ours"]
    assert [(one.label, "the peer has ended" in one.why) for one in absent] == [("theirs", True)]


@needs_bundled
def test_bytes_per_token() -> None:
    """All weights but the embedding, of which a token reads one row: 8,192 rows of 256."""
    folder = find_model("bundled", Path("nowhere"))
    assert embedding_weights(folder.path / "model.bin") == 8192 * 256
    int8 = bytes_per_token(folder.manifest, folder.path, "int8")
    assert int8 == folder.manifest.parameters - 8192 * 256
    assert bytes_per_token(folder.manifest, folder.path, "float32") == 4 * int8
    assert bytes_per_token(folder.manifest, folder.path, "unheard-of") is None


def test_a_damaged_file_has_no_embedding(tmp_path: Path) -> None:
    """What cannot be read is not known."""
    (tmp_path / "model.bin").write_bytes(b"\x06\x00\x00\x00\xff\xff")
    assert embedding_weights(tmp_path / "model.bin") is None
    assert embedding_weights(tmp_path / "none.bin") is None


def test_bandwidth() -> None:
    """Something is copied in some time; a floor is bytes by bandwidth."""
    assert copy_bandwidth(2, size=1 << 20, repeats=2) > 1e6
    assert floor_ms(2e9, 1e10) == pytest.approx(200.0)


def test_unseen_pages() -> None:
    """What is typed is not what the bundled model was trained on, and as much as asked for."""
    pages = unseen_pages(12)
    assert len({page.path for page in pages}) == 12
    trained = ("click/", "rich/", "numpy/", "huggingface_hub/", "argparse.py")
    assert not [page for page in pages if page.path.startswith(trained)]
    assert all(page.text.count("\n") >= 40 and "\r" not in page.text for page in pages)


def test_pages_of_a_folder(tmp_path: Path) -> None:
    """Python files that are long enough; their line ends are line feeds."""
    (tmp_path / "long.py").write_bytes(b"x = 1\r\n" * 50)
    (tmp_path / "short.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("text\n" * 90, encoding="utf-8")
    assert [(page.path, page.text) for page in pages_from(tmp_path, 5)] == [
        ("long.py", "x = 1\n" * 50)
    ]


def test_pages_have_names_of_their_own(tmp_path: Path) -> None:
    """What two distributions bring to the same place is one file to an editor."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("x = 1\n" * 50, encoding="utf-8")
    paths = [(tmp_path / "a", "tests/x.py"), (tmp_path / "b", "Tests/x.py"), (tmp_path / "b", "y")]
    assert [page.path for page in corpus._readable(iter(paths))] == ["tests/x.py", "y"]


@pytest.fixture
def plugin() -> VimPeer:
    """llama.vim's ways, with a server that is not started."""
    if not (bundled_folder() / "tokenizer.json").exists():
        pytest.skip("the bundled model is not there")
    tokenizer = CodeTokenizer.from_folder(bundled_folder())
    return VimPeer(LlamaPeer(Path("none.gguf"), 256, "none"), tokenizer)


class Slow(LlamaPeer):
    """A server that says the same to everybody when it is let go."""

    def __init__(self) -> None:
        super().__init__(Path("none.gguf"), 256, "none")
        self.go_on = asyncio.Event()
        self.asked = 0

    async def stream(self, body: Mapping[str, object]) -> AsyncGenerator[Chunk, None]:
        self.asked += 1
        await self.go_on.wait()
        yield Chunk("al_of", (1,))
        yield Chunk("(rows)\n", (2,))


@pytest.mark.parametrize(
    ("typed", "rest"),
    [("", "al_of(rows)"), ("al", "_of(rows)"), ("al_of(rows", ")"), ("al_of(rows)", None)],
)
async def test_plugin_keeps_answers(plugin: VimPeer, typed: str, rest: str | None) -> None:
    """An answer counts where it was given and further on, as long as it is typed along."""
    plugin._keep("x = tot", "al_of(rows)")
    assert plugin._kept("x = tot" + typed) == rest
    assert plugin._kept("x = tot" + typed + "el") is None


def test_plugin_looks_so_far_back(plugin: VimPeer) -> None:
    """What was answered longer ago is not looked for; of several answers the longest rest is."""
    plugin._keep("x = ", "a" * 200)
    assert plugin._kept("x = " + "a" * LOOK_BEHIND) == "a" * (200 - LOOK_BEHIND)
    assert plugin._kept("x = " + "a" * (LOOK_BEHIND + 1)) is None
    plugin._keep("x = a", "aab")
    assert plugin._kept("x = aa") == "a" * 198


async def test_plugin_never_gives_up(plugin: VimPeer) -> None:
    """A key while the server computes waits for the answer, and is answered by it if it can be."""
    slow = Slow()
    plugin.peer = slow
    first = asyncio.create_task(plugin.ask("a.py", "x = tot", 7))
    await asyncio.sleep(0.01)
    first.cancel()
    second = asyncio.create_task(plugin.ask("a.py", "x = tota", 8))
    await asyncio.sleep(0.01)
    assert slow.asked == 1
    slow.go_on.set()
    reply = await second
    assert (reply.text, reply.source) == ("l_of(rows)", "flight")
    await asyncio.sleep(0.01)
    assert plugin._counts == {
        "requests": 2.0,
        "asked": 1.0,
        "cached": 0.0,
        "joined": 1.0,
        "unwanted": 0.0,
        "ahead": 1.0,
    }
    assert "x = total_of(rows)" in plugin._answers
    await plugin.stop()


async def test_plugin_asks_nothing_within_a_line(plugin: VimPeer) -> None:
    """With more than 8 characters right of the cursor there is no request."""
    assert (await plugin.ask("a.py", "x = y + other\n", 4)).text == ""
    assert plugin._counts["unwanted"] == 1.0


def test_plugin_cuts_whole_lines(plugin: VimPeer) -> None:
    """A prompt leaves room for the answer and begins where a line does."""
    lines = [f"value_{number} = compute(number, {number})" for number in range(200)]
    ids = plugin._prompt("\n".join(lines))
    assert len(ids) <= 256 - PREDICT
    text = plugin.tokenizer.decode(ids)
    assert text.split("\n")[0] in lines
    assert text.endswith(lines[-1])


EVENT = b'1b\r\ndata: {"content": "x", "tokens": [7], "stop": false}\n\n\r\n'


async def test_giving_up_closes_the_connection() -> None:
    """llama.cpp goes on computing for whoever is still there: nobody must be."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + EVENT)
        while await reader.read(1000):
            pass
        gone.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        peer = LlamaPeer(Path("none.gguf"), 256, "none")
        peer._host, peer._port = server.sockets[0].getsockname()[:2]
        tokens = peer.generate(GenerationRequest(Prompt((), (1, 2)), 4))
        assert (await anext(tokens)).id == 7
        assert not gone.is_set()
        await tokens.aclose()
        await asyncio.wait_for(gone.wait(), 20)


async def test_a_refusal_is_an_error() -> None:
    """What the server says against a request is what the user reads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\nthe prompt is too long")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        peer = LlamaPeer(Path("none.gguf"), 256, "none")
        peer._host, peer._port = server.sockets[0].getsockname()[:2]
        with pytest.raises(GenerationError, match="the prompt is too long"):
            _ = [token async for token in peer.generate(GenerationRequest(Prompt((), (1,)), 4))]


@needs_bundled
@pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("gguf") is None,
    reason="llama.cpp's server and a GGUF of the bundled model are made with the extras",
)
async def test_llama_server(tmp_path: Path) -> None:
    """The real server in a process of its own: tokens one by one, given up at once, gone after."""
    from codegen_lsp.converters.pipeline import convert_to
    from codegen_lsp.models.reporting import Silent

    gguf = tmp_path / "bundled.gguf"
    convert_to("bundled", "gguf", gguf, quantization="q8_0", home=tmp_path, report=Silent())
    peer = LlamaPeer(gguf, 1024, "bundled", threads=1)
    try:
        await peer.load()
        tokenizer = CodeTokenizer.from_folder(bundled_folder())
        ids = tuple(tokenizer.encode("import os\n\n\nclass Folder:\n    def __init__(self"))
        request = GenerationRequest(Prompt((), ids), NEW_TOKENS)
        tokens = [token.id async for token in peer.generate(request)]
        assert 1 < len(tokens) <= NEW_TOKENS
        again = peer.generate(request)
        assert (await anext(again)).id == tokens[0]
        await again.aclose()
        assert [token.id async for token in peer.generate(request)] == tokens
    finally:
        await peer.close()
    assert json.dumps(peer.info.engine) == '"llama.cpp server"'
