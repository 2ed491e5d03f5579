"""An engine on another machine: any server that speaks OpenAI's ``/v1/completions``.

What the server understands is tried once, when the engine is loaded: one token is asked for, with
token ids and with text. Where the server takes ids, and reads a text as we do, prompts are ids and
nothing is spelt out on the way; else they are text. Closing the stream closes the request, and the
server stops. A server that is away is told at once from then on, and tried in the background.

Does not know where a server's address comes from, which tokenizer belongs to its model
(``completion`` does), or what is shown while it is away. How it is reached, asked and given up is
in ``remote_access``, ``remote_wire``, ``remote_streams``, ``remote_trouble``, ``remote_health``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from typing import Final

import httpx2

from codegen_lsp.engines.base import EngineInfo
from codegen_lsp.engines.kept import common
from codegen_lsp.engines.remote_access import (
    Keys,
    Server,
    address_of,
    connect,
    host_of,
    is_open,
)
from codegen_lsp.engines.remote_health import ENOUGH, Breaker, pause, trial_pause
from codegen_lsp.engines.remote_probe import chosen, understood
from codegen_lsp.engines.remote_streams import Stream, fetch, open_stream
from codegen_lsp.engines.remote_trouble import UnansweredError
from codegen_lsp.engines.remote_wire import (
    BLOCK,
    Answered,
    Dialect,
    Part,
    Served,
    aligned,
    asked,
    read_answer,
    spelt,
)
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import EngineError, EngineUnavailableError, GenerationError, RemoteAwayError
from codegen_lsp.types import GenerationRequest, Prompt, Token

__all__ = ["RemoteEngine"]

logger = logging.getLogger(__name__)

TRIAL_SECONDS: Final = 2.0
"""How long it may take to list the models."""

REMEMBERED: Final = 8
"""Prompts that the server is held to have read; one that serves a team forgets soon."""

IDLE_SECONDS: Final = 60.0
"""A server that nobody has asked for so long is not tried any more, until somebody does."""

REFUSED_SECONDS: Final = 30.0
"""How long a server is not asked again that refuses our key, or has no such model."""


class RemoteEngine:
    """A model on a server. For one event loop."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._server = spec.server or Server("")
        self._length = spec.context_length
        self._keys = Keys(self._server)
        self._breaker = Breaker()
        self._client: httpx2.AsyncClient | None = None
        self._served = Served(self._server.model)
        self._dialect: Dialect | None = None
        """``None`` until the server was asked what it understands."""
        self._loading = asyncio.Lock()
        self._sent: deque[tuple[int, ...]] = deque(maxlen=REMEMBERED)
        self._trials: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._wanted = 0.0
        """When somebody last wanted an answer (the event loop's time)."""
        self._closed = False

    @property
    def info(self) -> EngineInfo:
        """The server's address is the device; prompts leave this machine."""
        return EngineInfo(
            "remote", self._spec.name, self._server.url, "unknown", 0, self._length, remote=True
        )

    @property
    def away(self) -> EngineError | None:
        """Why the server would not be asked now; ``None`` where it would. Cheap."""
        return self._breaker.error

    @property
    def takes_ids(self) -> bool:
        """Whether prompts go as token ids; known once the engine is loaded."""
        return self._dialect is not None and self._dialect.ids

    async def load(self) -> None:
        """Connect, and find out what the server understands. Does nothing once that is known.

        :raises RemoteAwayError: the server is away.
        :raises EngineUnavailableError: it refuses us, its tokens are others, or we are closed.
        """
        self._wanted = asyncio.get_running_loop().time()
        async with self._loading:
            if self._closed:
                raise EngineUnavailableError("the engine was closed", mend="open the model again")
            if self._dialect is not None:
                return
            try:
                await self._meet()
            except RemoteAwayError as error:
                self._breaker.failed(error, ENOUGH)
                self._try_again()
                raise
            self._breaker.succeeded()

    async def _meet(self) -> None:
        if self._client is None:
            self._client = await connect(self._server)
            if is_open(self._server.url):
                logger.warning(
                    "code and key go to %s without TLS: who is on the way can read them",
                    host_of(self._server.url),
                )
        key = await self._keys.headers()
        try:
            served = await chosen(self._client, self._server, key)
            name = self._spec.name
            self._dialect = await understood(self._client, self._server, served, key, name)
        except EngineUnavailableError:
            self._keys.forget()  # the next time there may be another one
            raise
        self._served = served
        if served.context_length:
            self._length = min(self._length, served.context_length)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Token, None]:
        """Tokens as they come; ``aclose()`` closes the request, so that the server stops.

        What failed before a token came is tried again a few times, while there is time. A prompt
        that leaves no room for ``max_new_tokens`` loses its beginning, in steps of 128 tokens.

        :raises RemoteAwayError: the server is away, or busy.
        :raises EngineUnavailableError: it refuses us.
        :raises GenerationError: it broke off, or answered what is no answer.
        """
        loop = asyncio.get_running_loop()
        self._wanted = loop.time()
        self._refuse_away()
        await self.load()
        limit = loop.time() + self._server.deadline
        tokens = aligned(request.prompt.tokens, self._length - request.max_new_tokens)
        renewed = False
        for attempt in range(ENOUGH):
            begun = False
            try:
                async with contextlib.aclosing(self._attempt(tokens, request, limit)) as answer:
                    async for token in answer:
                        if not begun:  # nobody has to wait for the end
                            self._sent.appendleft(tokens)
                        begun = True
                        yield token
                return
            except UnansweredError as trouble:
                if begun:
                    self._breaker.failed(trouble.error, trouble.weight)
                    self._try_again()
                    raise GenerationError("the server broke off", mend="ask again") from None
                if trouble.status == 401 and not renewed and self._keys.forget():
                    renewed = True
                    continue
                await self._wait(trouble, attempt, limit)
        self._refuse_away()
        raise RemoteAwayError(f"the server {host_of(self._server.url)} is away: it answers nothing")

    async def _attempt(
        self, tokens: tuple[int, ...], request: GenerationRequest, limit: float
    ) -> AsyncGenerator[Token, None]:
        """The answer to one request; to several where its first token is another than was wished.

        Servers choose all tokens among some or none, so the first is then asked for alone, and the
        rest with it. Mostly the model says of itself what is wished.

        :raises UnansweredError: there is none, or it breaks off.
        :raises GenerationError: it is no answer.
        """
        assert self._dialect is not None  # noqa: S101 - loaded
        wished = frozenset(request.first_ids) if self._dialect.chooses else frozenset()
        plain = replace(request, first_ids=())
        async with contextlib.aclosing(self._asked(tokens, plain, limit)) as answer:
            async for token in answer:
                if wished and token.id not in wished:
                    break
                wished = frozenset()
                yield token
            else:
                return
        alone = replace(request, max_new_tokens=1)
        first = [token async for token in self._asked(tokens, alone, limit)]
        for token in first:
            yield token
        left = request.max_new_tokens - len(first)
        if not first or left <= 0:
            return
        tokens = (*tokens, *(token.id for token in first))
        rest = replace(plain, max_new_tokens=left)
        async with contextlib.aclosing(self._asked(tokens, rest, limit)) as answer:
            async for token in answer:
                yield token

    async def _asked(
        self, tokens: Sequence[int], request: GenerationRequest, limit: float
    ) -> AsyncGenerator[Token, None]:
        """The answer as one request brings it.

        :raises UnansweredError: there is none, or it breaks off.
        :raises GenerationError: it is no answer.
        """
        if self._client is None or self._closed:
            raise EngineUnavailableError("the engine was closed", mend="open the model again")
        left = request.max_new_tokens
        body = self._body(tokens, request)
        stream = await open_stream(self._client, body, await self._keys.headers(), limit)
        ended = False
        try:
            async with contextlib.aclosing(_answers(stream)) as answers:
                async for answered in answers:
                    if answered.parts or answered.finished:
                        self._breaker.succeeded()
                    for token in self._tokens(answered.parts):
                        if token.id in request.stop_ids or left <= 0:
                            return
                        left -= 1
                        yield token
                    ended = ended or answered.finished
            if not ended:
                raise _broken(self._server)
        finally:
            if await stream.aclose():
                self._warm_up()

    def _body(self, tokens: Sequence[int], request: GenerationRequest) -> dict[str, object]:
        dialect, speller = self._dialect, self._server.speller
        assert dialect is not None  # noqa: S101 - loaded
        if dialect.ids or speller is None:
            return asked(self._served.id, tokens, request, dialect)
        while tokens and tokens[0] in request.stop_ids:
            tokens = tokens[1:]  # the mark before a document; a server puts its own there
        # Special tokens are no part of a text that ends where they come; their names may be.
        stops = [name for one in request.stop_ids if (name := speller.text((one,))).strip()]
        return asked(self._served.id, speller.text(tokens), request, dialect, stops)

    def _tokens(self, parts: Sequence[Part]) -> Iterator[Token]:
        dialect, speller = self._dialect, self._server.speller
        assert dialect is not None  # noqa: S101 - loaded
        if dialect.ids and not dialect.told and any(part.id is not None for part in parts):
            self._dialect = dialect = replace(dialect, told=True)  # the probe's answer was empty
        for part in parts:
            if dialect.told:
                if part.id is not None:  # text without ids is said once more with them
                    yield Token(part.id, part.log_prob)
            elif part.text and speller is not None:
                yield from spelt(part, speller)

    async def _wait(self, trouble: UnansweredError, attempt: int, limit: float) -> None:
        """Wait until it makes sense to try again.

        :raises EngineError: it does not.
        """
        loop = asyncio.get_running_loop()
        if not trouble.transient:
            if isinstance(trouble.error, EngineUnavailableError):
                self._keys.forget()
                self._breaker.rest(trouble.error, REFUSED_SECONDS)
            raise trouble.error from None
        length = pause(attempt) if trouble.after is None else trouble.after
        if trouble.status == 429:  # it is there; who asks on makes it worse
            if loop.time() + length >= limit or attempt + 1 >= ENOUGH:
                self._breaker.rest(trouble.error, max(length, 1.0))
                raise trouble.error from None
        else:
            self._breaker.failed(trouble.error, trouble.weight)
            if self._breaker.away or loop.time() + length >= limit:
                self._try_again()
                raise trouble.error from None
        await asyncio.sleep(length)

    def _refuse_away(self) -> None:
        error = self._breaker.error
        if error is not None:
            self._try_again()
            raise error

    def _try_again(self) -> None:
        """See to it that a server that is away is tried in the background."""
        if self._closed or not self._breaker.away:
            return
        if self._trials is None or self._trials.done():
            self._trials = asyncio.create_task(self._try_until_back())

    async def _try_until_back(self) -> None:
        loop = asyncio.get_running_loop()
        trial = 0
        await self._reconnect()
        while self._breaker.away and loop.time() - self._wanted < IDLE_SECONDS:
            await asyncio.sleep(trial_pause(trial))
            trial += 1
            if await self._answers():
                await self._meet_again()

    async def _meet_again(self) -> None:
        """A server that was away may have come back with another model."""
        try:
            async with self._loading:
                self._dialect = None
                await self._meet()
        except RemoteAwayError:
            return
        except EngineError as error:
            self._breaker.rest(error, REFUSED_SECONDS)
            logger.warning("%s", error)
            return
        self._breaker.succeeded()
        logger.info("the server %s is back", host_of(self._server.url))

    async def _reconnect(self) -> None:
        """Connections may be dead without anybody having said so, as after a laptop's sleep."""
        with contextlib.suppress(EngineError):
            old, self._client = self._client, await connect(self._server)
            if old is not None:
                await old.aclose()

    async def _answers(self) -> bool:
        """Whether the server lists its models; opens a connection where there is none."""
        try:
            assert self._client is not None  # noqa: S101 - loaded, or closed and cancelled
            await fetch(self._client, "models", await self._keys.headers(), TRIAL_SECONDS)
        except UnansweredError as trouble:
            return not trouble.transient
        except EngineError:
            return False
        return True

    def _warm_up(self) -> None:
        """A connection was lost: have another one ready, where that takes long."""
        if self._closed or not address_of(self._server.url).startswith("https:"):
            return
        if self._warming is None or self._warming.done():
            self._warming = asyncio.create_task(self._warmed())

    async def _warmed(self) -> None:
        await self._answers()

    def warm(self, prompt: Prompt) -> int:
        """What of *prompt* was sent lately, in whole blocks: servers keep what they have read."""
        tokens = aligned(prompt.tokens, self._length)
        longest = max((common(one, tokens) for one in self._sent), default=0)
        return min(longest, max(0, len(tokens) - 1)) // BLOCK * BLOCK

    async def prewarm(self, prompt: Prompt) -> None:
        """See to it that there is a connection. Nothing of *prompt* is sent: nobody asked yet."""
        if self._client is not None and not self._closed and self._breaker.error is None:
            await self._answers()

    async def close(self) -> None:
        """End what goes on in the background, close the connections. Idempotent."""
        self._closed = True
        tasks = [task for task in (self._trials, self._warming) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def _answers(stream: Stream) -> AsyncGenerator[Answered, None]:
    if not stream.has_events:
        yield read_answer(await stream.body())
        return
    async with contextlib.aclosing(stream.events()) as events:
        async for event in events:
            yield read_answer(event)


def _broken(server: Server) -> UnansweredError:
    error = RemoteAwayError(f"the server {host_of(server.url)} is away: it broke off")
    return UnansweredError(error, transient=True)
