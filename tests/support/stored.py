"""Model folders for tests of the store: made-up files of a few bytes, and what must not remain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codegen_lsp.models.manifest import Manifest, required_files, write_manifest
from codegen_lsp.models.store import CURRENT

__all__ = ["change", "cut", "left_over", "make", "tree"]


def make(folder: Path, name: str = "small", content: str = "", **given: Any) -> Path:
    """A folder with all files of a model and nonsense in them, beginning with *content*."""
    folder.mkdir(parents=True)
    manifest = Manifest(name=name, context_length=64, **given)
    for file in required_files(manifest):
        (folder / file).write_bytes(content.encode() + file.encode() * 10)
    write_manifest(folder, manifest)
    return folder


def cut(folder: Path) -> None:
    """Truncate the weights."""
    (folder / "model.bin").write_bytes(b"cut")


def change(folder: Path) -> None:
    """Put another byte into the weights, at the same size."""
    content = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(b"X" + content[1:])


def left_over(home: Path) -> list[str]:
    """What is in the store and belongs to no model: scratch, rubbish, old versions."""
    models = home / "models"
    found = [path.name for path in models.glob(".*") if path.name != ".locks"]
    for folder in models.iterdir():
        if (folder / CURRENT).is_file():
            current = (folder / CURRENT).read_text(encoding="utf-8").strip()
            found += [path.name for path in folder.iterdir() if path.name not in (CURRENT, current)]
        elif not folder.name.startswith(".") and not (folder / "codegen-lsp.json").is_file():
            found.append(folder.name)
    return sorted(found)


def tree(home: Path) -> list[str]:
    """Everything in the store but the locks."""
    paths = (path.relative_to(home) for path in (home / "models").rglob("*"))
    return sorted(str(path) for path in paths if ".locks" not in path.parts)
