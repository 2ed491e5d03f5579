"""Settings from the editor: initializationOptions, ``workspace/configuration``, live changes.

Knows how editors send settings and how they are told what follows from them; which settings
there are and who wins is decided in ``codegen_lsp.config``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.capabilities import get_capability
from pygls.exceptions import JsonRpcException
from pygls.uris import to_fs_path

from codegen_lsp.config.sources import Layer, environment_layer, user_layer, workspace_layer
from codegen_lsp.server.features import completion

if TYPE_CHECKING:
    from codegen_lsp.server.session import CodegenServer

__all__ = ["begin", "folders", "register", "settle"]

logger = logging.getLogger(__name__)

SECTION = "codegen"


def register(ls: CodegenServer) -> None:
    """Add both notifications."""
    ls.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)(did_change_configuration)
    ls.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(did_change_workspace_folders)


def begin(ls: CodegenServer, params: types.InitializeParams) -> None:
    """Settings as far as ``initialize`` brings them."""
    ls.layers["options"] = [_layer("initializationOptions", params.initialization_options)]
    _read_files(ls)
    ls.resolve_settings()
    ls.completion_is_offered = ls.settings.completion_items


async def settle(ls: CodegenServer) -> None:
    """What can be asked of the editor once it is initialized."""
    ls.surroundings.set_folders(map(Path, folders(ls)))
    await pull(ls)
    ls.surroundings.start()
    if _can(ls, "workspace.did_change_configuration.dynamic_registration"):
        await _register(ls, types.WORKSPACE_DID_CHANGE_CONFIGURATION, {"section": SECTION})


def did_change_configuration(
    ls: CodegenServer, params: types.DidChangeConfigurationParams
) -> Coroutine[Any, Any, None]:
    """Take new settings over, at once from the message or by asking for them."""
    sent = params.settings
    if isinstance(sent, Mapping) and SECTION in sent and not _can(ls, "workspace.configuration"):
        ls.layers["editor"] = [_layer("editor", sent[SECTION])]
    _read_files(ls)
    ls.resolve_settings()
    return pull(ls)


def did_change_workspace_folders(
    ls: CodegenServer, params: types.DidChangeWorkspaceFoldersParams
) -> None:
    """A folder that comes or goes takes its settings along."""
    _read_files(ls)
    ls.resolve_settings()
    ls.surroundings.set_folders(map(Path, folders(ls)))


async def pull(ls: CodegenServer) -> None:
    """Ask the editor for its settings, if it can be asked."""
    if _can(ls, "workspace.configuration"):
        item = types.ConfigurationItem(section=SECTION)
        try:
            answer = await ls.workspace_configuration_async(types.ConfigurationParams([item]))
        except JsonRpcException:
            logger.warning("the editor did not tell its settings")
            return
        ls.layers["editor"] = [_layer("editor", answer[0] if answer else None)]
        ls.resolve_settings()
    await offer_completion(ls)


async def offer_completion(ls: CodegenServer) -> None:
    """Tell the editor when the pop-up menu has been asked for after ``initialize``."""
    if not ls.settings.completion_items or ls.completion_is_offered:
        return
    if not _can(ls, "text_document.completion.dynamic_registration"):
        logger.warning("this editor takes 'completionItems' only at its start: restart the server")
        return
    ls.completion_is_offered = True
    await _register(
        ls,
        types.TEXT_DOCUMENT_COMPLETION,
        {"documentSelector": None, "triggerCharacters": completion.OPTIONS.trigger_characters},
    )


async def _register(ls: CodegenServer, method: str, options: object) -> None:
    registration = types.Registration(str(uuid.uuid4()), method, options)
    try:
        await ls.client_register_capability_async(types.RegistrationParams([registration]))
    except JsonRpcException:
        logger.warning("the editor did not accept %s", method)


def _can(ls: CodegenServer, capability: str) -> bool:
    return bool(get_capability(ls.client_capabilities, capability, False))


def _layer(name: str, raw: object) -> Layer:
    """Settings as an editor sends them, with or without the section's name around them."""
    if isinstance(raw, Mapping) and isinstance(raw.get(SECTION), Mapping):
        raw = raw[SECTION]
    if raw is None:
        return Layer(name)
    if not isinstance(raw, Mapping):
        return Layer(name, complaints=(f"settings are ignored: expected an object, got {raw!r}",))
    return Layer(name, raw)


def folders(ls: CodegenServer) -> list[str]:
    """The paths of the workspace's folders, as far as they are on this machine."""
    uris = list(ls.workspace.folders) or [ls.workspace.root_uri or ""]
    return [path for path in map(to_fs_path, uris) if path]


def _read_files(ls: CodegenServer) -> None:
    """The settings of the user's file, of the workspace's and of the environment."""
    paths = folders(ls)
    ls.layers["user"] = [user_layer()]
    ls.layers["workspace"] = [workspace_layer(Path(path)) for path in paths]
    ls.layers["environment"] = [environment_layer()]
