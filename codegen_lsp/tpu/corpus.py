"""From pinned packages to clean, distinct Python files, token shards and a report.

Knows: how archives come (pip's hash-checking download into a cache folder) and are read, how
duplicates are found across files, how much one package may give, what the report says.
Does not know: which packages (:mod:`.sources`), what makes one file fit (:mod:`.cleaning`),
the tokenizer's rules (:mod:`.tokenizer`), the shard format (:mod:`.data`).

The same table, seed and interpreter version give the same shards. Near duplicates are found by
MinHash with locality-sensitive hashing (Broder, "On the resemblance and containment of
documents", 1997), on shingles of code words.

Run as a program: ``python -m codegen_lsp.tpu.corpus FOLDER [--cache FOLDER] [--seed N]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import re
import sys
import sysconfig
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]  # has no types

from codegen_lsp.errors import CodegenError, CorpusError
from codegen_lsp.tpu.cleaning import clean, decode, reject_path, reject_text
from codegen_lsp.tpu.data import write_heldout, write_shard
from codegen_lsp.tpu.sources import STDLIB, STDLIB_LICENCE, Role, Source, load_sources
from codegen_lsp.tpu.tokenizer import missing_indents, train_tokenizer
from codegen_lsp.tpu.wheels import fetch

PACKAGE_CAP: Final = 2_500_000
"""Most bytes of text one training package gives, so that no single style dominates."""

SIMILARITY: Final = 0.7
"""Jaccard similarity of shingles from which two files count as near duplicates."""

SHINGLE: Final = 5
"""Code words per shingle."""

PERMUTATIONS: Final = 64

SKETCH: Final[Literal["affine32"]] = "affine32"
"""Family of MinHash permutations: named, so that a library update cannot change the choice."""

TOKENIZER_SAMPLE: Final = 40_000_000
"""Bytes of training text the tokenizer learns from."""

PLATFORMS: Final = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_24_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
    "linux_x86_64",
    "any",
)
"""Wheels asked for, on whatever machine this runs: only then are the archive hashes the same."""

_WORD = re.compile(r"\w+|[^\w\s]")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class CodeFile:
    """One clean file."""

    package: str
    """Name of the package it came from."""
    path: str
    """Path inside the archive, with slashes."""
    role: Role
    text: str
    """Cleaned text."""
    digest: str
    """Hash of the text without white space: equal for exact duplicates."""
    signature: bytes
    """MinHash values, 32-bit unsigned, :data:`PERMUTATIONS` of them."""

    @property
    def size(self) -> int:
        """UTF-8 bytes of the text."""
        return len(self.text.encode("utf-8"))


@dataclass(slots=True)
class PackageReport:
    """What one package gave."""

    version: str
    licence: str
    role: Role
    sha256: str
    """Hash of the archive; empty for the interpreter's own library."""
    files: int = 0
    bytes: int = 0
    """UTF-8 bytes of the files kept."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Number of files refused, by reason."""


@dataclass(slots=True)
class CorpusReport:
    """What a corpus consists of; it is what the model card quotes."""

    seed: int
    python: str
    """Version of the interpreter whose library is part of the corpus."""
    vocab_size: int
    train_tokens: int
    train_bytes: int
    train_files: int
    heldout_tokens: int
    heldout_bytes: int
    heldout_files: int
    packages: dict[str, PackageReport]

    @property
    def bytes_per_token(self) -> float:
        """Mean UTF-8 bytes of one training token."""
        return self.train_bytes / max(1, self.train_tokens)

    def to_json(self) -> str:
        """The report as indented JSON, the ratio included."""
        whole = asdict(self) | {"bytes_per_token": round(self.bytes_per_token, 4)}
        return json.dumps(whole, indent=1) + "\n"


def prepare(folder: Path, cache: Path, seed: int = 0, workers: int | None = None) -> CorpusReport:
    """Make ``tokenizer.json``, ``train.npy``, ``heldout/`` and ``report.json`` in *folder*.

    :param cache: where archives are kept; what is already there is not fetched again.
    :param workers: processes that clean files, by default one per core.
    :raises CorpusError: when an archive cannot be fetched or is not the pinned one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = load_sources()
    archives = fetch(sources, cache, PLATFORMS)
    packages, files = _clean_all(sources, archives, workers)
    kept = choose(files, packages, seed)
    train = [f for f in kept if f.role == "train"]
    heldout = [f for f in kept if f.role == "heldout"]
    random.Random(seed).shuffle(train)  # noqa: S311  (an order, no secret)
    tokenizer = train_tokenizer(f.text for f in _sample(train, TOKENIZER_SAMPLE))
    if missing := missing_indents(tokenizer):
        raise CorpusError(f"indentation levels {missing} took no token", mend="add more text")
    tokenizer.save(str(folder / "tokenizer.json"))
    train_tokens = write_shard(folder / "train.npy", tokenizer, (f.text for f in train))
    heldout_tokens = write_heldout(
        folder / "heldout", tokenizer, ((f.package, f.path, f.text) for f in heldout)
    )
    report = CorpusReport(
        seed=seed,
        python=platform.python_version(),
        vocab_size=tokenizer.get_vocab_size(),
        train_tokens=train_tokens,
        train_bytes=sum(f.size for f in train),
        train_files=len(train),
        heldout_tokens=heldout_tokens,
        heldout_bytes=sum(f.size for f in heldout),
        heldout_files=len(heldout),
        packages=packages,
    )
    (folder / "report.json").write_text(report.to_json(), encoding="utf-8")
    return report


def _sample(files: Sequence[CodeFile], limit: int) -> Iterator[CodeFile]:
    """The first files of a shuffled list, until *limit* bytes are reached."""
    for file in files:
        if limit <= 0:
            return
        limit -= file.size
        yield file


# --- archives -------------------------------------------------------------------------------


def read_archive(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every Python file in a wheel, by path."""
    with zipfile.ZipFile(archive) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith(".py"):
                yield name, wheel.read(name)


def read_stdlib() -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every Python file of the running interpreter's own library."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        yield path.relative_to(root).as_posix(), path.read_bytes()


# --- cleaning -------------------------------------------------------------------------------


def _clean_all(
    sources: Sequence[Source], archives: dict[str, Path], workers: int | None
) -> tuple[dict[str, PackageReport], list[CodeFile]]:
    """Clean every package, one process each at a time; reports and files in table order."""
    python = platform.python_version()
    packages = {STDLIB: PackageReport(python, STDLIB_LICENCE, "train", "")}
    jobs: list[tuple[str, Path | None, Role]] = [(STDLIB, None, "train")]
    for source in sources:
        packages[source.name] = PackageReport(
            source.version, source.licence, source.role, source.sha256
        )
        jobs.append((source.name, archives[source.name], source.role))
    files: list[CodeFile] = []
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        for job, (kept, rejected) in zip(jobs, pool.map(clean_package, jobs), strict=True):
            packages[job[0]].rejected = rejected
            files += kept
    return packages, files


def clean_package(job: tuple[str, Path | None, Role]) -> tuple[list[CodeFile], dict[str, int]]:
    """The fit files of one package (no archive: the standard library) and refusals by reason."""
    package, archive, role = job
    kept: list[CodeFile] = []
    rejected: Counter[str] = Counter()
    for path, raw in read_stdlib() if archive is None else read_archive(archive):
        result = clean_file(package, path, role, raw)
        if isinstance(result, str):
            rejected[result] += 1
        else:
            kept.append(result)
    return kept, dict(rejected)


def clean_file(package: str, path: str, role: Role, raw: bytes) -> CodeFile | str:
    """The clean file, or the reason why it is unfit."""
    if reason := reject_path(path):
        return reason
    text = decode(raw)
    if text is None:
        return "encoding"
    text = clean(text)
    if reason := reject_text(text):
        return reason
    digest = hashlib.sha256(_SPACE.sub("", text).encode("utf-8")).hexdigest()
    return CodeFile(package, path, role, text, digest, signature(text))


# --- duplicates and shares ------------------------------------------------------------------


def signature(text: str) -> bytes:
    """MinHash values of the shingles of *text*."""
    words = np.array([zlib.crc32(w.encode("utf-8")) for w in _WORD.findall(text)], np.uint64)
    width = max(1, len(words) - SHINGLE + 1)
    hashes = np.zeros(width, np.uint64)
    for i in range(min(SHINGLE, len(words))):
        hashes = hashes * np.uint64(1_000_003) + words[i : i + width]
    mixed = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    shingles = np.unique(mixed >> np.uint64(32))
    sketch = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme=SKETCH)
    sketch.update_batch(shingles.tolist())
    return np.asarray(sketch.hashvalues, np.uint64).tobytes()


def choose(
    files: Sequence[CodeFile], packages: dict[str, PackageReport], seed: int
) -> list[CodeFile]:
    """Files without duplicates, each package cut to its cap; *packages* gets the counts.

    Held-out files come first, so that a training file that resembles one is dropped. Within the
    training side the order is a seeded shuffle, so that what is cut is no particular part.
    """
    train = [f for f in files if f.role == "train"]
    random.Random(seed).shuffle(train)  # noqa: S311  (an order, no secret)
    order = [f for f in files if f.role == "heldout"] + train
    index = MinHashLSH(threshold=SIMILARITY, num_perm=PERMUTATIONS)
    digests: set[str] = set()
    kept: list[CodeFile] = []
    for number, file in enumerate(order):
        package = packages[file.package]
        reason = _duplicate_or_over(file, package, digests, index)
        if reason:
            package.rejected[reason] = package.rejected.get(reason, 0) + 1
            continue
        digests.add(file.digest)
        index.insert(str(number), _sketch(file))
        package.files += 1
        package.bytes += file.size
        kept.append(file)
    return kept


def _duplicate_or_over(
    file: CodeFile, package: PackageReport, digests: set[str], index: MinHashLSH
) -> str | None:
    """Why a fit file is left out all the same, or None."""
    if file.role == "train" and package.bytes + file.size > PACKAGE_CAP:
        return "over the cap"
    if file.digest in digests:
        return "duplicate"
    return "near duplicate" if index.query(_sketch(file)) else None


def _sketch(file: CodeFile) -> MinHash:
    """The MinHash object of a stored signature."""
    values = np.frombuffer(file.signature, np.uint64)
    return MinHash(num_perm=PERMUTATIONS, seed=1, hashvalues=values, scheme=SKETCH)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a corpus from the command line; exit code 0 or 1."""
    parser = argparse.ArgumentParser(prog="python -m codegen_lsp.tpu.corpus", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, help="where archives are kept")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        report = prepare(given.folder, given.cache or given.folder / "archives", given.seed)
    except CodegenError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{report.train_tokens} tokens, {report.bytes_per_token:.2f} bytes each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
