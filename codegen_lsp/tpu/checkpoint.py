"""Checkpoints of a training run, on disk through orbax.

Knows: where they lie in a run's folder, how many stay, and the shape of the model beside them.
Does not know: when to save, or what the arrays mean.

A checkpoint appears whole or not at all: orbax writes into a temporary folder and renames it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from codegen_lsp.errors import TrainingError
from codegen_lsp.tpu.model import CodeGenConfig

RECENT_KEPT = 2
"""Recent checkpoints kept; older ones are removed."""

MODEL_FILE = "model.json"
"""The model's shape, in the run's folder."""

State = dict[str, Any]


class Checkpoints:
    """The recent checkpoints of a run, and the one from before its decay.

    A state is a tree of arrays; its position is a small JSON object (where the data goes on).
    """

    def __init__(self, folder: Path) -> None:
        self._recent = _manager(folder / "checkpoints", RECENT_KEPT)
        self._stable = _manager(folder / "stable", 1)

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint, or None when the run has none."""
        step: int | None = self._recent.latest_step()
        return step

    def save(self, step: int, state: State, position: dict[str, int]) -> None:
        """Writes a checkpoint and waits for it; a step that is there already is left alone."""
        _save(self._recent, step, state, position)

    def save_stable(self, step: int, state: State, position: dict[str, int]) -> None:
        """Writes the checkpoint from which a longer run can go on, outside the recent ones."""
        _save(self._stable, step, state, position)

    def restore(self, like: State, *, stable: bool = False) -> tuple[State, dict[str, int]]:
        """The newest state and position; `like` gives shapes and types.

        Raises TrainingError when there is none or when its shapes differ from `like`.
        """
        manager = self._stable if stable else self._recent
        step = manager.latest_step()
        if step is None:
            raise TrainingError("this run has no checkpoint", mend="train first")
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        # Asked beforehand: a restore that fails leaves reads behind that answer to nobody.
        if _shapes(shapes) != _shapes(manager.item_metadata(step)["state"].tree):
            raise _another(step)
        arguments = ocp.args.Composite(
            state=ocp.args.StandardRestore(shapes), position=ocp.args.JsonRestore()
        )
        try:
            restored = manager.restore(step, args=arguments)
        except ValueError as error:
            raise _another(step) from error
        return restored["state"], restored["position"]

    def close(self) -> None:
        """Lets go of the folder."""
        self._recent.close()
        self._stable.close()


def _shapes(tree: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Of each array of a tree its path and its shape, however the nodes of the tree are called."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path, simple=True), tuple(leaf.shape)) for path, leaf in leaves]


def _another(step: int) -> TrainingError:
    return TrainingError(
        f"checkpoint {step} is of another model or optimizer",
        mend="give the options of the run that wrote it or another folder",
    )


def _manager(folder: Path, kept: int) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=kept, create=True, enable_async_checkpointing=False
    )
    handlers = {"state": ocp.StandardCheckpointHandler(), "position": ocp.JsonCheckpointHandler()}
    return ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=handlers)


def _save(
    manager: ocp.CheckpointManager, step: int, state: State, position: dict[str, int]
) -> None:
    if step in manager.all_steps():
        return
    manager.save(
        step,
        args=ocp.args.Composite(
            state=ocp.args.StandardSave(state), position=ocp.args.JsonSave(position)
        ),
        force=True,
    )
    manager.wait_until_finished()


def write_model_config(folder: Path, config: CodeGenConfig) -> None:
    """Writes the model's shape beside the checkpoints."""
    text = json.dumps(asdict(config), indent=2) + "\n"
    (folder / MODEL_FILE).write_text(text, encoding="utf-8")


def read_model_config(folder: Path) -> CodeGenConfig:
    """The shape of the model of a run's folder; raises TrainingError when it holds none."""
    try:
        return CodeGenConfig(**json.loads((folder / MODEL_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(
            f"no readable {MODEL_FILE} in {folder}", mend="name the folder of a training run"
        ) from error
