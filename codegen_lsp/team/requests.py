"""What a body of ``POST /v1/completions`` may hold, and what it means: judged before any work.

The fields are OpenAI's (Create completion, legacy), with two of vLLM's: ``top_k`` and
``return_token_ids``. What would change an answer and is not offered is refused, never ignored.

Knows fields, limits and the context's length. Does not run anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from codegen_lsp.errors import CodegenError
from codegen_lsp.prompts.infill import FORMATS
from codegen_lsp.team.model import Served
from codegen_lsp.team.refusals import RefusedError, invalid, unknown_model
from codegen_lsp.types import CompletionContext, Sampling

__all__ = ["MOST_CHOICES", "Asked", "Body", "Question", "judge", "parse"]

MOST_CHOICES: Final = 16
"""Prompts times ``n`` of one request."""

MOST_STOPS: Final = 16

LONGEST_STOP: Final = 256

MOST_LOGPROBS: Final = 5

LEAST_TEMPERATURE: Final = 0.01
"""Logits divided by less are no numbers any more."""

LEAST_TOP_P: Final = 1e-4
"""Less is 0 in float32, and takes the likeliest token as well."""

ECHO_BYTES: Final = 1 << 29
"""What scoring a prompt may take: its tokens times the vocabulary, four bytes each."""


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream is to hold beside the text."""

    include_usage: bool = False
    """Whether a last chunk counts the tokens."""

    include_obfuscation: bool | None = None
    """Accepted and without effect: OpenAI's padding against who listens to a line."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields, with OpenAI's defaults."""

    model: str | None = None
    prompt: str | list[Any] | None = None
    suffix: str | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=1 << 20)] | None = 16
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = 1.0
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = 1.0
    top_k: Annotated[int, Meta(ge=-1, le=1 << 20)] | None = 0
    n: Annotated[int, Meta(ge=1, le=MOST_CHOICES)] | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    logprobs: Annotated[int, Meta(ge=0, le=MOST_LOGPROBS)] | None = None
    echo: bool | None = False
    stop: str | Annotated[list[str], Meta(max_length=MOST_STOPS)] | None = None
    seed: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    best_of: int | None = None
    presence_penalty: float | None = 0.0
    frequency_penalty: float | None = 0.0
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    return_token_ids: bool | None = False


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt, ready for the model."""

    ids: tuple[int, ...]
    """At least one."""

    text: str
    """What ``echo`` repeats: the prompt as it was given, or the text of its tokens."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that makes sense."""

    questions: tuple[Question, ...]

    n: int
    """Answers to each."""

    most: int
    """New tokens of each; 0 only where prompts are echoed."""

    sampling: Sampling

    stops: tuple[str, ...]

    stop_ids: frozenset[int]
    """Tokens that end an answer beside end-of-text."""

    logprobs: int | None
    """Of how many tokens at each step, beside the chosen one's own; ``None``: of none at all."""

    echo: bool
    stream: bool
    usage: bool
    """Whether a stream ends with the usage."""

    token_ids: bool
    """Whether choices tell their tokens' ids, too."""

    @property
    def choices(self) -> int:
        """How many answers."""
        return len(self.questions) * self.n

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts, each counted once."""
        return sum(len(question.ids) for question in self.questions)


def parse(content: bytes) -> Body:
    """The body of a request.

    :raises RefusedError: it is no JSON, or a field is not what it must be.
    """
    try:
        return msgspec.json.decode(content, type=Body)
    except msgspec.ValidationError as error:
        raise invalid(f"{error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("the body is not JSON, in UTF-8", code="invalid_json") from None


def judge(body: Body, served: Served) -> Asked:
    """What *body* asks of *served*. Tokenizes, so it may take milliseconds.

    :raises RefusedError: something makes no sense, is not offered here or does not fit.
    """
    if body.model is not None and body.model not in served.names:
        raise unknown_model(served.name)
    _refuse_unoffered(body, served)
    most = 16 if body.max_tokens is None else body.max_tokens
    prompts = _prompts(body.prompt)
    n = body.n or 1
    if len(prompts) * n > MOST_CHOICES:
        raise invalid(f"{len(prompts)} prompts times n={n} are more than {MOST_CHOICES}", "n")
    if not (most or body.echo):
        raise invalid("max_tokens must be at least 1 where nothing is echoed", "max_tokens")
    questions = tuple(_question(prompt, body.suffix, most, served) for prompt in prompts)
    if body.echo and body.logprobs is not None:
        _refuse_large_echo(questions, served)
    return Asked(
        questions=questions,
        n=n,
        most=most,
        sampling=_sampling(body, served),
        stops=_stops(body.stop),
        stop_ids=served.stop_ids if body.suffix is not None else frozenset(),
        logprobs=body.logprobs,
        echo=bool(body.echo),
        stream=bool(body.stream),
        usage=body.stream_options is not None and body.stream_options.include_usage,
        token_ids=bool(body.return_token_ids),
    )


def _refuse_unoffered(body: Body, served: Served) -> None:
    if body.best_of not in (None, 1, body.n or 1):
        raise invalid("best_of is not offered; ask with n", "best_of")
    for name, value in (
        ("presence_penalty", body.presence_penalty),
        ("frequency_penalty", body.frequency_penalty),
        ("logit_bias", body.logit_bias),
    ):
        if value:
            raise invalid(f"{name} is not offered", name)
    if body.stream_options is not None and not body.stream:
        raise invalid("stream_options are for streams", "stream_options")
    if body.suffix is not None and body.echo:
        raise invalid("suffix and echo exclude each other", "echo")
    if body.seed is not None and body.temperature != 0 and not served.model.seeds:
        raise invalid(f"{served.name} cannot draw twice alike; leave seed out", "seed")


def _sampling(body: Body, served: Served) -> Sampling:
    temperature = 1.0 if body.temperature is None else body.temperature
    if temperature == 0:
        return Sampling()
    top_p = 1.0 if body.top_p is None else body.top_p
    top_k = max(0, body.top_k or 0)
    return Sampling(
        max(temperature, LEAST_TEMPERATURE),
        max(top_p, LEAST_TOP_P),
        top_k if top_k < served.tokenizer.vocab_size else 0,
        body.seed,
    )


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not all(0 < len(one) <= LONGEST_STOP for one in stops):
        raise invalid(f"each stop has 1 to {LONGEST_STOP} characters", "stop")
    return tuple(dict.fromkeys(stops))


def _prompts(prompt: str | list[Any] | None) -> list[str | list[int]]:
    """The prompts of a request: a text, texts, token ids, or lists of those."""
    if prompt is None or isinstance(prompt, str):
        return [prompt or ""]
    if not prompt:
        raise invalid("prompt is an empty list", "prompt")
    if all(_is_id(one) for one in prompt):
        return [prompt]
    texts = all(isinstance(one, str) for one in prompt)
    lists = all(isinstance(one, list) and one and all(map(_is_id, one)) for one in prompt)
    if not (texts or lists):
        raise invalid("prompt is text, token ids, or a list of either", "prompt")
    if len(prompt) > MOST_CHOICES:
        raise invalid(f"{len(prompt)} prompts are more than {MOST_CHOICES}", "prompt")
    return prompt


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _question(prompt: str | list[int], suffix: str | None, most: int, served: Served) -> Question:
    if suffix is not None:
        if not isinstance(prompt, str):
            raise invalid("with suffix, prompt is text", "suffix")
        return Question(_filled(prompt, suffix, most, served), "")
    if isinstance(prompt, str):
        ids = served.tokenizer.encode(prompt) or [served.model.end]
        text = prompt
    else:
        if not all(map(served.model.accepts, prompt)):
            raise invalid("prompt holds a token id that is not in the vocabulary", "prompt")
        ids, text = prompt, served.tokenizer.decode(prompt)
    _refuse_long(len(ids), most, served)
    return Question(tuple(ids), text)


def _filled(prefix: str, suffix: str, most: int, served: Served) -> tuple[int, ...]:
    """The prompt of a model that fills in."""
    if served.family.name not in FORMATS:
        raise invalid(
            f"{served.name} only continues text and knows no suffix: leave it out, or serve an "
            "infill model (CodeGen2, CodeGen2.5, StarCoder, SantaCoder)",
            "suffix",
        )
    tokenizer, room = served.tokenizer, served.context_length - most
    size = len(tokenizer.encode(prefix)) + len(tokenizer.encode(suffix)) + served.marks
    _refuse_long(size, most, served)
    try:
        # Room for all of it: the share that a suffix has of a budget is not to cut this one.
        context = CompletionContext(prefix, suffix)
        prepared = served.family.prepare(context, tokenizer, max(room, 4 * size))
    except CodegenError as error:
        raise RefusedError(500, error.message, kind="server_error") from error
    return (prepared.unhealed or prepared.prompt).tokens


def _refuse_long(size: int, most: int, served: Served) -> None:
    if size + most > served.context_length:
        raise invalid(
            f"the context has {served.context_length} tokens; the prompt has {size} and max_tokens "
            f"is {most}, together {size + most}",
            "prompt",
            "context_length_exceeded",
        )


def _refuse_large_echo(questions: Sequence[Question], served: Served) -> None:
    longest = max(len(question.ids) for question in questions)
    room = ECHO_BYTES // (4 * served.tokenizer.vocab_size)
    if longest > room:
        raise invalid(f"with echo and logprobs a prompt has at most {room} tokens", "prompt")
