"""A storm of changes to a folder, at random: what people, editors and git do to files.

Knows how a project changes, not who watches it. The same seed makes the same changes.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Storm"]

FIRST_FILES: Final = 400
MOST_FILES: Final = 1_500
"""Beyond it more is deleted than created."""


class Storm:
    """Changes a folder at random. The same seed, the same changes, as far as the disk allows."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.kinds: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._outside = Path(f"{root}-outside")
        self._outside.mkdir()
        self._serial = 0
        self._files: list[Path] = []
        self._folders: list[Path] = []

    @property
    def events(self) -> int:
        """How many files and folders were changed so far."""
        return self.kinds.total()

    def prepare(self) -> None:
        """A project to begin with."""
        for number in range(FIRST_FILES):
            folder = self.root / f"part{number % 12}" / f"inner{number % 5}"
            folder.mkdir(parents=True, exist_ok=True)
            self._write(folder / f"module_{number}{self._random.choice(ENDINGS)}")
        (self.root / ".git" / "info").mkdir(parents=True)
        (self.root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (self.root / ".gitignore").write_text("*.log\n")
        self._survey()

    def blow(self, events: int) -> None:
        """At least so many changes more."""
        until = self.events + events
        survey = self.events
        while self.events < until:
            if self.events >= survey:
                self._survey()
                survey = self.events + 100
            act = self._random.choices(ACTS, WEIGHTS)[0]
            if len(self._files) > MOST_FILES and act is Storm.create:
                act = Storm.delete
            try:
                count = act(self)
            except (OSError, shutil.Error):
                continue  # what it was about is gone; that happens in storms
            self.kinds[act.__name__] += count
            self._rest()

    def _rest(self) -> None:
        """Mostly no pause, sometimes one as between saves, seldom one as between thoughts."""
        chance = self._random.random()
        if chance < 0.002:
            time.sleep(0.5)
        elif chance < 0.1:
            time.sleep(0.01)

    def _survey(self) -> None:
        self._files, self._folders = [], [self.root]
        for at, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name != ".git")
            self._folders += [Path(at, name) for name in folders]
            self._files += [Path(at, name) for name in sorted(files) if name[0] != "."]

    def _file(self) -> Path:
        return self._random.choice(self._files)

    def _folder(self) -> Path:
        return self._random.choice(self._folders)

    def _inner_folder(self) -> Path:
        folder = self._folder()
        if folder == self.root:
            raise FileNotFoundError(folder)
        return folder

    def _new(self, ending: str | None = None) -> Path:
        self._serial += 1
        return self._folder() / f"new_{self._serial}{ending or self._random.choice(ENDINGS)}"

    def _write(self, path: Path) -> None:
        path.write_text(code(self._random, path.suffix), encoding="utf-8")

    # Each changes something and says how many files and folders that were. ------------------------

    def create(self) -> int:
        path = self._new()
        self._write(path)
        self._files.append(path)
        return 1

    def edit(self) -> int:
        path = self._file()
        if path.is_symlink() or not path.exists():
            raise FileNotFoundError(path)
        self._write(path)
        return 1

    def append(self) -> int:
        with self._file().open("a", encoding="utf-8") as file:
            for _ in range(3):
                file.write("\n# one more\n")
                file.flush()
        return 3

    def touch(self) -> int:
        when = self._random.randrange(1, 2_000_000_000)
        os.utime(self._file(), (when, when), follow_symlinks=False)
        return 1

    def delete(self) -> int:
        self._file().unlink()
        return 1

    def move(self) -> int:
        self._file().rename(self._new())
        return 1

    def move_over(self) -> int:
        self._file().replace(self._file())
        return 1

    def save_atomically(self) -> int:
        path = self._file()
        beside = path.with_name(f".{path.name}.tmp~")
        self._write(beside)
        beside.replace(path)
        return 2

    def flicker(self) -> int:
        path = self._new()
        rounds = self._random.randrange(2, 6)
        for _ in range(rounds):
            self._write(path)
            path.unlink()
        if self._random.random() < 0.5:
            self._write(path)
        return rounds

    def make_folder(self) -> int:
        folder = self._new("_folder") / "deep" / "er"
        folder.mkdir(parents=True)
        self._write(folder / "inside.py")
        self._write(folder.parent / "between.ts")
        self._folders += [folder, folder.parent]
        return 5

    def move_folder(self) -> int:
        self._inner_folder().rename(self._new("_moved"))
        return 1

    def delete_folder(self) -> int:
        folder = self._inner_folder()
        count = sum(len(files) for _, _, files in os.walk(folder))
        if count > 60:  # or the storm would soon have nothing left
            raise FileNotFoundError(folder)
        shutil.rmtree(folder)
        return count + 1

    def move_out_and_in(self) -> int:
        folder = self._inner_folder()
        away = self._outside / f"away_{self._serial}"
        folder.rename(away)
        self._write(away / "changed_outside.py")
        time.sleep(self._random.choice((0.0, 0.05, 0.6)))
        away.rename(self._new("_back"))
        return 3

    def replace_by_folder(self) -> int:
        path = self._file()
        path.unlink()
        path.mkdir()
        self._write(path / "within.py")
        return 3

    def replace_by_file(self) -> int:
        folder = self._inner_folder()
        inside = sum(len(files) for _, _, files in os.walk(folder))
        if inside > 10:
            raise FileNotFoundError(folder)
        shutil.rmtree(folder)
        self._write(folder)
        return inside + 1

    def link(self) -> int:
        target = self._random.choice((self.root, self._outside, self._folder(), self._file()))
        self._new().symlink_to(target)
        return 1

    def swap_for_link(self) -> int:
        folder = self._inner_folder()
        away = self._outside / f"linked_{self._serial}"
        self._serial += 1
        shutil.copytree(folder, away, symlinks=True)
        shutil.rmtree(folder)
        folder.symlink_to(away)
        time.sleep(self._random.choice((0.0, 0.3)))
        folder.unlink()
        away.rename(folder)
        return 4

    def ignore(self) -> int:
        folder = self.root if self._random.random() < 0.3 else self._folder()
        name = self._random.choice((".gitignore", ".gitignore", ".codegenignore"))
        rules = self._random.sample(RULES, self._random.randrange(0, 3))
        (folder / name).write_text("\n".join(rules) + "\n")
        return 1

    def stop_ignoring(self) -> int:
        folder = self._folder()
        (folder / ".gitignore").unlink()
        return 1

    def odd_file(self) -> int:
        path = self._new()
        path.write_bytes(self._random.choice(ODD)())
        return 1

    def huge_file(self) -> int:
        with self._new(".c").open("wb") as file:
            file.truncate(100 * 1024 * 1024)
        return 1

    def switch_branch(self) -> int:
        """Rewrite, add and remove many files at once, as git does, then its own."""
        chosen = self._random.sample(self._files, min(len(self._files), 250))
        for path in chosen:
            if path.is_symlink():
                continue
            path.unlink(missing_ok=True)
            if self._random.random() < 0.9 and path.parent.is_dir():
                self._write(path)
        (self.root / ".git" / "index").write_bytes(self._random.randbytes(64))
        (self.root / ".git" / "HEAD").write_text(f"ref: refs/heads/b{self._serial}\n")
        return len(chosen)


ENDINGS: Final = (".py", ".py", ".ts", ".go", ".java", ".rs", ".c", ".log", ".txt")

RULES: Final = ("*.go", "part1/", "inner2/", "!module_*.go", "new_1*", "*_moved/", "# nothing", "")

ODD: Final[tuple[Callable[[], bytes], ...]] = (
    lambda: b"",
    lambda: bytes(range(256)) * 20,
    lambda: "naïve = 'ü'\n".encode("latin-1"),
    lambda: "x = 1\n".encode("utf-16"),
    lambda: b"var a=1;" * 9_000,
    lambda: b"x = 1\r\ny = 2\rz = 3\n",
)

TABLE: Final[dict[Callable[[Storm], int], float]] = {
    Storm.create: 30,
    Storm.edit: 30,
    Storm.append: 4,
    Storm.touch: 4,
    Storm.delete: 9,
    Storm.move: 8,
    Storm.move_over: 3,
    Storm.save_atomically: 8,
    Storm.flicker: 4,
    Storm.make_folder: 3,
    Storm.move_folder: 3,
    Storm.delete_folder: 2,
    Storm.move_out_and_in: 1,
    Storm.replace_by_folder: 1,
    Storm.replace_by_file: 1,
    Storm.link: 2,
    Storm.swap_for_link: 1,
    Storm.ignore: 1,
    Storm.stop_ignoring: 1,
    Storm.odd_file: 2,
    Storm.huge_file: 0.5,
    Storm.switch_branch: 0.2,
}
"""What happens, and how often."""

ACTS: Final = tuple(TABLE)
WEIGHTS: Final = tuple(TABLE.values())

TEMPLATES: Final = {
    ".py": "import os\nfrom . import {a}\n\n\nclass {A}:\n    def {b}(self, {c}):\n"
    "        return self.{a} + {n}\n\n\ndef {c}({a}):\n    return {A}().{b}({a})\n",
    ".ts": 'import {{ {a} }} from "./{a}";\n\nexport class {A} {{\n  {b}({c}: number): number {{\n'
    "    return {c} + {n};\n  }}\n}}\n",
    ".go": 'package {a}\n\nimport "fmt"\n\ntype {A} struct {{ {b} int }}\n\n'
    "func {c}(x int) int {{\n\tfmt.Println(x)\n\treturn x + {n}\n}}\n",
    ".java": "package {a};\n\nimport java.util.List;\n\npublic class {A} {{\n"
    "    int {b}(int {c}) {{\n        return {c} + {n};\n    }}\n}}\n",
    ".rs": "use crate::{a}::{b};\n\npub struct {A} {{ {b}: i64 }}\n\n"
    "pub fn {c}(x: i64) -> i64 {{\n    x + {n}\n}}\n",
    ".c": '#include "{a}.h"\n\nstruct {A} {{ int {b}; }};\n\nint {c}(int x)\n{{\n'
    "    return x + {n};\n}}\n",
}

STEMS: Final = ("order", "parcel", "invoice", "route", "meter", "ledger", "window", "signal")


def code(chance: random.Random, ending: str) -> str:
    """A little program, different each time."""
    words = [f"{chance.choice(STEMS)}_{chance.randrange(1000)}" for _ in range(3)]
    template = TEMPLATES.get(ending, "{a} {b} {c} {n}\n")
    title = words[0].title().replace("_", "")
    return template.format(
        a=words[0],
        b=words[1],
        c=words[2],
        A=title,
        n=chance.randrange(10 ** chance.randrange(1, 9)),
    )
