"""Training a tiny model: resumed exactly, stopped by what cannot go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="the extra [train] is not installed")

import numpy as np

from codegen_lsp.errors import CorpusError, TrainingError
from codegen_lsp.tpu.model import CodeGenConfig
from codegen_lsp.tpu.optimizer import OptimizerConfig
from codegen_lsp.tpu.plain import read_run
from codegen_lsp.tpu.train import Stage, TrainConfig, stage_at, train

# tensorstore leaves futures behind at exit of a run; nothing of ours is lost with them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STAGES = (Stage(until=0.5, seq_len=8, batch_size=4), Stage(until=1.0, seq_len=16, batch_size=2))


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """A run of six steps over two stages."""
    tokens = np.random.default_rng(0).integers(1, 64, 4000).astype(np.uint16)
    np.save(tmp_path / "train.npy", tokens)
    return TrainConfig(
        data=tmp_path,
        out=tmp_path / "run",
        model=CodeGenConfig(
            vocab_size=64,
            n_positions=16,
            n_embd=16,
            n_layer=2,
            n_head=4,
            rotary_dim=4,
            tie_embeddings=True,
        ),
        optimizer=OptimizerConfig(warmup_steps=2),
        steps=6,
        decay_steps=2,
        stages=STAGES,
        log_every=1,
    )


def losses(run: Path) -> list[float]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [row["loss"] for row in map(json.loads, lines) if "loss" in row]


def test_a_resumed_run_is_the_run_that_was_never_stopped(config: TrainConfig) -> None:
    """Three steps, a stop and three more give the bits of six; the stages go on, too."""
    train(config)
    stopped = replace(config, out=config.data / "stopped", minutes=0.0)
    for _ in range(config.steps):  # each call takes one step and stops at its time limit
        train(stopped)
    assert losses(stopped.out) == losses(config.out)
    whole, parts = read_run(config.out)[0], read_run(stopped.out)[0]
    assert whole.keys() == parts.keys()
    for name, weight in whole.items():
        np.testing.assert_array_equal(weight, parts[name], err_msg=name)


def test_training_lowers_the_loss(config: TrainConfig) -> None:
    """A text of one repeated phrase is learned."""
    np.save(config.data / "train.npy", np.tile(np.arange(1, 9, dtype=np.uint16), 500))
    train(replace(config, steps=40, decay_steps=10))
    seen = losses(config.out)
    assert seen[-1] < 0.5 * seen[0]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(
    config: TrainConfig,
) -> None:
    """The error names the batch; what was saved before stays readable and is continued."""
    train(replace(config, minutes=0.0))
    saved = read_run(config.out)[0]
    wild = replace(config, optimizer=OptimizerConfig(warmup_steps=0, adam_learning_rate=1e30))
    with pytest.raises(
        TrainingError, match=r"loss is (nan|inf) at step \d+ \(stage \d, batch \d+\)"
    ):
        train(replace(wild, steps=50))
    for name, weight in read_run(config.out)[0].items():
        np.testing.assert_array_equal(weight, saved[name])


def test_a_checkpoint_of_another_model_is_refused(config: TrainConfig) -> None:
    """Options that do not fit the folder are named instead of starting anew."""
    train(replace(config, minutes=0.0))
    with pytest.raises(TrainingError, match="another model"):
        train(replace(config, model=replace(config.model, n_embd=32)))


def test_missing_data_is_named(config: TrainConfig, tmp_path: Path) -> None:
    """A folder without a shard says how to make one."""
    with pytest.raises(CorpusError, match="no token shard"):
        train(replace(config, data=tmp_path / "nowhere"))


@pytest.mark.parametrize(("step", "stage"), [(0, 0), (2, 0), (3, 1), (5, 1), (6, 1)])
def test_stages_follow_the_plan(step: int, stage: int) -> None:
    """A stage ends at its fraction of the run."""
    assert stage_at(STAGES, step, 6) == stage
