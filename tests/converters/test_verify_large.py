"""Large models: more weights than memory, more depth than float32 is exact for, coarse eight bits.

What only billions of parameters do is brought about in tiny models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from codegen_lsp.converters import logits, rounding, verify, verify_gguf
from codegen_lsp.converters.checkpoint import open_checkpoint
from codegen_lsp.converters.difference import compared_exactly
from codegen_lsp.converters.tensors import LazyTensors, Tensors
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.converters.to_hf import to_hf_folder
from codegen_lsp.errors import ConversionError
from codegen_lsp.models.manifest import Manifest
from tests.support.tiny import SHAPE, Tiny, Weights, make_tiny, write_tokenizer


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("large"))


def write(plain: Weights, kind: str, folder: Path) -> Path:
    """*plain* as CTranslate2 stores it; the checkpoint is in ``hf`` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(folder / "tokenizer.json")
    hf = to_hf_folder(plain, SHAPE, tokenizer, folder / "hf")
    convert(hf, folder / "ct2", Manifest(name="m", context_length=2), kind)
    return folder / "ct2"


def mistaken(plain: Weights) -> Weights:
    """One norm of another block."""
    return {**plain, "h.0.ln_1.scale": plain["h.1.ln_1.scale"]}


def no_room(monkeypatch: pytest.MonkeyPatch, available: int, total: int) -> None:
    """A machine with so many bytes of memory."""
    free = type(psutil.virtual_memory())(*psutil.virtual_memory())._replace(available=available)
    monkeypatch.setattr(verify.psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(verify, "machine_memory", lambda: total)
    swap = psutil.swap_memory()._replace(total=0)
    monkeypatch.setattr(verify.psutil, "swap_memory", lambda: swap)


@pytest.mark.parametrize("kind", ["int8", "int8_float16", "int8_bfloat16"])
def test_a_model_too_large_for_float32_is_read_back(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """16B in eight bits fits 24 GB, in float32 it does not: what was written is still held to
    the checkpoint exactly, and a mistake that eight bits would hide is found."""
    good = write(tiny.plain, kind, tmp_path / "good")
    wrong = write(mistaken(tiny.plain), kind, tmp_path / "w")
    no_room(monkeypatch, available=1000, total=1 << 40)
    checks = [one for one in verify.check(tiny.hf, good) if "read back" in one.name]
    assert len(checks) == 1
    assert checks[0].max_abs <= 1e-4
    assert checks[0].agreement == 1
    with pytest.raises(ConversionError, match="read back: not the same model"):
        verify.check(tiny.hf, wrong)


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_no_comparison_that_the_machine_cannot_hold(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A line instead of a process that the system kills."""
    out = write(tiny.plain, kind, tmp_path)
    no_room(monkeypatch, available=1000, total=1000)
    with pytest.raises(ConversionError, match=r"comparing takes .* GB of memory.*--no-check"):
        verify.check(tiny.hf, out)


def test_what_eight_bits_cost_is_reported(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large models lose tenths of a nat to arithmetic in eight bits. Where every weight is in its
    place, that is no reason to refuse one; where little is left, the mend is another type."""
    out = write(tiny.plain, "int8", tmp_path)
    exact = logits.ct2_logits
    noise = np.random.default_rng(0).standard_normal(320)

    def coarse(scale: float) -> Callable[..., verify.Logits]:
        def asked(folder: Path, tokens: verify.Tokens, kind: str) -> verify.Logits:
            return exact(folder, tokens, kind) + scale * noise * (kind == "int8")

        return asked

    monkeypatch.setattr(verify, "ct2_logits", coarse(0.5))
    cost = verify.check(tiny.hf, out)[-1]
    assert 0.05 < cost.divergence < 0.3
    monkeypatch.setattr(verify, "ct2_logits", coarse(4))
    with pytest.raises(ConversionError, match="store the weights as float16"):
        verify.check(tiny.hf, out)


NOISES = [(0.0, "difference"), (2e-5, "difference"), (1e-3, "")]
"""How far rounding errors alone move logits; and what is said of a difference of 1e-3 then."""


@pytest.mark.parametrize(("moved", "says"), NOISES)
def test_float32_is_not_held_to_more_than_it_can_give(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: float, says: str
) -> None:
    """The same difference means another model where rounding moves little, and nothing where
    rounding moves as much."""
    out = write(tiny.plain, "float32", tmp_path)
    exact, reference = logits.ct2_logits, logits.reference_logits
    noise = np.random.default_rng(0).uniform(-1, 1, 320)

    def engine(folder: Path, tokens: verify.Tokens, kind: str) -> verify.Logits:
        return exact(folder, tokens, kind) + 1e-3 * noise

    def numpy(folder: Path, tokens: verify.Tokens, tensors: Tensors) -> verify.Logits:
        found = reference(folder, tokens, tensors)
        return found + moved * noise[::-1] if tensors is jittered[-1] else found

    def jitter(tensors: Tensors) -> Tensors:
        jittered.append(LazyTensors({name: partial(tensors.__getitem__, name) for name in tensors}))
        return jittered[-1]

    jittered: list[Tensors] = [LazyTensors({})]
    monkeypatch.setattr(rounding, "jittered", jitter)
    monkeypatch.setattr(verify, "ct2_logits", engine)
    monkeypatch.setattr(verify, "reference_logits", numpy)
    if not says:
        assert verify.check(tiny.hf, out)[-1].max_abs > 5e-4
        return
    with pytest.raises(ConversionError, match=f"not the same model: .*{says}"):
        verify.check(tiny.hf, out)


def test_noise_excuses_little(tiny: Tiny) -> None:
    """However noisy a model is, what differs by more than a fiftieth of a nat is another."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((4, 320)) * 9
    second = first + 0.05 * rng.standard_normal(first.shape)
    with pytest.raises(ConversionError, match=r"difference .*allowed 0.02"):
        compared_exactly("step", first, second, lambda: first[::-1])


def test_jitter_is_a_rounding_error_and_repeats(tiny: Tiny) -> None:
    """Every value stays within a few units in its last place; half of them move."""
    tensors = open_checkpoint(tiny.hf)
    moved = rounding.jittered(tensors)
    assert list(moved) == list(tensors)
    name = "transformer.h.0.mlp.fc_in.weight"
    ratio = moved[name] / tensors[name] - 1
    assert 0.2 < np.mean(ratio != 0) < 0.9
    assert np.abs(ratio).max() < 1e-6
    assert np.array_equal(moved[name], rounding.jittered(tensors)[name])


@pytest.mark.parametrize(("divergence", "refused"), [(0.005, False), (0.05, True)])
def test_what_llama_cpp_rounds_grows_with_depth(divergence: float, refused: bool) -> None:
    """It multiplies blocks with blocks: tenths of a percent of a nat are no other model."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((20, 320))
    noise = rng.standard_normal(first.shape)
    # The divergence is half the variance of the noise.
    found = verify.compare(first, first + (2 * divergence) ** 0.5 * noise)
    assert found.divergence == pytest.approx(divergence, rel=0.3)
    tolerance = replace(verify_gguf.ALIKE_BLOCKS, agreement=0)
    if refused:
        with pytest.raises(ConversionError, match="divergence"):
            verify.require("step", found, tolerance)
    else:
        verify.require("step", found, tolerance)
