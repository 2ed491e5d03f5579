"""The hub client against a real hub on loopback: what it asks, what it keeps, what it says."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen_lsp.errors import HubError
from codegen_lsp.models import hub as client
from codegen_lsp.models.hub_errors import MEANINGS, Asked, meaning
from codegen_lsp.models.reporting import Silent
from tests.support.hub import Hub, connect, environment, running

REPO = "org/tiny"
WEIGHTS = hashlib.shake_256(b"weights").digest(600_000)
FILES = {"config.json": b'{"model_type": "codegen"}', "model.safetensors": WEIGHTS}

FETCH = """
import sys
from pathlib import Path
from codegen_lsp.errors import HubError
from codegen_lsp.models import hub
from codegen_lsp.models.reporting import Silent
try:
    remote = hub.describe("org/tiny")
    hub.fetch(remote, remote.files, Path(sys.argv[1]), report=Silent())
except HubError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> object:
    """A hub with one repository that this process knows; attempts follow at once."""
    with running() as server:
        connect(server, monkeypatch)
        monkeypatch.setattr(client, "_WAITS", (0.0, 0.0, 0.0))
        server.add(REPO, FILES)
        yield server


def fetch(folder: Path) -> None:
    """All files of the repository, into *folder*."""
    remote = client.describe(REPO)
    client.fetch(remote, remote.files, folder, report=Silent())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(hub: Hub, folder: Path, prelude: str = "", **more: str) -> subprocess.Popen[str]:
    """A process of its own that fetches the repository into *folder*."""
    return subprocess.Popen(
        [sys.executable, "-c", prelude + FETCH, str(folder)],
        env={**environment(hub, folder.parent), **more},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_repository_is_described(hub: Hub) -> None:
    """Commit, sizes, digests, licence; large files have SHA-256, small ones git's digest."""
    remote = client.describe(REPO)
    config, weights = remote.files
    assert (remote.repo, remote.commit) == (REPO, hub.repositories[REPO].commit)
    assert (remote.licence, remote.gated, remote.endpoint) == ("bsd-3-clause", False, hub.url)
    assert (config.name, config.size, len(config.blob)) == ("config.json", 25, 40)
    assert (weights.size, weights.sha256) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())


def test_a_renamed_repository_is_followed(hub: Hub, tmp_path: Path) -> None:
    """The id it has now is what is recorded and fetched from."""
    hub.renamed["org/old"] = REPO
    remote = client.describe("org/old")
    assert remote.repo == REPO
    client.fetch(remote, remote.files, tmp_path, report=Silent())
    assert contents(tmp_path) == FILES


def test_a_revision_becomes_a_commit(hub: Hub) -> None:
    """A tag is asked for by its name; files are asked for by the commit."""
    hub.repositories[REPO].revisions["v1"] = "1" * 40
    assert client.describe(REPO, "v1").commit == "1" * 40


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    """The digests of all files are returned either way."""
    remote = client.describe(REPO)
    first = client.fetch(remote, remote.files, tmp_path, report=Silent())
    asked = len(hub.seen)
    second = client.fetch(remote, remote.files, tmp_path, report=Silent())
    assert (first, len(hub.seen)) == (second, asked)
    assert first["config.json"] == hashlib.sha256(FILES["config.json"]).hexdigest()
    assert contents(tmp_path) == FILES


def test_what_was_changed_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    """A file of the right size with another content is not believed."""
    fetch(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes(len(WEIGHTS)))
    fetch(tmp_path)
    assert contents(tmp_path) == FILES


@pytest.mark.parametrize(("cut", "times"), [(200_000, 1), (200_000, -1), (0, 2)])
def test_a_cut_connection_is_taken_up(hub: Hub, tmp_path: Path, cut: int, times: int) -> None:
    """It goes on where it was cut, as long as something comes in or a few attempts are left."""
    hub.fail("/cdn/", cut_after=cut, times=times)
    fetch(tmp_path)
    assert contents(tmp_path) == FILES
    assert hub.sent["model.safetensors"] < 2 * len(WEIGHTS)
    assert bool([seen for seen in hub.asked("/cdn/") if seen.range]) == bool(cut)


def test_a_hub_without_ranges_begins_again(hub: Hub, tmp_path: Path) -> None:
    """A whole answer to a question for a part replaces what was there."""
    hub.fail("/cdn/", cut_after=200_000, times=1)
    hub.knows_ranges = False
    fetch(tmp_path)
    assert contents(tmp_path) == FILES


def test_a_killed_download_is_resumed_by_the_next_process(hub: Hub, tmp_path: Path) -> None:
    """Killed without mercy in the middle, run again: the rest is asked for, and only the rest."""
    folder = tmp_path / "files"
    slow = hub.fail("/cdn/", slow=0.05)
    partial = folder / ("model.safetensors" + client.PARTIAL)
    killed = run(hub, folder)
    while killed.poll() is None and not (partial.is_file() and partial.stat().st_size > 100_000):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    had = partial.stat().st_size
    assert 0 < had < len(WEIGHTS)
    assert not (folder / "model.safetensors").exists()
    time.sleep(0.3)  # the server notices that its client has gone
    slow.slow, hub.sent["model.safetensors"] = 0.0, 0
    second = run(hub, folder)
    assert (second.communicate()[1], second.returncode) == ("", 0)
    assert contents(folder) == FILES
    assert hub.asked("/cdn/")[-1].range == f"bytes={had}-"
    assert hub.sent["model.safetensors"] == len(WEIGHTS) - had


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_other_content_is_thrown_away(hub: Hub, tmp_path: Path, file: str) -> None:
    """As many bytes, but others: nothing of them is kept, and a second run mends it."""
    wrong = hub.fail(file, garble=True, method="GET")
    with pytest.raises(HubError, match=f"{file} .*checksum differs; run again") as caught:
        fetch(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(f"{file}*"))
    hub.faults.remove(wrong)
    fetch(tmp_path)
    assert contents(tmp_path) == FILES


def test_a_mirror_that_lists_names_only(hub: Hub, tmp_path: Path) -> None:
    """Digests come from the files' own headers then, and are checked all the same."""
    hub.lists_blobs = False
    fetch(tmp_path / "good")
    assert contents(tmp_path / "good") == FILES
    hub.fail("/cdn/", garble=True)
    with pytest.raises(HubError, match="checksum"):
        fetch(tmp_path / "bad")


def gated(hub: Hub) -> None:
    hub.repositories[REPO].gated = True


def private(hub: Hub) -> None:
    hub.repositories[REPO].private = True


def wrong_token(hub: Hub) -> None:
    hub.repositories[REPO].tokens = ("hf_right",)
    os.environ["HF_TOKEN"] = "hf_wrong"


def gated_for_this_token(hub: Hub) -> None:
    hub.repositories[REPO].gated = True
    os.environ["HF_TOKEN"] = "hf_other"


def failing(match: str = "/api/", **fault: object) -> Callable[[Hub], object]:
    return lambda hub: hub.fail(match, **fault)


def no_checksums(hub: Hub) -> None:
    hub.lists_blobs = False
    hub.fail("config.json", status=200, method="HEAD")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda hub: hub.repositories.clear(), "no repository org/tiny at http.*or it is private"),
        (private, "or it is private.*export HF_TOKEN"),
        (wrong_token, r"does not accept the token.*\(401\).*HF_TOKEN"),
        (gated, "org/tiny is gated.*accept it at http.*/org/tiny, then `export HF_TOKEN"),
        (gated_for_this_token, "org/tiny is gated"),
        (failing(status=401), r"wants to know who asks.*\(401\).*export HF_TOKEN"),
        (failing(status=403), r"refuses org/tiny to you \(403\).*licence"),
        (failing(status=404), "answered 404 when asked for org/tiny"),
        (failing(status=429), r"too many requests \(429\)"),
        (failing(status=500), "failed with 500; wait"),
        (failing(status=503), "failed with 503; wait"),
        (failing(status=200, body=b"<html>log in</html>"), "does not answer as a Hugging Face hub"),
        (failing(status=200, body=b"[1]"), "does not answer as a Hugging Face hub"),
        (failing(status=200, body=b"{}"), "does not answer as a Hugging Face hub"),
        (failing("/cdn/", status=500), "failed with 500.*what was fetched is kept"),
        (failing("/cdn/", status=403), r"\(403\)"),
        (failing("/cdn/", cut_after=0), "breaks while model.safetensors comes in.*is kept"),
        (failing("config.json", status=404, headers={"X-Error-Code": "EntryNotFound"}),
         "lists config.json and does not serve it"),
        (no_checksums, "names no checksum of config.json"),
        (lambda hub: hub.stop(), "cannot reach http://127.0.0.1.*check the network"),
        (lambda _: os.environ.update(HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set; unset it"),
        (lambda _: os.environ.update(HF_ENDPOINT="nonsense"), "'nonsense' is no address of a hub"),
        (lambda _: os.environ.update(HF_TOKEN="hf_ü"), "does not accept the token"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable[[Hub], object],
    words: str,
) -> None:
    """It says what is wrong and how to mend it, and nothing has its name that is not whole."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    wrong(hub)
    with pytest.raises(HubError, match=words) as caught:
        fetch(tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    assert "model.safetensors" not in contents(tmp_path)


@pytest.mark.parametrize(
    ("repo", "revision", "words"),
    [
        ("org/tiny", "nope", "org/tiny has no revision 'nope'; leave --revision away"),
        ("Salesforce/codegen-350M-momo", None, "codegen-350M-mono"),
        ("no id/at all", None, "'no id/at all' is no repository id; write it as organization/name"),
    ],
)
def test_what_is_unknown(hub: Hub, repo: str, revision: str | None, words: str) -> None:
    """The nearest names of the catalog are offered."""
    with pytest.raises(HubError, match=words):
        client.describe(repo, revision)


@pytest.mark.parametrize("where", ["environment", "file"])
def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """It opens a gated repository; the store of large files, on another host, never sees it."""
    if where == "environment":
        monkeypatch.setenv("HF_TOKEN", "hf_mine")
    else:
        (tmp_path / "token").write_text("hf_mine\n")
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    hub.add(REPO, FILES, gated=True, private=True, tokens=("hf_mine",))
    assert client.describe(REPO).gated
    fetch(tmp_path / "files")
    assert contents(tmp_path / "files") == FILES
    for seen in hub.seen:
        assert seen.authorization == ("" if "/cdn/" in seen.path else "Bearer hf_mine")


def test_a_proxy_is_used(hub: Hub, tmp_path: Path) -> None:
    """A hub that only the proxy can reach is reached through it."""
    done = run(hub, tmp_path / "files", HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=hub.url)
    assert (done.communicate()[1], done.returncode) == ("", 0)
    assert contents(tmp_path / "files") == FILES
    assert hub.seen[0].path.startswith("http://hub.invalid/api/models/org/tiny")


def test_a_proxy_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    """The line names the address that could not be reached."""
    done = run(hub, tmp_path / "files", HF_ENDPOINT="http://hub.invalid",
               HTTP_PROXY="http://127.0.0.1:9")  # fmt: skip
    assert "http://hub.invalid" in done.communicate()[1]


def test_offline_mode_holds_from_the_start(hub: Hub, tmp_path: Path) -> None:
    """No request is made."""
    done = run(hub, tmp_path / "files", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in done.communicate()[1]
    assert not hub.seen


def test_a_full_disk(hub: Hub, tmp_path: Path) -> None:
    """A write that the system refuses ends in one line; with room, the rest is fetched."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    done = run(hub, tmp_path / "files", limit)
    line = done.communicate()[1]
    assert "the disk is full: model.safetensors could not be written; make room" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "files" / "model.safetensors").exists()
    had = (tmp_path / "files" / ("model.safetensors" + client.PARTIAL)).stat().st_size
    fetch(tmp_path / "files")
    assert contents(tmp_path / "files") == FILES
    assert hub.asked("/cdn/")[-1].range == f"bytes={had}-"


def test_a_folder_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    """The line names the place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError, match=r"cannot keep .*file.*CODEGEN_LSP_HOME"):
        fetch(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["../evil", "a/b", "/etc/evil"])
def test_a_file_name_that_is_a_path(hub: Hub, tmp_path: Path, name: str) -> None:
    """No hub can write beside the folder."""
    hub.add(REPO, {name: b"x"})
    with pytest.raises(HubError, match="which is a path"):
        fetch(tmp_path / "files")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", [*MEANINGS, "SomethingElse"])
def test_every_meaning_is_one_line_with_a_mend(name: str) -> None:
    """Whatever the library raises, nobody sees a traceback or an empty message."""
    error = type(name, (Exception,), {"errno": None, "filename": None, "strerror": None})("a\nb")
    told = meaning(error, Asked(REPO, "http://hub", "main", "config.json"))
    assert told.message
    assert told.mend
    assert "\n" not in str(told)


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """Importing the client imports no HTTP library; a server must start without."""
    code = (
        "import sys, codegen_lsp.models.pull\n"
        "sys.exit(str({'huggingface_hub', 'httpx2', 'httpx', 'torch'} & {*sys.modules} or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_progress_counts_all_files(hub: Hub, tmp_path: Path) -> None:
    """It ends at the sum of all sizes and never goes back."""
    seen: list[tuple[int, int]] = []

    class Recorder(Silent):
        def progress(self, what: str, done: int, total: int) -> None:
            seen.append((done, total))

    remote = client.describe(REPO)
    client.fetch(remote, remote.files, tmp_path, report=Recorder())
    total = sum(map(len, FILES.values()))
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)
