"""A real Neovim for the tests, from Debian's packages, without root and without installing.

Knows how to have apt resolve, download and check the packages in a folder of its own, how to
unpack them, and how to start a program with the C library that came along. Deliberately does not
know any host: mirror, proxy and keys are those the machine's apt already uses. Knows nothing of
what the tests do with the editor.

Run it by hand with ``python -m tests.e2e.install_neovim [FOLDER]``; it prints the command's path.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

SUITE = "forky"
"""The Debian suite that has the Neovim wanted; apt resolves versions from its index."""

OLDEST = (0, 12)
"""The first Neovim with ``vim.lsp.inline_completion``."""

CACHE_VARIABLE = "CODEGEN_LSP_E2E_CACHE"
"""Environment variable that names the folder to keep the editor in."""

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LAUNCHER = "nvim"


class NeovimUnavailableError(Exception):
    """No Neovim can be had on this machine; the message is one line that says why."""


def find_or_install(folder: Path | None = None) -> Path:
    """Return a command that starts Neovim 0.12 or newer.

    One on the ``PATH`` is preferred; then one unpacked earlier into ``folder`` (by default a
    folder in the user's cache); else it is downloaded. Raises :class:`NeovimUnavailableError`.
    """
    on_path = shutil.which("nvim")
    if on_path is not None and _version(Path(on_path)) >= OLDEST:
        return Path(on_path)
    target = (folder or _default_folder()).resolve()
    launcher = target / _LAUNCHER
    if not launcher.exists():
        _install(target)
    if _version(launcher) < OLDEST:
        raise NeovimUnavailableError(f"{launcher} does not start; delete {target} and try again")
    return launcher


def _default_folder() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named) / "neovim"
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(caches) / "codegen-lsp-e2e" / "neovim"


def _version(command: Path) -> tuple[int, int]:
    """Return major and minor version, (0, 0) where the command does not run."""
    try:
        answer = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    found = re.match(r"NVIM v(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(target: Path) -> None:
    """Download and unpack beside ``target``, then put it there in one step."""
    if sys.platform != "linux" or not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NeovimUnavailableError(
            "Neovim 0.12 is neither on PATH nor to be had: needs Debian's apt"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".neovim-") as scratch:
        work = Path(scratch)
        root = work / "unpacked"
        for package in _download(work / "apt"):
            _run(["dpkg-deb", "--extract", str(package), str(root)])
        launcher = root / _LAUNCHER
        launcher.write_text(_launcher_script(root, target), encoding="utf-8")
        launcher.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        root.rename(target)


def _download(apt: Path) -> list[Path]:
    """Let apt fetch Neovim and all it depends on; it checks signatures and SHA-256 sums."""
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    configuration = apt / "apt.conf"
    configuration.write_text(_apt_configuration(apt), encoding="utf-8")
    environment = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C.UTF-8"}
    reason = "apt's sources name no Debian mirror"
    for mirror in _debian_mirrors():
        signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
        (apt / "sources.list").write_text(f"deb {signed}{mirror} {SUITE} main\n", encoding="utf-8")
        try:
            _run(["apt-get", "update", "--error-on=any"], environment)
            _run(["apt-get", "install", "--yes", "--download-only", "neovim"], environment)
        except NeovimUnavailableError as error:
            reason = str(error)
            continue
        return sorted((apt / "archives").glob("*.deb"))
    raise NeovimUnavailableError(f"Debian {SUITE} is out of reach: {reason}")


def _apt_configuration(apt: Path) -> str:
    """Point apt at folders of ours, with no package installed, so the whole closure comes."""
    settings = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Cache::Archives": apt / "archives",
        "Dir::Log": apt,
        # As root, apt would drop to a user who may not write here.
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        # Container images delete what was downloaded; this keeps it.
        "APT::Keep-Downloaded-Packages": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    return "".join(f'{name} "{value}";\n' for name, value in settings.items())


def _debian_mirrors() -> Iterator[str]:
    """Yield the mirrors this machine gets its own Debian suite from, in apt's order."""
    codename = _os_codename()
    seen: set[str] = set()
    for uri, suites in _apt_sources():
        if codename in suites and uri not in seen:
            seen.add(uri)
            yield uri


def _os_codename() -> str:
    release = Path("/etc/os-release")
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if values.get("ID", "").strip('"') != "debian":
        raise NeovimUnavailableError(
            "Neovim 0.12 is not on PATH, and only on Debian can it be fetched"
        )
    return values.get("VERSION_CODENAME", "sid").strip('"')


def _apt_sources() -> Iterator[tuple[str, list[str]]]:
    """Yield (URI, suites) of every entry in apt's own configuration, in both of its formats."""
    etc = Path("/etc/apt")
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, flags=re.MULTILINE))
            for uri in fields.get("URIs", "").split():
                yield uri, fields.get("Suites", "").split()
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for found in re.finditer(r"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)", text, flags=re.MULTILINE):
            yield found[1], [found[2]]


def _launcher_script(root: Path, target: Path) -> str:
    """Return a shell script that starts Neovim with the C library it was built against."""
    loaders = sorted(root.glob("usr/lib/*/ld-linux-*.so.*"))
    if not loaders:
        raise NeovimUnavailableError("the packages hold no dynamic loader for this machine")
    loader = target / loaders[0].relative_to(root)
    words: Sequence[Path | str] = (
        loader,
        "--library-path",
        loader.parent,
        target / "usr/bin/nvim",
    )
    command = " ".join(shlex.quote(str(word)) for word in words)
    runtime = shlex.quote(str(target / "usr/share/nvim/runtime"))
    return f'#!/bin/sh\nexport VIMRUNTIME={runtime}\nexec {command} "$@"\n'


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run to the end; on failure raise with the last line the program said."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NeovimUnavailableError(f"{command[0]} failed: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        raise NeovimUnavailableError(f"{command[0]} failed: {said[-1]}")


def main(arguments: Sequence[str]) -> int:
    """Print the path of the editor's command; return the exit code."""
    try:
        print(find_or_install(Path(arguments[0]) if arguments else None))
    except NeovimUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
