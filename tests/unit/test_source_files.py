"""Which files of a folder are read, and how, whatever a file system has in store."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.context import files
from codegen_lsp.context.files import (
    MAX_BYTES,
    Refusal,
    Stamp,
    is_source,
    newest,
    read_source,
    stamp_of,
    walk,
    wanted,
)
from codegen_lsp.context.ignoring import Ignore

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="no such things there")
needs_a_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user"
)


def plant(root: Path, tree: Mapping[str, bytes | str]) -> Path:
    for relative, data in tree.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def walked(root: Path) -> list[str]:
    return [path for path, _ in walk(root, Ignore(root))]


def test_source_is_what_programs_are_written_in() -> None:
    """By name; not prose, markup or data."""
    for path in ("a.py", "x/b.TS", "c.hpp", "Rakefile", "d.sh", "e.sql", "a\\b.rs"):
        assert is_source(path), path
    for path in ("a.md", "b.json", "c.yaml", "d.html", "e.css", "f.txt", "g", "h.pyc", "i.xml"):
        assert not is_source(path), path


def test_every_source_file_is_found_in_order(tmp_path: Path) -> None:
    """A folder's files before those of its folders, both by name, with size and time."""
    plant(tmp_path, {"b/z.py": "1", "b/a/c.go": "22", "a.py": "", "z.js": "4", "b.md": "5"})
    os.utime(tmp_path / "b/a/c.go", ns=(5, 1_700_000_000_123_456_700))
    found = dict(walk(tmp_path, Ignore(tmp_path)))
    assert list(found) == ["a.py", "z.js", "b/z.py", "b/a/c.go"]
    assert found["b/a/c.go"] == Stamp(2, (tmp_path / "b/a/c.go").stat().st_mtime_ns)
    assert found["b/a/c.go"] == stamp_of(tmp_path / "b/a/c.go")
    assert found["a.py"].size == 0
    assert [path for path, _ in walk(tmp_path, Ignore(tmp_path), "b/a")] == ["b/a/c.go"]


def test_ignored_secret_and_large_files_are_left_out(tmp_path: Path) -> None:
    """Ignored folders are not entered, even if something in them asks to be read."""
    plant(
        tmp_path,
        {
            ".gitignore": "gen/\n*.min.js\n!gen/keep.py\n",
            "gen/keep.py": "",
            "a.min.js": "",
            "node_modules/x/index.js": "",
            "env/pyvenv.cfg": "home = x",
            "env/lib/a.py": "",
            ".ssh/tool.py": "",
            "wp-config.php": "",
            "large.py": b"#" * (MAX_BYTES + 1),
            "most.py": b"#" * MAX_BYTES,
            "kept.py": "",
        },
    )
    assert walked(tmp_path) == ["kept.py", "most.py"]
    assert [path for path, _ in walk(tmp_path, Ignore(tmp_path), "gen")] == []
    ignore = Ignore(tmp_path)
    assert wanted("new/kept.py", ignore)
    for path in (
        "gen/keep.py",
        "a/b.min.js",
        "env/lib/b.py",
        ".ssh/a.py",
        "notes.md",
        "wp-config.php",
    ):
        assert not wanted(path, ignore), path
    assert stamp_of(tmp_path / "large.py") is None
    assert stamp_of(tmp_path / "gen") is None
    assert stamp_of(tmp_path / "nowhere.py") is None


def test_ignored_folders_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may hold a hundred times what the rest does."""
    plant(tmp_path, {"node_modules/a/b.js": "1", "lib/c.js": "2"})
    listed = []
    scandir = os.scandir

    def noting(path: str | Path) -> object:
        listed.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noting)
    assert walked(tmp_path) == ["lib/c.js"]
    assert listed == [tmp_path.name, "lib"]


@needs_posix
def test_links_are_never_followed(tmp_path: Path) -> None:
    """Neither to files nor to folders, so a cycle is no trouble."""
    root = plant(tmp_path / "r", {"a.py": "1", "b/c.py": "2"})
    plant(tmp_path / "outside", {"d.py": "3"})
    (root / "b/up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "e.py").symlink_to(root / "a.py")
    (root / "dead.py").symlink_to(root / "nothing")
    assert walked(root) == ["a.py", "b/c.py"]
    assert read_source(root / "e.py") is Refusal.LINK
    assert read_source(root / "dead.py") is Refusal.LINK
    assert stamp_of(root / "e.py") is None


@needs_posix
def test_what_is_no_regular_file_is_left_out(tmp_path: Path) -> None:
    """A pipe that nobody writes to does not keep us waiting; a folder may have any name."""
    os.mkfifo(tmp_path / "pipe.py")
    plant(tmp_path, {"folder.py/a.py": "1"})
    assert walked(tmp_path) == ["folder.py/a.py"]
    assert read_source(tmp_path / "pipe.py") is Refusal.UNREADABLE
    assert read_source(tmp_path / "folder.py") is Refusal.UNREADABLE
    assert read_source(Path("/dev/zero")) is Refusal.UNREADABLE


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_can_stand_in_no_message_are_left_out(tmp_path: Path) -> None:
    """No text, or more than one line of it."""
    for name in (b"\xff.py", b"a\nb.py", b"a\x1b.py", "é b.py".encode()):
        (tmp_path / os.fsdecode(name)).write_text("1")
    assert walked(tmp_path) == ["é b.py"]


@needs_posix
@needs_a_user
def test_what_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    """A folder without permission hides its files and nothing else."""
    plant(tmp_path, {"a/x.py": "1", "b/y.py": "2", "c.py": "3"})
    (tmp_path / "a").chmod(0)
    (tmp_path / "c.py").chmod(0)
    try:
        assert walked(tmp_path) == ["c.py", "b/y.py"]
        assert read_source(tmp_path / "c.py") is Refusal.UNREADABLE
    finally:
        (tmp_path / "a").chmod(0o700)


def test_a_tree_may_vanish_while_it_is_walked(tmp_path: Path) -> None:
    """What is gone is not given, and nothing is raised."""
    root = plant(tmp_path / "r", {"a.py": "1", "b/c.py": "2", "d/e.py": "3"})
    found = walk(root, Ignore(root))
    assert next(found)[0] == "a.py"
    shutil.rmtree(root / "b")
    assert [path for path, _ in found] == ["d/e.py"]
    shutil.rmtree(root)
    assert walked(root) == []
    assert read_source(root / "a.py") is Refusal.GONE
    assert read_source(tmp_path / "a\0b.py") is Refusal.UNREADABLE
    assert walked(tmp_path / "a\0b") == []


def test_a_folder_that_fails_while_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network folder may go away at any entry."""
    plant(tmp_path, {"a/b.py": "1", "c.py": "2"})
    scandir = os.scandir

    def failing(path: str | Path) -> object:
        if str(path).endswith("a"):
            raise OSError(116, "Stale file handle")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert walked(tmp_path) == ["c.py"]


def test_depth_is_no_trouble(tmp_path: Path) -> None:
    """Deeper than Python calls itself."""
    path = tmp_path
    for _ in range(900):
        path = path / "d"
    deep = "/".join(["d"] * 900)
    Path(tmp_path, *["d"] * 900).mkdir(parents=True)
    (tmp_path / deep / "a.py").write_text("1")
    assert walked(tmp_path) == [f"{deep}/a.py"]
    assert Ignore(tmp_path).ignored("e/" * 5_000 + "a.py", folder=False) is False


def test_a_disk_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After so many entries the walk ends, and says so."""
    plant(tmp_path, {f"{folder}/{name}.py": "1" for folder in "abc" for name in "xyz"})
    monkeypatch.setattr(files, "MAX_ENTRIES", 8)
    with caplog.at_level(logging.WARNING):
        assert walked(tmp_path) == ["a/x.py", "a/y.py", "a/z.py"]
    assert "more than 8 files and folders" in caplog.text


def test_of_too_many_files_the_newest_are_kept() -> None:
    """The ones that were written last, newest first; of one time, by path."""
    found = [
        (f"{name}.py", Stamp(1, time)) for name, time in (("d", 5), ("b", 9), ("a", 5), ("c", 1))
    ]
    assert [path for path, _ in newest(found)] == ["b.py", "a.py", "d.py", "c.py"]
    assert [path for path, _ in newest(iter(found), 2)] == ["b.py", "a.py"]


TEXTS: dict[str, tuple[str, bytes, str | Refusal]] = {
    "nothing": ("a.py", b"", ""),
    "line ends": ("a.py", b"a\r\nb\rc\nd", "a\nb\nc\nd"),
    "UTF-8": ("a.py", "x = 'é€😀'\n".encode(), "x = 'é€😀'\n"),
    "UTF-8 with a mark": ("a.py", b"\xef\xbb\xbfa\n", "a\n"),
    "UTF-16, little": ("a.cs", b"\xff\xfe" + "é\r\n".encode("utf-16-le"), "é\n"),
    "UTF-16, big": ("a.cs", b"\xfe\xff" + "é\r\n".encode("utf-16-be"), "é\n"),
    "UTF-32": ("a.cs", b"\xff\xfe\0\0" + "é\n".encode("utf-32-le"), "é\n"),
    "half of UTF-16": ("a.cs", b"\xff\xfea", Refusal.ENCODING),
    "a surrogate in UTF-16": ("a.cs", b"\xff\xfe\x00\xd8a\x00", Refusal.ENCODING),
    "binary in UTF-16": ("a.cs", b"\xff\xfea\x00\x00\x00", Refusal.BINARY),
    "declared": (
        "a.py",
        b"# -*- coding: koi8-r -*-\nx = '\xc1'\n",
        "# -*- coding: koi8-r -*-\nx = '\u0430'\n",
    ),
    "declared in line 2": (
        "a.py",
        b"#!/usr/bin/python\n# coding=cp1251\n'\xe0'",
        "#!/usr/bin/python\n# coding=cp1251\n'\u0430'",
    ),
    "declared too late": (
        "a.py",
        b"x\n\n# coding: cp1251\n" + b"y = 1\n" * 9 + b"'\xe0'",
        "x\n\n# coding: cp1251\n" + "y = 1\n" * 9 + "'à'",
    ),
    "declared in another language": (
        "a.sh",
        b"# coding: cp1251\n################\n'\xe0'",
        "# coding: cp1251\n################\n'à'",
    ),
    "declared wrongly": (
        "a.py",
        b"# coding: utf-8\n# ---------------\n# \xe9\n",
        "# coding: utf-8\n# ---------------\n# é\n",
    ),
    "declared and unknown": ("a.py", "# coding: klingon\n# é".encode(), "# coding: klingon\n# é"),
    "declared, not text": ("a.py", b"# coding: rot13\nx", "# coding: rot13\nx"),
    "declared, no source": (
        "a.py",
        b"# coding: unicode_escape\n'\\x41'",
        "# coding: unicode_escape\n'\\x41'",
    ),
    "declared, but not so": ("a.py", b"# coding: utf-16\nx=1", "# coding: utf-16\nx=1"),
    "declared for another machine": (
        "a.py",
        b"# coding: cp500\nx = 1\n",
        "# coding: cp500\nx = 1\n",
    ),
    "Western, a little": (
        "a.c",
        b"int a; /* caf\xe9 \x80 */" + b" " * 30,
        "int a; /* café € */" + " " * 30,
    ),
    "Western and UTF-8": (
        "a.c",
        "/* é */".encode() + b"/* \xe9 */" + b" " * 30,
        "/* é *//* é */" + " " * 30,
    ),
    "no encoding": ("a.c", "/* привет */".encode("cp1251"), Refusal.ENCODING),
    "a NUL": ("a.py", b"a\0b", Refusal.BINARY),
    "a program": ("a.py", b"\x7fELF\x02\x01\x01\x03\x02\x01\x05" * 90, Refusal.BINARY),
    "a few control characters": ("a.c", b'char *s = "\x01\x02";\f\n', 'char *s = "\x01\x02";\f\n'),
    "minified": ("a.js", b"/*! a */\n" + b"a=b;c(d);" * 90, Refusal.MINIFIED),
    "a long line": (
        "a.py",
        b"x = '" + b"a" * 400 + b"'\n" + b"y = 1\n" * 99,
        "x = '" + "a" * 400 + "'\n" + "y = 1\n" * 99,
    ),
    "a line of data": ("a.py", b"y = 1\n" * 9_000 + b"a" * 20_001, Refusal.MINIFIED),
    "too large": ("a.py", b"a\n" * (MAX_BYTES // 2) + b"b", Refusal.TOO_LARGE),
    "as large as may be": ("a.py", b"a\n" * (MAX_BYTES // 2), "a\n" * (MAX_BYTES // 2)),
    "secret": ("id_rsa", b"a", Refusal.SECRET),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_is_read_however_it_is_stored(case: str, tmp_path: Path) -> None:
    """With one kind of line end, or refused with a reason."""
    name, data, expected = TEXTS[case]
    (tmp_path / name).write_bytes(data)
    assert read_source(tmp_path / name) == expected


def test_a_file_that_grows_is_not_read_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says of its size is not believed."""
    path = plant(tmp_path, {"a.py": "1"}) / "a.py"
    given_out = 0

    def growing(handle: int, length: int) -> bytes:
        nonlocal given_out
        given_out += min(length, 4096)
        return b"#" * min(length, 4096)

    monkeypatch.setattr(os, "read", growing)
    assert read_source(path) is Refusal.TOO_LARGE
    assert given_out == MAX_BYTES + 1


def test_a_disk_that_fails_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middle of a file."""

    def failing(handle: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")

    path = plant(tmp_path, {"a.py": "1"}) / "a.py"
    monkeypatch.setattr(os, "read", failing)
    assert read_source(path) is Refusal.UNREADABLE


@given(st.binary(max_size=300), st.sampled_from(["a.py", "a.c"]))
def test_any_bytes_are_a_text_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    """A text can be sent on, and has one kind of line end."""
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data)
    text = read_source(path)
    if isinstance(text, str):
        assert "\r" not in text
        text.encode("utf-8")
