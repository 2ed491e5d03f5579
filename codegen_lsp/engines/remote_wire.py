"""The words of ``/v1/completions``: what is asked, server-sent events, and what is answered.

The protocol is OpenAI's; servers add to it. Token ids of an answer come from vLLM (and our own
server) as ``token_ids`` where ``return_token_ids`` was asked, from llama-server beside the
probabilities, from Ollama not at all. All of that is read by one function, because servers change.

Pure: bytes and JSON in, values out. Does not know connections, or which server it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from codegen_lsp.engines.remote_access import Speller
from codegen_lsp.errors import GenerationError
from codegen_lsp.types import GenerationRequest, Token

__all__ = [
    "DONE",
    "Answered",
    "Dialect",
    "Events",
    "Part",
    "Served",
    "aligned",
    "asked",
    "read_answer",
    "read_models",
    "spelt",
]

DONE: Final = "[DONE]"
"""The last event of a stream."""

BLOCK: Final = 128
"""A prompt that is too long loses a multiple of so many tokens, so that what is sent begins at the
same place for as many keystrokes and the server finds what it has read. Servers keep what they read
in blocks of 16 to 128 tokens."""

MOST_STOPS: Final = 4
"""OpenAI allows no more texts that end an answer."""

LONGEST_EVENT: Final = 1 << 20
"""Bytes; an event holds a few words."""

LEAST: Final = -10_000
"""A logarithm of a probability is not less; servers write infinity in ways of their own."""

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server was found to understand."""

    ids: bool = False
    """Whether prompts may be token ids."""

    told: bool = False
    """Whether answers tell their tokens' ids; else their text counts."""

    chooses: bool = False
    """Whether a token can be asked for that is one of some."""

    extras: bool = True
    """Whether fields that OpenAI does not have may be sent, and probabilities be asked for."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model of a server."""

    id: str

    context_length: int = 0
    """Most tokens of prompt and answer together; 0 where the server does not say."""

    family: str = ""
    """The prompt format, as our own server says it; empty from others."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer: a token, or text of several."""

    text: str
    """Empty where only the token is known."""

    id: int | None = None
    log_prob: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One event, or a whole answer that came without events."""

    parts: tuple[Part, ...] = ()

    finished: bool = False
    """Whether the model, or a limit of ours, ended the answer here."""

    prompt_ids: tuple[int, ...] | None = None
    """The tokens of the prompt as the server read them, where it tells."""

    prompt_tokens: int | None = None
    """How many those were, where it tells."""


def aligned(tokens: Sequence[int], room: int) -> tuple[int, ...]:
    """The end of *tokens*, at most *room* (at least 1) long, less a multiple of :data:`BLOCK`.

    Where that would leave nothing, the last *room* tokens.
    """
    excess = len(tokens) - max(1, room)
    if excess <= 0:
        return tuple(tokens)
    lost = -(-excess // BLOCK) * BLOCK
    return tuple(tokens[lost if lost < len(tokens) else excess :])


def asked(
    model: str,
    prompt: str | Sequence[int],
    request: GenerationRequest,
    dialect: Dialect,
    stops: Sequence[str] = (),
    *,
    stream: bool = True,
) -> dict[str, Any]:
    """The body that asks *model* to go on from *prompt*; nothing is in it that need not be."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt if isinstance(prompt, str) else list(prompt),
        "max_tokens": request.max_new_tokens,
        "temperature": sampling.temperature,
        "stream": stream,
    }
    if sampling.top_p < 1.0:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if stops:
        body["stop"] = list(stops[:MOST_STOPS])
    if not dialect.extras:
        return body
    body |= {"logprobs": 1, "return_token_ids": True}
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if dialect.chooses and request.first_ids:
        body["allowed_token_ids"] = list(request.first_ids)
    return body


def spelt(part: Part, speller: Speller) -> Iterator[Token]:
    """The tokens of ours that spell the text of *part*, whose probability the first of them bears.

    A single one where they do not, because a character lies across two of them.
    """
    ids = tuple(speller.ids(part.text))
    texts = [speller.text((one,)) for one in ids]
    if not ids or "".join(texts) != part.text:
        yield Token(ids[0] if ids else -1, part.log_prob, part.text)
        return
    certain = None if part.log_prob is None else 0.0
    for place, (one, text) in enumerate(zip(ids, texts, strict=True)):
        yield Token(one, part.log_prob if place == 0 else certain, text)


class Events:
    """Server-sent events out of bytes, however they are cut (WHATWG HTML, 9.2)."""

    def __init__(self) -> None:
        self._rest = b""
        """The beginning of a line."""
        self._data: list[bytes] = []
        self._size = 0
        self._returned = False
        """Whether the last byte was a carriage return, which ended a line by itself."""

    def push(self, content: bytes) -> Iterator[str]:
        """The data of the events that *content* completes.

        :raises GenerationError: an event has no end.
        """
        if self._returned and content:
            content, self._returned = content.removeprefix(b"\n"), False
        self._returned = content.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + content)
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield b"\n".join(self._data).decode("utf-8", "replace")
                self._data, self._size = [], 0
        if self._size + len(self._rest) > LONGEST_EVENT:
            raise GenerationError("the server sends an answer without end")

    def _take(self, line: bytes) -> None:
        name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        if name == b"data":  # events have no names here, comments none at all
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)


def read_answer(content: str | bytes) -> Answered:
    """What an event, or a body without events, says.

    :raises GenerationError: it is no answer, or says that the server failed.
    """
    document = _parsed(content)
    if isinstance(document.get("error"), dict | str):
        raise GenerationError("the server failed while it answered", mend="look at its log")
    choices = document.get("choices")
    if not isinstance(choices, list) or any(not isinstance(one, dict) for one in choices):
        raise _foreign()
    usage = document.get("usage")
    counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if not choices:  # the event that counts tokens
        return Answered(prompt_tokens=counted if isinstance(counted, int) else None)
    choice: dict[str, Any] = choices[0]
    if not isinstance(choice.get("text", ""), str):
        raise _foreign()
    prompt = _ids(choice.get("prompt_token_ids")) or _ids(document.get("prompt_token_ids"))
    return Answered(
        parts=_parts(choice),
        finished=choice.get("finish_reason") is not None,
        prompt_ids=prompt,
        prompt_tokens=counted if isinstance(counted, int) else None,
    )


def read_models(content: str | bytes) -> tuple[Served, ...]:
    """The models that ``/v1/models`` lists.

    :raises GenerationError: it is no such list.
    """
    rows = _parsed(content).get("data")
    if not isinstance(rows, list):
        raise _foreign()
    rows = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    return tuple(Served(row["id"], _context(row), _family(row)) for row in rows if row["id"])


def _family(row: dict[str, Any]) -> str:
    found = row.get("family")
    return found if isinstance(found, str) else ""


def _context(row: dict[str, Any]) -> int:
    """Servers like vLLM say ``max_model_len``, llama-server what the model was trained on."""
    meta = row.get("meta")
    trained = meta.get("n_ctx_train") if isinstance(meta, dict) else None
    found = row.get("max_model_len") or trained
    return found if isinstance(found, int) and found > 0 else 0


def _parsed(content: str | bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise _foreign() from None
    if not isinstance(document, dict):
        raise _foreign()
    return document


def _foreign() -> GenerationError:
    return GenerationError(
        "the server does not answer as OpenAI's /v1/completions does",
        mend="look at the setting server",
    )


def _parts(choice: dict[str, Any]) -> tuple[Part, ...]:
    text: str = choice.get("text", "")
    said = choice.get("logprobs")
    said = said if isinstance(said, dict) else {}
    content = said.get("content")
    if isinstance(content, list) and content and all(isinstance(one, dict) for one in content):
        return _of_content(content, text)
    odds = said.get("token_logprobs")
    odds = [_log_prob(one) for one in odds] if isinstance(odds, list) else []
    ids = _ids(choice.get("token_ids"))
    words = said.get("tokens")
    words = words if isinstance(words, list) else []
    # Words may be bytes of a character each, or names: only where they are the text they count.
    if not all(isinstance(word, str) for word in words) or "".join(words) != text:
        words = []
    if ids:
        whole = [*words, text[len("".join(words)) :]][: len(ids)] if words else [text]
        return tuple(
            Part(
                whole[place] if place < len(whole) else "",
                one,
                odds[place] if len(odds) == len(ids) else None,
            )
            for place, one in enumerate(ids)
        )
    if words:
        known = odds if len(odds) == len(words) else [None] * len(words)
        return tuple(Part(word, None, odd) for word, odd in zip(words, known, strict=True))
    together = [odd for odd in odds if odd is not None]
    return (Part(text, None, sum(together) if together else None),) if text else ()


def _of_content(content: list[dict[str, Any]], text: str) -> tuple[Part, ...]:
    """llama-server's way to tell probabilities: a token each, with its id."""
    words = [one.get("token") for one in content]
    known = all(isinstance(word, str) for word in words)
    spelt = known and "".join(str(word) for word in words) == text
    return tuple(
        Part(
            str(words[place]) if spelt else text if place == 0 else "",
            _id(one.get("id")),
            _log_prob(one.get("logprob")),
        )
        for place, one in enumerate(content)
    )


def _id(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _ids(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list) or any(_id(one) is None for one in value):
        return None
    return tuple(value)


def _log_prob(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return float(max(LEAST, min(0, value)))  # first, for no float is as large as some integers
