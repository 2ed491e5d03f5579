"""CTranslate2's file written variable by variable: byte for byte what the library writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from ctranslate2.specs import model_spec, transformer_spec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from codegen_lsp.converters.codegen import ARCHITECTURE
from codegen_lsp.converters.ct2_file import (
    QUANTIZATIONS,
    LazyVariable,
    bfloat16,
    quantized,
    write_spec,
)
from codegen_lsp.converters.to_hf import to_hf_tensors
from codegen_lsp.errors import ConversionError
from tests.support.tiny import SHAPE, random_weights

FILES = ("config.json", "model.bin", "vocabulary.json")


def spec_of(weights: dict[str, NDArray[Any]]) -> Any:
    tensors = dict(to_hf_tensors(weights, SHAPE))
    spec = ARCHITECTURE.specification(tensors, SHAPE.to_config())
    spec.register_vocabulary([f"t{i}" for i in range(SHAPE.vocab_size)])
    return spec


def by_the_library(weights: dict[str, NDArray[Any]], out: Path, quantization: str) -> None:
    """The same specification with every array in it, optimized and saved by CTranslate2."""
    spec = spec_of(weights)

    def make(layer: Any, name: str, value: Any) -> None:
        if isinstance(value, LazyVariable):
            setattr(layer, name.rpartition("/")[2], np.array(value.numpy(), np.float32, order="C"))

    model_spec.visit_spec(spec, make)
    spec.validate()
    spec.optimize(quantization=quantization)
    out.mkdir()
    spec.save(str(out))


def tied() -> dict[str, NDArray[Any]]:
    weights = random_weights(SHAPE)
    return weights | {"lm_head.weight": weights["wte"].copy()}


def nearly_tied() -> dict[str, NDArray[Any]]:
    """The same up to the last row."""
    weights = tied()
    head = weights["lm_head.weight"].copy()
    head[-1] += 1
    return weights | {"lm_head.weight": head}


def with_zeros() -> dict[str, NDArray[Any]]:
    """Rows that no scale can be divided by, and rows almost so."""
    weights = random_weights(SHAPE)
    weights["wte"][3] = 0
    weights["wte"][4] = 0
    weights["wte"][4, 0] = 1e-43
    return weights


def halves() -> dict[str, NDArray[Any]]:
    return {name: weight.astype(np.float16) for name, weight in random_weights(SHAPE).items()}


MODELS: dict[str, Callable[[], dict[str, NDArray[Any]]]] = {
    "random": lambda: random_weights(SHAPE),
    "half precision": halves,
    "tied head": tied,
    "almost tied head": nearly_tied,
    "rows of zeros": with_zeros,
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_files_are_the_librarys_own(tmp_path: Path, model: str, quantization: str) -> None:
    """Quantization, order, aliases, configuration: nothing differs in any byte."""
    if "bfloat16" in quantization:
        pytest.importorskip("torch", reason="torch is not installed")
    by_the_library(MODELS[model](), tmp_path / "theirs", quantization)
    (tmp_path / "ours").mkdir()
    write_spec(spec_of(MODELS[model]()), tmp_path / "ours", quantization)
    for name in FILES:
        ours, theirs = ((tmp_path / who / name).read_bytes() for who in ("ours", "theirs"))
        assert ours == theirs, name


@pytest.mark.parametrize(("model", "count"), [("random", 1), ("tied head", 0)])
def test_parameters_are_counted_once(tmp_path: Path, model: str, count: int) -> None:
    """A head that repeats the embedding is no further parameter."""
    weights = MODELS[model]()
    total = sum(weight.size for weight in weights.values())
    found = write_spec(spec_of(weights), tmp_path, "int8")
    assert found == total - (1 - count) * weights["wte"].size


def test_a_shared_table_of_positions_is_stored_once(tmp_path: Path) -> None:
    """One variable in several layers, as in T5, is written for the first and named by the rest."""
    spec = transformer_spec.TransformerSpec.from_config(
        (2, 2), 2, relative_attention_bias=True, rms_norm=True, pre_norm=True
    )
    made: list[str] = []

    def fill(layer: Any, name: str, value: Any) -> None:
        if value is not None:
            return
        shape = {"gamma": (4,), "relative_attention_bias": (8, 2)}.get(name.split("/")[-1], (4, 4))
        if "relative" in name and "distance" in name:
            setattr(layer, "relative_attention_max_distance", np.int32(9))  # noqa: B010
            return

        def make() -> NDArray[Any]:
            made.append(name)
            return np.random.default_rng(len(made)).standard_normal(shape, np.float32)

        setattr(layer, name.rpartition("/")[2], LazyVariable(shape, make))

    model_spec.visit_spec(spec, fill)
    for stack in (spec.encoder, spec.decoder):
        first = stack.layer[0].self_attention
        stack.layer[1].self_attention.relative_attention_bias = first.relative_attention_bias
    words = ["a", "b", "c", "d"]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    write_spec(spec, tmp_path, "float32")
    tables = [name for name in made if name.endswith("relative_attention_bias")]
    assert len(tables) == 2
    assert json.loads((tmp_path / "shared_vocabulary.json").read_text()) == words
    ctranslate2.Translator(str(tmp_path), device="cpu")


FLOATS = arrays.arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(FLOATS)
def test_bfloat16_rounds_as_torch_does(values: NDArray[np.float32]) -> None:
    """To the nearest, ties to even, for any number."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    assert np.array_equal(bfloat16(values), expected)


@given(arrays.arrays(np.float32, (5, 7), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_int8_is_within_half_a_step(values: NDArray[np.float32]) -> None:
    """Every number comes back to half of its row's step; the largest of a row exactly as 127."""
    stored, scales = quantized(values, "int8")
    assert scales is not None
    rows = np.abs(values).max(axis=1) > 1e-30
    with np.errstate(over="ignore"):
        error = np.abs(stored[rows].astype(np.float64) / scales[rows, None] - values[rows])
    assert (error <= 0.501 / scales[rows, None].astype(np.float64)).all()
    assert (np.abs(stored[rows]).max(axis=1) == 127).all()


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (np.nan, "int8", "not finite"),
        (np.inf, "float32", "not finite"),
        (np.nan, "bfloat16", "not finite"),
        (1e5, "float16", "too large for float16"),
    ],
)
def test_numbers_that_no_model_has(tmp_path: Path, value: float, kind: str, says: str) -> None:
    """The variable is named; silence would be nonsense in the editor."""
    weights = random_weights(SHAPE)
    weights["h.1.out"][2, 2] = value
    with pytest.raises(ConversionError, match=f"layer_1/self_attention/linear_1/weight .*{says}"):
        write_spec(spec_of(weights), tmp_path, kind)


def test_a_variable_of_another_shape(tmp_path: Path) -> None:
    """What is written has the shape that was announced."""
    spec = spec_of(random_weights(SHAPE))
    spec.decoder.projection.bias = LazyVariable((320,), lambda: np.zeros(319, np.float32))
    with pytest.raises(ConversionError, match=r"\[319\] instead of \[320\]"):
        write_spec(spec, tmp_path, "int8")


def test_an_incomplete_specification(tmp_path: Path) -> None:
    """What is missing is named on one line."""
    spec = spec_of(random_weights(SHAPE))
    spec.decoder.layer[1].ffn.linear_0.weight = None
    with pytest.raises(ConversionError, match="layer_1/ffn/linear_0/weight") as caught:
        write_spec(spec, tmp_path, "int8")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quantization", ["int8", "float16"])
def test_progress_ends_at_the_whole(tmp_path: Path, quantization: str) -> None:
    """Bytes are reported in rising order, up to what was announced."""
    steps: list[tuple[int, int]] = []
    write_spec(
        spec_of(random_weights(SHAPE)), tmp_path, quantization, lambda *step: steps.append(step)
    )
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert steps[-1][0] == steps[-1][1]
    assert steps[-1][1] <= (tmp_path / "model.bin").stat().st_size


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """The system's word for it, and a way out."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    (tmp_path / "model.bin").symlink_to("/dev/full")
    with pytest.raises(ConversionError, match=r"No space left.*make room"):
        write_spec(spec_of(random_weights(SHAPE)), tmp_path, "int8")
