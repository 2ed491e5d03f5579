"""What of a folder is to be left alone: the ignore files, the way git reads them, and our own.

Knows ``.gitignore`` in every folder, ``.git/info/exclude`` and the user's global ignore file; where
the root lies inside a repository, the ignore files of the folders above it too; where a repository
lies inside the root, that it follows only its own. ``.codegenignore`` has the same syntax and
comes after git's files: it ignores more, and with ``!`` it brings back what git's files or
:data:`BUILT_IN` ignore. Folders that a version control system, a virtual environment or a cache
keeps for itself are ignored without being listed anywhere.

As in git, a folder that is ignored is never looked into, so nothing below it can be brought back.
Does not know which files are source code, and never lists a folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from codegen_lsp.context import gitfiles
from codegen_lsp.context.wildmatch import Pattern, patterns

__all__ = ["BUILT_IN", "Ignore"]

BUILT_IN: Final = b"""\
node_modules/
bower_components/
jspm_packages/
site-packages/
__pycache__/
__pypackages__/
.venv/
.tox/
.nox/
.eggs/
*.egg-info/
.mypy_cache/
.pytest_cache/
.ruff_cache/
.hypothesis/
.ipynb_checkpoints/
.gradle/
.terraform/
.next/
.nuxt/
.svelte-kit/
.parcel-cache/
.turbo/
.pnpm-store/
.dart_tool/
.direnv/
.cache/
Pods/
DerivedData/
elm-stuff/
"""
"""What tools put beside people's code, ignored unless an ignore file says otherwise. Only names
that mean nothing else: not ``build``, ``dist``, ``target``, ``vendor``, ``env`` or ``venv``."""

_VERSION_CONTROL: Final = frozenset({".git", ".hg", ".svn"})
_OWN: Final = ".codegenignore"
_GIT: Final = ".gitignore"
_CACHE_TAG: Final = b"Signature: 8a477f597d28d172789f06886806bc55"
_MARKS: Final = (("pyvenv.cfg", b"home"), ("CACHEDIR.TAG", _CACHE_TAG))
"""Files that say what the folder they are in is, and what must stand in them."""

_DECIDING: Final = frozenset({_OWN, _GIT, ".git", *(name for name, _ in _MARKS)})
_MAX_FOLDERS: Final = 200_000
"""Folders remembered at once, about 40 MB; beyond it they are read again."""


class _Table:
    """The patterns of one ignore file that can match a file (or a folder), ready to be asked."""

    __slots__ = ("_extensions", "_fold", "_names", "_paths", "_regexes")

    def __init__(self, numbered: Iterable[tuple[int, Pattern]], fold: bool) -> None:
        self._fold = fold
        self._names: dict[bytes, int] = {}
        self._paths: dict[bytes, int] = {}
        self._extensions: dict[bytes, int] = {}
        wild: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]] = ([], [])
        for number, pattern in numbered:
            if pattern.literal is not None:
                literals = self._paths if pattern.whole else self._names
                literals[self._folded(pattern.literal)] = number
            elif pattern.extension is not None:
                self._extensions[self._folded(pattern.extension)] = number
            else:
                wild[pattern.whole].append((number, pattern.regex))
        flags = re.DOTALL | (re.IGNORECASE if fold else 0)
        self._regexes = tuple(_either(alternatives, flags) for alternatives in wild)

    def _folded(self, text: bytes) -> bytes:
        return text.lower() if self._fold else text

    def last(self, path: bytes, name: bytes) -> int:
        """The number of the last pattern that matches, counted from 1; 0 if none does."""
        path, name = self._folded(path), self._folded(name)
        dot = name.rfind(b".")
        found = max(
            self._names.get(name, 0),
            self._paths.get(path, 0),
            self._extensions.get(name[dot:], 0) if dot >= 0 else 0,
        )
        for regex, subject in zip(self._regexes, (name, path), strict=True):
            match = regex and regex[0].fullmatch(subject)
            if regex and match and match.lastindex:
                found = max(found, regex[1][match.lastindex - 1])
        return found


def _either(
    alternatives: list[tuple[int, bytes]], flags: int
) -> tuple[re.Pattern[bytes], list[int]] | None:
    """One expression for all, the last pattern tried first, and the number of each group."""
    if not alternatives:
        return None
    backwards = alternatives[::-1]
    whole = b"|".join(b"(%s)" % regex for _, regex in backwards)
    return re.compile(whole, flags), [number for number, _ in backwards]


class _Rules:
    """One ignore file."""

    __slots__ = ("_fold", "_patterns", "_tables")

    def __init__(self, found: list[Pattern], fold: bool) -> None:
        self._patterns = found
        self._fold = fold
        self._tables: dict[bool, _Table] = {}

    def verdict(self, path: bytes, name: bytes, folder: bool) -> bool | None:
        """Whether the last pattern that matches ignores; ``None`` if none matches."""
        table = self._tables.get(folder)
        if table is None:
            numbered = enumerate(self._patterns, start=1)
            table = _Table([(n, p) for n, p in numbered if folder or not p.folder_only], self._fold)
            self._tables[folder] = table
        number = table.last(path, name)
        return not self._patterns[number - 1].negated if number else None


class _Level(NamedTuple):
    """An ignore file and where it stands."""

    rules: _Rules
    cut: int
    """How many bytes of a path lie before what its patterns are compared with."""


class _Folder(NamedTuple):
    """What counts for the entries of a folder; the strongest level first."""

    own: tuple[_Level, ...]
    git: tuple[_Level, ...]
    always: tuple[_Level, ...]
    """Exclude file, global ignore file, :data:`BUILT_IN`."""

    fold: bool
    """Whether ``A`` and ``a`` are one name here."""

    def verdict(self, path: bytes, name: bytes, folder: bool) -> bool | None:
        for levels in (self.own, self.git, self.always):
            for rules, cut in levels:
                verdict = rules.verdict(path[cut:], name, folder)
                if verdict is not None:
                    return verdict
        return None


class Ignore:
    """What of the folder *root* is to be left alone.

    Ignore files are read when their folder is first asked about and then believed; when one
    changes (:meth:`changed`), a fresh object is needed. May be asked by several threads.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        above, start = self._above(root)
        self._prefix = "".join(f"{name}/" for name in above)
        """The root as seen from where paths begin, ``""`` or with a slash at its end."""
        self._start = start
        self._folders: dict[str, _Folder | None] = {"": self._enter(start, "")}

    def ignored(self, relative: str, *, folder: bool) -> bool:
        """Whether the file or *folder* at *relative* (posix, from the root) is ignored.

        So is everything below an ignored folder, and what is not below the root. A *folder* of
        which nothing is known yet is looked into for the marks of caches and environments.
        """
        if folder:
            return self._folder(relative) is None
        parent, _, name = relative.rpartition("/")
        rules = self._folder(parent)
        if rules is None or name in _VERSION_CONTROL:
            return True
        return bool(rules.verdict(_bytes(self._prefix + relative), _bytes(name), False))

    def changed(self, relative: str) -> bool:
        """Whether a change of the file *relative* can change what is ignored."""
        name = relative.rpartition("/")[2]
        return name in _DECIDING or relative.endswith(".git/info/exclude")

    def forget(self, relative: str) -> None:
        """Read the ignore files of the folder *relative* and below again when next asked: it is
        not the folder it was (created, moved, deleted).
        """
        below = f"{relative}/"
        for known in list(self._folders):
            if known and (known == relative or known.startswith(below)):
                self._folders.pop(known, None)

    def _folder(self, relative: str) -> _Folder | None:
        """What counts for the entries of a folder; ``None`` if it is ignored."""
        known = self._folders
        try:
            return known[relative]
        except KeyError:
            pass
        if len(known) > _MAX_FOLDERS:
            self._folders = known = {"": self._enter(self._start, "")}
        found = known[""]
        path = ""
        for name in relative.split("/"):
            path = f"{path}/{name}" if path else name
            if not name:
                return None
            if path in known:
                found = known[path]
            else:
                found = known[path] = self._inside(found, path, name)
            if found is None:
                break
        return found

    def _inside(self, parent: _Folder | None, relative: str, name: str) -> _Folder | None:
        """The folder *name* of *parent*."""
        if parent is None or name in _VERSION_CONTROL or name in (".", ".."):
            return None
        verdict = parent.verdict(_bytes(self._prefix + relative), _bytes(name), True)
        if verdict or (verdict is None and self._marked(relative)):
            return None
        return self._enter(parent, relative)

    def _marked(self, relative: str) -> bool:
        """Whether the folder says of itself that a tool made it."""
        return any(
            gitfiles.read_small(f"{self.root}/{relative}/{name}").startswith(sign)
            for name, sign in _MARKS
        )

    def _enter(self, parent: _Folder, relative: str) -> _Folder:
        """*parent*'s rules and those of the ignore files in the folder *relative*."""
        place = f"{self.root}/{relative}" if relative else str(self.root)
        path = f"{self._prefix}{relative}/" if relative else self._prefix
        cut = len(_bytes(path))
        if relative and gitfiles.is_top(place):
            parent = self._repository(place, cut)._replace(own=parent.own)
        return _with_files(parent, place, cut)

    def _above(self, root: Path) -> tuple[tuple[str, ...], _Folder]:
        """The folders between the repository's top and *root*, and the rules they give."""
        top = gitfiles.top_of(root)
        if top is None or top == root:
            return (), self._repository(str(root), 0)
        names = root.relative_to(top).parts
        rules = self._repository(str(top), 0)
        path = ""
        for name in names:
            rules = _with_files(rules, f"{top}/{path}", len(_bytes(path)))
            path += f"{name}/"
            if rules.verdict(_bytes(path[:-1]), _bytes(name), True):
                # Who opens an ignored folder wants what is in it.
                return (), self._repository(str(root), 0)
        return names, rules

    def _repository(self, top: str, cut: int) -> _Folder:
        """The rules that hold in a whole repository (or outside any) before any folder's."""
        repository = top if gitfiles.is_top(top) else None
        fold = gitfiles.ignores_case(repository)
        sources = [gitfiles.read_small(gitfiles.global_ignore_file(repository), follow=True)]
        if repository is not None:
            exclude = gitfiles.exclude_file(repository)
            sources.insert(0, gitfiles.read_small(exclude, follow=True))
        levels = (_level(data, cut, fold) for data in (*sources, BUILT_IN))
        return _Folder((), (), tuple(filter(None, levels)), fold)


def _with_files(folder: _Folder, place: str, cut: int) -> _Folder:
    """*folder* with the ignore files that stand in the folder at *place* before all others."""
    own = _level(gitfiles.read_small(f"{place}/{_OWN}"), cut, folder.fold)
    git = _level(gitfiles.read_small(f"{place}/{_GIT}"), cut, folder.fold)
    if own is None and git is None:
        return folder
    return folder._replace(
        own=(own, *folder.own) if own else folder.own,
        git=(git, *folder.git) if git else folder.git,
    )


def _level(data: bytes, cut: int, fold: bool) -> _Level | None:
    """The ignore file *data*; ``None`` if it says nothing."""
    found = patterns(data) if data else []
    return _Level(_Rules(found, fold), cut) if found else None


def _bytes(path: str) -> bytes:
    """*path* as git sees it. Names that are no text keep their bytes, as Python hands them out."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path.encode("utf-8", "replace")
