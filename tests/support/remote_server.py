"""A server on loopback that speaks ``/v1/completions`` as others do, and misbehaves when told to.

Real HTTP: uvicorn, and hypercorn for HTTP/2. It answers from any engine of ours, in the manner of
vLLM, llama-server or Ollama, and records what it was asked, how many tokens it has made, and which
clients went away before the end. Faults are switched on per request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import uvicorn

from codegen_lsp.engines.base import Engine
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt, Token

Style = Literal["vllm", "llama", "ollama"]


@dataclass
class Fault:
    """What goes wrong with the next requests."""

    path: str = "/completions"
    status: int = 0
    """Answer with this status; 0: as usual."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    """Sent with ``status``."""
    cut_after: int | None = None
    """Close the connection after so many events."""
    drip: bool = False
    """Send a comment, letter by letter, for ever."""
    silent: bool = False
    """Send nothing, not even a status."""
    after: int = 0
    """How many such requests are answered before."""
    times: int = 1


@dataclass
class Asked:
    """One request, as it was, and what became of it."""

    path: str
    headers: dict[str, str]
    body: Any
    version: str
    client: tuple[str, int]
    tokens: int = 0
    """How many were made for it."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its client went away before the end, and nothing is made for it any more."""


async def until(holds: Callable[[], bool]) -> None:
    """Wait until *holds* does: what is waited for is often in another library."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.005)


class Spelling:
    """What an engine needs of a tokenizer to speak with a server."""

    def __init__(self, tokenizer: CodeTokenizer) -> None:
        self._tokenizer = tokenizer

    def text(self, ids: Sequence[int]) -> str:
        """Marks by their names."""
        return self._tokenizer.render(ids)

    def ids(self, text: str) -> Sequence[int]:
        """No mark is taken out of text."""
        return self._tokenizer.encode(text)


class RemoteServer:
    """An ASGI application with switches."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: CodeTokenizer,
        *,
        style: Style = "vllm",
        model: str = "codegen-test",
        context_length: int = 0,
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.style: Style = style
        self.models: list[str] = [model]
        self.context_length = context_length
        self.key: str | None = None
        self.chooses = False
        """Whether ``allowed_token_ids`` is heeded."""
        self.strict = False
        """Whether fields that OpenAI does not have are refused."""
        self.mark: tuple[int, ...] = ()
        """Tokens put before every text."""
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        """Every request but those for the list of models."""
        self.listed = 0
        """How often the models were listed."""

    @property
    def streams(self) -> list[Asked]:
        """The requests for a stream: what is left when probes are taken away."""
        return [one for one in self.asked if isinstance(one.body, dict) and one.body.get("stream")]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        content = b""
        while True:
            message = await receive()
            content += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = Asked(
            scope["path"],
            headers,
            json.loads(content) if content else None,
            scope["http_version"],
            scope["client"],
        )
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            await _send(send, 401, b'{"error": {"code": "invalid_api_key", "message": "x"}}')
            return
        fault = self._fault(asked.path)
        if fault is not None and await _misbehave(fault, receive, send):
            return
        if asked.path.endswith("/models"):
            self.listed += 1
            await _send(send, 200, json.dumps({"object": "list", "data": self._list()}).encode())
        elif asked.path.endswith("/completions"):
            self.asked.append(asked)
            await self._complete(asked, fault, receive, send)
        else:
            await _send(send, 404, b"{}")

    def _fault(self, path: str) -> Fault | None:
        for fault in self.faults:
            if path.endswith(fault.path) and fault.times:
                if fault.after:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def _list(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [{"id": name, "object": "model"} for name in self.models]
        for row in rows:
            if self.context_length and self.style == "vllm":
                row["max_model_len"] = self.context_length
            elif self.context_length and self.style == "llama":
                row["meta"] = {"n_ctx_train": self.context_length}
        return rows

    async def _complete(self, asked: Asked, fault: Fault | None, receive: Any, send: Any) -> None:
        body = asked.body
        prompt = body["prompt"]
        extra = set(body) & {"return_token_ids", "top_k"}
        wrong = isinstance(prompt, list) and self.style == "ollama"
        if wrong or (self.strict and extra):
            await _send(send, 400, b'{"error": {"type": "invalid_request_error"}}')
            return
        if body["model"] not in self.models:
            await _send(send, 404, b'{"error": {"code": "model_not_found"}}')
            return
        if isinstance(prompt, str):
            prompt = [*self.mark, *self.tokenizer.encode(prompt)]
        request = GenerationRequest(
            Prompt((), tuple(prompt)),
            body["max_tokens"],
            stop_ids=(self.tokenizer.eos_id,),
            first_ids=tuple(body.get("allowed_token_ids", ())) if self.chooses else (),
        )
        if body["stream"]:
            await self._stream(asked, request, fault, receive, send)
            return
        tokens = [token async for token in self.engine.generate(request)]
        asked.tokens = len(tokens)
        document = self._document(tokens, self.tokenizer.decode(t.id for t in tokens), "length")
        document["usage"] = {"prompt_tokens": len(prompt), "completion_tokens": len(tokens)}
        if self.style == "vllm" and "return_token_ids" in body:
            document["choices"][0]["prompt_token_ids"] = prompt
        await _send(send, 200, json.dumps(document).encode())

    async def _stream(
        self, asked: Asked, request: GenerationRequest, fault: Fault | None, receive: Any, send: Any
    ) -> None:
        await _begin(send, 200, {"content-type": "text/event-stream; charset=utf-8"})
        making = asyncio.create_task(self._events(asked, request, fault, send))
        leaving = asyncio.create_task(_disconnected(receive))
        await asyncio.wait((making, leaving), return_when=asyncio.FIRST_COMPLETED)
        gone = not making.done()
        making.cancel()
        leaving.cancel()
        results = await asyncio.gather(making, leaving, return_exceptions=True)
        if gone:
            asked.gone.set()
        elif isinstance(results[0], Exception):
            raise results[0]

    async def _events(
        self, asked: Asked, request: GenerationRequest, fault: Fault | None, send: Any
    ) -> None:
        decoder = self.tokenizer.stream()
        async with aclosing(self.engine.generate(request)) as tokens:
            async for token in tokens:
                if fault is not None and fault.cut_after == asked.tokens:
                    raise ConnectionAbortedError
                asked.tokens += 1
                await _event(send, self._document([token], decoder.push(token.id)))
        reason = "length" if asked.tokens >= request.max_new_tokens else "stop"
        await _event(send, self._document([], decoder.flush(), reason))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    def _document(
        self, tokens: list[Token], text: str, reason: str | None = None
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": reason}
        words = [self.tokenizer.token_text(token.id) or "" for token in tokens]
        if self.style == "vllm":
            choice["token_ids"] = [token.id for token in tokens]
            odds = [token.log_prob for token in tokens]
            choice["logprobs"] = {"tokens": words, "token_logprobs": odds}
        elif self.style == "llama":
            content = [
                {"id": token.id, "token": word, "logprob": token.log_prob}
                for token, word in zip(tokens, words, strict=True)
            ]
            choice["logprobs"] = {"content": content}
        return {"object": "text_completion", "choices": [choice]}


async def _begin(send: Any, status: int, headers: Mapping[str, str]) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _send(
    send: Any, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    await _begin(send, status, {"content-type": "application/json", **(headers or {})})
    await send({"type": "http.response.body", "body": body})


async def _event(send: Any, document: dict[str, Any]) -> None:
    data = json.dumps(document, ensure_ascii=False).encode()
    await send(
        {"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True}
    )


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _misbehave(fault: Fault, receive: Any, send: Any) -> bool:
    """Whether that was all there is to answer."""
    if fault.status:
        await _send(send, fault.status, fault.body, fault.headers)
        return True
    if fault.silent:
        await _disconnected(receive)
        return True
    if fault.drip:
        await _begin(send, 200, {"content-type": "text/event-stream"})
        leaving = asyncio.create_task(_disconnected(receive))
        while not leaving.done():
            await send({"type": "http.response.body", "body": b":", "more_body": True})
            await asyncio.sleep(0.01)
        return True
    return False


class _Uvicorn(uvicorn.Server):
    """In a loop that is not its own: signals are not its affair."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


@dataclass(frozen=True)
class Certificate:
    """Files of a server's certificate, and what is asked of clients."""

    chain: Path
    key: Path
    clients: Path | None = None
    """The authority whose certificates clients must have."""


@asynccontextmanager
async def serving(
    application: Any, *, tls: Certificate | None = None, http2: bool = False, port: int = 0
) -> AsyncIterator[str]:
    """*application* on loopback; its URL."""
    listener = socket.create_server(("127.0.0.1", port))
    bound = listener.getsockname()[1]
    run = _hypercorn if http2 else _uvicorn
    async with run(application, listener, tls):
        yield f"{'https' if tls else 'http'}://127.0.0.1:{bound}"


@asynccontextmanager
async def _uvicorn(
    application: Any, listener: socket.socket, tls: Certificate | None
) -> AsyncIterator[None]:
    options: dict[str, Any] = {}
    if tls is not None:
        options = {"ssl_certfile": str(tls.chain), "ssl_keyfile": str(tls.key)}
        if tls.clients is not None:
            options |= {"ssl_ca_certs": str(tls.clients), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    config = uvicorn.Config(application, log_level="critical", lifespan="off", ws="none", **options)
    server = _Uvicorn(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await task
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        listener.close()


@asynccontextmanager
async def _hypercorn(
    application: Any, listener: socket.socket, tls: Certificate | None
) -> AsyncIterator[None]:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.errorlog = None
    config.graceful_timeout = 0.1
    if tls is not None:
        config.certfile, config.keyfile = str(tls.chain), str(tls.key)
    over = asyncio.Event()
    task = asyncio.create_task(serve(application, config, shutdown_trigger=over.wait))
    try:
        yield
    finally:
        over.set()
        await task
