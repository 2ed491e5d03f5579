"""Training a CodeGen from scratch or onward: the loop, its plan and its log.

Knows: the stages of a run, when to save, log, measure and stop.
Does not know: where text comes from (``corpus``), or how models are packed for use (converters).

A step is a function of the checkpoint before it: a run that is stopped by SIGTERM, a crash or its
time limit goes on exactly where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from numpy.typing import NDArray

from codegen_lsp.errors import CodegenError, TrainingError
from codegen_lsp.tpu.checkpoint import Checkpoints, State, write_model_config
from codegen_lsp.tpu.data import HeldOutFile, batch_at, held_out_files, open_shard
from codegen_lsp.tpu.evaluate import bits_per_byte, make_scorer, sample
from codegen_lsp.tpu.loss import next_token_loss
from codegen_lsp.tpu.model import CodeGen, CodeGenConfig
from codegen_lsp.tpu.optimizer import OptimizerConfig, make_optimizer, wsd_schedule


@dataclass(frozen=True)
class Stage:
    """A stretch of a run with one shape of batch."""

    until: float
    """Fraction of the run's steps at which the stage ends."""
    seq_len: int
    """Tokens in a row."""
    batch_size: int
    """Rows in a step."""


STAGES: tuple[Stage, ...] = (
    Stage(until=0.45, seq_len=256, batch_size=16),
    Stage(until=0.75, seq_len=512, batch_size=8),
    Stage(until=1.00, seq_len=1024, batch_size=4),
)
"""Short rows first, since they are cheaper and teach the same in the beginning."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on."""

    data: Path
    """Folder with `train.npy` and, if progress shall be measured, `heldout/`."""
    out: Path
    """Folder of the run: checkpoints, `model.json`, `log.jsonl`."""
    model: CodeGenConfig
    """Shape of the model."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Learning rates and schedule."""
    steps: int = 6000
    """Length of the run; it may change between restarts as long as the decay has not begun."""
    decay_steps: int = 1800
    """Last steps, over which the learning rate falls to zero."""
    stages: tuple[Stage, ...] = STAGES
    """The plan of sequence lengths."""
    minutes: float = math.inf
    """Wall-clock limit of this invocation; the run is saved and can be continued."""
    seed: int = 0
    """Of the initial weights and of the order of the data."""
    save_every: float = 300.0
    """Seconds between checkpoints."""
    evaluate_every: float = 600.0
    """Seconds between measurements of held-out bits per byte."""
    evaluate_files: int = 24
    """Held-out files in such a measurement; 0 for none."""
    log_every: int = 10
    """Steps between lines of the log."""


Step = Callable[[State, jax.Array], tuple[State, jax.Array]]


def initial_state(config: TrainConfig, optimizer: optax.GradientTransformation) -> State:
    """Fresh parameters and optimizer state, from the seed alone."""
    model = CodeGen(config.model, rngs=nnx.Rngs(config.seed))
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    return {"params": params, "optimizer": optimizer.init(params)}


def make_step(model: CodeGenConfig, optimizer: optax.GradientTransformation) -> Step:
    """A compiled step (state, tokens [batch, length + 1]) -> (state, mean loss in nats).

    The state given is used up (its buffers are donated).
    """
    graph = nnx.split(nnx.eval_shape(lambda: CodeGen(model, rngs=nnx.Rngs(0))))[0]

    def loss(params: Any, tokens: jax.Array) -> jax.Array:
        net = nnx.merge(graph, nnx.State(params))
        hidden = net(tokens[:, :-1]).reshape(-1, model.n_embd)
        targets = tokens[:, 1:].reshape(-1)
        bias = net.lm_head_bias[...]
        return next_token_loss(hidden, net.head, bias, targets, model.matmul_dtype)

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, tokens: jax.Array) -> tuple[State, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(state["params"], tokens)
        updates, moments = optimizer.update(gradients, state["optimizer"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "optimizer": moments}, value

    return step


def stage_at(stages: Sequence[Stage], step: int, total_steps: int) -> int:
    """Number of the stage that `step` (from 0) belongs to."""
    for number, stage in enumerate(stages):
        if step < round(stage.until * total_steps):
            return number
    return len(stages) - 1


class _Run:
    """A run in progress: what the loop keeps between steps."""

    def __init__(self, config: TrainConfig) -> None:
        config.out.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.tokens = open_shard(config.data / "train.npy")
        self.optimizer = make_optimizer(
            config.optimizer, total_steps=config.steps, decay_steps=config.decay_steps
        )
        self.train_step = make_step(config.model, self.optimizer)
        self.scorer = make_scorer(config.model)
        self.heldout = _heldout(config)
        self.checkpoints = Checkpoints(config.out)
        self.state = initial_state(config, self.optimizer)
        self.position = {"step": 0, "stage": 0, "batches": 0, "tokens": 0}
        if self.checkpoints.latest is not None:
            self.state, self.position = self.checkpoints.restore(self.state)
        self.bytes_per_token = _bytes_per_token(self.heldout)
        self.stopping = False

    def next_batch(self) -> NDArray[np.int32]:
        """The batch of the current step; moves the position past it."""
        config, place = self.config, self.position
        number = stage_at(config.stages, place["step"], config.steps)
        if number != place["stage"]:
            place |= {"stage": number, "batches": 0}
        stage = config.stages[number]
        batch = batch_at(
            self.tokens,
            seed=config.seed * len(config.stages) + number,
            step=place["batches"],
            batch_size=stage.batch_size,
            seq_len=stage.seq_len,
        )
        place["batches"] += 1
        place["tokens"] += stage.batch_size * stage.seq_len
        return batch

    def advance(self) -> float:
        """One step; its loss in nats per token.

        Raises TrainingError, naming the batch, when the loss is not finite.
        """
        batch = self.next_batch()
        self.state, loss = self.train_step(self.state, jnp.asarray(batch))
        value = float(loss)
        if not math.isfinite(value):
            place = self.position
            raise TrainingError(
                f"loss is {value} at step {place['step']}"
                f" (stage {place['stage']}, batch {place['batches'] - 1})",
                mend="lower the learning rates and run again from the last checkpoint",
            )
        self.position["step"] += 1
        return value

    def save(self) -> None:
        """Saves the run as it is; in its last stable step also for longer runs."""
        step = self.position["step"]
        self.checkpoints.save(step, self.state, self.position)
        if step == self.config.steps - self.config.decay_steps:
            self.checkpoints.save_stable(step, self.state, self.position)

    def measure(self) -> float | None:
        """Bits per byte on the fixed sample of held-out files, or None without files."""
        if not self.heldout:
            return None
        positions = self.config.model.n_positions
        return bits_per_byte(self.scorer, self.state["params"], self.heldout, positions).total


def _heldout(config: TrainConfig) -> list[HeldOutFile]:
    folder = config.data / "heldout"
    if not config.evaluate_files or not folder.is_dir():
        return []
    return sample(held_out_files(folder), config.evaluate_files)


def _bytes_per_token(files: Sequence[HeldOutFile]) -> float:
    tokens = sum(len(file.tokens) for file in files)
    return sum(file.n_bytes for file in files) / tokens if tokens else math.nan


class _Log:
    """Lines of JSON in the run's folder and lines for people on stderr."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._file = (run.config.out / "log.jsonl").open("a", encoding="utf-8")
        self._rate = wsd_schedule(
            1.0,
            warmup_steps=run.config.optimizer.warmup_steps,
            total_steps=run.config.steps,
            decay_steps=run.config.decay_steps,
        )
        self._began = self._mark = time.monotonic()
        self._tokens = run.position["tokens"]
        self._losses: list[float] = []

    def write(self, **values: float | int | str) -> None:
        """One object to the file."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def add(self, loss: float) -> None:
        """Notes a step's loss; writes a line every `log_every` steps."""
        self._losses.append(loss)
        place, config = self._run.position, self._run.config
        if place["step"] % config.log_every:
            return
        now, mean = time.monotonic(), sum(self._losses) / len(self._losses)
        line = {
            "step": place["step"],
            "tokens": place["tokens"],
            "loss": round(mean, 4),
            "bits_per_byte": round(mean / math.log(2) / self._run.bytes_per_token, 4),
            "tokens_per_second": round((place["tokens"] - self._tokens) / (now - self._mark)),
            "learning_rate": float(
                config.optimizer.muon_learning_rate * self._rate(place["step"] - 1)
            ),
            "elapsed": round(now - self._began, 1),
        }
        self.write(**line)
        _say(
            f"step {line['step']}/{config.steps}  loss {mean:.4f}"
            f"  ~{line['bits_per_byte']:.3f} bits/byte  {line['tokens_per_second']} tokens/s"
        )
        self._mark, self._tokens, self._losses = now, place["tokens"], []

    def measured(self, value: float | None) -> None:
        """Notes a measurement on held-out files; its time is not counted as training."""
        if value is not None:
            self.write(step=self._run.position["step"], heldout_bits_per_byte=round(value, 4))
            _say(f"step {self._run.position['step']}: held-out {value:.4f} bits/byte")
        self._mark, self._tokens = time.monotonic(), self._run.position["tokens"]
        self._losses = []

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def train(config: TrainConfig) -> float | None:
    """Runs until the last step, the time limit or SIGTERM, whichever is first; always saves.

    Returns held-out bits per byte of the sample of files when the run is complete, else None.
    Raises TrainingError for a loss that is not finite and for checkpoints of another model,
    CorpusError for missing data.
    """
    run = _Run(config)
    write_model_config(config.out, config.model)
    log = _Log(run)

    def stop(signum: int, frame: object) -> None:
        run.stopping = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        _loop(run, log)
        run.save()
        if run.position["step"] < config.steps:
            _say(f"stopped at step {run.position['step']}; the same command goes on")
            return None
        result = run.measure()
        log.measured(result)
        return result
    finally:
        signal.signal(signal.SIGTERM, before)
        log.close()
        run.checkpoints.close()


def _loop(run: _Run, log: _Log) -> None:
    """Steps until done or told to stop, saving and measuring on the way."""
    config = run.config
    saved = measured = began = time.monotonic()
    stable = config.steps - config.decay_steps
    while run.position["step"] < config.steps and not run.stopping:
        log.add(run.advance())
        now = time.monotonic()
        if now - began > config.minutes * 60:
            return
        if now - saved > config.save_every or run.position["step"] == stable:
            run.save()
            saved = now
        if now - measured > config.evaluate_every:
            log.measured(run.measure())
            measured = now


def _parser() -> argparse.ArgumentParser:
    shape, rates = CodeGenConfig(), OptimizerConfig()
    parser = argparse.ArgumentParser(prog="codegen_lsp.tpu.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.npy")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--decay-steps", type=int, default=1800)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--n-positions", type=int, default=1024)
    parser.add_argument("--n-embd", type=int, default=256)
    parser.add_argument("--n-layer", type=int, default=5)
    parser.add_argument("--n-head", type=int, default=4)
    parser.add_argument("--rotary-dim", type=int, default=shape.rotary_dim)
    parser.add_argument("--untied", action="store_true", help="a head of its own")
    parser.add_argument("--matmul-dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--muon-lr", type=float, default=rates.muon_learning_rate)
    parser.add_argument("--adam-lr", type=float, default=rates.adam_learning_rate)
    parser.add_argument("--weight-decay", type=float, default=rates.weight_decay)
    return parser


def config_from_arguments(arguments: Sequence[str] | None = None) -> TrainConfig:
    """The configuration that command-line arguments describe."""
    given = _parser().parse_args(arguments)
    model = CodeGenConfig(
        vocab_size=given.vocab_size,
        n_positions=given.n_positions,
        n_embd=given.n_embd,
        n_layer=given.n_layer,
        n_head=given.n_head,
        rotary_dim=given.rotary_dim,
        tie_embeddings=not given.untied,
        matmul_dtype=given.matmul_dtype,
    )
    optimizer = OptimizerConfig(
        muon_learning_rate=given.muon_lr,
        adam_learning_rate=given.adam_lr,
        weight_decay=given.weight_decay,
    )
    return TrainConfig(
        data=given.data,
        out=given.out,
        model=model,
        optimizer=optimizer,
        steps=given.steps,
        decay_steps=given.decay_steps,
        minutes=given.minutes,
        seed=given.seed,
    )


def main() -> int:
    """`python -m codegen_lsp.tpu.train`: 0 when it ran, 1 with one line on stderr if not."""
    config = config_from_arguments()
    _say(json.dumps(asdict(config), default=str))
    try:
        result = train(config)
    except CodegenError as error:
        _say(f"error: {error}")
        return 1
    print(json.dumps({"heldout_bits_per_byte": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
