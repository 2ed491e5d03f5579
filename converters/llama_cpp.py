"""What a real llama.cpp makes of a GGUF file: tokens, log-probabilities, greedy answers.

``xllamacpp`` runs llama.cpp's server inside this process, on a free port of the loopback
interface; it is asked there, because only that interface says which tokens were generated. Used
to check files, not to complete: one model, one request at a time, no cache between requests.

Knows llama.cpp. Does not know what the right answers are (``verify`` does).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import psutil
from numpy.typing import NDArray

from codegen_lsp.errors import ConversionError

__all__ = ["LlamaCpp", "greedy", "log_probs", "running", "top_log_probs"]

_TIMEOUT: Final = 600.0
"""Seconds for one request; a large model on a small machine reads slowly."""

_SMALL: Final = 64 << 20
"""Bytes of a file below which one thread is enough."""

_CERTAIN: Final = 1e6
"""A bias that no logit outweighs."""


class LlamaCpp:
    """A running llama.cpp with one model; made by :func:`running`.

    Every method raises ``ConversionError`` where llama.cpp refuses the request.
    """

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc

    def tokenize(self, text: str) -> list[int]:
        """The ids of *text*, special tokens in it included, nothing added."""
        return list(self._ask("/tokenize", content=text, parse_special=True)["tokens"])

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of *ids*."""
        return str(self._ask("/detokenize", tokens=list(ids))["content"])

    def greedy(self, prompt: Sequence[int], max_tokens: int) -> list[int]:
        """The ids that the likeliest token each time gives, without an end of text."""
        answer = self._complete(prompt, n_predict=max_tokens, return_tokens=True)
        ids = list(answer["tokens"])
        return ids[:-1] if answer.get("stop_type") == "eos" else ids

    def top_log_probs(self, prompt: Sequence[int], count: int) -> dict[int, float]:
        """The *count* likeliest ids after *prompt*, with natural logarithms, best first."""
        # An id that is part of a character comes without probabilities. They are taken before
        # biases, so another id is made to win.
        printable = self.tokenize("a")[0]
        answer = self._complete(
            prompt, n_predict=1, n_probs=count, logit_bias=[[printable, _CERTAIN]]
        )
        found = answer["completion_probabilities"][0]["top_logprobs"]
        return {int(entry["id"]): float(entry["logprob"]) for entry in found}

    def _complete(self, prompt: Sequence[int], **fields: Any) -> dict[str, Any]:
        settings = {"temperature": 0.0, "cache_prompt": False}
        return self._ask("/completion", prompt=list(prompt), **settings, **fields)

    def _ask(self, path: str, **fields: Any) -> dict[str, Any]:
        connection = HTTPConnection(self._host, timeout=_TIMEOUT)
        try:
            body = json.dumps(fields)
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, HTTPException, ValueError) as error:
            raise ConversionError(f"llama.cpp does not answer: {error!r}") from error
        finally:
            connection.close()
        if "error" in answer:
            raise ConversionError(f"llama.cpp: {answer['error'].get('message', answer['error'])}")
        return answer


@contextmanager
def running(gguf: Path, context: int, *, threads: int = 0) -> Iterator[LlamaCpp]:
    """A llama.cpp with the model *gguf* and room for *context* tokens, stopped at the end.

    It computes on the CPU with an exact cache; *threads* 0 chooses their number.

    :raises ConversionError: ``xllamacpp`` is not installed, or llama.cpp cannot load the file.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise ConversionError(
            "running a GGUF needs the package xllamacpp", mend="pip install 'codegen-lsp[llama]'"
        ) from error
    if not gguf.is_file():
        raise ConversionError(f"{gguf} is no file")
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, gguf, context, threads))
    except RuntimeError as error:
        raise ConversionError(f"llama.cpp cannot load {gguf}: {error}") from error
    try:
        yield LlamaCpp(server.listening_address)
    finally:
        del server  # stops its threads


def _threads(gguf: Path) -> int:
    """One where a model is so small that threads wait for each other longer than they compute.

    Otherwise one processor is left alone: all of them stand still while one has something else
    to do.
    """
    cores = psutil.cpu_count(logical=False) or 1
    return 1 if gguf.stat().st_size < _SMALL else max(1, cores - 1)


def _parameters(xllamacpp: Any, gguf: Path, context: int, threads: int) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.warmup = False
    parameters.ui = False
    parameters.verbosity = -1  # nothing on stderr
    # Compared are weights, not the rounding of caches.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    off = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.flash_attn_type = off
    for group in (parameters.cpuparams, parameters.cpuparams_batch):
        group.n_threads = threads or _threads(gguf)
        group.poll = 0  # waiting threads sleep
    return parameters


def greedy(gguf: Path, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
    """The greedy answers of *gguf* to *prompts* (token ids), each of at most *max_tokens* ids.

    :raises ConversionError: see :func:`running`; or a prompt does not fit the model.
    """
    longest = max((len(prompt) for prompt in prompts), default=1)
    with running(gguf, longest + max_tokens) as llama:
        return [llama.greedy(prompt, max_tokens) for prompt in prompts]


def top_log_probs(gguf: Path, prompt: Sequence[int], count: int) -> dict[int, float]:
    """The *count* likeliest ids of *gguf* after *prompt*, with natural logarithms, best first.

    :raises ConversionError: see :func:`greedy`.
    """
    with running(gguf, len(prompt) + 1) as llama:
        return llama.top_log_probs(prompt, count)


def log_probs(llama: LlamaCpp, prompt: Sequence[int], size: int) -> NDArray[np.float64]:
    """Log-probabilities [size] of every id after *prompt*.

    :raises ConversionError: the model has fewer than *size* ids.
    """
    found = llama.top_log_probs(prompt, size)
    if len(found) != size or max(found) >= size:
        raise ConversionError(f"llama.cpp knows {len(found)} tokens where {size} were expected")
    row = np.empty(size)
    row[list(found)] = list(found.values())
    return row
