"""What a server serves and understands: which model, which prompts, whose tokens.

Its models are listed, and a few tokens are asked for, with token ids and with text. A server that
takes ids must have the vocabulary that our ids are of; one that takes only text may have any.

Does not know which tokenizer belongs to which model, nor what a server that is away means.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from typing import Final

import httpx2

from codegen_lsp.engines.remote_access import Keys, Server, Speller, connect, host_of
from codegen_lsp.engines.remote_streams import fetch, open_stream
from codegen_lsp.engines.remote_trouble import UnansweredError
from codegen_lsp.engines.remote_wire import (
    Answered,
    Dialect,
    Served,
    asked,
    read_answer,
    read_models,
)
from codegen_lsp.errors import EngineUnavailableError, GenerationError
from codegen_lsp.types import GenerationRequest, Prompt

__all__ = ["PROBE", "chosen", "served_model", "understood"]

PROBE: Final = """def total(rows):
    return sum(row.price * row.count for row in rows)


class Basket(dict[str, list[int]]):
    def __init__(self, *names: str, default=None) -> None:
        self.rows = {name: [] for name in names if not name.startswith("""
"""Of no meaning: every vocabulary cuts it in another way, and no model ends a text there."""


PROBE_TOKENS: Final = 8
"""Of an answer; enough to see whether their ids and their text are those of one vocabulary."""


async def served_model(server: Server) -> Served:
    """The model that *server* names, or the server's first.

    :raises RemoteAwayError: the server is away.
    :raises EngineUnavailableError: there is no such model, our key is refused, or the server is no
        such server.
    """
    async with await connect(server) as client:
        return await chosen(client, server, await Keys(server).headers())


async def chosen(client: httpx2.AsyncClient, server: Server, key: Mapping[str, str]) -> Served:
    """The same over a *client*, showing *key*."""
    host = host_of(server.url)
    try:
        models = read_models(await fetch(client, "models", key, server.deadline))
    except UnansweredError as trouble:
        raise trouble.error from None
    except GenerationError as error:
        raise EngineUnavailableError(
            f"{host} does not list its models as OpenAI's /v1/models does", mend=error.mend
        ) from None
    if not models:
        raise EngineUnavailableError(f"{host} serves no model", mend="look at the server")
    found = [one for one in models if one.id == server.model] if server.model else [models[0]]
    if not found:
        names = ", ".join(one.id[:80] for one in models[:5])
        raise EngineUnavailableError(
            f"{host} serves no model {server.model!r}", mend=f"set serverModel to one of {names}"
        )
    return found[0]


async def understood(
    client: httpx2.AsyncClient, server: Server, served: Served, key: Mapping[str, str], ours: str
) -> Dialect:
    """What *server* understands of the requests for the model *served*, which is to be like *ours*.

    :raises EngineError: not even text, or its tokens are not ours.
    """
    speller = server.speller
    if speller is None:
        return Dialect(ids=True, told=True)
    ids = tuple(speller.ids(PROBE))
    tried = functools.partial(_tried, client, server, served, key)
    by_ids = None
    if server.same_tokens:
        by_ids, _ = await tried(ids, Dialect(ids=True), most=PROBE_TOKENS)
    read, refused = await tried(PROBE, Dialect())
    if read is None and by_ids is None:
        read, refused = await tried(PROBE, Dialect(extras=False))
        if read is None:
            assert refused is not None  # noqa: S101 - one of both
            raise refused.error from None
        return Dialect(extras=False)
    if by_ids is None:
        return Dialect()
    if not _same_vocabulary(by_ids, read, ids, speller):
        raise EngineUnavailableError(
            f"{served.id} on {host_of(server.url)} has other tokens than {ours}",
            mend="set serverFamily to the model that it is like",
        )
    told = any(part.id is not None for part in by_ids.parts)
    # A letter that nobody would choose: who answers with it lets us choose.
    unlikely = tuple(speller.ids("~"))[:1]
    chosen_one, _ = await tried(ids, Dialect(ids=True, chooses=True), unlikely)
    chooses = chosen_one is not None and [part.id for part in chosen_one.parts] == [*unlikely]
    return Dialect(ids=True, told=told, chooses=chooses)


async def _tried(
    client: httpx2.AsyncClient,
    server: Server,
    served: Served,
    key: Mapping[str, str],
    prompt: str | Sequence[int],
    dialect: Dialect,
    first_ids: tuple[int, ...] = (),
    *,
    most: int = 1,
) -> tuple[Answered | None, UnansweredError | None]:
    """What the server makes of *prompt*, or how it refuses it.

    :raises EngineError: it is away, or refuses more than the prompt.
    """
    request = GenerationRequest(Prompt((), ()), most, first_ids=first_ids)
    body = asked(served.id, prompt, request, dialect, stream=False)
    limit = asyncio.get_running_loop().time() + server.deadline
    try:
        stream = await open_stream(client, body, key, limit)
        try:
            return read_answer(await stream.body()), None
        finally:
            await stream.aclose()
    except UnansweredError as trouble:
        # What cannot be understood is refused with a status of its own, by some with 500.
        if trouble.status in (400, 422, 500):
            return None, trouble
        raise trouble.error from None
    except GenerationError as error:
        return None, UnansweredError(error)


def _same_vocabulary(
    by_ids: Answered, read: Answered | None, ids: Sequence[int], speller: Speller
) -> bool:
    """Whether a server's token ids are ours, as far as it tells.

    One that tells how it has read a text is believed. Others may cut a text elsewhere than we do
    and have our vocabulary all the same (llama.cpp knows few tokenizers exactly): there the tokens
    of an answer must spell its text. Who tells neither has at least to count as many as we do; it
    may have put a mark before the text.
    """
    if read is not None and read.prompt_ids is not None:
        return read.prompt_ids[-len(ids) :] == tuple(ids)
    told = [part.id for part in by_ids.parts if part.id is not None]
    text = "".join(part.text for part in by_ids.parts)
    if told and text:
        ours = speller.text(told).rstrip("\ufffd")  # a character may be cut in two
        return ours.startswith(text) or text.startswith(ours)
    counted = None if read is None else read.prompt_tokens
    return counted is None or 0 <= counted - len(ids) <= 1
