"""How a server is reached: its address, the key it asks for, whom it trusts and who vouches for it.

A key comes from the environment, else from a program, else from the machine's keyring; it is in
one place in memory and in no ``repr``, message or log line. Proxies are those of the environment
(``HTTPS_PROXY``, ``NO_PROXY``, …). Certificates are those of the machine, or of one authority that
the settings name.

Does not know what is asked (``remote_wire``), nor what is made of failures (``remote_trouble``).
The HTTP library is imported when a client is made, not before.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import SplitResult, urlsplit

from codegen_lsp.errors import EngineUnavailableError

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "KEY_VARIABLE",
    "Keys",
    "Server",
    "Speller",
    "address_of",
    "connect",
    "host_of",
    "is_open",
]

KEY_VARIABLE: Final = "CODEGEN_LSP_API_KEY"

CONNECT_SECONDS: Final = 2.0
"""A server of one's own team is near, or away."""

KEEP_SECONDS: Final = 300.0
"""How long a connection that nobody uses is kept; a server may close it earlier."""

COMMAND_SECONDS: Final = 20.0
"""How long a program may take to print a key: it may have to ask its user."""


class Speller(Protocol):
    """What an engine has to know of a tokenizer to speak with servers that take and give text."""

    def text(self, ids: Sequence[int]) -> str:
        """The text of *ids*, marks of a format by their names."""
        ...

    def ids(self, text: str) -> Sequence[int]:
        """The ids of *text*, in which nothing is a mark."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """Where a model is, and how it is asked for. Holds no secret."""

    url: str

    model: str = ""
    """What the server calls it; empty: its first."""

    key_command: tuple[str, ...] = ()
    """Program and arguments that print the key; empty: none is asked."""

    keyring: str = ""
    """The keyring's service that has the key, the server's host being the user; empty: none."""

    ca: str = ""
    """PEM file of the one authority that is trusted; empty: those of the machine."""

    certificate: str = ""
    """PEM file of our certificate; empty: none is shown."""

    certificate_key: str = ""
    """PEM file of its private key; empty: it is in the same file."""

    deadline: float = 10.0
    """Seconds in which an answer has to be whole."""

    speller: Speller | None = None
    """The tokenizer that prompts were made with; ``None``: only token ids can be spoken of."""

    same_tokens: bool = True
    """Whether that tokenizer is held to be the model's own; else prompts go as text."""


def address_of(url: str) -> str:
    """*url* as requests begin, without a slash at its end; ``/v1`` is put behind a bare host.

    :raises EngineUnavailableError: it is none, or holds a password.
    """
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        good, parts = False, SplitResult("", "", "", "", "")
    if not good:
        raise EngineUnavailableError(
            "the setting 'server' is no URL", mend="set it to something like https://host:8000/v1"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise EngineUnavailableError(
            "the setting 'server' holds more than an address",
            mend=f"put a key into {KEY_VARIABLE} or serverKeyCommand, not into the URL",
        )
    path = parts.path.rstrip("/").removesuffix("/completions")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def host_of(url: str) -> str:
    """Host and port of *url*, for messages."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_open(url: str) -> bool:
    """Whether what is sent there can be read on the way: another machine's address, no TLS."""
    parts = urlsplit(url.strip())
    name = parts.hostname or ""
    try:
        here = ipaddress.ip_address(name).is_loopback
    except ValueError:
        here = name == "localhost" or name.endswith(".localhost")
    return parts.scheme == "http" and not here


class Keys:
    """The key of one server, found when it is first needed and again when it was refused."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._found = False
        self._key: str | None = None

    async def headers(self) -> dict[str, str]:
        """The header that shows the key; none where there is no key.

        :raises EngineUnavailableError: program or keyring failed, or what they gave is no key.
        """
        if not self._found:
            self._key = _checked(await self._find())
            self._found = True
        return {} if self._key is None else {"Authorization": f"Bearer {self._key}"}

    def forget(self) -> bool:
        """The key was refused. Whether another one may be found: some live for an hour only."""
        changes = self._found and not os.environ.get(KEY_VARIABLE)
        self._found, self._key = False, None
        return changes and bool(self._server.key_command or self._server.keyring)

    async def _find(self) -> str | None:
        key = os.environ.get(KEY_VARIABLE)
        if key:
            return key
        if self._server.key_command:
            return await _printed(self._server.key_command)
        if self._server.keyring:
            user = host_of(self._server.url)
            return await asyncio.to_thread(_remembered, self._server.keyring, user)
        return None


def _checked(key: str | None) -> str | None:
    """*key* without blanks around it, if it can stand in a header. Never quoted."""
    key = None if key is None else key.strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise EngineUnavailableError(
            "the server's key holds characters that no key has",
            mend=f"look at what {KEY_VARIABLE}, serverKeyCommand or the keyring gives",
        )
    return key


async def _printed(command: Sequence[str]) -> str:
    """What the program prints; what it says on stderr is not looked at, it may hold anything."""
    name = Path(command[0]).name
    mend = "run serverKeyCommand in a terminal"
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or type(error).__name__
        raise EngineUnavailableError(f"{name} cannot be run ({what})", mend=mend) from None
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise EngineUnavailableError(
            f"{name} printed no key within {COMMAND_SECONDS:g} s", mend=mend
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    lines = output.decode("utf-8", "replace").split()
    if process.returncode != 0 or not lines:
        what = f"ended with status {process.returncode}" if process.returncode else "printed no key"
        raise EngineUnavailableError(f"{name} {what}", mend=mend)
    return " ".join(lines)


def _remembered(service: str, user: str) -> str:
    try:
        import keyring
    except ImportError:
        raise EngineUnavailableError(
            "the keyring cannot be asked: the package keyring is not installed",
            mend="pip install keyring, or set serverKeyCommand",
        ) from None
    try:
        key = keyring.get_password(service, user)
    except Exception as error:  # each backend has errors of its own
        raise EngineUnavailableError(
            f"the keyring cannot be read ({type(error).__name__})", mend="unlock it"
        ) from None
    if key is None:
        raise EngineUnavailableError(
            f"the keyring has no key of {service} for {user}",
            mend=f"run: keyring set {service} {user}",
        )
    return key


async def connect(server: Server) -> httpx2.AsyncClient:
    """A client for *server*; no connection is made yet.

    :raises EngineUnavailableError: the address is none, or a certificate cannot be read.
    """
    return await asyncio.to_thread(_client, server, address_of(server.url))


def _client(server: Server, address: str) -> httpx2.AsyncClient:
    import httpx2

    try:
        return httpx2.AsyncClient(
            base_url=address,
            http2=True,
            verify=_tls(server),
            timeout=httpx2.Timeout(server.deadline, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=8, keepalive_expiry=KEEP_SECONDS),
            # What is compressed is held back until there is a block of it.
            headers={"User-Agent": "codegen-lsp", "Accept-Encoding": "identity"},
        )
    except ValueError:  # of a proxy's URL, which may hold a password
        raise EngineUnavailableError(
            "the proxy that the environment names cannot be used", mend="look at HTTPS_PROXY"
        ) from None


def _tls(server: Server) -> ssl.SSLContext:
    import httpx2

    path = server.ca
    try:
        if server.ca:
            context = ssl.create_default_context(cafile=str(Path(server.ca).expanduser()))
        else:
            context = httpx2.create_ssl_context()
        path = server.certificate
        if server.certificate:
            key = server.certificate_key
            context.load_cert_chain(
                Path(server.certificate).expanduser(),
                Path(key).expanduser() if key else None,
                password=_no_password,
            )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = "is missing" if isinstance(error, FileNotFoundError) else "cannot be used"
        raise EngineUnavailableError(
            f"{path} or its key {what}" if path == server.certificate else f"{path} {what}",
            mend="set serverCa and serverCertificate to PEM files",
        ) from None
    return context


def _no_password() -> str:
    """Instead of a question on the terminal, which may be the editor's pipe."""
    raise ValueError("the key is encrypted")
