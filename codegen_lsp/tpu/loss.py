"""The next-token loss of a large vocabulary, in one pass over memory.

Knows: cross-entropy of an output head and its derivative, chunk by chunk, so that the logits of a
whole batch never exist at once.

Does not know: the model below the head, or optimizers.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from codegen_lsp.tpu.attention import transposed

CHUNK = 256
"""Positions whose logits exist at one time; 256 x 8192 float32 (8 MiB) stays in a CPU's cache."""

Gradients = tuple[jax.Array, jax.Array, jax.Array]
Sums = tuple[jax.Array, jax.Array, jax.Array]


def _chunks(hidden: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    count = targets.shape[0]
    size = CHUNK if count % CHUNK == 0 else count
    return hidden.reshape(-1, size, hidden.shape[-1]), targets.reshape(-1, size)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def next_token_loss(
    hidden: jax.Array,
    head: jax.Array,
    bias: jax.Array,
    targets: jax.Array,
    dtype: str = "float32",
) -> jax.Array:
    """Mean cross-entropy in nats of `targets` [N] under the head's prediction.

    `hidden` is [N, d], `head` [V, d], `bias` [V]. Logits are float32. Under differentiation the
    gradients are found in the same pass as the loss, since it is the loss that is differentiated.
    """
    return _loss_and_gradients(hidden, head, bias, targets, dtype)[0]


def _loss_and_gradients(
    hidden: jax.Array, head: jax.Array, bias: jax.Array, targets: jax.Array, dtype: str
) -> tuple[jax.Array, Gradients]:
    scale = 1.0 / targets.shape[0]
    rows = head.astype(dtype)
    columns = transposed(rows)
    vocabulary = jnp.arange(head.shape[0])[None, :]

    def body(sums: Sums, chunk: tuple[jax.Array, jax.Array]) -> tuple[Sums, jax.Array]:
        total, d_columns, d_bias = sums
        x, y = chunk[0].astype(dtype), chunk[1]
        logits = jnp.matmul(x, columns, preferred_element_type=jnp.float32) + bias
        top = jnp.max(logits, axis=-1, keepdims=True)
        exps = jnp.exp(logits - top)
        norm = jnp.sum(exps, axis=-1, keepdims=True)
        picked = jnp.take_along_axis(logits, y[:, None], axis=-1)
        d_logits = exps * (scale / norm) - jnp.where(vocabulary == y[:, None], scale, 0.0)
        low = d_logits.astype(dtype)
        turned = transposed(x)
        sums = (
            total + jnp.sum(jnp.log(norm) + top - picked),
            d_columns + jnp.matmul(turned, low, preferred_element_type=jnp.float32),
            d_bias + jnp.sum(d_logits, axis=0),
        )
        return sums, jnp.matmul(low, rows, preferred_element_type=jnp.float32)

    zeros = (jnp.zeros(()), jnp.zeros(columns.shape), jnp.zeros(bias.shape))
    (total, d_columns, d_bias), d_hidden = jax.lax.scan(body, zeros, _chunks(hidden, targets))
    return total * scale, (d_hidden.reshape(hidden.shape), d_columns.T, d_bias)


def _backward(
    dtype: str, gradients: Gradients, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    del dtype
    d_hidden, d_head, d_bias = (gradient * cotangent for gradient in gradients)
    return d_hidden, d_head, d_bias, None


next_token_loss.defvjp(_loss_and_gradients, _backward)
