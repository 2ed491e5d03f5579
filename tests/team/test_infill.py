"""A model that fills in, served: what stands behind the cursor is part of its prompt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from codegen_lsp.models.store import find_model
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from tests.support.published import publish
from tests.support.team import TeamServer

PREFIX, SUFFIX = "def add(first, second):\n    ", "\nother()\n"

MARKS = ("<fim-prefix>", "<fim-suffix>", "<fim-middle>")


@pytest.fixture(scope="module")
def filling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TeamServer, CodeTokenizer]]:
    """A tiny SantaCoder, installed and served under a name."""
    folder = tmp_path_factory.mktemp("filling")
    published = publish(folder / "published", "santacoder", dtype="float32")
    home = folder / "home"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "codegen_lsp", "models", "pull", str(published)),
            *("--name", "tiny", "--compute-type", "float32", "--no-measure"),
        ],
        env={**os.environ, "CODEGEN_LSP_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tokenizer = CodeTokenizer.from_folder(find_model("tiny", home).path)
    with TeamServer(folder, "--model", "tiny", "--compute-type", "float32") as server:
        yield server, tokenizer


def asked(server: TeamServer, **body: Any) -> dict[str, Any]:
    fields = {"temperature": 0, "max_tokens": 6, "return_token_ids": True, **body}
    response = httpx.post(f"{server.url}/v1/completions", json=fields, timeout=60)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_a_suffix_is_read_as_in_training(filling: tuple[TeamServer, CodeTokenizer]) -> None:
    """Prefix, suffix, middle with the family's marks: what the same tokens as ids bring."""
    server, tokenizer = filling
    before, between, behind = (tokenizer.id_of(name) for name in MARKS)
    prefix, suffix = tokenizer.encode(PREFIX), tokenizer.encode(SUFFIX)
    ids = [before, *prefix, between, *suffix, behind]
    filled, plain = asked(server, prompt=PREFIX, suffix=SUFFIX), asked(server, prompt=ids)
    assert filled["usage"]["prompt_tokens"] == len(ids)
    assert filled["choices"][0]["token_ids"] == plain["choices"][0]["token_ids"]
    assert filled["choices"][0]["token_ids"] != asked(server, prompt=PREFIX)["choices"][0]


def test_what_does_not_fit_is_refused(filling: tuple[TeamServer, CodeTokenizer]) -> None:
    """A suffix is not cut in silence; nor is it echoed, nor behind ids."""
    server, _ = filling
    url = f"{server.url}/v1/completions"
    for body in (
        {"prompt": PREFIX, "suffix": "x = 1\n" * 4000},
        {"prompt": PREFIX, "suffix": SUFFIX, "echo": True},
        {"prompt": [5, 6], "suffix": SUFFIX},
    ):
        assert httpx.post(url, json=body, timeout=60).status_code == 400


def test_models_tells_that_it_fills_in(filling: tuple[TeamServer, CodeTokenizer]) -> None:
    """So that a client knows what it may ask for."""
    server, _ = filling
    (model,) = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert (model["family"], model["infill"]) == ("santacoder", True)
