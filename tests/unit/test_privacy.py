"""What must not be shown is found, by names of files and inside texts; the rest stays as it is.

The secrets here are put together when the tests run, so that none stands in the repository.
"""

from __future__ import annotations

import re
import string
import sysconfig
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codegen_lsp.context.privacy import PLACEHOLDER, is_secret_file, scrub
from tests.support.planted import HEX, TOKENS, WORD, drawn, pem


def listed(names: str) -> list[str]:
    return names.split()


SECRET_FILES = listed("""
    .env .ENV a/.env.local a/b/prod.env .envrc C:\\x\\.env .env.production
    server.pem deploy/tls.KEY app.p12 a.pfx debug.keystore a.jks .ssh/config x/.ssh/known_hosts
    id_rsa keys/id_ed25519 id_ecdsa.bak github_rsa .aws/credentials .kube/config .gnupg/a.kbx
    .netrc _netrc .pgpass .npmrc .pypirc .git-credentials .htpasswd credentials.json
    credentials service-account.json gcp/service_account_prod.json secrets.yml conf/secrets.yaml
    secrets.toml secret.json terraform.tfvars prod.tfvars.json terraform.tfstate
    terraform.tfstate.backup vault.kdbx .docker/config.json C:\\Users\\a\\.aws\\config kubeconfig
    wp-config.php .bash_history
""")
HARMLESS_FILES = listed("""
    .env.example .env.sample config/.env.template .env.dist .env.example.local id_rsa.pub
    env.py environment.ts secrets.py keys.go credentials.go token.rs password_reset.py aws/main.tf
    ssh/client.py key.c monkey.js a.keys.ts pem.py docker/config.json main.py .gitignore
    terraform.tfvars.example Makefile test_rsa.py
""")


@pytest.mark.parametrize("path", SECRET_FILES)
def test_files_that_keep_secrets_are_known_by_name(path: str) -> None:
    """In any case, with slashes of any kind, and below folders that keep nothing else."""
    assert is_secret_file(path)


@pytest.mark.parametrize("path", HARMLESS_FILES)
def test_files_with_similar_names_are_not(path: str) -> None:
    """Patterns to be filled in, public keys, and code about secrets."""
    assert not is_secret_file(path)


SURROUNDINGS = [
    'key = "{}"\n',
    "const key = '{}';\n",
    'curl -H "X-Thing: {}" host\n',
    "# was {} until May\n",
    "{}\n",
    "x={}&y=1",
    "[{}]",
    'print("a\\n{}\\n")\n',
    "export THING={}\n",
    'Map.of("a", "{}")',
    "<a b='{}'/>",
    "`{}`",
    "thing: {}\n",
    "({}),",
]


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(sorted(TOKENS)),
    seed=st.integers(0, 10**9),
    around=st.sampled_from(SURROUNDINGS),
    before=st.text(max_size=40).map(lambda text: text + "\n"),
    after=st.text(max_size=40).map(lambda text: "\n" + text),
)
def test_a_planted_key_never_survives(
    kind: str, seed: int, around: str, before: str, after: str
) -> None:
    """Nothing of it, wherever it stands; and the rest of the line is as it was."""
    secret = TOKENS[kind](seed)
    text = before + around.replace("{}", secret) + after
    cleaned = scrub(text)
    assert secret not in cleaned.text
    assert not any(secret[at : at + 12] in cleaned.text for at in range(4, len(secret) - 12))
    assert around.replace("{}", PLACEHOLDER) in cleaned.text
    assert any(text[found.start : found.end] == secret for found in cleaned.found)
    assert secret not in repr(cleaned.found)


KEY = pem(5)
LINES = KEY.split("\n")[1:-1]
SHORT = drawn(7, string.ascii_lowercase, 6) + "42"

CODE = {
    "python": ('db_password = "{}"\n', SHORT),
    "python, annotated": ('    api_key: str | None = "{}"\n', SHORT),
    "python, a keyword": ('connect(host, password="{}", port=1)\n', "opensesame"),
    "python, a comparison": ("if password == '{}':\n", "opensesame"),
    "python, a mapping": ('settings["SECRET_KEY"] = "{}"\n', "django-insecure-7f$k"),
    "python, bytes": ("TOKEN = b'{}'\n", SHORT),
    "java": ('private static final String PASSWORD = "{}";\n', "s3cr3t!"),
    "java, a call": ('builder.setPassword("{}").build();\n', SHORT),
    "javascript": ("const clientSecret = '{}';\n", SHORT),
    "javascript, an object": ("  accessToken: `{}`,\n", SHORT),
    "typescript": ('  private readonly apiKey: string = "{}";\n', SHORT),
    "go": ('\tauthToken := "{}"\n', SHORT),
    "rust": ('let passphrase = "{}";\n', "correct-horse"),
    "c": ('#define WIFI_PASSWORD "{}"\n', SHORT),
    "behind a letter that becomes two": ('x = "İİİ"; password = "{}"\n', SHORT),
    "c#": ('var s = "Server=db;User Id=sa;Password={};";\n', "Yx8!kd0pq"),
    "php": ("'password' => '{}',\n", "s3cr3t!"),
    "ruby": ("config.secret_key = '{}'\n", SHORT),
    "r": ('db_password <- "{}"\n', "opensesame"),
    "shell": ("export DB_PASSWORD={}\n", SHORT),
    "shell, an option": ("mysql --user=root --password={} db\n", SHORT),
    "yaml": ("  password: {}\n", SHORT),
    "json": ('  "client_secret": "{}",\n', SHORT),
    "an address": ('url = "postgres://app:{}@db.local:5432/x"\n', "hunter2"),
    "a header": (
        'h = {{"Authorization": "Bearer {}"}}\n'.replace("{{", "{").replace("}}", "}"),
        "abcdef0123456789",
    ),
    "an escape": ('password = "{}"\n', 'ab\\"cd12'),
    "a digest by name of secret": ("API_KEY = '{}'\n", drawn(3, HEX, 32)),
    "hexadecimal": ("x = '{}'\n", drawn(3, HEX, 64)),
    "a key of azure": ("AccountKey={};Endpoint=x\n", drawn(9, WORD + "+/", 86) + "=="),
    "a webhook": (
        "post('https://{}')\n",
        "hooks.slack" + ".com/services/T0AB/B0CD/" + drawn(2, WORD, 24),
    ),
}


@pytest.mark.parametrize("case", CODE)
def test_secrets_are_found_in_code(case: str) -> None:
    """In the ways in which languages write a name and its value."""
    code, secret = CODE[case]
    text = f"first = 1\n{code.replace('{}', secret)}last = 2\n"
    assert scrub(text).text == f"first = 1\n{code.replace('{}', PLACEHOLDER)}last = 2\n"


KEYS = {
    "as it is": (KEY, PLACEHOLDER),
    "indented": (KEY.replace("\n", "\n    "), PLACEHOLDER),
    "escaped in one string": (f'key = "{KEY}\n";'.replace("\n", "\\n"), PLACEHOLDER),
    "strings in a row": ("\n".join(f'    "{line}\\n"' for line in KEY.split("\n")), PLACEHOLDER),
    "joined strings": (" +\n".join(f'"{line}\\n"' for line in KEY.split("\n")), PLACEHOLDER),
    "windows": (KEY.replace("\n", "\r\n"), PLACEHOLDER),
    "encrypted": (
        KEY.replace("-\n", "-\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n", 1),
        PLACEHOLDER,
    ),
    "cut at the end": (KEY[:150], PLACEHOLDER),
    "cut at the beginning": ("\n".join(KEY.split("\n")[2:]), PLACEHOLDER),
    "two of them": (f"{KEY}\n{pem(6, '')}\n", PLACEHOLDER),
    "a comment": (KEY.replace("\n", "\n# "), PLACEHOLDER),
}


@pytest.mark.parametrize("case", KEYS)
def test_private_keys_are_hidden_line_by_line(case: str) -> None:
    """However they are written down, also where a window has cut them; lines stay lines."""
    text, _ = KEYS[case]
    scrubbed = scrub(text).text
    for line in LINES if "cut" not in case else LINES[1:2]:
        assert line[:20] not in scrubbed, line
    assert scrubbed.count("\n") == text.count("\n")
    assert re.findall(r"-----(?:BEGIN|END)[^-]*-----", scrubbed) == re.findall(
        r"-----(?:BEGIN|END)[^-]*-----", text
    )


def test_code_behind_a_key_without_its_end_stays() -> None:
    """Only the last line of a key may be short, and only if it is the last."""
    lines = KEY.split("\n")
    text = "\n".join(f'"{line}"' for line in lines[:3])
    assert scrub(f"{text}\nother = 1\n").text.endswith(f'"{PLACEHOLDER}"\nother = 1\n')


def test_code_about_private_keys_stays() -> None:
    """A mark alone is no key."""
    dashes = "-" * 5
    text = (
        f'BEGIN = "{dashes}BEGIN RSA PRIVATE KEY{dashes}"\n'
        "def is_key(line: str) -> bool:\n    return line.startswith(BEGIN)\n"
        f'END = "{dashes}END RSA PRIVATE KEY{dashes}"\n'
    )
    assert scrub(text).text == text


HARMLESS = [
    "def test_some_long_function_name_with_2_numbers_in_it(self): ...",
    "from package.module.submodule import AVeryLongClassNameForTesting",
    'token = "password"',
    'password = ""',
    'password = os.environ["DB_PASSWORD"]',
    'password = getpass("Password: ")',
    'password: str = Field(min_length=8, description="The password of the user")',
    'fields = ("username", "password", "first_name")',
    '<input type="password" name="password" placeholder="Your password">',
    'token_url = "https://example.com/oauth2/v1/token"',
    'headers = {"Authorization": f"Bearer {token}"}',
    'url = f"postgres://{user}:{password}@{host}/db"',
    'url = "postgres://user:password@localhost:5432/db"',
    'x = "9fceb02d0ae598e95dc970b74767f19372d61af8"',
    'commit = "9fceb02d0ae598e95dc970b74767f19372d61af8"',
    "git checkout 9fceb02d0ae598e95dc970b74767f19372d61af8",
    'sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
    '"integrity": "sha512-mEQDNkQ4bJ7zL5yTzXaF1k2uKq8Z0wqf4bX6TjH3sVpR9cYdN7gLoEiMvWuBtSx5A=="',
    'id = "123e4567-e89b-12d3-a456-426614174000"',
    'ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"',
    "PI = 3.14159265358979323846264338327950288419716939937510",
    "mask = 0xFFFFFFFF00000000FFFFFFFF",
    "https://github.com/owner/repository/blob/064ff9941b4b80b85916a8afe86a6c21fd388b54/a.c",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30",
    "PyUnicode_AsUTF8AndSize(value, &size);",
    "public void onAuthenticationSuccessRedirectToUrl(HttpServletRequest r) {}",
    "const tokenType = 'bearer';",
    "let token: Uint8Array;",
    "password: Uint8Array;",
    "fn secret(key: [u8; 32]) -> Result<(), Error> {",
    "if token == '!=': pass",
    "tokens = tokenize(source)",
    'TOKEN = "${TOKEN}"',
    'password = "<your password>"',
    'api_key = "your-api-key-here-1234"',
    'PASSWORD = "********"',
    'secret = "{{ vault_secret_1 }}"',
    "DB_PASSWORD=$DB_PASSWORD_2",
    "password=password1",
    "_ZNSt3__112basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8fKq3m2v0X7w9zL4n5p6Q1r2S3t4U5v6W7x8Y9z0Ab a@b",
    "sk-toggleable__label-arrow",
    "========================================",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    """Names, words for secrets, places to put one, digests, identifiers, paths."""
    assert scrub(text).found == ()


def test_code_of_others_stays_nearly_as_it_is() -> None:
    """In the interpreter's own library (without its tests) hardly anything is taken for one."""
    lines = found = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        lines += text.count("\n")
        found += len(scrub(text).found)
    assert lines > 50_000
    assert found * 10_000 < lines


PIECES = st.sampled_from(
    [
        *('password = "', '"', "'", "token=", "\n", " ", ": ", "://a:", "@", "-----", "sk-", "eyJ"),
        *("Bearer ", "Basic ", PLACEHOLDER, PLACEHOLDER[:4], ".", "/", "=", "_", "\\n", "İ", "hf_"),
        *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "xoxb-", "Password=", ";"),
    ]
)
BITS = st.builds(
    drawn, st.integers(0, 999), st.sampled_from([WORD, HEX, WORD + "+/"]), st.integers(1, 40)
)
TEXTS = st.lists(PIECES | BITS | st.text(max_size=5), max_size=14).map("".join)


@settings(max_examples=500, deadline=None)
@given(TEXTS)
@example("İ" * 9 + ' password = "abcd1234"')
def test_scrubbing_leaves_the_rest_and_is_done_once(text: str) -> None:
    """Twice is as good as once; lines keep their number; findings say exactly what was replaced."""
    once = scrub(text)
    assert scrub(once.text).text == once.text
    assert once.text.count("\n") == text.count("\n")
    rebuilt, done = "", 0
    for found in once.found:
        assert done <= found.start < found.end <= len(text)
        rebuilt += text[done : found.start] + PLACEHOLDER
        done = found.end
    assert rebuilt + text[done:] == once.text


HOSTILE = [
    "a",
    "A1",
    "password='",
    "password=\\",
    'token": "',
    "eyJ-",
    "eyJaaaaaaaa.",
    "://a:",
    "://",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n",
    "Version: ",
    "sk-",
    "Bearer ",
    "Bearer a",
    " ",
    "=",
    "key-",
    "secret_",
    "A1b2/",
    "xoxb-\n",
    'password\t: a = "',
    "password:",
    "password: or ",
    "://a@",
    'auth=("a", "',
    "Authorization: a ",
    "curl -u a",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_is_slow(piece: str) -> None:
    """A megabyte made to be slow ends, where an expression that tries every way would not."""
    text = piece * (1_000_000 // len(piece))
    assert scrub(text).text.count("\n") == text.count("\n")
    scrub("-----BEGIN PRIVATE KEY-----\nVersion: 1" + text)
