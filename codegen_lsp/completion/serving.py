"""A model on a server, ready to be asked: whose prompt format it has, and whose tokenizer is used.

The server says what it serves; the catalog, or the setting ``serverFamily``, says what that is
like. Where a model with the same tokenizer is installed, prompts can be token ids. Else they are
made with the bundled model's tokenizer and go as text, which every model that continues text
understands.

Knows names, folders and formats. Does not know HTTP (``engines.remote``), nor whose answer
is shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from codegen_lsp.completion.model import LoadedModel
from codegen_lsp.config.home import home
from codegen_lsp.config.settings import Settings
from codegen_lsp.engines.remote_access import Server, host_of
from codegen_lsp.engines.remote_wire import Served
from codegen_lsp.engines.table import EngineSpec, create_engine
from codegen_lsp.errors import EngineUnavailableError
from codegen_lsp.models.catalog import Entry, find_entry
from codegen_lsp.models.store import BUNDLED, ModelFolder, find_model, installed
from codegen_lsp.prompts.families import FAMILIES, Family, family_of
from codegen_lsp.prompts.tokenizer import CodeTokenizer

__all__ = ["Spelling", "like", "open_remote", "server_of"]

CONTEXT: Final = 2048
"""Of a model of which nobody says how long its context is: CodeGen's."""

_TAG: Final = re.compile(r":[\w.-]+$|(?:[-._](?:i?q\d\w*|f16|bf16|f32))?\.gguf$", re.IGNORECASE)
"""What Ollama and llama-server put behind a name."""


class Spelling:
    """Token ids as text and back, for servers that take or give no ids."""

    def __init__(self, tokenizer: CodeTokenizer) -> None:
        self._tokenizer = tokenizer
        self._marks = {number: name for name, number in tokenizer.special_ids.items()}

    def text(self, ids: Sequence[int]) -> str:
        """The text of *ids*, marks by their names.

        A server takes names for marks wherever they stand: where the text itself holds one, a blank
        is put into it.
        """
        parts: list[str] = []
        begin = 0
        for place, one in enumerate([*ids, -1]):
            if one == -1 or one in self._marks:
                parts += (self._plain(ids[begin:place]), self._marks.get(one, ""))
                begin = place + 1
        return "".join(parts)

    def ids(self, text: str) -> Sequence[int]:
        """The ids of *text*, in which nothing is a mark."""
        return self._tokenizer.encode(text)

    def _plain(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(ids)
        for name in self._marks.values():
            if name and name in text:
                text = text.replace(name, f"{name[0]} {name[1:]}")
        return text


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a server's model is like."""

    name: str
    """As completions report it."""

    family: Family
    folder: ModelFolder
    """Whose tokenizer is used."""

    same_tokens: bool
    """Whether that is the model's own."""

    context_length: int


def server_of(settings: Settings) -> Server:
    """How the server of *settings* is reached."""
    return Server(
        url=settings.server,
        model=settings.server_model,
        key_command=settings.server_key_command,
        keyring=settings.server_keyring,
        ca=settings.server_ca,
        certificate=settings.server_certificate,
        certificate_key=settings.server_certificate_key,
        deadline=settings.server_deadline / 1000,
    )


async def open_remote(settings: Settings) -> LoadedModel:
    """The model of the server that *settings* name, asked what it understands.

    :raises RemoteAwayError: the server is away.
    :raises EngineUnavailableError: it refuses us, or its model is like none we know.
    :raises ModelError: the model whose tokenizer is wanted is damaged.
    """
    from codegen_lsp.engines.remote_probe import served_model  # imports the HTTP client

    server = server_of(settings)
    served = await served_model(server)
    known = await asyncio.to_thread(like, served, settings.server_family, host_of(server.url))
    tokenizer = await asyncio.to_thread(CodeTokenizer.from_folder, known.folder.path)
    server = replace(
        server, model=served.id, speller=Spelling(tokenizer), same_tokens=known.same_tokens
    )
    length = served.context_length or known.context_length
    spec = EngineSpec(known.folder.path, known.name, length, server=server)
    engine = create_engine("remote", spec)
    try:
        await engine.load()
    except BaseException:
        await engine.close()
        raise
    # How fast a server is has nothing to do with its model's size: the first answers tell.
    return LoadedModel(engine, tokenizer, known.family, known.name, parameters=0)


def like(served: Served, family: str, host: str) -> Likeness:
    """What *served*, a model of *host*, is like, or is said to be like (*family*).

    :raises EngineUnavailableError: nothing we know, or an encoder-decoder.
    """
    wanted = _TAG.sub("", (family or served.id).rstrip("/"))
    short = wanted.rpartition("/")[2]
    folders = installed(home())
    own = next((one for one in folders if wanted in (one.name, one.manifest.name)), None)
    own = own or next((one for one in folders if short in (one.name, one.manifest.name)), None)
    if own is not None:
        manifest = own.manifest
        found = family_of(manifest.family)
        _refuse_apart(found, host)
        return Likeness(manifest.name, found, own, True, manifest.context_length)
    entry = find_entry(wanted) or find_entry(short)
    if entry is not None:
        return _like_entry(entry, folders, host)
    format_ = wanted if wanted in FAMILIES else served.family
    if format_ in FAMILIES:
        _refuse_apart(FAMILIES[format_], host)
        return Likeness(served.id, FAMILIES["causal"], find_model(BUNDLED, home()), False, CONTEXT)
    what = f"serverFamily {family!r}" if family else f"{served.id!r} of {host}"
    raise EngineUnavailableError(
        f"{what} is like no model we know",
        mend="set serverFamily to the one it is like, for example codegen-16B-mono, or to causal",
    )


def _like_entry(entry: Entry, folders: Sequence[ModelFolder], host: str) -> Likeness:
    """A model of the catalog: models of one series share a tokenizer."""
    found = family_of(entry.family)
    _refuse_apart(found, host)
    for folder in folders:
        origin = folder.manifest.origin
        kin = find_entry(folder.manifest.name) or (find_entry(origin.repo) if origin else None)
        if kin is not None and kin.series == entry.series:
            return Likeness(entry.name, found, folder, True, entry.context_length)
    # Marks of an infill format are in its own tokenizer only: without it, text is continued.
    bundled = find_model(BUNDLED, home())
    return Likeness(entry.name, FAMILIES["causal"], bundled, False, entry.context_length)


def _refuse_apart(family: Family, host: str) -> None:
    if family.apart:
        raise EngineUnavailableError(
            f"the model of {host} is an encoder-decoder, which no server continues text with",
            mend="serve another one",
        )
