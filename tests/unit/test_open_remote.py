"""What a server's model is like, and a whole remote model ready to be asked."""

from __future__ import annotations

import pytest

from codegen_lsp.completion.serving import Spelling, like, open_remote
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.ct2 import Ct2Engine
from codegen_lsp.engines.remote_wire import Served
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.errors import EngineUnavailableError
from codegen_lsp.models.store import bundled_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt

pytest.importorskip("httpx2", reason="the HTTP client is not installed")
pytest.importorskip("uvicorn", reason="the test server needs it")

from tests.support.remote_server import RemoteServer, serving

TOKENIZER = CodeTokenizer.from_folder(bundled_folder())


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEGEN_LSP_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("served", "setting", "name", "family", "same"),
    [
        ("codegen-6M-mono", "", "codegen-6M-mono", "causal", True),
        ("x", "bundled", "codegen-6M-mono", "causal", True),
        ("Salesforce/codegen-16B-mono", "", "codegen-16B-mono", "causal", False),
        ("/models/codegen-16B-mono/", "", "codegen-16B-mono", "causal", False),
        ("codegen-16b-mono:latest", "", "codegen-16B-mono", "causal", False),
        ("/a/codegen-2B-mono.q8_0.gguf", "", "codegen-2B-mono", "causal", False),
        ("/a/codegen-2B-mono.gguf", "", "codegen-2B-mono", "causal", False),
        ("codegeex2-6b", "", "codegeex2-6b", "causal", False),
        ("codegen2-16B", "", "codegen2-16B", "causal", False),  # its marks are not known here
        ("team", "codegen-16B-multi", "codegen-16B-multi", "causal", False),
        ("team", "causal", "team", "causal", False),
        ("gpt-5", "", "", "gpt-5", None),
        ("gpt-5", "nonsense", "", "nonsense", None),
        ("codet5p-770m", "", "", "encoder-decoder", None),
    ],
)
def test_likeness(served: str, setting: str, name: str, family: str, same: bool | None) -> None:
    """By the server's name or the setting's; who is like nothing is told what to set."""
    if same is None:
        with pytest.raises(EngineUnavailableError, match=family):
            like(Served(served), setting, "host")
        return
    found = like(Served(served), setting, "host")
    assert (found.name, found.family.name, found.same_tokens) == (name, family, same)


def test_our_own_server_says_its_family() -> None:
    """A model that somebody trained has a name that no catalog knows."""
    found = like(Served("ours", 0, "causal"), "", "host")
    assert (found.name, found.family.name, found.same_tokens) == ("ours", "causal", False)


def test_text_is_never_a_mark() -> None:
    """Marks are spelt by their names, and names that stand in a text are not."""
    spelling = Spelling(TOKENIZER)
    ids = [TOKENIZER.eos_id, *TOKENIZER.encode('end = "<|endoftext|>"')]
    assert spelling.text(ids) == '<|endoftext|>end = "< |endoftext|>"'
    assert spelling.text(spelling.ids("x = 1\n")) == "x = 1\n"


@pytest.mark.parametrize(("model", "ids"), [("codegen-6M-mono", True), ("codegen-16B-mono", False)])
async def test_a_remote_model_is_opened(model: str, ids: bool) -> None:
    """With ids where the tokenizer is here, with text where it is not: the answer is the same."""
    local = Ct2Engine(EngineSpec(bundled_folder(), "bundled", 1024, "cpu", "float32", 1))
    served = RemoteServer(local, TOKENIZER, model=model, context_length=512)
    served.mark = (TOKENIZER.eos_id,)
    prompt = Prompt((TOKENIZER.eos_id, *TOKENIZER.encode("def mean(values):\n    return")), ())
    asked = GenerationRequest(prompt, 6, stop_ids=(TOKENIZER.eos_id,))
    try:
        async with serving(served) as url:
            opened = await open_remote(Settings(server=url))
            try:
                said = [token.id async for token in opened.engine.generate(asked)]
                info = opened.engine.info
            finally:
                await opened.engine.close()
        here = [token.id async for token in local.generate(asked)]
    finally:
        await local.close()
    assert said == here != []
    assert (opened.name, info.remote, info.context_length) == (model, True, 512)
    assert isinstance(served.streams[0].body["prompt"], str) == (not ids)
