"""What goes wrong with the llama.cpp engine, how it ends, and what it tells strangers."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from codegen_lsp.engines.llama import LlamaEngine
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.errors import (
    CodegenError,
    EngineUnavailableError,
    GenerationError,
    ModelDamagedError,
)
from codegen_lsp.types import GenerationRequest, Prompt
from tests.support.llama import CODE, FOLDER, IDS, TOKENIZER, answer, asked, ids_of, llama_spec

pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    return llama_spec(tmp_path_factory.mktemp("llama"))


@pytest.fixture
async def engine(spec: EngineSpec) -> AsyncIterator[LlamaEngine]:
    made = LlamaEngine(spec)
    yield made
    await made.close()


@pytest.mark.parametrize(
    "request_",
    [
        asked((TOKENIZER.vocab_size + 90_000,)),
        asked((-1,)),
        asked(IDS[:5], stop_ids=(1 << 40,)),
        asked(IDS[:5], first_ids=(90_000,)),
    ],
)
async def test_an_id_of_another_vocabulary(
    engine: LlamaEngine, request_: GenerationRequest
) -> None:
    """Is refused, and the engine goes on."""
    with pytest.raises(GenerationError, match="not in the model's vocabulary"):
        await answer(engine, request_)
    assert await answer(engine, asked(IDS[:20], 2))


async def test_what_llama_cpp_refuses(engine: LlamaEngine) -> None:
    """Becomes one line, and what the slot held is not trusted any more."""
    await engine.load()

    class Broken:
        def handle_completions(self, body: str, hear: object) -> None:
            hear({"error": {"code": 500, "message": "the graph\nfailed"}})  # type: ignore[operator]

    engine._model = Broken()
    with pytest.raises(GenerationError, match="the graph failed"):
        await answer(engine, asked(IDS[:20]))
    assert engine.warm(asked(IDS[:20]).prompt) == 0

    class Raising:
        def handle_completions(self, body: str, hear: object) -> None:
            raise RuntimeError("gone")

    engine._model = Raising()
    with pytest.raises(GenerationError, match="gone"):
        await answer(engine, asked(IDS[:20]))

    class Strange:
        def handle_completions(self, body: str, hear: object) -> None:
            assert hear("no JSON") is True  # type: ignore[operator]

    engine._model = Strange()
    with pytest.raises(GenerationError, match="cannot be read"):
        await answer(engine, asked(IDS[:20]))


def damaged(spec: EngineSpec, folder: Path, what: str) -> EngineSpec:
    """*spec* with something wrong."""
    assert spec.gguf is not None
    content = spec.gguf.read_bytes()
    wrong = folder / "wrong.gguf"
    match what:
        case "missing":
            return replace(spec, gguf=wrong)
        case "none":
            return replace(spec, gguf=None)
        case "text":
            wrong.write_text("no GGUF")
        case "empty":
            wrong.write_bytes(b"")
        case "head":
            wrong.write_bytes(content[:40])
        case "half":
            wrong.write_bytes(content[: len(content) // 2])
    return replace(spec, gguf=wrong)


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("missing", EngineUnavailableError, "not prepared"),
        ("none", EngineUnavailableError, "bench engine"),
        ("text", ModelDamagedError, "no whole GGUF"),
        ("empty", ModelDamagedError, "no whole GGUF"),
        ("head", ModelDamagedError, "no whole GGUF"),
        ("half", EngineUnavailableError, "cannot load"),
    ],
)
async def test_a_file_that_is_none(
    spec: EngineSpec, tmp_path: Path, what: str, kind: type[CodegenError], said: str
) -> None:
    """Says what to do, and does not end the process."""
    engine = LlamaEngine(damaged(spec, tmp_path, what))
    with pytest.raises(kind, match=said):
        await engine.load()
    await engine.close()


@pytest.mark.parametrize("failure", [RuntimeError("out of\nmemory"), AttributeError("ngram")])
@pytest.mark.parametrize("where", ["Server", "handle_completions", "CommonParams"])
async def test_a_library_that_fails_while_loading(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, where: str, failure: Exception
) -> None:
    """Whatever it raises and when: one line, with the file."""
    import xllamacpp

    def fail(*_: object) -> None:
        raise failure

    class Failing:
        handle_completions = staticmethod(fail)

    if where == "handle_completions":
        monkeypatch.setattr(xllamacpp, "Server", lambda _: Failing())
    else:
        monkeypatch.setattr(xllamacpp, where, fail)
    engine = LlamaEngine(spec)
    with pytest.raises(EngineUnavailableError, match=r"cannot load .*q8_0\.gguf") as caught:
        await engine.load()
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert await answer(engine, asked(IDS[:20], 1))
    await engine.close()


async def test_reading_ahead_that_fails_is_silent(engine: LlamaEngine) -> None:
    """It ends, and the next job runs."""
    await engine.load()
    real = engine._model

    class Broken:
        def handle_completions(self, body: str, hear: object) -> None:
            raise RuntimeError("gone")

    engine._model = Broken()
    await asyncio.wait_for(engine.prewarm(Prompt(IDS[:50], IDS[50:60])), 10)
    engine._model = real
    assert await answer(engine, asked(IDS[:20], 2))


async def test_a_file_of_another_model(spec: EngineSpec, tmp_path: Path) -> None:
    """A vocabulary that is longer than the file's is noticed at loading."""
    words = (FOLDER / "vocabulary.json").read_text(encoding="utf-8").rstrip().removesuffix("]")
    (tmp_path / "vocabulary.json").write_text(words + ', "more"]', encoding="utf-8")
    (tmp_path / "config.json").write_bytes((FOLDER / "config.json").read_bytes())
    engine = LlamaEngine(replace(spec, folder=tmp_path))
    with pytest.raises(ModelDamagedError, match="another model"):
        await engine.load()


async def test_no_gpu(spec: EngineSpec) -> None:
    """Asked for by name and not there: said; not asked for: the CPU does."""
    with pytest.raises(EngineUnavailableError, match="no GPU"):
        await LlamaEngine(replace(spec, device="cuda")).load()
    engine = LlamaEngine(replace(spec, device="auto"))
    await engine.load()
    assert (engine.info.device, engine.info.compute_type) == ("cpu", "q8_0")
    await engine.close()


async def test_more_than_there_is_memory(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused with the figures, before anything is read."""
    monkeypatch.setattr("codegen_lsp.engines.hardware.available_memory", lambda: 1 << 20)
    with pytest.raises(EngineUnavailableError, match=r"needs 0\.0 GiB of memory, 0\.0 GiB are"):
        await LlamaEngine(spec).load()


async def test_a_closed_engine_stays_closed(engine: LlamaEngine) -> None:
    """Closing ends what runs, twice is as good as once, and nothing starts again."""
    async with aclosing(engine.generate(asked(IDS[:100], 500))) as tokens:
        async for _ in tokens:
            break
        await engine.close()
    await engine.close()
    with pytest.raises(EngineUnavailableError, match="was closed"):
        await answer(engine, asked(IDS[:10]))
    await engine.prewarm(Prompt(IDS[:50], ()))


async def test_its_port_answers_nobody(engine: LlamaEngine) -> None:
    """llama.cpp listens on the loopback interface; without the key it tells nothing."""
    await engine.load()
    address = engine._model.listening_address
    assert address.startswith("http://127.0.0.1:")
    for path, data in (
        ("/completion", b'{"prompt": "a"}'),
        ("/slots", None),
        ("/props", None),
        ("/tokenize", b'{"content": "a"}'),
    ):
        request = urllib.request.Request(address + path, data)
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(urllib.request.urlopen, request, timeout=10)
        assert refused.value.code in (401, 403, 404)
    port = int(address.rpartition(":")[2])
    await engine.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_guessing_changes_no_answer(spec: EngineSpec, engine: LlamaEngine) -> None:
    """With drafts the text is the same; a token that was guessed comes as text only."""
    guessing = LlamaEngine(replace(spec, drafts=True))
    try:
        prompt = tuple(TOKENIZER.encode(CODE + CODE[: len(CODE) // 2]))
        plain = await answer(engine, asked(prompt, 40))
        drafted = await answer(guessing, asked(prompt, 40))
    finally:
        await guessing.close()
    decoder = TOKENIZER.stream()
    text = "".join(t.text if t.text is not None else decoder.push(t.id) for t in drafted)
    assert any(token.log_prob is None for token in drafted)
    assert TOKENIZER.decode(ids_of(plain)).startswith(text[:20])


PROGRAM = """
import asyncio, sys
from pathlib import Path
from codegen_lsp.engines.llama import LlamaEngine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.types import GenerationRequest, Prompt

engine = LlamaEngine(EngineSpec(Path(sys.argv[1]), "m", 1024, threads=1, gguf=Path(sys.argv[2])))
streams = []

async def main():
    stream = engine.generate(GenerationRequest(Prompt((), (5, 6, 7)), 900))
    streams.append(stream)
    await anext(stream)

asyncio.run(main())
print("done")
"""


def test_a_process_ends_with_an_engine_in_it(spec: EngineSpec) -> None:
    """Nobody closed it, a stream was left open: the interpreter ends all the same, quietly."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(FOLDER), str(spec.gguf)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_the_table_makes_it(spec: EngineSpec) -> None:
    """And nothing is loaded by that."""
    made = create_engine("llama", spec)
    assert (made.info.engine, made.info.context_length) == ("llama", spec.context_length)
