"""Secrets that are found, and what looks like one and is none. No key here was ever valid; they stand in parts."""

from __future__ import annotations

import hashlib
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from tonggan.codelm.corpus.secrets import find_secrets, redact

HEX = hashlib.sha256(b"planted").hexdigest()
MIXED = "q7Rz2LkV9xTn4WbY8cHd3MfJ6pGs5KvQ1aZe0XuCtBiN7oSrDwElAyPmUgFhIjOk"
PLANTED = {
    "AWS Access Key": "key = '" + "AKIA" + "Q7RZ2LKV9XTN4WBY" + "'",
    "GitHub Token": "GH" + " = 'ghp" + "_" + MIXED[:36] + "'",
    "GitLab Token": "t: glp" + "at-" + MIXED[:20],
    "Slack Token": "SLACK = xo" + "xb-2345671234-2345671234-" + MIXED[:24].lower(),
    "Stripe Access Key": "pay(sk" + "_live_" + MIXED[:24] + ")",
    "SendGrid API Key": "S" + "G." + MIXED[:22] + "." + MIXED[:43],
    "PyPI Token": "pypi-" + "AgEIcHlwaS5vcmc" + MIXED + MIXED[:20],
    "OpenAI Token": "sk-" + MIXED[:20] + "T3Blbk" + "FJ" + MIXED[20:40],
    "JSON Web Token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiI3MTkifQ." + MIXED[:43],
    "Telegram Bot Token": "bot = 792846153" + ":" + MIXED[:35],
    "Twilio API Key": "SK" + HEX[:32],
    "Mailchimp Access Key": HEX[:32] + "-us" + "12",
    "Azure Storage Account access key": "Account" + "Key=" + MIXED + MIXED[:22] + "==",
    "private key": "-----BEGIN RSA PRIVATE" + " KEY-----\n" + MIXED + "\n-----END RSA PRIVATE" + " KEY-----",
    "password in a URL": "postgres://shop:" + "q7Rz2LkV" + "@db.shop.de/orders",
    "assigned secret": "db_password" + " = 'hT7!kq2Zw9'",
    "e-mail address": "# Written by Ann Bee <ann.bee" + "@" + "bee-line.de>",
    "IP address": "connect('81.169" + ".145.78', 22)",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_and_replaced(kind):
    text = f"first line\n{PLANTED[kind]}\nlast line\n"
    clean, found = redact(text, language="python")
    assert [secret.kind for secret in found] == [kind]
    secret = found[0]
    assert text[secret.start : secret.end] not in clean
    assert clean == text[: secret.start] + secret.placeholder + text[secret.end :]
    assert clean.startswith("first line\n")
    assert clean.endswith("\nlast line\n")
    assert redact(clean, language="python") == (clean, [])


@pytest.mark.parametrize(
    "text",
    [
        "password" + " = '" + MIXED[:12] + "'",
        '"api_key": "' + MIXED[:24] + '",',
        "connect(token" + "='" + HEX + "')",
        'const client_secret: string = "' + MIXED[:20] + '";',
    ],
)
def test_assigned_secrets_of_other_shapes(text):
    assert [secret.kind for secret in find_secrets(text, language="javascript")] == ["assigned secret"]


def test_unquoted_values_count_where_the_language_has_them():
    text = "env:\n  DB_PASSWORD: hT7" + "kq2Zw9x\n  PORT: 8080\n"
    assert [secret.kind for secret in find_secrets(text, language="yaml")] == ["assigned secret"]
    assert find_secrets(text, language="python") == []


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['DB_PASSWORD']",
        "password = 'changeme123'",
        "token = 'your-token-goes-here-1'",
        "AWS = 'AKIA" + "IOSFODNN7EXAMPLE'",
        f"sha256 = '{HEX}'",
        "id = 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
        "secret = '${SECRET_1}'",
        "postgres://user:password@localhost/x",
        "https://docs.python.org:443/3/library@latest",
        "git clone git@github.com:a/b.git",
        "mail('someone@example.com')",
        "ann@users.noreply.github.com",
        "score = query@key.transpose(1, 2)",
        "x = a@b.to(device)",
        "@pytest.mark.parametrize",
        "x = router\n@shop.io\ndef sell(): ...",
        "host = '127.0.0.1'; gateway = '192.168.178.1'; dns = '8.8.8.8'",
        "version 10.11.12.13 and v10.20.30.40",
        "see section 8.2.4.44",
        "oid = '1.3.6.1.4.1.311'",
        "x[1::2], ::1, fe80::1, std::vector, 12:30:45:10",
        "def test_something_long_2_and_another_thing_with_numbers_3(self):",
    ],
)
def test_what_is_no_secret(text):
    assert find_secrets(text, language="python") == []


def test_secrets_do_not_overlap():
    address = "ann" + "@" + "bee-line.de"
    text = f"-----BEGIN PRIVATE{' '}KEY-----\n{address}\n-----END PRIVATE{' '}KEY-----\n{address}\n"
    clean, found = redact(text, language=None)
    assert clean == "<KEY>\n<EMAIL>\n"
    assert [secret.kind for secret in found] == ["private key", "e-mail address"]


def test_long_lines_take_no_time():
    text = "x = '" + "a1b2c3d4e5f6+/" * 20_000 + "'"
    assert len(find_secrets(text, language="python")) < 10


def test_false_alarms_in_the_standard_library_are_rare():
    counts: Counter[str] = Counter()
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(path for part in (".", "json", "http", "urllib", "asyncio") for path in (folder / part).glob("*.py"))
    for path in files[::3]:
        for secret in find_secrets(path.read_text(encoding="utf-8", errors="replace"), language="python"):
            counts[secret.kind] += 1
    assert set(counts) <= {"e-mail address", "IP address"}  # authors, and addresses in examples
    assert counts["IP address"] <= 3
