"""From plain weights to the folder that ships, with every step compared."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from codegen_lsp.converters import export as exporting
from codegen_lsp.converters.checkpoint import open_checkpoint
from codegen_lsp.converters.export import export, main, report
from codegen_lsp.converters.samples import sample_tokens
from codegen_lsp.errors import ConversionError, TrainingError
from codegen_lsp.models.manifest import MANIFEST, Manifest
from codegen_lsp.models.store import open_folder, verify
from tests.support.tiny import SHAPE, random_weights, write_tokenizer

pytest.importorskip("flax", reason="flax is not installed")
pytest.importorskip("orbax.checkpoint", reason="orbax is not installed")

from codegen_lsp.tpu.plain import read_run

MANIFEST_OF = Manifest(name="tiny", context_length=2, description="Random.")


def test_every_step_is_compared_and_the_folder_is_whole(tmp_path: Path) -> None:
    """JAX, Hugging Face, CTranslate2 in float32 and int8; then a folder that verifies."""
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    out = tmp_path / "out"
    written, steps = export(random_weights(SHAPE), SHAPE, tokenizer, out, MANIFEST_OF)
    names = [step.name for step in steps if "transformers" not in step.name]
    assert names == [
        "JAX",
        "Hugging Face, numpy",
        "CTranslate2, float32",
        "CTranslate2, int8",
    ]
    assert (written.context_length, written.compute_type) == (SHAPE.n_positions, "int8")
    verify(open_folder(out), deep=True)
    lines = io.StringIO()
    report(steps, Console(file=lines, width=100))
    assert "CTranslate2, int8" in lines.getvalue()


def test_a_step_that_changes_the_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written where one layout computes something else."""
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")

    def wrong(*_: object) -> np.ndarray:
        return np.zeros((4 * SHAPE.n_positions, SHAPE.vocab_size))

    monkeypatch.setattr(exporting.verify, "reference_logits", wrong)
    with pytest.raises(ConversionError, match="Hugging Face, numpy"):
        export(random_weights(SHAPE), SHAPE, tokenizer, tmp_path / "out", MANIFEST_OF)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_samples_fit_the_model(tmp_path: Path) -> None:
    """Sequences of one length, ids below the vocabulary's size; a misfit is an error."""
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    tokens = sample_tokens(tokenizer, 320, sequences=4, length=64)
    assert [len(sequence) for sequence in tokens] == [64] * 4
    with pytest.raises(ConversionError, match="vocabulary of 100"):
        sample_tokens(tokenizer, 100, sequences=4, length=64)
    with pytest.raises(ConversionError, match="cannot read the tokenizer"):
        sample_tokens(tmp_path / "none.json", 320, sequences=4, length=64)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with one checkpoint of a random tied model."""
    import jax
    from flax import nnx

    from codegen_lsp.tpu.checkpoint import Checkpoints, write_model_config
    from codegen_lsp.tpu.model import CodeGen, CodeGenConfig

    config = CodeGenConfig(
        vocab_size=320,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        rotary_dim=4,
        tie_embeddings=True,
        matmul_dtype="bfloat16",
    )
    rng = np.random.default_rng(0)
    params = nnx.to_pure_dict(nnx.state(CodeGen(config, rngs=nnx.Rngs(0)), nnx.Param))
    params = jax.tree.map(lambda p: 0.3 * rng.standard_normal(p.shape, np.float32), params)
    folder = tmp_path / "run"
    folder.mkdir()
    write_model_config(folder, config)
    checkpoints = Checkpoints(folder)
    checkpoints.save(3, {"params": params, "optimizer": {"count": np.zeros(2)}}, {"step": 3})
    checkpoints.close()
    return folder


def test_a_run_becomes_a_folder_that_verifies(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints the folder on stdout, the comparisons on stderr; a tied head is copied."""
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    out, hf = tmp_path / "out", tmp_path / "hf"
    arguments = ["--checkpoint", str(run), "--tokenizer", str(tokenizer), "--name", "tiny"]
    assert main([*arguments, "--out", str(out), "--hf", str(hf)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n"
    assert "CTranslate2, int8" in captured.err
    model = open_folder(out)
    verify(model, deep=True)
    assert (model.manifest.name, model.manifest.languages) == ("tiny", ("python",))
    tensors = open_checkpoint(hf)
    assert np.array_equal(tensors["lm_head.weight"], tensors["transformer.wte.weight"])


def test_a_run_without_a_checkpoint(run: Path) -> None:
    """A folder with a shape and no parameters, and a damaged checkpoint, are named."""
    checkpoint = run / "checkpoints" / "3" / "state"
    shutil.rmtree(checkpoint)
    with pytest.raises(TrainingError, match="cannot read the checkpoint"):
        read_run(run)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(TrainingError, match="no checkpoint"):
        read_run(run)


def test_a_missing_checkpoint_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the cause on stderr, no traceback."""
    arguments = ["--checkpoint", str(tmp_path / "none"), "--tokenizer", "t", "--name", "n"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error:" in captured.err
    assert "Traceback" not in captured.err
