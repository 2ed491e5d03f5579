"""The JAX model's own derivatives against the plain formulas, and what evaluation scores."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("jax", reason="the extra [train] is not installed")

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from codegen_lsp.tpu import attention
from codegen_lsp.tpu.data import HeldOutFile
from codegen_lsp.tpu.evaluate import bits_per_byte, make_scorer, windows
from codegen_lsp.tpu.loss import next_token_loss
from codegen_lsp.tpu.model import CodeGen, CodeGenConfig
from codegen_lsp.tpu.optimizer import matrix_axes, wsd_schedule

TINY = CodeGenConfig(
    vocab_size=64, n_positions=16, n_embd=16, n_layer=2, n_head=4, rotary_dim=4, tie_embeddings=True
)


def naive_attention(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Softmax attention with the whole masked square."""
    length = query.shape[1]
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    scores = jnp.where(np.tril(np.ones((length, length), bool)), scores, -1e30)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1), value)


@pytest.mark.parametrize("length", [1, 8, 20])
def test_attention_and_its_derivative(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Blocks of queries change neither the values nor the gradients."""
    monkeypatch.setattr(attention, "QUERY_BLOCK", 8)
    keys = jax.random.split(jax.random.PRNGKey(0), 4)
    query, key, value, weight = (jax.random.normal(k, (2, length, 4, 16)) for k in keys)
    attend = attention.causal("float32")

    def total(function: object) -> object:
        return jax.value_and_grad(
            lambda *parts: (function(*parts) * weight).sum(),  # type: ignore[operator]
            (0, 1, 2),
        )(query, key, value)

    ours, plain = total(lambda q, k, v: attend(q, k, v, 0)), total(naive_attention)
    for mine, theirs in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 7, 512, 1024])
def test_loss_and_its_derivative(count: int) -> None:
    """Chunks of logits give the mean cross-entropy and its gradients."""
    keys = jax.random.split(jax.random.PRNGKey(1), 4)
    hidden = jax.random.normal(keys[0], (count, 16))
    head, bias = jax.random.normal(keys[1], (50, 16)), jax.random.normal(keys[2], (50,))
    targets = jax.random.randint(keys[3], (count,), 0, 50)

    def naive(hidden: jax.Array, head: jax.Array, bias: jax.Array) -> jax.Array:
        log_probs = jax.nn.log_softmax(hidden @ head.T + bias)
        return -jnp.take_along_axis(log_probs, targets[:, None], 1).mean()

    ours = jax.value_and_grad(lambda *a: next_token_loss(*a, targets), (0, 1, 2))(
        hidden, head, bias
    )
    plain = jax.value_and_grad(naive, (0, 1, 2))(hidden, head, bias)
    for mine, theirs in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5, rtol=1e-4)


def test_no_position_sees_what_follows_it() -> None:
    """Changing later tokens leaves earlier logits as they were."""
    model = CodeGen(TINY, rngs=nnx.Rngs(0))
    for block in model.h:  # a fresh model is the identity: give the blocks something to say
        block.out[...] = jax.random.normal(jax.random.PRNGKey(2), block.out.shape) * 0.3
        block.fc_out[...] = jax.random.normal(jax.random.PRNGKey(3), block.fc_out.shape) * 0.3
    tokens = np.arange(12)[None, :] % 64
    changed = tokens.copy()
    changed[0, 7:] = 40
    before, after = (np.asarray(model.logits(model(jnp.asarray(t)))) for t in (tokens, changed))
    np.testing.assert_array_equal(before[0, :7], after[0, :7])
    assert np.abs(before[0, 7:] - after[0, 7:]).max() > 1e-3


@pytest.mark.parametrize("count", [1, 15, 16, 17, 24, 25, 100])
def test_every_token_is_scored_once_with_half_a_window_of_context(count: int) -> None:
    """Windows overlap by half and never score a prediction twice."""
    scored: Counter[int] = Counter()
    for start, end, first in windows(np.zeros(count, np.uint16), 16):
        assert end - start <= 16
        assert start == 0 or first - start >= 8
        scored.update(range(first, end))
    assert scored == Counter(range(count))


def test_bits_per_byte_of_a_uniform_model() -> None:
    """A model that knows nothing needs log2(vocabulary) bits for each token."""
    config = CodeGenConfig(
        vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=4, rotary_dim=4
    )
    params = nnx.to_pure_dict(nnx.state(CodeGen(config, rngs=nnx.Rngs(0)), nnx.Param))
    files = [
        HeldOutFile("a", "a.py", np.arange(40, dtype=np.uint16), 100),
        HeldOutFile("b", "b.py", np.arange(10, dtype=np.uint16), 20),
    ]
    result = bits_per_byte(make_scorer(config), params, files, 16)
    assert result.packages == pytest.approx({"a": 40 * 6 / 100, "b": 10 * 6 / 20}, rel=1e-5)
    assert result.total == pytest.approx(50 * 6 / 120, rel=1e-5)
    assert (result.tokens, result.n_bytes) == (50, 120)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (4, 0.5), (9, 1.0), (50, 1.0), (80, 1.0), (90, 0.5), (100, 0.0)]
)
def test_the_rate_rises_stays_and_falls(step: int, rate: float) -> None:
    """Warm-up, stable, decay; 100 steps of which the last 20 decay."""
    schedule = wsd_schedule(1.0, warmup_steps=10, total_steps=100, decay_steps=20)
    assert float(schedule(step)) == pytest.approx(rate)


def test_muon_moves_hidden_matrices_and_nothing_else() -> None:
    """Embedding, biases and LayerNorms are AdamW's; q, k and v are three matrices."""
    params = nnx.to_pure_dict(nnx.state(CodeGen(TINY, rngs=nnx.Rngs(0)), nnx.Param))
    axes = matrix_axes(params)
    block = axes["h"][0]
    assert axes["wte"] is None
    assert axes["lm_head_bias"] is None
    assert block["fc_in_bias"] is None
    assert (block["qkv"].reduction_axis, block["qkv"].output_axis) == (1, 2)
    assert (block["fc_in"].reduction_axis, block["fc_in"].output_axis) == (0, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_head": 3}, "not a multiple"),
        ({"rotary_dim": 3}, "even"),
        ({"rotary_dim": 8}, "at most"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, int], said: str) -> None:
    """A shape that cannot be is named when it is made."""
    shape = {"vocab_size": 64, "n_embd": 16, "n_head": 4, "rotary_dim": 4} | change
    with pytest.raises(ValueError, match=said):
        CodeGenConfig(**shape)  # type: ignore[arg-type]
