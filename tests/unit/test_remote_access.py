"""How a server is reached: TLS, HTTP/2, proxies, and keys that are never shown."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codegen_lsp.engines.remote_access import KEY_VARIABLE, Keys, Server, address_of
from codegen_lsp.engines.scripted import ScriptedEngine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import CodegenError, EngineUnavailableError, GenerationError
from codegen_lsp.types import GenerationRequest, Prompt
from tests.support.cursor import says, word_tokenizer

pytest.importorskip("httpx2", reason="the HTTP client is not installed")
pytest.importorskip("uvicorn", reason="the test server needs it")
pytest.importorskip("trustme", reason="certificates are made with it")

import trustme

from codegen_lsp.engines.remote import RemoteEngine
from codegen_lsp.errors import RemoteAwayError
from tests.support.remote_server import Certificate, Fault, RemoteServer, Spelling, serving, until

WORDS = word_tokenizer(["return", " total"])
SECRET = "sk-very-secret-1234567890"
CODE = "private_code_of_ours"


@dataclass(frozen=True)
class Files:
    """An authority, and certificates that it has signed."""

    ca: Path
    server: Certificate
    asking: Certificate
    """A server that wants to see a certificate."""
    expired: Certificate
    client: Path
    key: Path
    other: Path
    """Another authority."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    authority, other = trustme.CA(), trustme.CA()
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)

    def issued(name: str, **more: Any) -> tuple[Path, Path]:
        issue = authority.issue_cert("127.0.0.1", "localhost", **more)
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in issue.cert_chain_pems))
        key.write_bytes(issue.private_key_pem.bytes())
        return chain, key

    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    server = issued("server")
    return Files(
        folder / "ca.pem",
        Certificate(*server),
        Certificate(*server, folder / "ca.pem"),
        Certificate(*issued("expired", not_after=past)),
        *issued("client"),
        folder / "other.pem",
    )


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs this is of no matter."""
    for name in (KEY_VARIABLE, "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def server_of(text: str = "return total", delay: float = 0.0) -> RemoteServer:
    return RemoteServer(ScriptedEngine(says(WORDS, text), delay=delay), WORDS)


@asynccontextmanager
async def engine_at(server: Server) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(EngineSpec(Path(), "tiny", 2048, server=server))
    try:
        yield engine
    finally:
        await engine.close()


def asked(n: int = 4) -> GenerationRequest:
    return GenerationRequest(Prompt(tuple(WORDS.encode(CODE)), ()), n, stop_ids=(WORDS.eos_id,))


async def said(server: Server) -> str:
    async with engine_at(server) as engine:
        return WORDS.decode([token.id async for token in engine.generate(asked())])


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        (" https://host/ ", "https://host/v1"),
        ("https://host/team/v1/", "https://host/team/v1"),
        ("https://host/v1/completions", "https://host/v1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("", None),
        ("host:8000", None),
        ("ftp://host", None),
        ("http://host:99999", None),
        ("http://[", None),
        (f"https://me:{SECRET}@host/v1", None),
        (f"https://host/v1?key={SECRET}", None),
    ],
)
def test_addresses(url: str, address: str | None) -> None:
    """A bare host gets ``/v1``; what is no address is refused, and a key in it is not repeated."""
    if address is not None:
        assert address_of(url) == address
        return
    with pytest.raises(EngineUnavailableError) as raised:
        address_of(url)
    assert SECRET not in str(raised.value)


def shell(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.mark.parametrize(
    ("environment", "command", "key", "says_so"),
    [
        ("", (), None, ""),
        (SECRET, (), SECRET, ""),
        (f" {SECRET}\n", shell("print('other')"), SECRET, ""),
        ("", shell(f"print('{SECRET}')"), SECRET, ""),
        ("", shell("pass"), None, "printed no key"),
        ("", shell(f"print('{SECRET}'); raise SystemExit(3)"), None, "status 3"),
        ("", ("/no/such/program", SECRET), None, "program cannot be run"),
        (f"{SECRET}\x00é", (), None, "no key has"),
        (f"{SECRET} {SECRET}", (), None, "no key has"),
    ],
)
async def test_keys(
    environment: str,
    command: tuple[str, ...],
    key: str | None,
    says_so: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment first, then a program; what fails says so, and never what it has read."""
    if "\x00" in environment:
        monkeypatch.setattr("os.environ", {KEY_VARIABLE: environment})
    elif environment:
        monkeypatch.setenv(KEY_VARIABLE, environment)
    keys = Keys(Server("https://host", key_command=command))
    if says_so:
        with pytest.raises(EngineUnavailableError, match=says_so) as raised:
            await keys.headers()
        assert SECRET not in str(raised.value)
        return
    assert await keys.headers() == ({} if key is None else {"Authorization": f"Bearer {key}"})
    assert SECRET not in repr(keys)


async def test_the_keyring_is_asked_for_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the settings say so; a key that is not there is an error that says how to put it."""
    keyring = pytest.importorskip("keyring", reason="not installed")
    backend = pytest.importorskip("keyring.backend", reason="not installed")

    class Ring(backend.KeyringBackend):  # type: ignore[misc, name-defined]
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return SECRET if (service, username) == ("codegen", "host:8000") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise AssertionError("nobody writes keys")

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        keys = Keys(Server("https://host:8000/v1", keyring="codegen"))
        assert await keys.headers() == {"Authorization": f"Bearer {SECRET}"}
        with pytest.raises(EngineUnavailableError, match="keyring set other host:8000"):
            await Keys(Server("https://host:8000/v1", keyring="other")).headers()
    finally:
        keyring.set_keyring(before)


async def test_a_key_that_has_expired_is_asked_for_again(tmp_path: Path) -> None:
    """A program's key may live for an hour; once it is refused, the program is run again."""
    file = tmp_path / "key"
    file.write_text("old")
    served = server_of()
    served.key = "old"
    command = shell(f"print(open({str(file)!r}).read())")
    async with serving(served) as url, engine_at(Server(url, key_command=command)) as engine:
        await engine.load()
        served.key = "new"
        file.write_text("new")
        assert [token.id async for token in engine.generate(asked())]
        served.key = "newest"
        with pytest.raises(EngineUnavailableError, match="refuses our key"):
            await anext(engine.generate(asked()))
        async with engine_at(Server(url, key_command=command)) as other:
            with pytest.raises(EngineUnavailableError, match="refuses our key"):
                await other.load()
            file.write_text("newest")
            await other.load()


async def test_a_packed_answer_is_not_unpacked() -> None:
    """A small one could fill the memory."""
    served = server_of()
    body = gzip.compress(b'{"choices": [{"text": "' + b"x" * 100_000 + b'"}]}')
    async with serving(served) as url, engine_at(Server(url, speller=Spelling(WORDS))) as engine:
        await engine.load()
        served.faults.append(Fault(status=200, headers={"content-encoding": "gzip"}, body=body))
        with pytest.raises(GenerationError, match="does not answer as OpenAI"):
            await anext(engine.generate(asked()))


async def test_neither_key_nor_code_is_in_any_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong, also at the level debug, and in the libraries' own loggers."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    served = server_of()
    served.key = SECRET
    text = f'{{"error": {{"message": "{CODE} {SECRET}", "code": "{CODE} {SECRET}"}}}}'.encode()
    async with serving(served) as url:
        server = Server(url, speller=Spelling(WORDS))
        async with engine_at(server) as engine:
            errors = [repr(engine), repr(server), repr(engine.info)]
            assert [token async for token in engine.generate(asked())]
            for fault in (
                *(Fault(status=status, body=text) for status in (400, 401, 404, 422, 429)),
                Fault(cut_after=1),
            ):
                served.faults = [fault]
                engine._breaker.succeeded()
                try:
                    async for _ in engine.generate(asked()):
                        pass
                except CodegenError as error:
                    errors += [str(error), repr(error)]
    logged = "\n".join([caplog.text, *errors])
    assert "refuses" in logged
    assert SECRET not in logged
    assert CODE not in logged


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent what a server would be that cannot be reached without it."""
    served = server_of()
    async with serving(served) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        assert await said(Server("http://team.invalid:8000")) == "return total"
    assert served.streams[0].headers["host"] == "team.invalid:8000"
    monkeypatch.setenv("HTTP_PROXY", f"nonsense://{SECRET}@host")
    with pytest.raises(EngineUnavailableError, match="proxy") as raised:
        await said(Server("http://team.invalid:8000"))
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("http2", [False, True])
async def test_an_authority_of_ones_own(files: Files, http2: bool) -> None:
    """It alone is trusted where it is named; HTTP/2 is spoken with who speaks it."""
    if http2:
        pytest.importorskip("hypercorn", reason="the test server needs it for HTTP/2")
    served = server_of()
    async with serving(served, tls=files.server, http2=http2) as url:
        assert await said(Server(url, ca=str(files.ca))) == "return total"
        assert served.streams[0].version == ("2" if http2 else "1.1")
        with pytest.raises(EngineUnavailableError, match=r"cannot be trusted.*serverCa"):
            await said(Server(url))
        with pytest.raises(EngineUnavailableError, match="cannot be trusted"):
            await said(Server(url, ca=str(files.other)))


async def test_a_server_may_ask_for_a_certificate(files: Files) -> None:
    """Who has it is let in, who has none is told so."""
    ca, certificate, key = str(files.ca), str(files.client), str(files.key)
    async with serving(server_of(), tls=files.asking) as url:
        server = Server(url, ca=ca, certificate=certificate, certificate_key=key)
        assert await said(server) == "return total"
        with pytest.raises(CodegenError, match=r"serverCertificate|the connection broke"):
            await said(Server(url, ca=ca))


async def test_a_certificate_that_has_expired(files: Files) -> None:
    """The line says so."""
    async with serving(server_of(), tls=files.expired) as url:
        with pytest.raises(EngineUnavailableError, match="expired"):
            await said(Server(url, ca=str(files.ca)))


async def test_plain_http_where_tls_is_expected_and_the_other_way_round(files: Files) -> None:
    """Neither hangs."""
    async with serving(server_of()) as url:
        with pytest.raises(EngineUnavailableError, match="does not speak TLS"):
            await said(Server(url.replace("http:", "https:"), ca=str(files.ca)))
    async with serving(server_of(), tls=files.server) as url:
        with pytest.raises(CodegenError, match=r"connection broke|refuses|away"):
            await said(Server(url.replace("https:", "http:")))


@pytest.mark.parametrize(
    ("ca", "certificate", "says_so"),
    [
        ("/no/such.pem", "", "no/such.pem is missing"),
        (__file__, "", "test_remote_access.py cannot be used"),
        ("", "/no/such.pem", "no/such.pem or its key is missing"),
        ("", __file__, "test_remote_access.py or its key cannot be used"),
    ],
)
async def test_files_that_are_no_certificates(ca: str, certificate: str, says_so: str) -> None:
    """The line names the file and the settings."""
    with pytest.raises(EngineUnavailableError, match=says_so):
        await said(Server("https://127.0.0.1:9", ca=ca, certificate=certificate))


async def test_over_http2_closing_resets_the_stream_and_keeps_the_connection(files: Files) -> None:
    """The server stops each time; connections are replaced before the library counts too many."""
    pytest.importorskip("hypercorn", reason="the test server needs it for HTTP/2")
    served = server_of("return total " * 300, delay=0.002)
    async with (
        serving(served, tls=files.server, http2=True) as url,
        engine_at(Server(url, ca=str(files.ca))) as engine,
    ):
        await engine.load()
        for _ in range(130):
            async with aclosing(engine.generate(asked(900))) as tokens:
                await anext(tokens)
        await until(lambda: all(one.gone.is_set() for one in served.streams))
        assert len(served.streams) == 130
        assert max(one.tokens for one in served.streams) < 900
        assert len({one.client for one in served.asked}) <= 6
        assert len([token async for token in engine.generate(asked(3))]) == 3


async def test_a_connection_that_may_be_dead_is_not_used_again(files: Files) -> None:
    """Over HTTP/2 a request that is given up leaves its connection open, alive or not."""
    pytest.importorskip("hypercorn", reason="the test server needs it for HTTP/2")
    served = server_of()
    async with (
        serving(served, tls=files.server, http2=True) as url,
        engine_at(Server(url, ca=str(files.ca), deadline=0.3)) as engine,
    ):
        await engine.load()
        assert [token async for token in engine.generate(asked())]
        served.faults.append(Fault(silent=True))
        with pytest.raises(RemoteAwayError, match="in time"):
            await anext(engine.generate(asked()))
        await until(lambda: engine.away is None)
        assert [token async for token in engine.generate(asked())]
    first, second = served.streams
    assert first.client != second.client


async def test_five_hundred_disconnects_leak_nothing() -> None:
    """Each is noticed; no task and no connection is left over."""
    served = server_of("return total " * 300, delay=0.0005)
    async with serving(served) as url, engine_at(Server(url)) as engine:
        await engine.load()
        for number in range(500):
            async with aclosing(engine.generate(asked(900))) as tokens:
                for _ in range(number % 4):
                    await anext(tokens)
        await until(lambda: all(one.gone.is_set() for one in served.streams))
        # Where no token was waited for, nothing was asked.
        assert len(served.streams) == 375
        assert [token async for token in engine.generate(asked(1))]
        ours = [task for task in asyncio.all_tasks() if "remote.py" in repr(task.get_coro())]
        assert ours == []
