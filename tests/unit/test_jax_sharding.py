"""The JAX model as it is served: with a cache, on several devices, with small weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jax", reason="the extra [train] is not installed")

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from codegen_lsp.converters import ct2_file
from codegen_lsp.converters.logits import transformers_logits
from codegen_lsp.converters.reference import forward
from codegen_lsp.converters.shape import Shape
from codegen_lsp.converters.to_ct2 import convert
from codegen_lsp.converters.to_hf import to_hf_folder
from codegen_lsp.errors import EngineUnavailableError, ModelDamagedError, UsageError
from codegen_lsp.models.manifest import Manifest
from codegen_lsp.tpu.model import CodeGenConfig
from codegen_lsp.tpu.serving import empty_cache, greedy, make_step
from codegen_lsp.tpu.serving_weights import parameter_shapes, place, quantized
from codegen_lsp.tpu.sharding import check_divisible, make_mesh
from tests.support.greedy import check_same_text, ct2_greedy, prompts
from tests.support.meshes import on_meshes, served
from tests.support.tiny import TOKENS, Weights, random_weights, write_tokenizer

SHAPE = Shape(
    vocab_size=320, n_positions=64, n_embd=64, n_layer=2, n_head=8, rotary_dim=4, eos_token_id=0
)
"""Eight heads, so that eight devices can share them."""

SAME = 1e-4
"""Largest difference of float32 logits, whose values are up to about 40 here: only the order of
additions differs."""

GIVEN = prompts(20, TOKENS)
COUNT = 12


@pytest.fixture(scope="module")
def plain() -> Weights:
    return random_weights(SHAPE, scale=0.2)


@pytest.fixture(scope="module")
def folder(plain: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("eight")
    tokenizer = write_tokenizer(made / "tokenizer.json")
    hf: Path = to_hf_folder(plain, SHAPE, tokenizer, made / "hf")
    return hf


def stepped(
    plain: Weights, config: CodeGenConfig, tokens: list[int], cuts: list[int]
) -> NDArray[np.float32]:
    """Logits behind each of the parts in which *tokens* are read, cut at *cuts*."""
    params, step = place(plain, config), jax.jit(make_step(config))
    cache, rows = empty_cache(config, 1, SHAPE.n_positions), []
    for start, end in zip([0, *cuts], [*cuts, len(tokens)], strict=True):
        part, last = np.asarray([tokens[start:end]]), np.asarray([end - start - 1])
        answer = step(params, part, np.asarray([start]), last, cache)
        cache = answer.cache
        rows.append(np.asarray(answer.logits[0]))
    return np.stack(rows)


@pytest.mark.parametrize("cuts", [[], [1], [7, 8, 9], [10, 20], list(range(1, 24))])
def test_however_a_text_is_cut_the_logits_are_those_of_one_reading(
    plain: Weights, cuts: list[int]
) -> None:
    """Prefill in parts, decoding, or both: numpy's reading of the whole text is the judge."""
    text = GIVEN[0]
    expected = forward(plain, SHAPE, text)[[end - 1 for end in (*cuts, len(text))]]
    found = stepped(plain, served(SHAPE, "float32"), text, cuts)
    np.testing.assert_allclose(found, expected, atol=SAME, rtol=0)


def test_the_logits_are_those_of_transformers(plain: Weights, folder: Path) -> None:
    """The official implementation is the other judge."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    official = transformers_logits(folder, GIVEN[:1])
    assert official is not None
    cuts = list(range(1, len(GIVEN[0])))
    found = stepped(plain, served(SHAPE, "float32"), GIVEN[0], cuts)
    np.testing.assert_allclose(found, official, atol=SAME, rtol=0)


def test_rows_stand_where_they_stand(plain: Weights) -> None:
    """Prompts of different lengths are answered in one batch as each is alone."""
    config = served(SHAPE, "float32")
    params = place(plain, config)
    ragged = [prompt[: 3 + 2 * i] for i, prompt in enumerate(GIVEN[:4])]
    alone = [greedy(config, params, [prompt], COUNT)[0] for prompt in ragged]
    assert greedy(config, params, ragged, COUNT) == alone


@pytest.mark.timeout(180)
def test_devices_change_neither_logits_nor_text(plain: Weights, folder: Path) -> None:
    """On 2, 4 and 8 devices as on one, and the text is CTranslate2's, for 20 prompts."""
    found = on_meshes(folder, GIVEN, COUNT, (1, 2, 4, 8))
    manifest = Manifest(
        name="tiny", context_length=SHAPE.n_positions, licence="CC0-1.0", languages=("python",)
    )
    convert(folder, folder.parent / "ct2", manifest, "float32")
    expected = ct2_greedy(folder.parent / "ct2", GIVEN, COUNT)
    logits = forward(plain, SHAPE, GIVEN[0])[-1]
    whole = found[1]["bytes"][0]
    for ways, answer in found.items():
        np.testing.assert_allclose(answer["logits"], logits, atol=SAME, rtol=0)
        assert answer["texts"] == found[1]["texts"]
        check_same_text(answer["texts"], expected, GIVEN, (plain, SHAPE), ties=1e-4)
        assert len(set(answer["bytes"])) == 1
        assert answer["bytes"][0] < 1.05 * whole / ways


def test_int8_on_devices_is_int8_on_one(folder: Path) -> None:
    """Scales are cut with their matrices."""
    found = on_meshes(folder, GIVEN, COUNT, (1, 8), "int8")
    assert found[8]["texts"] == found[1]["texts"]
    np.testing.assert_allclose(found[8]["logits"], found[1]["logits"], atol=SAME, rtol=0)


def rounded(plain: Weights) -> Weights:
    """The weights as CTranslate2 rounds matrices to int8, widened again."""

    def widened(matrix: NDArray[Any]) -> NDArray[Any]:
        stored, scales = ct2_file.quantized(np.ascontiguousarray(matrix, np.float32), "int8")
        assert scales is not None
        return np.asarray(stored.astype(np.float32) / scales[:, None])

    found = dict(plain)
    for name, value in plain.items():
        if name in ("wte", "lm_head.weight"):
            found[name] = widened(value)
        elif value.ndim == 2:
            found[name] = widened(value.T).T
        elif value.ndim == 3:
            found[name] = np.stack([widened(part.T).T for part in value])
    return found


def test_int8_is_what_ctranslate2_stores(plain: Weights) -> None:
    """The model with int8 weights is the model with the weights that CTranslate2 would keep."""
    found = stepped(plain, served(SHAPE, "int8"), GIVEN[0], [])
    near = forward(rounded(plain), SHAPE, GIVEN[0])[-1:]
    np.testing.assert_allclose(found, near, atol=SAME, rtol=0)
    assert np.abs(found - forward(plain, SHAPE, GIVEN[0])[-1:]).max() > 10 * SAME


def test_bfloat16_is_near(plain: Weights) -> None:
    """Half the bytes, and the same prediction to a few parts in a hundred."""
    config = served(SHAPE, "bfloat16", "bfloat16")
    found = stepped(plain, config, GIVEN[0], [12])
    exact = forward(plain, SHAPE, GIVEN[0])[[11, len(GIVEN[0]) - 1]]
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()
    shapes = parameter_shapes(config)
    assert shapes["wte"].dtype == shapes["h"][0]["qkv"].dtype == jnp.bfloat16
    assert shapes["lm_head_bias"].dtype == jnp.float32


@pytest.mark.parametrize("axis", [0, 1])
def test_quantized_outputs_reach_127_and_zeros_stay(axis: int) -> None:
    """Every output uses the whole range; one that is all zeros does not divide by zero."""
    matrix = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    matrix[2, :] = matrix[:, 2] = 0
    integers, scales = quantized(matrix, axis)
    largest = np.abs(integers.astype(int)).max(axis=axis)
    assert largest.tolist() == [127, 127, 0, 127, 127, 127]
    widened = integers * np.expand_dims(scales, axis)
    assert np.abs(widened - matrix).max() <= scales.max() / 2 * 1.0001


@pytest.mark.parametrize(
    ("ways", "fits"), [(1, True), (2, True), (3, False), (4, True), (5, False), (8, True)]
)
def test_heads_are_not_torn_apart(ways: int, fits: bool) -> None:
    """16B has 24 heads and 51,200 rows of vocabulary; what cannot be divided is named."""
    config = replace(served(SHAPE, "int8"), n_embd=6144, n_head=24, vocab_size=51_200)
    if fits:
        check_divisible(config, ways)
        return
    with pytest.raises(UsageError, match=r"cannot be divided.*use 1, 2, 4, 8$"):
        check_divisible(config, ways)


def test_what_cannot_be_served_is_named(plain: Weights) -> None:
    """Too few devices, missing or misshapen weights, prompts that leave no room."""
    config = served(SHAPE, "float32")
    with pytest.raises(EngineUnavailableError, match="spread over 99 devices"):
        make_mesh(99)
    missing = {name: value for name, value in plain.items() if name != "h.1.qkv"}
    with pytest.raises(ModelDamagedError, match=r"no parameter 'h\.1\.qkv'"):
        place(missing, config)
    with pytest.raises(ModelDamagedError, match=r"lm_head has the shape \(320, 64\)"):
        place(plain, replace(config, vocab_size=640))
    with pytest.raises(ModelDamagedError, match="not finite"):
        place(plain | {"wte": np.full_like(plain["wte"], np.nan)}, replace(config, weights="int8"))
    params = place(plain, config)
    impossible: list[list[list[int]]] = [[[]], [], [[1] * 60]]
    for bad in impossible:
        with pytest.raises(UsageError, match="prompts of 1 to 52 tokens"):
            greedy(config, params, bad, COUNT)
