"""What pulls leave on the disk: apart from each other, told, and deleted by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codegen_lsp.converters.pipeline import run_job
from codegen_lsp.models import hub as client
from codegen_lsp.models.downloads import downloads, forget_download, waiting
from codegen_lsp.models.jobs import ConversionJob, PullRequest
from codegen_lsp.models.manifest import Manifest
from codegen_lsp.models.pull import pull
from codegen_lsp.models.reporting import Silent
from tests.support.hub import Hub
from tests.support.pulling import MONO, hub, left, tiny, write_adapter

__all__ = ["hub", "tiny"]


def test_pulls_do_not_delete_each_others_files(
    hub: Hub, tmp_path: Path, tiny: Mapping[str, Path]
) -> None:
    """What one needs of a repository that another pulls lies apart, and so it goes apart."""
    hub.add("org/mine", write_adapter(tiny["hf"]))
    waiting = downloads(tmp_path, "org/mine") / "other" / f"model.safetensors{client.PARTIAL}"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(b"half of it")

    def convert(job: ConversionJob) -> Manifest:
        assert forget_download(MONO.replace("mono", "nl"), tmp_path) is None
        if job.adapter is not None:
            assert waiting.read_bytes() == b"half of it"
            assert forget_download("org/mine", tmp_path) == 10
        manifest: Manifest = run_job(job)
        return manifest

    request = PullRequest(what=MONO, adapter="org/mine")
    assert pull(request, tmp_path, convert=convert, report=Silent()).name == "mine"
    assert left(tmp_path) == ["mine"]
    # A folder has no download of its own: what it needs goes with its name.
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(b"half of it")
    request = PullRequest(what=str(tiny["hf"]), adapter="org/mine", name="again")
    pull(request, tmp_path, convert=run_job, report=Silent())
    assert waiting.is_file()
    assert [path.name for path in downloads(tmp_path, "x").parent.iterdir()] == ["org--mine"]


def test_what_waits_is_told_and_can_be_deleted(hub: Hub, tmp_path: Path) -> None:
    """By the id, or by the catalog's name; no name leads out of the folder."""
    for repo in (MONO, "org/my--model"):
        folder = downloads(tmp_path, repo) / "commit"
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(b"12345")
    assert [(one.repo, one.size) for one in waiting(tmp_path)] == [(MONO, 5), ("org/my--model", 5)]
    for name in ("", ".", "..", "../..", "/", "org", "x" * 300):
        assert forget_download(name, tmp_path) is None
    assert forget_download("codegen-350M-mono", tmp_path) == 5
    assert forget_download("org/my--model", tmp_path) == 5
    assert (waiting(tmp_path), left(tmp_path)) == ([], [])
