"""Every family, from the hub to the editor: pulled, converted, compared, and answering.

Tiny checkpoints in the published layouts stand behind the catalog's names. They are taught one line
for the end of a document and another for a place within it, so that what the server shows tells
which prompt was read.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from codegen_lsp.completion.model import open_model
from codegen_lsp.config.settings import Settings
from codegen_lsp.converters import t5
from codegen_lsp.converters.architectures import architecture_of
from codegen_lsp.converters.checkpoint import open_checkpoint, read_config
from codegen_lsp.converters.tokenizer_files import ensure_tokenizer
from codegen_lsp.models.catalog import find_entry
from codegen_lsp.models.store import find_model
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import CompletionContext, GenerationRequest
from tests.server.raw_client import RawClient, real_command
from tests.support.data import test_data
from tests.support.hub import environment, running
from tests.support.published import publish

MODELS = {
    "codegen1": "codegen-350M-mono",
    "codegen2": "codegen2-1B",
    "codegen25": "codegen25-7b-multi",
    "starcoder": "starcoderbase-1b",
    "santacoder": "santacoder",
    "codet5p": "codet5p-220m",
}
"""The catalog's name, by published layout."""

PREFIX = "def add(first, second):\n    "
SUFFIX = "\nother()\n"
LINE, FILLED = "return first + second", "pass"
"""What follows the end of a document, and what is missing where a mark stands."""

MARKS = {
    "codegen2": ("<mask_1>", "<eom>"),
    "codegen25": ("<mask_1>", "<eom>"),
    "starcoder": ("<fim_middle>", "<|endoftext|>"),
    "santacoder": ("<fim-middle>", "<|endoftext|>"),
    "codet5p": ("<extra_id_0>", "<extra_id_1>"),
}
"""What an answer stands behind, and its end."""

HEADS = {
    "codegen1": ("transformer.wte.weight", "transformer.ln_f.weight", "lm_head.weight"),
    "codegen25": ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"),
}
HEADS["codegen2"] = HEADS["codegen1"]
"""Embedding, last norm and head of those that have one."""

LAYERS = {
    "starcoder": (
        ("transformer.wte.weight", "transformer.ln_f.weight"),
        ("transformer.h.0.mlp.c_fc.weight", "transformer.h.0.mlp.c_proj.weight"),
    ),
    "codet5p": (
        ("shared.weight", "decoder.final_layer_norm.weight"),
        tuple(f"decoder.block.0.layer.2.DenseReluDense.{name}.weight" for name in ("wi", "wo")),
    ),
}
LAYERS["santacoder"] = LAYERS["starcoder"]
"""Embedding and last norm of those whose embedding is their head; a layer's ways in and out."""

QUIET = (
    *(".bias", "wpe.weight", "out_proj.weight", "fc_out.weight", "o_proj.weight"),
    *("down_proj.weight", "c_proj.weight", "c_fc.weight", ".o.weight", ".wi.weight", ".wo.weight"),
)
"""The ends of the names of whatever else has a say, and is to have little."""


def pairs(family: str, tokenizer: CodeTokenizer) -> list[tuple[int, int]]:
    """Each token and what follows it: behind the prefix ``LINE``, behind a mark ``FILLED``."""
    chains = [[tokenizer.encode(PREFIX)[-1], *tokenizer.encode(LINE), tokenizer.eos_id]]
    if family in MARKS:
        mark, end = (tokenizer.id_of(name) for name in MARKS[family])
        assert mark is not None
        assert end is not None
        chains.append([mark, *tokenizer.encode(FILLED), end])
    found = [pair for chain in chains for pair in itertools.pairwise(chain)]
    assert len(dict(found)) == len(found), "a table has one successor for each token"
    return found


def teach(folder: Path, family: str, tokenizer: CodeTokenizer) -> None:
    """Make the checkpoint a table of :func:`pairs`; what it was before can still be told."""
    table = pairs(family, tokenizer)
    at = {token: place for place, token in enumerate(dict.fromkeys(itertools.chain(*table)))}
    tensors = load_file(folder / "model.safetensors")
    embedding, norm = (HEADS[family][:2]) if family in HEADS else LAYERS[family][0]
    for name in tensors:
        if name.endswith(QUIET) or name in (embedding, "lm_head.weight"):
            tensors[name] = tensors[name] * (4 / tensors[embedding].shape[1])
    for token, place in at.items():
        tensors[embedding][token] = np.eye(1, tensors[embedding].shape[1], place)
    tensors[norm][:] = 1 if family in HEADS else 16
    for token, successor in table:
        if family in HEADS:
            tensors[HEADS[family][2]][successor, at[token]] = 4
            continue
        enter, leave = LAYERS[family][1]
        tensors[enter][at[token], at[token]] = 1
        tensors[leave][at[successor], at[token]] = 4
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def tokenizer_of(folder: Path, scratch: Path, companion: Path) -> CodeTokenizer:
    """The tokenizer a pull will make, in a folder of its own."""
    shutil.copytree(folder, scratch)
    ensure_tokenizer(scratch, companion=companion)
    return CodeTokenizer.from_folder(scratch)


@pytest.fixture(scope="module")
def companion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CodeGen1 repository: CodeGen2.5 is built on its vocabulary."""
    folder = tmp_path_factory.mktemp("companion")
    return publish(folder, "codegen1", tokenizer=test_data("codegen_tokenizer"), vocab_size=51200)


@pytest.fixture(scope="module", params=list(MODELS))
def pulled(
    request: pytest.FixtureRequest, companion: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Path]:
    """The family, its checkpoint, and a home in which the command line installed it."""
    family = str(request.param)
    scratch = tmp_path_factory.mktemp(family)
    folder, home = publish(scratch / "published", family, dtype="float32"), scratch / "home"
    teach(folder, family, tokenizer_of(folder, scratch / "tokenizer", companion))
    entry = find_entry(MODELS[family])
    assert entry is not None
    with running() as hub:
        if entry.companion:
            hub.add(entry.companion, companion)
        hub.add(entry.hub_id, folder)
        command = [sys.executable, "-m", "codegen_lsp", "models", "pull", MODELS[family]]
        done = subprocess.run(
            [*command, "--compute-type", "float32", "--no-measure"],
            env=environment(hub, home),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return family, folder, home


def test_the_logits_are_the_checkpoint_s(pulled: tuple[str, Path, Path]) -> None:
    """What the pull itself compared: CTranslate2, numpy and transformers agree to 1e-4."""
    family, _, home = pulled
    checks = {check.name: check for check in find_model(MODELS[family], home).manifest.checks}
    names = " | ".join(checks)
    assert "CTranslate2 float32" in names
    # transformers reads eight parts as four: it is no judge of CodeGen2-1B.
    assert ("transformers" in names) == (family != "codegen2")
    for check in checks.values():
        assert check.max_abs <= 1e-4, check
        assert check.agreement == 1.0, check


def greedy(
    folder: Path, prompt: Sequence[int], given: Sequence[int], count: int, padding: frozenset[int]
) -> list[int]:
    """The likeliest tokens by the numpy reading of the checkpoint; never a padding row."""
    tensors, config = open_checkpoint(folder), read_config(folder)
    said = list(given)
    while len(said) < len(given) + count:
        if config["model_type"] == "t5":
            logits = t5.forward(tensors, config, prompt, said)[-1]
        else:
            logits = architecture_of(config).reference(tensors, config, [*prompt, *said])[-1]
        logits = np.array(logits)
        logits[list(padding)] = -np.inf
        said.append(int(logits.argmax()))
    return said[len(given) :]


@pytest.mark.parametrize("suffix", ["", SUFFIX], ids=["at the end", "in the middle"])
def test_the_engine_writes_what_the_checkpoint_does(
    pulled: tuple[str, Path, Path], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token by token, behind the prompt the family was trained on, as far as both go on."""
    family, folder, home = pulled
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(home))
    settings = Settings(model=MODELS[family], compute_type="float32")

    async def answer() -> tuple[list[int], list[int]]:
        model = await open_model(settings)
        try:
            context = CompletionContext(PREFIX, suffix, "python")
            prepared = model.family.prepare(context, model.tokenizer, 48)
            request = GenerationRequest(
                prompt=prepared.prompt, max_new_tokens=8, answer_prefix=prepared.answer_prefix
            )
            found = [token.id async for token in model.engine.generate(request)]
        finally:
            await model.engine.close()
        rows = int(architecture_of(read_config(folder)).facts(read_config(folder)).vocab_size)
        padding = frozenset(i for i in range(rows) if model.tokenizer.id_to_token(i) is None)
        given, prompt = prepared.answer_prefix, prepared.prompt.tokens
        expected = greedy(folder, prompt, given, len(found) + 1, padding)
        stopped = len(found) < 8
        assert not stopped or expected[-1] == model.tokenizer.eos_id
        return found, expected[:-1]

    found, expected = asyncio.run(answer())
    assert found == expected


@pytest.mark.parametrize("suffix", ["", SUFFIX], ids=["at the end", "in the middle"])
def test_the_server_shows_it(pulled: tuple[str, Path, Path], suffix: str) -> None:
    """Over stdio, by the name it was installed under; within a document what is missing there."""
    family, _, home = pulled
    client = RawClient(real_command(), CODEGEN_LSP_HOME=str(home))
    try:
        client.initialize(initializationOptions={"model": MODELS[family]})
        client.open("file:///a.py", PREFIX + suffix)
        items = client.complete("file:///a.py", 1, 4, 1)["items"]
        assert not any("ERROR" in line or "Traceback" in line for line in client.errors)
    finally:
        client.end()
    fills = family == "codet5p" or (bool(suffix) and family in MARKS)
    assert [item["insertText"] for item in items] == [FILLED if fills else LINE]
