"""The bundled model's weights for llama.cpp, and how tests ask an engine."""

from __future__ import annotations

from pathlib import Path

from codegen_lsp.converters.pipeline import convert_to
from codegen_lsp.engines.base import Engine
from codegen_lsp.engines.table import EngineSpec
from codegen_lsp.models.reporting import Silent
from codegen_lsp.models.store import bundled_folder, open_folder
from codegen_lsp.prompts.tokenizer import CodeTokenizer
from codegen_lsp.types import GenerationRequest, Prompt, Token

CODE = '''\
import json
from pathlib import Path


class Ledger:
    """Entries of one account, the oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, int]] = []

    def load(self) -> None:
        for line in self.path.read_text(encoding="utf-8").splitlines():
            self.entries.append(json.loads(line))

    def balance(self) -> int:
        return sum(entry["amount"] for entry in self.entries)

    def save(self) -> None:
        with self.path.open("w", encoding="utf-8") as file:
            for entry in self.entries:
                file.write(json.dumps(entry))
                file.write("\\n")


def main() -> None:
    ledger = Ledger(Path("ledger.jsonl"))
    ledger.load()
    print(ledger.balance())
'''

FOLDER = bundled_folder()
TOKENIZER = CodeTokenizer.from_folder(FOLDER)
IDS = tuple(TOKENIZER.encode(CODE * 3))


def llama_spec(folder: Path) -> EngineSpec:
    """The bundled model for both engines; its GGUF is written into *folder*."""
    gguf = folder / "q8_0.gguf"
    convert_to("bundled", "gguf", gguf, quantization="q8_0", home=folder, report=Silent())
    context = open_folder(FOLDER).manifest.context_length
    return EngineSpec(FOLDER, "bundled", context, device="cpu", threads=1, gguf=gguf)


def asked(ids: tuple[int, ...], n: int = 8, stable: int = 0, **more: object) -> GenerationRequest:
    return GenerationRequest(Prompt(ids[:stable], ids[stable:]), n, **more)  # type: ignore[arg-type]


async def answer(engine: Engine, request: GenerationRequest) -> list[Token]:
    return [token async for token in engine.generate(request)]


def ids_of(tokens: list[Token]) -> list[int]:
    return [token.id for token in tokens]
