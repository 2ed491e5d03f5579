"""Attacks on what hides secrets: keys as services write them, passwords where programs expect them,
a cursor in the middle of one; and what is random, but no secret.

The secrets here are put together when the tests run, so that none stands in the repository.
"""

from __future__ import annotations

import base64
import random
import string
from typing import Any

import pytest

from codegen_lsp.context.outbound import scrubbed
from codegen_lsp.context.privacy import PLACEHOLDER, scrub
from codegen_lsp.types import CompletionContext, Kept, Snippet
from tests.support.planted import HEX, TOKENS, WORD, drawn, pem

KEY = pem(5)


def around(prefix: str, suffix: str = "", **more: Any) -> CompletionContext:
    """What a remote engine would be given."""
    return scrubbed(CompletionContext(prefix=prefix, suffix=suffix, **more))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('password = "opensesame-4711"\n', "opensesame-4711"),
        ('url = "postgres://app:correct-horse@db/x"\n', "correct-horse"),
        (f'key = "{TOKENS["github"](4)}"\n', TOKENS["github"](4)),
        (KEY, KEY.split("\n")[2]),
    ],
)
def test_a_secret_that_the_cursor_stands_in_is_hidden_on_both_sides(text: str, secret: str) -> None:
    """Half of it is none by itself; what is sent holds neither half."""
    begin = text.index(secret)
    for at in range(begin + 6, begin + len(secret) - 5):
        sent = around(text[:at], text[at:])
        assert secret[:6] not in sent.prefix, at
        assert secret[-5:] not in sent.suffix, at
        assert sent.prefix.count("\n") == text[:at].count("\n")
        assert sent.suffix.count("\n") == text[at:].count("\n")


def test_all_parts_of_what_is_sent_are_scrubbed() -> None:
    """Snippets and kept lines too; offsets go on meaning the lines that they meant."""
    secret = TOKENS["stripe"](3)
    prefix = f'A = "{secret}"\ndef first():\n    pass\n\ndef second():\n    '
    cut = prefix.index("def second")
    sent = around(
        prefix,
        f'\nB = "{secret}"\n',
        snippets=(Snippet("a.py", "python", f"C = '{secret}'"),),
        kept=(Kept(prefix.index("def first"), f"D = '{secret}'"),),
        cuts=(cut,),
    )
    assert secret not in repr(sent)
    assert repr(sent).count(PLACEHOLDER) == 4
    assert sent.prefix[sent.cuts[0] :].startswith("def second")
    assert sent.prefix[sent.kept[0].offset :].startswith("def first")


def providers(seed: int) -> dict[str, str]:
    """Keys as services write them, made up; what is before a key is half of its form."""
    lower = string.ascii_lowercase + "234567"
    return {
        "openai, old": "sk"
        + "-"
        + drawn(seed, WORD, 20)
        + "T3Blbk"
        + "FJ"
        + drawn(seed + 1, WORD, 20),
        "openrouter": "sk" + "-or-v1-" + drawn(seed, HEX, 64),
        "google oauth": "1" + "//0" + drawn(seed, WORD + "-_", 60),
        "aws session": "IQoJb3Jp" + drawn(seed, WORD + "+/", 300) + "==",
        "azure ad": drawn(seed, WORD, 3) + "8Q" + "~" + drawn(seed, WORD + "~._-", 34),
        "azure storage": base64.b64encode(random.Random(seed).randbytes(64)).decode(),
        "azure devops": "a2" + drawn(seed, lower, 50),
        "slack app": "xa" + "pp-1-A" + drawn(seed, WORD, 10) + "-" + drawn(seed, HEX, 64),
        "discord": "M"
        + drawn(seed, WORD, 23)
        + "."
        + drawn(seed, WORD, 6)
        + "."
        + drawn(seed, WORD, 38),
        "square": "sq" + "0atp-" + drawn(seed, WORD + "-_", 22),
        "mailgun": "-".join((drawn(seed, HEX, 32), drawn(seed, HEX, 8), drawn(seed + 1, HEX, 8))),
        "mailchimp": drawn(seed, HEX, 32) + "-us" + "12",
        "new relic": "NR" + "AK-" + drawn(seed, string.ascii_uppercase + string.digits, 27),
        "sentry": "sn" + "trys_eyJpYXQiOjF9" + "_" + drawn(seed, WORD, 43),
        "airtable": "pa" + "t" + drawn(seed, WORD, 14) + "." + drawn(seed, HEX, 64),
        "atlassian": "AT" + "ATT3xFfGF0" + drawn(seed, WORD + "-_=", 172),
        "pulumi": "pu" + "l-" + drawn(seed, HEX, 40),
        "cloudflare": "v1" + ".0-" + drawn(seed, HEX, 24) + "-" + drawn(seed, HEX, 146),
        "terraform": drawn(seed, WORD, 14) + ".atla" + "sv1." + drawn(seed, WORD + "-_", 67),
        "supabase": "sb" + "p_" + drawn(seed, HEX, 40),
        "facebook": "EA" + "A" + drawn(seed, WORD, 180),
    }


@pytest.mark.parametrize("service", providers(0))
@pytest.mark.parametrize("around", ['x = "{}"\n', "X={}\n", "# {}\n"])
def test_keys_of_services_are_known_by_their_form(service: str, around: str) -> None:
    """Whatever chance made of them: no part of twelve characters is left of the second half."""
    for seed in range(40):
        secret = providers(seed)[service]
        left = scrub(around.replace("{}", secret)).text
        tail = secret[len(secret) // 2 :]
        assert not any(tail[at : at + 12] in left for at in range(max(1, len(tail) - 11))), left


LOGINS = [
    ('"postgres://app:p@ssw0rd!9@db.local/x"', "p@ssw0rd!9"),
    ('REDIS_URL="redis://:Sup3rS3cret@cache:6379/0"', "Sup3rS3cret"),
    ('"mongodb+srv://app:correcthorse@c0.mongodb.net/db"', "correcthorse"),
    ("jdbc:mysql://h:3306/db?user=root&password=hunter22", "hunter22"),
    ("Driver={ODBC Driver 18};Server=x;UID=sa;PWD=Yx8!kd0pq;", "Yx8!kd0pq"),
    ("curl -s -u admin:s3cr3tpw https://x", "s3cr3tpw"),
    ("sshpass -p hunter22 ssh a@b", "hunter22"),
    ('requests.get(url, auth=("admin", "s3cr3tpw9"))', "s3cr3tpw9"),
    ("CREATE USER a IDENTIFIED BY 'Tr0ub4dor'", "Tr0ub4dor"),
    ('<add key="Password" value="Tr0ub4dor" />', "Tr0ub4dor"),
    ("<password>Tr0ub4dor</password>", "Tr0ub4dor"),
    ('password = os.getenv("PW") or "fallback9x"', "fallback9x"),
    ("var apiKey = process.env.API_KEY || 'a1b2c3d4e5f6';", "a1b2c3d4e5f6"),
    ('{"Authorization": "token ' + drawn(1, HEX, 40) + '"}', drawn(1, HEX, 40)),
    ('password = "ends-with-an-x"', "ends-with-an-x"),
    ('api_key = "abcd1234."', "abcd1234."),
]


@pytest.mark.parametrize(("text", "secret"), LOGINS)
def test_passwords_where_programs_expect_them(text: str, secret: str) -> None:
    """In addresses, commands, statements, markup, and behind a variable of the environment."""
    assert scrub(text).text == text.replace(secret, PLACEHOLDER)


IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(240)).decode()

DECIDED = {
    "a commit": (f'rev = "{drawn(4, HEX, 40)}"', 0),
    "an action's commit": (f"uses: actions/checkout@{drawn(4, HEX, 40)} # v4", 0),
    "a UUID": ('id = "550e8400-e29b-41d4-a716-446655440000"', 0),
    "a lock file's checksum": (f'checksum = "{drawn(5, HEX, 64)}"', 0),
    "pip's hash": (f"    --hash=sha256:{drawn(5, HEX, 64)} \\", 0),
    "go's sum": ("x/y v1.2.3 h1:" + base64.b64encode(bytes(range(3, 35))).decode(), 0),
    "npm's integrity": ('"integrity": "sha512-' + drawn(6, WORD, 86) + '=="', 0),
    "an image's address": (f'ICON = "data:image/png;base64,{IMAGE}"', 0),
    "a digest that is called so": (f'assert digest == "{drawn(5, HEX, 64)}"', 0),
    "a long name": ("self.assertRaisesRegexWithTimeoutAndRetries(ConfigurationError2)", 0),
    "a constant": ("HTTP_422_UNPROCESSABLE_ENTITY_V2_DEPRECATED = 1", 0),
    "a sequence": ('SEQ = "ACGTACGTTAGCCGATAGCTAGCTAGGATCCGATCGATTACG"', 0),
    "an address with a port": ("http://localhost:8080/a@b", 0),
    "a dotted stand-in": ('api_key = "sk-..."', 0),
    "hexadecimal without quotes": (f"x = {drawn(5, HEX, 64)}", 0),
    "an image without a word": (f'ICON = "{IMAGE}"', 1),
    "32 hexadecimal digits in quotes": (f'request_id = "{drawn(7, HEX, 32)}"', 1),
    "a digest without a word": (f'"model.bin": "{drawn(5, HEX, 64)}"', 1),
    "a password of a test": ('User(username="a", password="password123!")', 1),
}
"""What is random and no secret: how many findings there are."""


@pytest.mark.parametrize("case", DECIDED)
def test_what_looks_like_a_secret_and_is_none(case: str) -> None:
    """What its line calls public stays, and what is as long as a commit; else doubt hides it."""
    text, count = DECIDED[case]
    assert len(scrub(text).found) == count
