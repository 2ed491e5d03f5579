"""Puts a server together: the table of features, each of which may fail alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from codegen_lsp.server.features import (
    completion,
    configuration,
    cursor,
    inline_completion,
    insight,
    lifecycle,
    notebooks,
    sync,
)
from codegen_lsp.server.logs import log_unexpected
from codegen_lsp.server.session import CodegenServer, ServiceFactory

__all__ = ["FEATURES", "create_server"]

logger = logging.getLogger(__name__)

FEATURES: tuple[tuple[str, Callable[[CodegenServer], None]], ...] = (
    ("lifecycle", lifecycle.register),
    ("sync", sync.register),
    ("notebooks", notebooks.register),
    ("configuration", configuration.register),
    ("inline completion", inline_completion.register),
    ("completion", completion.register),
    ("cursor", cursor.register),
    ("insight", insight.register),
)
"""Everything this server can do, in the order in which it is set up."""


def create_server(
    service_factory: ServiceFactory, overrides: Mapping[str, object] | None = None
) -> CodegenServer:
    """A server for one connection.

    ``service_factory`` makes the completion service once it is needed; ``overrides`` are settings
    (camelCase) that win over everything the editor says.
    """
    ls = CodegenServer(_version(), service_factory, overrides or {})
    for name, register in FEATURES:
        try:
            register(ls)
        except Exception as error:
            log_unexpected(logger, f"the feature '{name}' is not available", error)
    return ls


def _version() -> str:
    try:
        return version("codegen-lsp")
    except PackageNotFoundError:
        return "unknown"
