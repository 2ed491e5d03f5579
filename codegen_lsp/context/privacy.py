"""What must not be shown: files that hold secrets, by their names, and secrets inside a text.

Knows the names of such files, and replaces what :mod:`.secret_formats` and :mod:`.secret_values`
find. Does not know what is sent where; a finding never carries the secret itself.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from codegen_lsp.context.secret_formats import (
    PLACEHOLDER,
    Span,
    addresses,
    headers,
    private_keys,
    tokens,
)
from codegen_lsp.context.secret_values import by_chance, named

__all__ = ["PLACEHOLDER", "Finding", "Scrubbed", "is_secret_file", "scrub", "scrub_around"]


def _listed(names: str) -> list[str]:
    return names.split()


_DATA: Final = _listed("cfg conf csv enc env ini json properties toml txt xml yaml yml")
_SECRET_NAMES: Final = [
    *_listed("""
    .env .env.* *.env .envrc .envrc.*
    .netrc _netrc .authinfo* .pgpass pgpass.conf .my.cnf .htpasswd *.htpasswd passwd shadow
    .npmrc .yarnrc .pypirc .git-credentials .gitcookies .vault-token .vault_pass*
    .dockercfg .dockerconfigjson .s3cfg .boto kubeconfig *.kubeconfig
    *.pem *.key *.p8 *.p12 *.pfx *.pkcs12 *.jks *.keystore *.keytab *.ppk *.ovpn
    *.kdb *.kdbx *.asc *.gpg *.pgp *.age *.agekey *.mobileprovision
    id_rsa* id_dsa* id_ecdsa* id_ed25519* *_rsa *_dsa *_ecdsa *_ed25519
    credentials .credentials* client_secret*.json client-secret*.json
    service-account*.json service_account*.json serviceaccount*.json *-sa-key.json
    secrets.*.yml secrets.*.yaml secrets.*.json *.secret *.secrets
    *.tfvars *.tfvars.json *.tfstate *.tfstate.*
    wp-config.php local.settings.json appsettings.*.json
    .bash_history .zsh_history .python_history .psql_history .mysql_history
    """),
    *(
        f"{name}.{end}"
        for name in ("credentials", "secret", "secrets", ".secrets")
        for end in _DATA
    ),
]
"""Names of files, in lower case, with the wildcards of a shell."""

_HARMLESS_NAMES: Final = _listed("""
    .env[._-]example* .env[._-]sample* .env[._-]template* .env[._-]dist*
    *.env.example *.env.sample *.env.template *.tfvars.example *.pub
""")
"""What the list above would catch, and must not: patterns to be filled in, public keys."""

_SECRET_PATHS: Final = (".docker/config.json", ".config/gh/hosts.yml")
_SECRET_FOLDERS: Final = frozenset(
    {".aws", ".azure", ".gcloud", ".gnupg", ".kube", ".password-store", ".ssh"}
)


def _any_of(names: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, names)))


_SECRET_NAME: Final = _any_of(_SECRET_NAMES)
_HARMLESS_NAME: Final = _any_of(_HARMLESS_NAMES)


def is_secret_file(path: str) -> bool:
    """Whether the file at *path* (slashes of any kind) is one that keeps secrets, by its name or
    by a folder it is in.
    """
    path = path.replace("\\", "/").lower()
    *folders, name = path.split("/")
    if path.endswith(_SECRET_PATHS) or not _SECRET_FOLDERS.isdisjoint(folders):
        return True
    return bool(_SECRET_NAME.match(name)) and not _HARMLESS_NAME.match(name)


@dataclass(frozen=True, slots=True)
class Finding:
    """Where something secret stood; never what."""

    kind: str
    """What it looked like: ``github token``, ``private key``, ``password``, …"""

    start: int
    """Offset into the text that was scrubbed."""

    end: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without its secrets."""

    text: str
    """As many lines as before; where a secret stood, :data:`PLACEHOLDER`."""

    found: tuple[Finding, ...]
    """In order; they do not overlap."""


DETECTORS: Final[tuple[Callable[[str], Iterator[Span]], ...]] = (
    tokens,
    private_keys,
    headers,
    addresses,
    named,
    by_chance,
)
"""All that is looked for. Where two find overlapping spans, the earlier here says the kind."""


def scrub(text: str) -> Scrubbed:
    """*text* with every secret replaced by :data:`PLACEHOLDER`.

    Everything else stays as it is, to the character; no line comes or goes. Scrubbing what was
    scrubbed changes nothing.
    """
    found = tuple(_merged(_spans(text)))
    return Scrubbed(_without(text, found), found)


def scrub_around(before: str, after: str) -> tuple[str, str]:
    """Both sides of a cursor without their secrets, also one that the cursor stands in.

    Half of a secret is often not known for one by itself.
    """
    edge = len(before)
    whole = list(_spans(before + after))
    left = (Span(start, min(end, edge), kind) for start, end, kind in whole if start < edge)
    right = (
        Span(max(0, start - edge), end - edge, kind) for start, end, kind in whole if end > edge
    )
    return (
        _without(before, _merged(chain(left, _spans(before)))),
        _without(after, _merged(chain(right, _spans(after)))),
    )


def _spans(text: str) -> Iterator[Span]:
    return chain.from_iterable(detect(text) for detect in DETECTORS)


def _without(text: str, found: Iterable[Finding]) -> str:
    """*text* with :data:`PLACEHOLDER` where something was found."""
    parts = []
    done = 0
    for finding in found:
        parts += [text[done : finding.start], PLACEHOLDER]
        done = finding.end
    return "".join([*parts, text[done:]])


def _merged(spans: Iterable[Span]) -> Iterator[Finding]:
    """Spans in order; those that overlap or touch as one."""
    current: Finding | None = None
    for start, end, kind in sorted(spans, key=lambda span: span.start):
        if current and start <= current.end:
            current = Finding(current.kind, current.start, max(end, current.end))
            continue
        if current:
            yield current
        current = Finding(kind, start, end)
    if current:
        yield current
