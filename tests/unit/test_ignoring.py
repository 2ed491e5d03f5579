"""Ignore files are read the way git reads them; git itself is the judge where it is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen_lsp.context.ignoring import Ignore

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="git is the judge, and it is not installed")
needs_odd_names = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="the file system has no such names"
)


@pytest.fixture(autouse=True, scope="module")
def no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the machine's own configuration takes part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_DIR", "GIT_WORK_TREE"):
            patch.delenv(name, raising=False)
        yield


def plant(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write *files*, made of their relative path and what they hold; folders end in ``/``."""
    for relative, data in files.items():
        path = root / relative
        if relative.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def repository(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """*files* in a fresh repository (without git's own sample of an exclude file)."""
    assert GIT is not None
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run([GIT, "init", "-q", "--template=", str(root)], check=True)
    return plant(root, files)


def entries(root: Path) -> dict[str, bool]:
    """Everything below *root*, and whether it is a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if ".git" not in relative.parts:
            found[relative.as_posix()] = path.is_dir()
    return found


def ignored_by_git(root: Path, paths: list[str]) -> dict[str, str]:
    """The paths that git ignores, and the pattern that says so."""
    assert GIT is not None
    done = subprocess.run(
        [GIT, "check-ignore", "--no-index", "--stdin", "-z", "-v", "-n"],
        cwd=root,
        input=b"".join(os.fsencode(path) + b"\0" for path in paths),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    fields = done.stdout.split(b"\0")[:-1]
    quads = zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=True)
    return {
        os.fsdecode(path): f"{os.fsdecode(source)}:{os.fsdecode(pattern)}"
        for source, _, pattern, path in quads
        if source and not pattern.startswith(b"!")
    }


def compare(root: Path, inside: str = "") -> set[str]:
    """Git and we agree about all of *root*, seen from its folder *inside*; what is ignored."""
    found = entries(root)
    git = ignored_by_git(root, list(found))
    ignore = Ignore(root / inside)
    inside = f"{inside}/" if inside else ""
    cut = len(inside)
    below = {path: folder for path, folder in found.items() if path.startswith(inside)}
    ours = {path for path, folder in below.items() if ignore.ignored(path[cut:], folder=folder)}
    expected = {path for path in below if path in git}
    assert ours == expected, {path: git.get(path) for path in ours ^ expected}
    return ours


def rules(text: bytes | str, *paths: str) -> dict[str, bytes | str]:
    """A tree of empty files under one ignore file."""
    return {".gitignore": text, **dict.fromkeys(paths, "")}


ODD = {
    "a name, anywhere": rules("b\n", "a", "b", "c/b", "c/d/b/e", "cb"),
    "from the top only": rules("/b\n", "b", "c/b"),
    "a slash inside is from the top": rules("c/b\n", "c/b", "d/c/b"),
    "folders only": rules("b/\n", "b/a", "c/b", "d/b/a"),
    "the last one wins": rules("*.log\n!b.log\nb.log\n!b.log\n", "a.log", "b.log", "c/b.log"),
    "nothing comes back from an ignored folder": rules("b\n!b/a\n!/b/a\n", "b/a", "b/c"),
    "what is in a folder comes back": rules("/b/*\n!/b/a\n", "b/a", "b/c", "b/d/a"),
    "trailing spaces": rules(
        b"a \nb\\ \nc\\  \nd\t\ne \\ \n", "a", "a ", "b ", "c ", "c  ", "d", "e  "
    )
    | {"d\t": ""},
    "leading space": rules(" a\n", "a", " a"),
    "signs that are escaped": rules("\\#a\n\\!b\n\\*c\n\\\\d\n", "#a", "!b", "*c", "xc", "\\d"),
    "a comment": rules("#a\n a#b\n", "#a", " a#b", "a"),
    "line ends of Windows": rules(b"a\r\nb/\r\n\r\n*.c\r\n", "a", "b/c", "x.c", "d"),
    "a mark at the beginning": rules(b"\xef\xbb\xbfa\nb\n", "a", "b", "c"),
    "no line end at the end": rules("a\nb", "a", "b"),
    "stars do not cross folders": rules("c/*/a\n", "c/a", "c/d/a", "c/d/e/a"),
    "two stars first": rules("**/a\n**/c/d\n", "a", "b/a", "b/c/a", "c/d", "x/y/c/d"),
    "two stars last": rules("b/**\n!b/c/\n", "b/a", "b/c/d", "a/b/c"),
    "two stars between": rules("b/**/c\n", "b/c", "b/a/c", "b/a/d/c", "x/b/c", "b/cc"),
    "many stars": rules("b/***/c\n/**/**/d\n", "b/c", "b/a/c", "d", "x/d", "x/y/d"),
    "stars inside a name": rules("a**b\nx/c**d\n", "ab", "a1b", "a/b", "x/cd", "x/c1d", "x/c/d"),
    "stars at the end of a name": rules("b/a**\n!b/ax/\n", "b/ax/y/z", "b/a", "b/c"),
    "everything": rules("*\n!a\n", "a", "b", "c/a"),
    "all but one folder": rules("/*\n!/c\n/c/*\n!/c/d\n", "a", "c/a", "c/d/e"),
    "one character": rules("?\n??.c\n", "a", "ab", "ab.c", "a.c"),
    "characters are bytes": rules("?\n[é]x\n", "é", "éx", "a"),
    "classes": rules("[a-c]1\n[!a-c]2\n[^a]3\n", "a1", "c1", "d1", "a2", "d2", "a3", "b3"),
    "odd classes": rules(
        "[]]1\n[!]]2\n[a-]3\n[-a]4\n[\\]]5\n[a\\-c]6\n[--0]7\n[c-a]8\n",
        *("]1", "a1", "]2", "a2", "-3", "a3", "-4", "]5", "b6", "-6", ".7", "b8", "c8"),
    ),
    "named classes": rules(
        "[[:digit:]]\n[[:alpha:][:space:]]x\n[[:nothing:]b]y\n[[:digit]z\n[[:]w\n",
        *("1", "a", "ax", " x", "1x", "ay", "by", "dz", "q/:z", "[z", "q/:w", "[w"),
    ),
    "broken classes match nothing": rules("[a\n!b[\nc[]\n", "[a", "a", "b[", "c[]", "c"),
    "no class crosses a folder": rules("a[!x]b\na[/]c\n", "a/b", "a1b", "a/c"),
    "a backslash at the end": rules("a\\\nb\\/\n", "a", "a\\", "b/c", "b\\"),
    "slashes only": rules("/\n//\n!\n!/\na//\n", "a/b", "b"),
    "a line break in a name": rules("a*c\n[!x]\n", "a\nc", "a\n", "\n"),
    "no UTF-8": rules(b"\xe9*\n\xff\n", os.fsdecode(b"\xe9a"), "éa", os.fsdecode(b"\xff")),
    "a NUL": rules(b"a\0b\nc\n", "a", "c", "b"),
    "case counts": rules("A\n*.C\n", "a", "A", "x.c", "x.C"),
    "deeper wins": rules("*.c\n", "x.c", "d/x.c", "d/e/x.c")
    | {"d/.gitignore": "!*.c\n", "d/e/.gitignore": "x.c\n"},
    "a deeper file is read from its folder": rules("", "a", "d/a", "d/e/a", "e/a")
    | {"d/.gitignore": "/a\n"},
    "an ignored folder's file is not read": rules("d/\n", "d/a") | {"d/.gitignore": "!a\n!*\n"},
    "the exclude file": rules("!b\n", "a", "b", "c") | {".git/info/exclude": "a\nb\n*.x\n"},
    "the user's file": rules("!b\n", "a", "b", "c.x")
    | {
        ".git/config": "[core]\n\trepositoryformatversion = 0\n\texcludesFile = .mine\n",
        ".mine": "a\nb\n*.x\n",
    },
    "a folder's own name in its file": rules("", "d/d/a", "d/a") | {"d/.gitignore": "d\n"},
}


@needs_git
@needs_odd_names
@pytest.mark.parametrize("case", ODD)
def test_odd_rules_mean_what_they_mean_to_git(case: str, tmp_path: Path) -> None:
    """Every rule of the manual, and those it does not tell, seen from the top."""
    compare(repository(tmp_path / "r", ODD[case]))


@needs_git
@needs_odd_names
@pytest.mark.parametrize("case", ["deeper wins", "two stars between", "stars do not cross folders"])
def test_rules_above_the_root_count_as_far_as_the_repository_goes(
    case: str, tmp_path: Path
) -> None:
    """A workspace may be a folder of a bigger repository."""
    root = repository(tmp_path / "r", ODD[case] | {"d/e/f/x.c": "", "b/a/q/c": "", "c/d/e/e": ""})
    for inside in ("d", "d/e", "b", "b/a", "c", "c/d"):
        if (root / inside).is_dir():
            compare(root, inside)


PIECES = [
    *("*", "**", "**/", "/**", "/**/", "/", "?", "!", "\\", "\\ ", " ", "#", "a", "b", "ab", "é"),
    *("[a-c]", "[!a]", "[^b]", "[", "]", "[]a]", "[a\\]]", "[[:alpha:]]", "[b-a]", "[!/]", "\\*"),
    *(".", "*.c", "a/", "/a", "a/b", "\\/", "-", "\r", "\t", "A"),
]
NAMES = ["a", "b", "ab", "aab", "a.c", "é", " a", "a ", "#a", "!", "]a", "a\\", "*", "-", "A"]
LINES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
FILES = st.lists(LINES, min_size=1, max_size=5).map("\n".join)


@pytest.fixture(scope="module")
def wood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of files and folders with odd names, three deep."""
    if GIT is None or sys.platform in ("win32", "darwin"):
        pytest.skip("git is the judge, and the names are odd")
    files = {f"{name}_/" if name in "]a\\" else f"{name}": "" for name in NAMES[3:]}
    for first in ("a", "b", "ab"):
        files |= {f"{first}/{name}": "" for name in NAMES[2:]}
        for second in ("a", "b"):
            files |= {f"{first}/{second}/{name}": "" for name in NAMES}
    return repository(tmp_path_factory.mktemp("wood"), files)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(top=FILES, deeper=FILES | st.just(""))
def test_any_rules_mean_what_they_mean_to_git(wood: Path, top: str, deeper: str) -> None:
    """Rules made of odd pieces, at the top and in a folder, over a tree of odd names."""
    plant(wood, {".gitignore": top, "a/.gitignore": deeper})
    compare(wood)


def check(root: Path, ignored: str, kept: str) -> None:
    """The paths of *ignored* are, those of *kept* are not; a folder ends in ``/``."""
    ignore = Ignore(root)
    for paths, expected in ((ignored, True), (kept, False)):
        for path in paths.split():
            is_folder = path.endswith("/")
            assert ignore.ignored(path.rstrip("/"), folder=is_folder) is expected, path


def test_our_own_file_comes_after_gits(tmp_path: Path) -> None:
    """``.codegenignore`` ignores more, and brings back what git or a habit ignores."""
    root = plant(
        tmp_path,
        {
            ".gitignore": "gen/\n*.log\n!keep.log\n",
            ".codegenignore": "!gen/\nkeep.log\n!node_modules/\nsub/*.py\nb.py\n",
            "sub/.gitignore": "!*.py\n",
            "sub/deep/.codegenignore": "!/x.log\n!b.py\n",
        },
    )
    check(
        root,
        ignored="a.log keep.log sub/a.py sub/b.log __pycache__/ node_modules/x.log",
        kept="gen/ gen/a.c node_modules/ node_modules/a.js sub/deep/a.py sub/deep/x.log "
        "sub/deep/b.py",
    )


def test_what_tools_keep_for_themselves_is_ignored(tmp_path: Path) -> None:
    """By a name that means nothing else, or by the file that says what the folder is."""
    root = plant(
        tmp_path,
        {
            "env/pyvenv.cfg": "home = /usr/bin\n",
            "target/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n# by a tool\n",
            "notes/CACHEDIR.TAG": "about cache tags\n",
            "kept/pyvenv.cfg": "home = /usr/bin\n",
            ".codegenignore": "!kept/\n",
        },
    )
    check(
        root,
        ignored="env/ env/lib/a.py target/ .git/ .git/config a/.hg/x b/.svn/ .git "
        "x/node_modules/y/a.js x/__pycache__/ x/a.egg-info/ .venv/lib/a.py",
        kept="notes/ notes/a.c kept/ kept/a.py node_modules build/ dist/a.js venv/ target.c",
    )


def test_the_root_itself_is_never_ignored(tmp_path: Path) -> None:
    """Who opens a virtual environment, or a folder that git ignores, wants what is in it."""
    root = plant(
        tmp_path,
        {
            ".git/": "",
            ".gitignore": "/build/\n*.o\n",
            "build/.gitignore": "*.a\n",
            "build/pyvenv.cfg": "home = /usr/bin\n",
        },
    )
    check(root, ignored="build/ a.o build/b.c", kept="b.c")
    check(root / "build", ignored="x.a", kept="b.c lib/ lib/a.py x.o")


def test_a_repository_inside_follows_its_own_rules(tmp_path: Path) -> None:
    """Git's files of the outer one end there, our own go on."""
    root = plant(
        tmp_path,
        {
            ".git/info/exclude": "*.x\n",
            ".gitignore": "*.o\n",
            ".codegenignore": "*.gen\n",
            "inner/.git/info/exclude": "/only.c\n",
            "inner/.gitignore": "*.a\n",
        },
    )
    check(
        root,
        ignored="a.o a.x inner/only.c inner/d/b.a inner/a.gen inner/__pycache__/",
        kept="only.c b.a inner/a.o inner/a.x inner/d/only.c",
    )
    check(root / "inner", ignored="only.c b.a", kept="a.o a.gen")


def test_a_worktree_shares_the_exclude_file(tmp_path: Path) -> None:
    """A ``.git`` file points at the folder that points at the shared one."""
    plant(
        tmp_path,
        {
            "main/.git/info/exclude": "*.x\n",
            "main/.git/worktrees/side/commondir": "../..\n",
            "side/.git": f"gitdir: {tmp_path.as_posix()}/main/.git/worktrees/side\n",
        },
    )
    check(tmp_path / "side", ignored="a.x", kept="a.y")


def test_ignore_files_count_without_a_repository(tmp_path: Path) -> None:
    """A folder that was unpacked, not cloned."""
    plant(tmp_path, {".gitignore": "*.o\n", "sub/.gitignore": "/b.c\n"})
    check(tmp_path, ignored="a.o sub/b.c sub/a.o", kept="b.c a.c")
    check(tmp_path / "sub", ignored="b.c", kept="a.o")


CONFIGURATIONS = {
    "by default": ({".config/git/ignore": "*.x\n"}, {}),
    "where XDG says": ({"xdg/git/ignore": "*.x\n"}, {"XDG_CONFIG_HOME": "xdg"}),
    "named": (
        {".gitconfig": "[user]\nname = a\n[core]\n  excludesFile = ~/mine\n", "mine": "*.x"},
        {},
    ),
    "quoted, with a remark": (
        {".gitconfig": '[Core] ; mine\n\tEXCLUDESFILE = "~/my own" # so\n', "my own": "*.x\n"},
        {},
    ),
    "in another file": (
        {"else": "[core]\nexcludesfile=~/mine\n", "mine": "*.x\n"},
        {"GIT_CONFIG_GLOBAL": "else"},
    ),
    "by the repository": (
        {
            ".gitconfig": "[core]\nexcludesfile = ~/no\n",
            "r/.git/config": "[core]\nexcludesFile = ~/mine\n",
        }
        | {"mine": "*.x\n", "no": "*.c\n"},
        {},
    ),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_the_users_own_ignore_file(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found where git finds it."""
    files, variables = CONFIGURATIONS[case]
    plant(tmp_path, {"r/.git/": "", "r/.git/info/exclude": "!keep.x\n", **files})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    check(tmp_path / "r", ignored="a.x", kept="a.c keep.x")


def test_case_is_what_the_repository_says(tmp_path: Path) -> None:
    """``core.ignoreCase`` is set by git where the file system cannot tell."""
    rules = {".gitignore": "Build\n*.LOG\n/a/[b-c]X\nsrc/M?x\n"}
    plant(tmp_path / "one", rules | {".git/config": "[core]\n\tignorecase = true\n"})
    plant(tmp_path / "two", rules | {".git/config": "[core]\n\tignorecase = false\n"})
    check(tmp_path / "one", ignored="BUILD x.log A/Bx SRC/mAX", kept="xBuild")
    check(tmp_path / "two", ignored="Build a/bX src/Max", kept="BUILD x.log A/Bx SRC/mAX")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_ignore_files_that_are_none(tmp_path: Path) -> None:
    """A link, a folder, a pipe that nobody writes to, one too large: as if they were not there."""
    root = plant(
        tmp_path,
        {
            "rules": "*.c\n",
            "folder/.gitignore/": "",
            "large/.gitignore": b"*.c\n" * 300_000,
            "link/": "",
            "pipe/": "",
        },
    )
    (root / "link/.gitignore").symlink_to(root / "rules")
    os.mkfifo(root / "pipe/.gitignore")
    check(root, ignored="", kept="folder/a.c large/a.c link/a.c pipe/a.c")


@pytest.mark.parametrize("path", ["../a", "a/../b.c", "/a/b", "a//b", "./a/b"])
def test_what_is_not_below_the_root_is_ignored(path: str, tmp_path: Path) -> None:
    """Whoever asks for it has no business there."""
    assert Ignore(tmp_path).ignored(path, folder=False)


def test_changes_of_ignore_files_are_told_apart(tmp_path: Path) -> None:
    """Those call for a fresh object; a folder that was replaced can be forgotten."""
    ignore = Ignore(plant(tmp_path, {"d/e/.gitignore": "*.c\n", "de/.gitignore": "*.c\n"}))
    for path in (".gitignore", "d/.codegenignore", "d/.git", ".git/info/exclude", "e/pyvenv.cfg"):
        assert ignore.changed(path), path
    for path in ("a.py", "d/gitignore", ".git/index", "x.gitignore", ".git/HEAD"):
        assert not ignore.changed(path), path

    assert ignore.ignored("d/e/a.c", folder=False)
    assert ignore.ignored("de/a.c", folder=False)
    for place in ("d/e", "de"):
        (tmp_path / place / ".gitignore").write_text("*.h\n", encoding="utf-8")
    assert ignore.ignored("d/e/a.c", folder=False)
    ignore.forget("d")
    assert not ignore.ignored("d/e/a.c", folder=False)
    (tmp_path / "d/e/.gitignore").unlink()
    ignore.forget("d/e")
    assert not ignore.ignored("d/e/a.h", folder=False)
    assert ignore.ignored("de/a.c", folder=False)


HARD = {
    "stars in a name": ("*a*a*a*a*a*a*a*a*a*a*b", "a" * 250),
    "stars in a path": ("x/" + "*a" * 12 + "*b/c", "x/" + "a" * 250 + "/c"),
    "folders": ("**/a/" * 12 + "b", "a/" * 120 + "c"),
    "folders with stars": ("**/a*a*a*/" * 8 + "b", "aaaaaaaaaa/" * 60 + "c"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", HARD)
def test_no_pattern_is_slow(case: str, tmp_path: Path) -> None:
    """What a hostile repository asks for ends, where trying every way would not."""
    pattern, path = HARD[case]
    ignore = Ignore(plant(tmp_path, {".gitignore": f"{pattern}\n*{pattern}\n"}))
    assert not ignore.ignored(path, folder=False)
