"""The choice of code from other documents, on small repositories with their real index."""

from __future__ import annotations

import string
from itertools import product
from pathlib import Path

import pytest

from codegen_lsp.types import Origin, Snippet
from tests.support.repository import ALL, Repository
from tests.support.shop import FILES, INVOICES, ORDERS, SETTINGS


def make(tmp_path: Path, files: dict[str, str] | None = None) -> Repository:
    """A repository of these files."""
    return Repository(tmp_path / "project", FILES if files is None else files)


def only(snippets: tuple[Snippet, ...], path: str) -> Snippet:
    """The one snippet from *path*."""
    [found] = [snippet for snippet in snippets if snippet.path == path]
    return found


def test_similar_code_shows_what_follows(tmp_path: Path) -> None:
    """Of any file of the workspace."""
    repository = make(tmp_path)
    snippet = repository.snippets("shop/orders.py", ORDERS, ["similar"])[0]
    assert (snippet.path, snippet.origin) == ("shop/invoices.py", Origin.SIMILAR)
    assert 'writer.writerow(["number", "customer", "total"])' in snippet.text
    assert "import csv" not in snippet.text


def test_open_documents_are_searched(tmp_path: Path) -> None:
    """Whether or not they are files, in a folder or in none; unsaved text over the disk's."""
    for path, shown in [
        ("untitled:Untitled-1", "Untitled-1"),
        ((tmp_path / "elsewhere.py").as_uri(), "elsewhere.py"),
        ("shop/invoices.py", "shop/invoices.py"),
    ]:
        repository = make(tmp_path)
        repository.open(path, INVOICES.replace("customer", "buyer"))
        snippets = repository.snippets("shop/orders.py", ORDERS, ["open"])
        assert [snippet.path for snippet in snippets] == [shown]
        assert "invoice.buyer" in snippets[0].text


@pytest.mark.parametrize("source", ALL)
def test_unsaved_text_wins_over_the_disk(tmp_path: Path, source: str) -> None:
    """In every source, also where what is wanted exists only in the editor."""
    repository = make(tmp_path)
    repository.edit("shop/settings.py", SETTINGS.replace("strict", "lenient"))
    repository.edit("shop/invoices.py", INVOICES.replace("customer", "buyer"))
    code = "from shop.settings import load_settings\n" + ORDERS.replace("¦", "load_settings(¦")
    snippets = repository.snippets("shop/orders.py", code, [source])
    text = "".join(snippet.text for snippet in snippets)
    assert "lenient" in text or "buyer" in text
    assert "strict" not in text
    assert "customer" not in text


@pytest.mark.parametrize("source", ["imports", "definitions"])
def test_what_was_never_saved_is_found(tmp_path: Path, source: str) -> None:
    """A module that exists in the editor alone, and a function that was added to a known one."""
    repository = make(tmp_path)
    repository.open("shop/fresh.py", "def brand_new(number):\n    return number\n")
    repository.edit("shop/settings.py", SETTINGS + "\n\ndef just_added(x):\n    return x\n")
    fresh = repository.snippets("m.py", "from shop.fresh import brand_new\nbrand_new(¦", [source])
    assert [snippet.path for snippet in fresh] == ["shop/fresh.py"]
    code = "from shop.settings import just_added\njust_added(¦"
    added = repository.snippets("n.py", code, [source])
    assert "def just_added(x):" in only(added, "shop/settings.py").text


@pytest.mark.parametrize("source", ALL)
def test_never_the_document_itself(tmp_path: Path, source: str) -> None:
    """Neither as the disk has it, nor as the editor has it under another URI."""
    older = INVOICES + "\n\ndef finish_orders(path):\n    return export_invoices(path, [])\n"
    repository = make(tmp_path, {"shop/orders.py": older})
    code = ORDERS.replace("¦", "finish_orders(¦")
    assert repository.snippets("shop/orders.py", code, [source]) == ()
    repository.open("shop/orders.py", older)
    repository.open(repository.uri("shop/orders.py").replace("orders", "%6Frders"), older)
    repository.neighbourhood.clear()
    assert repository.snippets("shop/orders.py", code, [source]) == ()


def test_distant_parts_of_the_document_itself(tmp_path: Path) -> None:
    """What the prompt does not show of a long document may be a snippet, the rest never."""
    letters = product(string.ascii_lowercase, repeat=3)
    filler = "".join(f"{''.join(three)} = {i}\n" for i, three in enumerate(letters) if i < 1200)
    repository = make(tmp_path, {})
    code = INVOICES + "\n\n" + filler + ORDERS
    [snippet] = repository.snippets("long.py", code, ["open"], 1000)
    assert snippet.path == "long.py"
    assert "invoice.customer" in snippet.text
    assert repository.snippets("short.py", INVOICES + "\n\n" + ORDERS, ["open"], 1000) == ()


def test_secret_and_ignored_files_are_never_shown(tmp_path: Path) -> None:
    """What no index knows although it is there is ignored, even if it is open."""
    repository = make(tmp_path, {})
    for path in (".env", "secrets/id_rsa", "build/invoices.py"):
        repository.write(path, INVOICES, indexed=False)
        repository.open(path, INVOICES)
    assert repository.snippets("shop/orders.py", ORDERS) == ()
    repository.open("shop/unsaved.py", INVOICES)
    assert repository.snippets("other.py", ORDERS) != ()


def test_a_closed_document_is_read_from_the_disk(tmp_path: Path) -> None:
    """It was edited lately, so it still counts as open; but only if an index knows it."""
    for indexed in (True, False):
        repository = make(tmp_path / str(indexed), {})
        repository.write("shop/invoices.py", INVOICES, indexed=indexed)
        repository.edit("shop/invoices.py", "unsaved = 1\n")
        repository.buffers.closed(repository.uri("shop/invoices.py"))
        snippets = repository.snippets("shop/orders.py", ORDERS, ["open"])
        assert [snippet.path for snippet in snippets] == ["shop/invoices.py"] * indexed


def test_the_same_code_is_shown_once(tmp_path: Path) -> None:
    """Copies of a file are one snippet, and what stands around the cursor is none."""
    files = {f"copy{i}/invoices.py": INVOICES for i in range(4)}
    repository = make(tmp_path, files)
    repository.open("copy0/invoices.py", INVOICES)
    assert len(repository.snippets("shop/orders.py", ORDERS, ["open", "similar"])) == 1
    assert repository.snippets("shop/orders.py", INVOICES + ORDERS, ["open", "similar"]) == ()


def test_what_two_sources_find_is_one_snippet(tmp_path: Path) -> None:
    """Imported and defined: the lines of both, each once."""
    repository = make(tmp_path)
    code = "from shop.settings import load_settings\n\nx = load_settings(¦"
    [snippet] = repository.snippets("main.py", code, ["imports", "definitions"])
    assert snippet.text.count("def load_settings") == 1


def test_other_languages_count_less(tmp_path: Path) -> None:
    """A document in the same language comes first, even if it is a little less similar."""
    repository = make(tmp_path, {})
    repository.open("a.py", INVOICES.replace("delimiter", "separator"))
    repository.open("b.rb", INVOICES)
    snippets = repository.snippets("shop/orders.py", ORDERS, ["open"])
    assert snippets[0].path == "a.py"


def test_paths_begin_with_the_folder_where_there_are_several(tmp_path: Path) -> None:
    """Else two files could have one path."""
    more = tmp_path / "library"
    repository = Repository(tmp_path / "project", FILES, more)
    repository.write("../library/csvtools.py", INVOICES)
    repository.open("shop/settings.py", INVOICES.replace("total", "sum"))
    snippets = repository.snippets("shop/orders.py", ORDERS, ["open", "similar"])
    found = {snippet.path for snippet in snippets}
    assert "project/shop/settings.py" in found
    assert found & {"library/csvtools.py", "project/shop/invoices.py"}


def test_a_file_that_changed_or_vanished(tmp_path: Path) -> None:
    """What the index says of it is not trusted: the text read now is what is shown."""
    repository = make(tmp_path)
    moved = "# moved\n" * 30 + SETTINGS.replace("strict", "careful")
    repository.write("shop/settings.py", moved, indexed=False)
    code = "from shop.settings import load_settings\nx = load_settings(¦"
    for source in ("imports", "definitions"):
        [snippet] = repository.snippets("main.py", code, [source])
        assert "def load_settings(path: str, *, careful" in snippet.text
    (repository.root / "shop/settings.py").unlink()
    (repository.root / "shop/invoices.py").unlink()
    repository.neighbourhood.clear()
    assert repository.snippets("main.py", code) == ()
    assert repository.snippets("shop/orders.py", ORDERS) == ()


def test_a_document_without_a_workspace(tmp_path: Path) -> None:
    """Open documents still help."""
    repository = make(tmp_path, {})
    repository.folders.clear()
    repository.open("untitled:Untitled-1", INVOICES)
    [snippet] = repository.snippets("untitled:Untitled-2", ORDERS)
    assert snippet.path == "Untitled-1"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, line_end: str) -> None:
    r"""Snippets have ``\n`` alone, whatever documents have."""
    repository = make(tmp_path, {})
    repository.open("a.py", INVOICES.replace("\n", line_end))
    [snippet] = repository.snippets("orders.py", ORDERS.replace("\n", line_end))
    assert "\r" not in snippet.text
    assert "invoice.customer" in snippet.text


def test_open_documents_come_first_of_what_is_about_as_alike(tmp_path: Path) -> None:
    """And one that is less alike does not push out what is more alike on the disk."""
    copy = INVOICES.replace("CSV", "text")
    files = {**FILES, "shop/vouchers.py": copy, "shop/far.py": SETTINGS}
    for opened, text in [("shop/vouchers.py", copy), ("shop/far.py", SETTINGS)]:
        repository = make(tmp_path, files)
        before = repository.snippets("shop/orders.py", ORDERS, ["similar"])
        repository.open(opened, text)
        found = repository.snippets("shop/orders.py", ORDERS, ["open", "similar"])
        assert before[0].path == "shop/invoices.py"
        assert found[0].path == ("shop/vouchers.py" if text is copy else "shop/invoices.py")
