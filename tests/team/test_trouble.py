"""Clients that go away, crawl, flood or lie, and a server that is told to end."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.team import TeamServer

SECRET = "def xyzzy_plugh(secret_sauce):\n    return"
"""Code that must be in no log."""

LONG = {"prompt": SECRET, "max_tokens": 900, "temperature": 0}


def until(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether *true* comes true within *seconds*."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def gauge(server: TeamServer, name: str, **headers: str) -> float:
    shown = httpx.get(f"{server.url}/metrics", headers=headers, timeout=10).text
    return float(next(line for line in shown.splitlines() if line.startswith(name)).split()[-1])


def idle(server: TeamServer) -> bool:
    names = ("codegen_team_running_sequences", "codegen_team_waiting_sequences")
    return all(gauge(server, name) == 0 for name in names)


def records(server: TeamServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def raw(server: TeamServer, content: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(content)
    return connection


def request_bytes(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: team\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_ends_when_its_client_goes(server: TeamServer, stream: bool) -> None:
    """At the next token: of 900 few are written, and nothing stays in the model."""
    before = len(records(server))
    connection = raw(server, request_bytes({**LONG, "stream": stream}))
    assert until(lambda: gauge(server, "codegen_team_running_sequences") > 0)
    connection.close()

    def gone() -> list[dict[str, Any]]:
        return [one for one in records(server)[before:] if one.get("cancelled")]

    assert until(lambda: bool(gone()))
    (record,) = gone()
    assert record["new_tokens"] < 850
    assert until(lambda: idle(server))


def test_two_hundred_disconnects_leak_nothing(server: TeamServer) -> None:
    """At any moment of a request, streamed or not; jobs and memory come back."""
    chosen = random.Random(5)

    def some(count: int) -> None:
        for _ in range(count):
            body = {**LONG, "stream": chosen.random() < 0.5, "n": chosen.choice([1, 3])}
            content = request_bytes(body)
            cut = len(content) if chosen.random() < 0.8 else chosen.randrange(len(content))
            connection = raw(server, content[:cut])
            time.sleep(chosen.random() * 0.02)
            connection.close()

    def quartet(count: int) -> None:
        threads = [threading.Thread(target=some, args=(count // 4,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert until(lambda: idle(server))

    quartet(80)
    before = server.memory
    quartet(200)
    assert server.memory < before + (24 << 20)
    response = httpx.post(f"{server.url}/v1/completions", json={**LONG, "max_tokens": 3})
    assert response.status_code == 200


def test_no_code_is_in_a_log(server: TeamServer) -> None:
    """Nor a key, a path or a header that a client made up: whatever was asked, and however."""
    url = f"{server.url}/v1/completions"
    headers = {"Authorization": "Bearer xyzzy-key", "User-Agent": "xyzzy-agent"}
    httpx.post(url, json={**LONG, "max_tokens": 4}, headers=headers)
    httpx.post(url, json={**LONG, "max_tokens": SECRET}, headers=headers)
    httpx.post(url, json={SECRET: 1}, headers=headers)
    httpx.post(url, content=SECRET.encode(), headers=headers)
    httpx.get(f"{server.url}/xyzzy/{SECRET.split()[1]}", headers=headers)
    raw(server, b"xyzzy nonsense\r\n\r\n").close()
    raw(server, b"GET /xyzzy HTTP/1.1\r\nxyzzy\r\n\r\n").close()
    assert until(lambda: len(records(server)) >= 5)
    for written in (server.log.read_text(), "\n".join(server.errors)):
        assert "xyzzy" not in written
        assert "secret" not in written


def test_a_body_of_a_hundred_megabytes_is_not_read(server: TeamServer) -> None:
    """It is refused by what it announces, or where it has grown too large."""
    before = server.memory
    head = b"POST /v1/completions HTTP/1.1\r\nHost: team\r\n"
    with raw(server, head + b"Content-Length: 104857600\r\n\r\n") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    with raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        sent = 0
        try:
            while sent < 100 << 20:
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
        assert sent < 32 << 20
    assert server.memory < before + (32 << 20)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TeamServer, Path, str]]:
    """A server that needs keys, with little room: its file of keys, and one of them."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "keys"
    key = add_key(keys, "ann")
    options = ("--keys", str(keys), "--rate", "0", "--at-a-time", "6", "--queue", "8")
    with TeamServer(folder, *options, "--batch", "1") as server:
        yield server, keys, key


def add_key(path: Path, name: str) -> str:
    """As a person does it: the command prints the key once."""
    done = subprocess.run(
        [sys.executable, "-m", "codegen_lsp", "team", "--keys", str(path), "--add-key", name],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line not in done.stderr
    return line


def post(server: TeamServer, key: str, **body: Any) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/completions",
        json={"prompt": "a", "max_tokens": 2, **body},
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=60,
    )


def test_keys_are_needed_and_read_again(guarded: tuple[TeamServer, Path, str]) -> None:
    """No key and a wrong one are refused; a new one is good at once, a removed one no more."""
    server, keys, ann = guarded
    assert [post(server, key).status_code for key in ("", "wrong", ann)] == [401, 401, 200]
    assert post(server, "wrong").headers["www-authenticate"].startswith("Bearer")
    bob = add_key(keys, "bob")
    assert post(server, bob).status_code == 200
    whole = keys.read_text()
    keys.write_text("".join(line for line in whole.splitlines(True) if "bob" not in line))
    assert post(server, bob).status_code == 401
    for path in ("/v1/models", "/metrics", "/status"):
        assert httpx.get(server.url + path).status_code == 401
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert httpx.get(f"{server.url}/status", auth=("", ann)).status_code == 200
    written = server.log.read_text() + "\n".join(server.errors) + keys.read_text()
    assert ann not in written
    assert bob not in written


async def test_who_asks_too_much_is_told_when_to_come_again(
    guarded: tuple[TeamServer, Path, str],
) -> None:
    """With 429 and Retry-After, by the key's limit or by a full queue; others are answered."""
    server, _, key = guarded
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
        body = {**LONG, "max_tokens": 300}
        asked = [client.post("/v1/completions", json=body) for _ in range(16)]
        replies = await asyncio.gather(*asked)
        replies.append(await client.post("/v1/completions", json={**body, "n": 16}))
        assert {reply.status_code for reply in replies} == {200, 429}
        refused = [reply for reply in replies if reply.status_code == 429]
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
        codes = {reply.json()["error"]["code"] for reply in refused}
        assert codes == {"rate_limit_exceeded", "server_overloaded"}
        assert (await client.post("/v1/completions", json={"prompt": "a"})).status_code == 200


def test_a_client_that_crawls_is_cut_off(tmp_path: Path) -> None:
    """A head that does not end, and a body that does not come; others are answered meanwhile."""
    quick = (
        "import sys; from codegen_lsp.cli.main import main; from codegen_lsp.team import serving; "
        "serving.HEAD_SECONDS = serving.BODY_SECONDS = 0.5; "
        "sys.exit(main(['team', *sys.argv[1:]]))"
    )
    with TeamServer(tmp_path, program=("-c", quick)) as server:
        silent = raw(server, b"")
        crawling = raw(server, b"POST /v1/completions HTTP/1.1\r\nX-Slow: ")
        waiting = raw(
            server, b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"
        )
        assert httpx.get(f"{server.url}/health").status_code == 200
        for connection in (silent, crawling):
            assert ended(connection)
        assert waiting.recv(4096).startswith(b"HTTP/1.1 408")
        for connection in (silent, crawling, waiting):
            connection.close()


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends it."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_what_runs_is_finished_before_the_end(tmp_path: Path) -> None:
    """SIGTERM: nobody new is let in, answers on their way are whole, and the exit code is 0."""
    with TeamServer(tmp_path) as server:
        answer: list[httpx.Response] = []
        body = {**LONG, "prompt": "import os\n", "max_tokens": 1000}
        thread = threading.Thread(
            target=lambda: answer.append(
                httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)
            )
        )
        thread.start()
        assert until(lambda: gauge(server, "codegen_team_running_sequences") > 0)
        assert server.stop() == 0
        thread.join(30)
        assert answer[0].status_code == 200
        assert answer[0].json()["choices"][0]["finish_reason"] in ("stop", "length")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")


def test_who_does_not_end_in_time_is_ended(tmp_path: Path) -> None:
    """After --drain seconds, without a trace that says what was asked."""
    with TeamServer(tmp_path, "--drain", "0") as server:
        connection = raw(server, request_bytes({**LONG, "n": 16, "temperature": 1}))
        assert until(lambda: gauge(server, "codegen_team_running_sequences") > 0)
        assert server.stop() == 0
        connection.close()
        assert "xyzzy" not in "\n".join(server.errors)


def test_tls(tmp_path: Path) -> None:
    """With a certificate of one's own; plain HTTP is not understood there, and hurts nobody."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        capture_output=True,
        check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl here")
    with TeamServer(tmp_path, "--tls-cert", str(certificate), "--tls-key", str(key)) as server:
        trust = ssl.create_default_context(cafile=str(certificate))
        assert httpx.get(f"{server.url}/health", verify=trust).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{server.port}/health", timeout=10)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")
        assert httpx.get(f"{server.url}/health", verify=trust).status_code == 200


REFUSED = {
    "others without keys": (["--host", "0.0.0.0"], "--without-keys"),
    "no file of keys": (["--keys", "nowhere"], "--add-key"),
    "half of a certificate": (["--tls-cert", "cert.pem"], "go together"),
    "no certificate": (["--tls-cert", "cert.pem", "--tls-key", "key.pem"], "cert.pem"),
    "no such model": (["--model", "nothing"], "nothing"),
    "no address": (["--host", "256.0.0.1", "--without-keys"], "cannot listen"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_start_that_cannot_be_ends_with_one_line(tmp_path: Path, case: str) -> None:
    """It says what is wrong and how to mend it."""
    arguments, says = REFUSED[case]
    done = subprocess.run(
        [sys.executable, "-m", "codegen_lsp", "team", "--port", "0", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert says in line
