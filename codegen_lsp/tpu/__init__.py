"""The JAX side of the project: the CodeGen model, its training, and its use on TPUs.

Knows: jax, flax, optax, orbax; nothing outside this package may import those.
Does not know: completion, editors, prompts, or how weights are laid out elsewhere.

Importing this package imports no jax; its modules do.
"""
