"""From a module's name to the files it is, by where files are.

Knows how ten languages name modules, and the paths of one folder's files. Reads no project file
(``pyproject.toml``, ``go.mod``, ``tsconfig.json``): a name is looked for as the end of a path, and
of several the one nearest to who imports is taken. So it may not find a module; that it finds a
wrong one is made unlikely by what cannot be a root in that language.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from posixpath import basename, dirname, join, normpath
from typing import Final

from codegen_lsp.context.multimap import Multimap

__all__ = ["Modules"]

_MOST: Final = 50
"""Files of one package, at most."""

_FOLDER_FILES: Final = frozenset({"__init__", "index", "mod"})
"""Files that stand for the folder they are in."""

_ROOTS: Final = frozenset({"", "src", "lib", "python"})
"""What folders are called that the sources of a project are in."""

_C_LIBRARY: Final = frozenset(
    f"{name}.h"
    for name in (
        "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits",
        "locale", "math", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool",
        "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "tgmath", "threads",
        "time", "uchar", "unistd", "wchar", "wctype",
    )
)  # fmt: skip

_PYTHON: Final = (".py", ".pyi", "/__init__.py", "/__init__.pyi")
_SCRIPT: Final = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".json")
_COMPILED: Final = (".js", ".jsx", ".mjs", ".cjs")
_JVM: Final = (".java", ".kt", ".scala")


def _stem(path: str) -> str:
    """A file's name without what tells its language."""
    return basename(path).rsplit(".", 1)[0].removesuffix(".d")


def _keys(path: str) -> set[str]:
    """By which names a file is looked for."""
    stem, folder = _stem(path), dirname(path)
    keys = {stem}
    if stem in _FOLDER_FILES:
        keys.add(basename(folder))
    if stem == "lib" and basename(folder) == "src":
        keys.add(basename(dirname(folder)).replace("-", "_"))  # what Rust calls the crate
    return keys


class Modules:
    """The paths of one folder's files. Its owner holds a lock around every call."""

    def __init__(self) -> None:
        self._stems = Multimap()
        """Names to files; see ``_keys``."""
        self._folders: dict[str, set[str]] = {}
        """Folders to the names of the files in them."""
        self._named = Multimap()
        """Names to folders."""

    def add(self, path: str) -> None:
        """There is a file at *path*."""
        folder = dirname(path)
        names = self._folders.setdefault(folder, set())
        if not names:
            self._named.add(basename(folder), folder)
        names.add(basename(path))
        for key in _keys(path):
            self._stems.add(key, path)

    def remove(self, path: str) -> None:
        """There is no file at *path*, or no longer."""
        folder = dirname(path)
        names = self._folders.get(folder, set())
        names.discard(basename(path))
        if not names:
            self._folders.pop(folder, None)
            self._named.discard(basename(folder), folder)
        for key in _keys(path):
            self._stems.discard(key, path)

    def resolve(self, module: str, importer: str, language_id: str) -> tuple[str, ...]:
        """The files that *module* is, seen from the file at *importer*; the foremost first."""
        rule = _RULES.get(language_id)
        if rule is None or not module or len(module) > 500:
            return ()
        found = dict.fromkeys(path for path in rule(self, module, importer) if path != importer)
        return tuple(found)[:_MOST]

    def has(self, path: str) -> bool:
        """Whether there is a file at *path*."""
        return basename(path) in self._folders.get(dirname(path), ())

    def first(self, base: str, endings: Iterable[str]) -> Iterator[str]:
        """The first of *base* with one of *endings* that there is."""
        yield from next(([base + end] for end in endings if self.has(base + end)), [])

    def ending(self, suffix: str) -> list[tuple[str, str]]:
        """The files whose path ends in *suffix*, and the folders that is relative to."""
        return [
            (path, path[: -len(suffix)].rstrip("/"))
            for path in self._stems[_stem(suffix)]
            if path == suffix or path.endswith(f"/{suffix}")
        ]

    def called(self, name: str) -> tuple[str, ...]:
        """The files by one name without its extension; see ``_keys``."""
        return self._stems[name]

    def folders(self, name: str) -> tuple[str, ...]:
        """The folders with files that have this name."""
        return self._named[name]

    def files(self, folder: str) -> list[str]:
        """The files in a folder, ascending."""
        return sorted(join(folder, name) for name in self._folders.get(folder, ()))


def _above(folder: str, path: str) -> bool:
    """Whether *path* is in *folder* or deeper."""
    return not folder or path.startswith(f"{folder}/")


def _nearest(paths: Iterable[str], importer: str) -> list[str]:
    """Those that share most folders with the importer first, then the shallower ones."""
    near = importer.split("/")[:-1]

    def key(path: str) -> tuple[int, int, str]:
        parts = path.split("/")
        shared = 0
        for mine, theirs in zip(near, parts[:-1], strict=False):
            if mine != theirs:
                break
            shared += 1
        return -shared, len(parts), path

    return sorted(paths, key=key)


def _beside(importer: str, relative: str) -> str | None:
    """A path relative to the importer's folder; ``None`` if it is outside the workspace."""
    path = normpath(join(dirname(importer), relative))
    return None if path.startswith(("..", "/")) else path.removeprefix(".")


def _python(modules: Modules, module: str, importer: str) -> Iterator[str]:
    name = module.lstrip(".")
    inner = name.replace(".", "/")
    if name != module:
        up = "../" * (len(module) - len(name) - 1)
        base = _beside(importer, f"{up}{inner}" if inner else f"{up}.")
        if base is not None:
            yield from modules.first(base, _PYTHON if inner else ("/__init__.py", "__init__.py"))
        return
    library = name.split(".")[0] in sys.stdlib_module_names
    ranked = []
    for order, end in enumerate(_PYTHON):
        for path, root in modules.ending(inner + end):
            above = _above(root, importer)
            if not _is_root(modules, root) or (library and not above):
                continue
            alone = "." not in name and end in {".py", ".pyi"}
            if alone and not above and basename(root) not in _ROOTS:
                continue
            ranked.append((not above, -len(root) if above else len(root), order, path))
    yield from (path for *_, path in sorted(ranked))


def _is_root(modules: Modules, folder: str) -> bool:
    """Whether Python may look for modules in a folder: not in one that is a package."""
    return not modules.has(join(folder, "__init__.py"))


def _script(modules: Modules, module: str, importer: str) -> Iterator[str]:
    if module.startswith("."):
        base = _beside(importer, module)
        if base is not None:
            yield from modules.first(base, _script_endings(base))
            yield from _compiled_from(modules, base)
        return
    alias, _, rest = module.partition("/")
    inner = rest if alias in {"@", "~", "#"} else module
    if "/" not in module:
        return
    for end in _script_endings(inner):
        found = [path for path, root in modules.ending(inner + end) if _script_root(root, importer)]
        yield from _nearest(found, importer)


def _script_root(root: str, importer: str) -> bool:
    """Whether a name that is not relative may mean files below *root*."""
    return _above(root, importer) or (basename(root) in _ROOTS and _above(dirname(root), importer))


def _script_endings(base: str) -> tuple[str, ...]:
    inside = tuple(f"/index{end}" for end in _SCRIPT)
    return ("", *_SCRIPT, *inside) if "." in basename(base) else (*_SCRIPT, *inside)


def _compiled_from(modules: Modules, base: str) -> Iterator[str]:
    """TypeScript names the file that it will be compiled to."""
    for end in _COMPILED:
        if base.endswith(end):
            yield from modules.first(base.removesuffix(end), (".ts", ".tsx", ".d.ts"))


def _jvm(modules: Modules, module: str, importer: str) -> Iterator[str]:
    parts = module.removesuffix(".*").split(".")
    # What is imported may be in a class, which may be in another one.
    for count in range(len(parts), max(1, len(parts) - 2), -1):
        inner = "/".join(parts[:count])
        found = [path for end in _JVM for path, _ in modules.ending(inner + end)]
        if found:
            yield from _nearest(found, importer)
            return
    inner = "/".join(parts)
    found = [name for name in modules.folders(parts[-1]) if f"/{name}".endswith(f"/{inner}")]
    for folder in _nearest((f"{name}/" for name in found), importer)[:1]:
        yield from (path for path in modules.files(folder[:-1]) if path.endswith(_JVM))


def _go(modules: Modules, module: str, importer: str) -> Iterator[str]:
    parts = module.split("/")
    ranked = []
    for folder in modules.folders(parts[-1]):
        theirs = folder.split("/")
        shared = 0
        while shared < min(len(theirs), len(parts)) and theirs[-1 - shared] == parts[-1 - shared]:
            shared += 1
        # The path of a package is that of its module, then the folders; the module's name alone
        # is nothing that can be seen here.
        if shared < len(parts) and (shared == len(theirs) or shared > 1):
            ranked.append((-shared, f"{folder}/"))
    best = [folder for shared, folder in ranked if shared == min(ranked)[0]]
    for folder in _nearest(best, importer)[:1]:
        files = [path for path in modules.files(folder[:-1]) if path.endswith(".go")]
        head = join(folder, f"{parts[-1]}.go")
        yield from sorted(
            (path for path in files if not path.endswith("_test.go")),
            key=lambda path: (path != head, path),
        )


def _c(modules: Modules, module: str, importer: str) -> Iterator[str]:
    beside = _beside(importer, module)
    if beside is not None and modules.has(beside):
        yield beside
    elif module not in _C_LIBRARY and not module.startswith((".", "/")):
        yield from _nearest((path for path, _ in modules.ending(module)), importer)


def _rust(modules: Modules, module: str, importer: str) -> Iterator[str]:
    head, *rest = module.split("::")
    if head == "crate":
        base = _crate(modules, importer)
    elif head in {"self", "super"}:
        base = _rust_folder(importer)
        while head == "super":
            base, head = dirname(base), rest[0] if rest else ""
            rest = rest[1:] if head in {"self", "super"} else rest
    else:
        crates = [path for path in modules.called(head) if path.endswith("src/lib.rs")]
        base = next((dirname(path) for path in _nearest(crates, importer)), None)
    if base is None:
        return
    # The last parts may be items: crate::shapes::Circle::new is in shapes.rs.
    for count in range(len(rest), -1, -1):
        found = list(modules.first(join(base, *rest[:count]), _rust_endings(count)))
        if found or len(rest) - count == 2:
            yield from found
            return


def _rust_endings(count: int) -> tuple[str, ...]:
    return (".rs", "/mod.rs") if count else (".rs", "/mod.rs", "/lib.rs", "/main.rs")


def _rust_folder(importer: str) -> str:
    """The folder in which the modules inside the importer's are."""
    folder, stem = dirname(importer), _stem(importer)
    return folder if stem in {"mod", "lib", "main"} else join(folder, stem)


def _crate(modules: Modules, importer: str) -> str | None:
    """The folder of the crate the importer is in."""
    folder = dirname(importer)
    while not any(modules.has(join(folder, name)) for name in ("lib.rs", "main.rs")):
        if not folder:
            return None
        folder = dirname(folder)
    return folder


_RULES: Final[Mapping[str, Callable[[Modules, str, str], Iterator[str]]]] = {
    "c": _c,
    "cpp": _c,
    "go": _go,
    "java": _jvm,
    "javascript": _script,
    "javascriptreact": _script,
    "kotlin": _jvm,
    "python": _python,
    "rust": _rust,
    "scala": _jvm,
    "typescript": _script,
    "typescriptreact": _script,
}
