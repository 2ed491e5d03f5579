"""The CodeGen decoder in Flax NNX.

Knows: the block of Salesforce CodeGen (parallel attention and MLP behind one LayerNorm, partial
interleaved rotary positions, erf-free GELU), its parameters and how to turn them into plain arrays.
Training, tests and serving (``serving``) are this one block under another attention.

Does not know: losses, optimizers, meshes, key/value caches (attention is an argument), how a
matrix is quantized (``serving_weights``), or the fused Hugging Face layout of the attention
weights, which is the converters' business.

Source: Nijkamp et al., "CodeGen", arXiv 2203.13474, section 2.2; rotary positions: Su et al.,
arXiv 2104.09864, in the interleaved arrangement of GPT-J.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from codegen_lsp.tpu.attention import Attend, causal, transposed

WEIGHTS: Final = ("float32", "bfloat16", "int8")
"""Types of matrices. int8 is signed, with one float32 scale for every output of a matrix."""


@dataclass(frozen=True)
class CodeGenConfig:
    """The shape of a CodeGen model.

    Raises ValueError when the shape is impossible.
    """

    vocab_size: int = 51_200
    """Rows of the embedding and of the output head."""
    n_positions: int = 2048
    """Longest sequence, in tokens."""
    n_embd: int = 1024
    """Width of the residual stream, d."""
    n_layer: int = 20
    """Number of blocks."""
    n_head: int = 16
    """Attention heads; a multiple of 4 lets the weights be fused for Hugging Face."""
    rotary_dim: int = 32
    """Leading dimensions of every head that are rotated; even."""
    layer_norm_epsilon: float = 1e-5
    """Added to the variance in every LayerNorm."""
    tie_embeddings: bool = False
    """Whether the output head shares the embedding matrix (its bias stays its own)."""
    matmul_dtype: str = "float32"
    """Type of the operands of matrix products; sums and activations are float32."""
    weights: str = "float32"
    """How matrices are kept: one of ``WEIGHTS``. Vectors are float32, and so is all of training."""

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights {self.weights!r} are none of {', '.join(WEIGHTS)}")
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}")
        if self.rotary_dim % 2 or not 0 < self.rotary_dim <= self.head_dim:
            raise ValueError(
                f"rotary_dim {self.rotary_dim} must be even and at most {self.head_dim}"
            )

    @property
    def head_dim(self) -> int:
        """Dimensions of one attention head."""
        return self.n_embd // self.n_head

    @property
    def n_inner(self) -> int:
        """Width of the MLP."""
        return 4 * self.n_embd


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul(x: jax.Array, weights: jax.Array, dtype: str) -> jax.Array:
    """`x` [..., k] times `weights` [k, n], operands in `dtype`, summed and returned in float32.

    Its derivative obeys the same rule. Processors with bfloat16 dot products do this at twice the
    speed of float32, whereas a product that also *returns* bfloat16 gains nothing on a CPU.
    """
    return jnp.matmul(x.astype(dtype), weights.astype(dtype), preferred_element_type=jnp.float32)


def _matmul_forward(
    x: jax.Array, weights: jax.Array, dtype: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    low_x, low_weights = x.astype(dtype), weights.astype(dtype)
    product = jnp.matmul(low_x, low_weights, preferred_element_type=jnp.float32)
    return product, (low_x, low_weights)


def _matmul_backward(
    dtype: str, operands: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, weights = operands
    low = cotangent.astype(dtype)
    d_x = jnp.matmul(low, transposed(weights), preferred_element_type=jnp.float32)
    rows = transposed(x.reshape(-1, x.shape[-1]))
    columns = low.reshape(-1, low.shape[-1])
    return d_x, jnp.matmul(rows, columns, preferred_element_type=jnp.float32)


matmul.defvjp(_matmul_forward, _matmul_backward)


def rotary_angles(positions: jax.Array, rotary_dim: int) -> tuple[jax.Array, jax.Array]:
    """Sine and cosine, each [..., rotary_dim / 2], of every position's rotation; base 10000."""
    exponents = np.arange(0, rotary_dim, 2, dtype=np.float32) / rotary_dim
    angles = positions[..., None].astype(jnp.float32) * (1.0 / 10_000.0**exponents)
    return jnp.sin(angles), jnp.cos(angles)


def rotate(heads: jax.Array, sin: jax.Array, cos: jax.Array) -> jax.Array:
    """Rotates the first dimensions of `heads` [batch, length, heads, head_dim] pair by pair.

    Dimension 2i is paired with 2i+1; `sin` and `cos` are [batch or 1, length, rotary_dim / 2].
    """
    rotary_dim = 2 * sin.shape[-1]
    turned, passed = heads[..., :rotary_dim], heads[..., rotary_dim:]
    pairs = turned.reshape(*turned.shape[:-1], rotary_dim // 2, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    sin, cos = (part[:, :, None, :].astype(heads.dtype) for part in (sin, cos))
    turned = jnp.stack((even * cos - odd * sin, odd * cos + even * sin), axis=-1)
    return jnp.concatenate((turned.reshape(*heads.shape[:-1], rotary_dim), passed), axis=-1)


Matrix = nnx.Param[jax.Array]


def _normal(config: CodeGenConfig, rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> Matrix:
    drawn = std * jax.random.normal(rngs.params(), shape, jnp.float32)
    return nnx.Param(drawn.astype(config.weights))


def _zeros(config: CodeGenConfig, *shape: int) -> Matrix:
    return nnx.Param(jnp.zeros(shape, config.weights))


def _scales(config: CodeGenConfig, *shape: int) -> Matrix | None:
    """Room for the scales of an int8 matrix; every other kind of matrix has none."""
    return nnx.Param(jnp.ones(shape, jnp.float32)) if config.weights == "int8" else None


def _scaled(product: jax.Array, scales: Matrix | None) -> jax.Array:
    return product if scales is None else product * scales[...]


class Block(nnx.Module):
    """x + attention(ln_1(x)) + mlp(ln_1(x)).

    `qkv` is [3, d, d], in the order query, key, value, applied as `x @ W`; the separate axis lets
    an optimizer treat the three as three matrices. `out` is [d, d]. The two matrices that write
    into the residual stream start at zero, so that a new model is the identity up to `ln_f`.
    Where matrices are int8, an output is the product with the integers times its scale.
    """

    def __init__(self, config: CodeGenConfig, layer: int, *, rngs: nnx.Rngs) -> None:
        width, inner = config.n_embd, config.n_inner
        self.config = config
        self.layer = layer
        self.ln_1 = _layer_norm(config, rngs)
        self.qkv = _normal(config, rngs, (3, width, width), 1 / math.sqrt(width))
        self.qkv_scale = _scales(config, 3, width)
        self.out = _zeros(config, width, width)
        self.out_scale = _scales(config, width)
        self.fc_in = _normal(config, rngs, (width, inner), 1 / math.sqrt(width))
        self.fc_in_scale = _scales(config, inner)
        self.fc_in_bias = nnx.Param(jnp.zeros((inner,), jnp.float32))
        self.fc_out = _zeros(config, inner, width)
        self.fc_out_scale = _scales(config, width)
        self.fc_out_bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    def __call__(self, x: jax.Array, sin: jax.Array, cos: jax.Array, attend: Attend) -> jax.Array:
        """The block's output for `x` [batch, length, d]."""
        normed = self.ln_1(x)
        # Attention and MLP first: sums over devices are then one sum. And the total is held, or
        # a TPU's compiler would hold what every block so far has added, to add it up again.
        added = self._attention(normed, sin, cos, attend) + self._mlp(normed)
        return _held(x + (added + self.fc_out_bias[...]))

    def _attention(self, x: jax.Array, sin: jax.Array, cos: jax.Array, attend: Attend) -> jax.Array:
        split = (*x.shape[:2], self.config.n_head, self.config.head_dim)
        weights, dtype = self.qkv[...], self.config.matmul_dtype
        parts = [matmul(x, weights[i], dtype) for i in range(3)]
        if self.qkv_scale is not None:
            parts = [part * self.qkv_scale[i] for i, part in enumerate(parts)]
        # Held, or a TPU's compiler would turn the matrices round to have the products split into
        # heads: each step would copy all three.
        query, key, value = (_held(part).reshape(split) for part in parts)
        mixed = attend(rotate(query, sin, cos), rotate(key, sin, cos), value, self.layer)
        return _scaled(matmul(mixed.reshape(x.shape), self.out[...], dtype), self.out_scale)

    def _mlp(self, x: jax.Array) -> jax.Array:
        dtype = self.config.matmul_dtype
        inner = _scaled(matmul(x, self.fc_in[...], dtype), self.fc_in_scale)
        inner = jax.nn.gelu(inner + self.fc_in_bias[...], approximate=True)
        return _scaled(matmul(inner, self.fc_out[...], dtype), self.fc_out_scale)


def _held(x: jax.Array) -> jax.Array:
    """*x*, which must exist as it is: the compiler moves nothing past it."""
    held: jax.Array = jax.lax.optimization_barrier(x)  # type: ignore[no-untyped-call]
    return held


def _layer_norm(config: CodeGenConfig, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        config.n_embd,
        epsilon=config.layer_norm_epsilon,
        param_dtype=jnp.float32,
        rngs=rngs,
    )


class CodeGen(nnx.Module):
    """The whole decoder: embedding, blocks, final LayerNorm, output head with bias."""

    def __init__(self, config: CodeGenConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        vocab, width = config.vocab_size, config.n_embd
        self.wte = _normal(config, rngs, (vocab, width), 0.02)
        self.wte_scale = _scales(config, vocab)
        self.h = nnx.List([Block(config, layer, rngs=rngs) for layer in range(config.n_layer)])
        self.ln_f = _layer_norm(config, rngs)
        if not config.tie_embeddings:
            self.lm_head = _zeros(config, vocab, width)
            self.lm_head_scale = _scales(config, vocab)
        self.lm_head_bias = nnx.Param(jnp.zeros((vocab,), jnp.float32))

    def __call__(
        self,
        tokens: jax.Array,
        positions: jax.Array | None = None,
        attend: Attend | None = None,
    ) -> jax.Array:
        """Hidden states after the final LayerNorm, [batch, length, d].

        `tokens` and `positions` are integers [batch, length]; positions count from 0 by default.
        `attend` is causal attention over `tokens` alone unless another is given.
        """
        attend = attend or causal(self.config.matmul_dtype)
        if positions is None:
            positions = jnp.arange(tokens.shape[1])[None, :]
        sin, cos = rotary_angles(positions, self.config.rotary_dim)
        x = self._embedded(tokens)
        for block in self.h:
            x = block(x, sin, cos, attend)
        hidden: jax.Array = self.ln_f(x)
        return hidden

    def _embedded(self, tokens: jax.Array) -> jax.Array:
        rows = self.wte[...][tokens].astype(jnp.float32)
        return rows if self.wte_scale is None else rows * self.wte_scale[...][tokens][..., None]

    @property
    def head(self) -> jax.Array:
        """The output head's matrix, [vocab_size, d]."""
        matrix: jax.Array = (self.wte if self.config.tie_embeddings else self.lm_head)[...]
        return matrix

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Unnormalized float32 log-probabilities [..., vocab_size] of hidden states [..., d]."""
        scales = self.wte_scale if self.config.tie_embeddings else self.lm_head_scale
        product = matmul(hidden, self.head.T, self.config.matmul_dtype)
        return _scaled(product, scales) + self.lm_head_bias[...]


_PLAIN_BLOCK_NAMES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("ln_1", "scale"), "ln_1.scale"),
    (("ln_1", "bias"), "ln_1.bias"),
    (("qkv",), "qkv"),
    (("out",), "out"),
    (("fc_in",), "fc_in.kernel"),
    (("fc_in_bias",), "fc_in.bias"),
    (("fc_out",), "fc_out.kernel"),
    (("fc_out_bias",), "fc_out.bias"),
)
"""Where a block's parameter lies in the module, and its plain name after `h.N.`."""


def parameters_to_numpy(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Plain float32 arrays of a nested parameter mapping, under plain names.

    Matrices are in `x @ W` orientation unless said otherwise: `wte` [V, d] (a row per token),
    `h.N.ln_1.scale`, `h.N.ln_1.bias` [d], `h.N.qkv` [3, d, d] (query, key, value), `h.N.out`
    [d, d], `h.N.fc_in.kernel` [d, 4d], `h.N.fc_in.bias`, `h.N.fc_out.kernel` [4d, d],
    `h.N.fc_out.bias`, `ln_f.scale`, `ln_f.bias`, `lm_head.weight` [V, d], `lm_head.bias` [V].
    A tied head is written too, equal to `wte`.
    """
    plain = {
        "wte": params["wte"],
        "ln_f.scale": params["ln_f"]["scale"],
        "ln_f.bias": params["ln_f"]["bias"],
        "lm_head.weight": params.get("lm_head", params["wte"]),
        "lm_head.bias": params["lm_head_bias"],
    }
    for layer, block in params["h"].items():
        for path, name in _PLAIN_BLOCK_NAMES:
            leaf: Any = block
            for part in path:
                leaf = leaf[part]
            plain[f"h.{layer}.{name}"] = leaf
    return {name: np.asarray(value, np.float32) for name, value in plain.items()}


def state_to_numpy(model: CodeGen) -> dict[str, np.ndarray]:
    """The model's parameters as `parameters_to_numpy` names them."""
    return parameters_to_numpy(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
