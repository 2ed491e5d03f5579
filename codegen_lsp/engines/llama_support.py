"""What llama.cpp's server is told and what it answers: tables and pure functions.

Knows the fields of its requests, the chunks of its streams, and how the parameters of a server
follow from a model and a machine. Imports nothing of it: where its classes are needed, the library
is handed in. ``llama`` runs it.

Source: ggml-org/llama.cpp, tools/server/README.md (``/v1/completions`` and ``/completion``).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from codegen_lsp.engines.gguf_header import GgufHeader
from codegen_lsp.engines.hardware import SMALL
from codegen_lsp.engines.odds import Likeliest
from codegen_lsp.errors import CodegenError, EngineUnavailableError, GenerationError
from codegen_lsp.types import GenerationRequest, Sampling, Token

__all__ = [
    "MOST_SLOTS",
    "NAMED",
    "NO_ID",
    "Chunk",
    "Plan",
    "body",
    "fitting",
    "on_gpu",
    "parameters_of",
    "plan_of",
    "read_chunk",
    "refusal",
    "unavailable",
    "wishing",
]

MOST_SLOTS: Final = 4
"""More places than this nobody jumps between."""

READ_SMALL: Final = 64
READ_LARGE: Final = 32
"""Tokens read at a time, between which reading can be given up; see :func:`plan_of`."""

DRAFT_MATCH: Final = 4
DRAFT_LENGTH: Final = 8
"""Tokens that must stand elsewhere in the prompt for what follows them to be guessed, and how many
are guessed at once."""

NAMED: Final = 100
"""Likeliest tokens that are named beside each, where the odds are wanted. llama.cpp sorts them all
for the one that was chosen, so that a token of 350M's shape takes 1 to 2 % longer, as measured. One
of a small model would take half as long again: there it is cheaper to ask the model once more."""

_CERTAIN: Final = 1e4
"""A bias that no logit outweighs, and beside which single precision keeps them apart."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is loaded."""

    context: int
    """Tokens of one slot."""

    slots: int
    """Prompts whose keys and values are kept side by side."""

    read_at_once: int
    """Tokens of a prompt read in one step."""

    threads: int
    needed: int
    """Bytes of weights, keys and values."""

    named: int
    """Likeliest tokens that are named beside each, where the odds are wanted; 0: none."""


def plan_of(header: GgufHeader, size: int, context: int, threads: int, capacity: int) -> Plan:
    """How a file of *size* bytes is loaded, where *capacity* bytes may keep what was read.

    At least one slot there must be. A step of reading is what a new request waits for, and small
    ones cost little. Measured, processor time against steps of 512 tokens: 9 MB of weights, steps
    of 64 nothing, of 32 4 %; 380 MB, steps of 64 4 %, of 32 12 %, of 16 25 %.
    """
    context = min(context, header.context_length)
    kept = header.kept_bytes(context)
    slots = max(1, min(MOST_SLOTS, capacity // max(1, kept)))
    small = size < SMALL
    at_once = READ_SMALL if small else READ_LARGE
    return Plan(context, slots, at_once, threads, size + slots * kept, 0 if small else NAMED)


def fitting(request: GenerationRequest, context: int, end: int) -> tuple[tuple[int, ...], int]:
    """The prompt of *request* and how many tokens may follow, together at most *context*.

    A prompt that leaves no room loses its beginning; an empty one is the beginning of a document.
    """
    new_tokens = max(1, min(request.max_new_tokens, context - 1))
    return request.prompt.tokens[-max(1, context - new_tokens) :] or (end,), new_tokens


def body(
    ids: Sequence[int],
    max_tokens: int,
    slot: int,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    biases: Sequence[tuple[int, float | bool]] = (),
    named: int = 1,
) -> str:
    """The request that goes on with *ids*; with *max_tokens* 0 they are only read.

    *named* are the likeliest tokens that come with each, to be told how likely they were.

    Everything that would change probabilities behind our back is switched off.
    """
    fields: dict[str, Any] = {
        "prompt": list(ids),
        "max_tokens": max_tokens,
        "id_slot": slot,
        "stream": True,
        "return_progress": True,
        "logprobs": max(1, named),
        "temperature": max(0.0, sampling.temperature),
        "samplers": ["top_k", "top_p", "temperature"],
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": 0.0,
        # The same seed must give the same tokens; what was read in other steps is rounded
        # otherwise, by little.
        "cache_prompt": sampling.temperature <= 0 or sampling.seed is None,
    }
    if sampling.seed is not None:
        fields["seed"] = sampling.seed % (1 << 32)
    if biases:
        fields["logit_bias"] = [list(pair) for pair in biases]
    return json.dumps(fields)


def wishing(ids: Sequence[int]) -> list[tuple[int, float | bool]]:
    """Biases with which one of *ids* is chosen. Probabilities are reported as without them."""
    return [(i, _CERTAIN) for i in ids]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of an answer, as far as it concerns us."""

    token: Token | None = None
    read: int | None = None
    """How many tokens of the prompt are read by now."""

    error: str = ""


NO_ID: Final = -1
"""The id of a token that was guessed and found right: llama.cpp tells only its text."""


def read_chunk(chunk: Any) -> Chunk:
    """What *chunk*, a decoded or encoded JSON object, says.

    A token's text is given where the id does not say it all: a token that ends within a character
    comes with the one that ends the character, under the id of the latter.
    """
    fields: Mapping[str, Any] = chunk if isinstance(chunk, Mapping) else json.loads(chunk)
    if "error" in fields:
        error = fields["error"]
        return Chunk(
            error=str(error.get("message", error) if isinstance(error, Mapping) else error)
        )
    progress = fields.get("prompt_progress")
    if progress is not None:
        return Chunk(read=int(progress["processed"]))
    for choice in fields.get("choices") or ():
        text = str(choice.get("text") or "")
        content = (choice.get("logprobs") or {}).get("content") or ()
        if content:
            own, last = text.isascii() and len(content) == 1, content[-1]
            token = Token(int(last["id"]), float(last["logprob"]), None if own else text)
            # Of a text of several tokens nobody knows how likely others were.
            return Chunk(replace(token, odds=_odds(last)) if own else token)
        if text:
            return Chunk(Token(NO_ID, None, text))
    return Chunk()


def _odds(entry: Mapping[str, Any]) -> Likeliest | None:
    """How likely other tokens were, where more than one is named."""
    named = entry.get("top_logprobs") or ()
    if len(named) < 2:
        return None
    return Likeliest((int(one["id"]), float(one["logprob"])) for one in named)


_REFUSED: Final = re.compile(r"invalid tokens", re.IGNORECASE)


def refusal(message: str) -> GenerationError:
    """Our error for a request that llama.cpp does not answer."""
    if _REFUSED.search(message):
        return GenerationError(
            "a token id is not in the model's vocabulary",
            mend="use the tokenizer that belongs to the model",
        )
    return GenerationError(f"llama.cpp failed: {message}", mend="restart the server")


def unavailable(path: Path, error: BaseException) -> CodegenError:
    """Our error for a model that llama.cpp cannot load."""
    return EngineUnavailableError(
        f"llama.cpp cannot load {path}: {error}",
        mend="close other programs, or remove the file: codegen-lsp bench engine makes it anew",
    )


def on_gpu(library: Any, device: str) -> bool:
    """Whether the model goes onto a GPU.

    :raises EngineUnavailableError: it was to, and llama.cpp sees none.
    """
    cpu = library.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    accelerator = library.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_ACCEL
    found = any(one["type"] not in (cpu, accelerator) for one in library.get_device_info())
    if device == "cuda" and not found:
        raise EngineUnavailableError(
            "llama.cpp sees no GPU", mend="set device to 'auto' or 'cpu', or engine to 'ct2'"
        )
    return found and device != "cpu"


def parameters_of(library: Any, gguf: Path, plan: Plan, drafts: bool, *, gpu: bool) -> Any:
    """The parameters of a server that runs *gguf* as *plan* says."""
    parameters = library.CommonParams()
    parameters.model.path = str(gguf)
    parameters.n_parallel = plan.slots
    parameters.n_ctx = plan.context * plan.slots
    parameters.kv_unified = False  # each slot has its own room
    parameters.n_batch = parameters.n_ubatch = plan.read_at_once
    parameters.cache_ram_mib = 0  # what is kept is in the slots, and nowhere else
    parameters.n_gpu_layers = -1 if gpu else 0
    if not gpu:
        # Measured on two cores, 350M: 21 ms a token without, 33 with.
        off = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.flash_attn_type = off
    parameters.warmup = parameters.ui = False
    parameters.endpoint_slots = parameters.endpoint_props = False
    parameters.api_keys = [secrets.token_hex(32)]
    parameters.verbosity = -1  # nothing on stderr
    for group in (parameters.cpuparams, parameters.cpuparams_batch):
        group.n_threads = plan.threads
    if drafts:
        _speculate(library, parameters.speculative)
    return parameters


def _speculate(library: Any, speculative: Any) -> None:
    """Guess what followed the same few tokens earlier in the prompt, and check it at once."""
    kinds = library.common_speculative_type
    speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_MOD]
    speculative.ngram_mod.n_match = DRAFT_MATCH
    speculative.ngram_mod.n_max = DRAFT_LENGTH
    speculative.ngram_mod.n_min = 2
    speculative.draft.n_max, speculative.draft.n_min = DRAFT_LENGTH, 1
