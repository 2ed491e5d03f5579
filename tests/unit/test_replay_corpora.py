"""Whose code is replayed: the pinned packages, folders, and the copies a server sees."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.errors import CodegenError, CorpusError, UsageError
from codegen_lsp.evaluation.replay import corpora
from codegen_lsp.evaluation.replay.corpora import (
    Package,
    Repository,
    load_packages,
    own,
    parse_packages,
    stdlib,
)
from codegen_lsp.evaluation.replay.working_copy import contained, duplicates, make_copy
from codegen_lsp.tpu.sources import load_sources
from codegen_lsp.tpu.wheels import fetch

HEADER = "name\tversion\treleased\tsha256\n"


def lines(word: str, count: int = 20) -> str:
    """A file of so many different lines."""
    return "".join(f"{word}_{n} = {n}\n" for n in range(count))


def test_the_table_is_of_packages_that_the_model_never_saw() -> None:
    """At least 24, first released in 2023 or later, pinned by hash, none in the training set."""
    packages = load_packages()
    assert len(packages) >= 24
    assert not {one.name for one in packages} & {source.name for source in load_sources()}
    for one in packages:
        assert re.fullmatch(r"20(2[3-9]|[3-9]\d)-\d\d-\d\d", one.released)
        assert re.fullmatch(r"[0-9a-f]{64}", one.sha256)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.name)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a\t1\t2023-01-01\n", "3 columns"),
        ("a\t1\t2023-01-01\tx\na\t2\t2024-01-01\ty\n", "names a twice"),
        ("a\t1\t2022-12-31\tx\n", "too old"),
    ],
)
def test_a_wrong_table(rows: str, words: str) -> None:
    """Named by its line."""
    with pytest.raises(CorpusError, match=words):
        parse_packages(HEADER + rows)


def wheel(folder: Path, files: Mapping[str, str]) -> Path:
    """A wheel as pip leaves it in a cache."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_what_the_cache_has_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel counts by its hash; pip is not even started."""
    monkeypatch.setattr(subprocess, "run", None)
    path = wheel(tmp_path, {"thing/a.py": lines("a")})
    package = Package("thing", "1.0", "2024-01-01", hashlib.sha256(path.read_bytes()).hexdigest())
    assert fetch([package], tmp_path) == {"thing": path}


def test_pip_is_asked_with_hashes_and_its_failure_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing, and only that, is fetched; nothing that is not pinned is taken."""
    asked: list[str] = []

    def fails(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.extend(command)
        return subprocess.CompletedProcess(command, 1, stderr="first\nERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", fails)
    package = Package("thing", "1.0", "2024-01-01", "0" * 64)
    with pytest.raises(CorpusError, match="ERROR: no network"):
        fetch([package], tmp_path)
    assert "--require-hashes" in asked
    assert (tmp_path / "wanted.txt").read_text() == "thing==1.0 --hash=sha256:" + "0" * 64

    def brings_another(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        wheel(tmp_path, {"thing/a.py": "other = 1\n"})
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(subprocess, "run", brings_another)
    with pytest.raises(CorpusError, match="not the pinned ones"):
        fetch([package], tmp_path)


def test_fewer_packages_are_spread_over_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first ones of the alphabet only."""
    monkeypatch.setattr(
        corpora, "fetch", lambda packages, cache: {one.name: cache for one in packages}
    )
    names = [one.name for one in load_packages()]
    found = [one.name for one in corpora.fresh(tmp_path, 3)]
    assert found == [names[0], names[len(names) // 3], names[2 * len(names) // 3]]
    assert [one.name for one in corpora.fresh(tmp_path)] == names


def test_names_of_folders(tmp_path: Path) -> None:
    """A second one of the same name has its path; what is no folder is refused."""
    for part in ("a", "b"):
        (tmp_path / part / "shop").mkdir(parents=True)
    first = own(tmp_path / "a" / "shop")
    second = own(tmp_path / "b" / "shop", [first.name])
    assert (first.name, second.name) == ("shop", (tmp_path / "b" / "shop").resolve().as_posix())
    with pytest.raises(UsageError, match="is no folder"):
        own(tmp_path / "c")
    with pytest.raises(UsageError, match="rename the folder"):
        own(tmp_path / "a" / "shop", [first.name, first.source.as_posix()])


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_can_be_kept_in_a_run(tmp_path: Path) -> None:
    """Or hours of work would end in a run that cannot be written."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    assert own(folder).name == "caf?"
    assert own(folder).source == folder.resolve()


def test_the_standard_library_is_a_repository() -> None:
    """The running interpreter's, without tests and site-packages."""
    found = stdlib()
    assert (found.source / "os.py").is_file()
    assert found.corpus == "stdlib"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"a.py": lines("a"), "b.py": lines("b")}, set()),
        ({"a.py": lines("a"), "b.py": lines("a")}, {"b.py"}),
        ({"b.py": lines("a"), "a.py": lines("a", 24)}, {"b.py"}),
        ({"a.py": lines("a", 10), "b.py": lines("a", 15)}, set()),
        ({"a.py": lines("a", 14), "b.py": lines("a", 20)}, {"b.py"}),
        ({"a.py": lines("a", 13), "b.py": lines("a", 20)}, set()),
        ({"a.py": "", "b.py": "", "c.py": "x = 1\n", "d.py": "x = 1\n"}, set()),
        ({"a.py": lines("a"), "b.py": "\n\n  ".join(lines("a").split("\n"))}, {"b.py"}),
    ],
)
def test_near_duplicates(texts: Mapping[str, str], expected: set[str]) -> None:
    """Of files that share seven tenths of their lines the first stays; tiny ones all stay."""
    assert duplicates(texts) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"a.py": lines("a"), "b.py": lines("b")}, set()),
        ({"a.py": lines("a"), "z.py": lines("a") + lines("z", 99)}, {"a.py"}),
        ({"z.py": lines("a"), "a.py": lines("a") + lines("z", 99)}, {"z.py"}),
        ({"a.py": lines("a") + lines("own", 2), "b.py": lines("a") + lines("z", 99)}, {"a.py"}),
        ({"a.py": lines("a") + lines("own", 3), "b.py": lines("a") + lines("z", 99)}, set()),
        ({"a.py": lines("a", 4), "b.py": lines("a") + lines("z", 99)}, set()),
        ({"a.py": lines("a"), "b.py": lines("a"), "c.py": lines("a")}, {"a.py", "b.py"}),
        (
            {
                "a.py": lines("a", 9),
                "b.py": lines("a", 9) + lines("b", 40),
                "c.py": lines("a", 9) + lines("b", 40) + lines("c", 90),
            },
            {"a.py", "b.py"},
        ),
        ({"a.py": lines("a", 10), "b.js": "  \n".join(lines("a", 30).split("\n"))}, {"a.py"}),
    ],
)
def test_files_that_stand_in_larger_ones(texts: Mapping[str, str], expected: set[str]) -> None:
    """Nine tenths of their lines do; the larger one stays, and tiny ones do."""
    assert contained(texts) == expected


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sets(st.integers(0, 25), max_size=26), max_size=6)
)
def test_containment_is_exact(sets: dict[str, set[int]]) -> None:
    """What is left holds nine tenths of no other that is left, and only such files are out."""
    texts = {path: "".join(f"line_{n}\n" for n in held) for path, held in sets.items()}
    out = contained(texts)

    def inside(one: str, other: str) -> bool:
        small, large = sets[one], sets[other]
        enough = 10 * len(small & large) >= 9 * len(small)
        return one != other and len(small) >= 5 and len(large) >= len(small) and enough

    assert not [
        one for one in sets.keys() - out for other in sets.keys() - out if inside(one, other)
    ]
    assert all(any(inside(one, other) for other in sets) for one in out)


def test_a_copy_has_only_what_an_editor_would_show(tmp_path: Path) -> None:
    """Ignored, secret and binary files and duplicates stay behind; the folder is not touched."""
    source = tmp_path / "shop"
    kept = {"a.py": lines("a"), "pkg/b.py": lines("b"), "pkg/c.js": lines("c")}
    left = {"z.py": lines("a"), "build/d.py": lines("d"), ".env": "KEY=1\n", "e.txt": "words\n"}
    for path, text in {**kept, **left, ".gitignore": "build/\n"}.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(text.encode())
    (source / "crlf.py").write_bytes(lines("crlf").replace("\n", "\r\n").encode())
    (source / "binary.py").write_bytes(b"\0\1\2" * 100)
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    copy = make_copy(own(source), tmp_path / "scratch")
    expected = {**kept, "crlf.py": lines("crlf")}
    assert dict(copy.texts) == dict(sorted(expected.items()))
    assert copy.duplicates == 1
    assert copy.root.name == "shop"
    for path, text in expected.items():
        assert (copy.root / path).read_bytes() == text.encode()
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    again = make_copy(own(source), tmp_path / "again")
    assert again.sha256 == copy.sha256


def test_a_wheel_becomes_a_folder(tmp_path: Path) -> None:
    """Its source files, at the places where an installation has them."""
    path = wheel(tmp_path, {"thing/a.py": lines("a"), "thing-1.0.dist-info/METADATA": "x\n"})
    copy = make_copy(Repository("thing", "fresh", path, "1.0", "0" * 64), tmp_path / "scratch")
    assert list(copy.texts) == ["thing/a.py"]
    assert sorted(one.name for one in copy.root.rglob("*") if one.is_file()) == ["a.py"]


@pytest.mark.parametrize(
    ("content", "words"), [(b"no zip", "cannot be unpacked"), (None, "no source files")]
)
def test_nothing_to_copy(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A damaged wheel and an empty folder are named."""
    source = tmp_path / "thing.whl"
    if content is None:
        source.mkdir()
    else:
        source.write_bytes(content)
    with pytest.raises(CodegenError, match=words):
        make_copy(Repository("thing", "own", source), tmp_path / "scratch")
