"""The peer: transformers' CodeGenForCausalLM with a static key-value cache, as it is and compiled.

``transformers.StaticCache`` serves CodeGen as it is, so the loop here only feeds it: the prompt,
what was typed, then a token at a time. Each of the three lengths is compiled as a graph of its
own with mode ``reduce-overhead`` (CUDA graphs where there is CUDA), which is more than a server
could do whose prompts are of any length: figures of the best case. The likeliest token is chosen
on the device and fetched at once, because a token that is shown must be known.

Knows torch and transformers, which are imported when a model is loaded. Does not know the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.gpu_subjects import LENGTH, MORE, NEW_TOKENS, Sample, Text, told

__all__ = ["COMPILED", "EAGER", "TorchSubject"]

EAGER: Final = "static cache"
COMPILED: Final = "static cache, compiled"

ROOM: Final = 1040
"""Tokens that the cache holds: prompt, extension and answer, rounded up to whole eights."""

if LENGTH + MORE + NEW_TOKENS > ROOM:
    raise AssertionError("the cache is too short")

_Step = Callable[[Any, Any], Any]
"""Token ids [1, n] and their positions [n], both on the device, to the next token's id [1]."""


class TorchSubject:
    """One model in one type on one device."""

    engine = "transformers"

    def __init__(
        self, folder: Path, kind: str, device: str, *, compiled: bool = True, threads: int = 0
    ) -> None:
        """*kind* is the name of a torch type; it is also measured *compiled*, or not.

        *threads* of the CPU are used; 0 lets torch choose.
        """
        self.kind = kind
        self.modes: tuple[str, ...] = (EAGER, COMPILED) if compiled else (EAGER,)
        self.notes: dict[str, str] = {}
        self._folder = folder
        self._device = device
        self._threads = threads
        self._cache: Any = None
        self._steps: dict[str, _Step] = {}

    def load(self) -> None:
        """Load the weights, fill the cache once, and compile; a note says why that failed.

        :raises ImportError: torch or transformers are missing.
        :raises RuntimeError: the device or its memory are missing.
        """
        import torch
        from transformers import CodeGenForCausalLM, StaticCache
        from transformers.utils import logging

        progress: Any = logging
        progress.disable_progress_bar()
        if self._threads:
            torch.set_num_threads(self._threads)
        kind = getattr(torch, self.kind)
        model: Any = CodeGenForCausalLM.from_pretrained(self._folder, dtype=kind)
        model = model.to(self._device).eval()
        self._cache = StaticCache(config=model.config, max_cache_len=ROOM)
        plain = _likeliest_next(model, self._cache)
        # What the cache is made of must exist before it is compiled in.
        text = Text((1,) * (LENGTH + MORE))
        self._sample(plain, text)
        self._steps = {EAGER: plain}
        if COMPILED not in self.modes:
            return
        try:
            step = torch.compile(plain, mode="reduce-overhead", fullgraph=True, dynamic=False)
            self._sample(step, text)
            self._steps[COMPILED] = step
        except Exception as error:  # a compiler may fail in any way; it is one line of a table
            torch.compiler.reset()
            self.notes[COMPILED] = told(error)

    def measure(self, text: Text) -> Mapping[str, Sample]:
        """One round of each way."""
        return {mode: self._sample(step, text) for mode, step in self._steps.items()}

    def _sample(self, step: _Step, text: Text) -> Sample:
        """The cache is emptied, filled with the prompt, extended and written on."""
        self._cache.reset()
        _, cold_ms = self._read(step, text.first, 0)
        token, warm_ms = self._read(step, text.ids[LENGTH:], LENGTH)
        tokens = [token]
        begin = time.perf_counter()
        for position in range(LENGTH + MORE, LENGTH + MORE + NEW_TOKENS - 1):
            token, _ = self._read(step, (token,), position)
            tokens.append(token)
        step_ms = (time.perf_counter() - begin) * 1000 / (NEW_TOKENS - 1)
        return Sample(cold_ms, warm_ms, step_ms, tuple(tokens))

    def _read(self, step: _Step, ids: Sequence[int], position: int) -> tuple[int, float]:
        """The likeliest token after *ids*, the first of which is at *position*; milliseconds."""
        import torch

        begin = time.perf_counter()
        with torch.no_grad():
            read = torch.tensor([list(ids)], device=self._device)
            at = torch.arange(position, position + len(ids), device=self._device)
            token = int(step(read, at).item())
        return token, (time.perf_counter() - begin) * 1000

    def close(self) -> None:
        """Forget the model and what was compiled of it, and give the device its memory back."""
        if self._cache is None:
            return
        import torch

        self._steps, self._cache = {}, None
        torch.compiler.reset()
        if self._device == "cuda":
            torch.cuda.empty_cache()


def _likeliest_next(model: Any, cache: Any) -> _Step:
    """What is compiled: one call of *model* on top of *cache*."""

    def step(ids: Any, positions: Any) -> Any:
        out = model(
            input_ids=ids,
            position_ids=positions[None],
            cache_position=positions,  # ignored since 5.0, needed before
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].argmax(-1)

    return step
