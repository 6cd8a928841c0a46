"""Secrets and personal data in a text, replaced by placeholders: keys, tokens, passwords, e-mail and IP addresses.

The keys of services are known by the patterns of the package detect-secrets; nothing is asked of any service. Strings
without such a pattern count only where they are assigned to a name like ``password``, or else every checksum would.
Names of people are not found.
"""

from __future__ import annotations

import importlib
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tonggan.errors import MissingExtraError

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

KEY, PASSWORD, EMAIL, IP_ADDRESS = "<KEY>", "<PASSWORD>", "<EMAIL>", "<IP_ADDRESS>"
"""What stands where a secret was."""

_SERVICES = (
    "artifactory.ArtifactoryDetector",
    "aws.AWSKeyDetector",
    "azure_storage_key.AzureStorageKeyDetector",
    "cloudant.CloudantDetector",
    "discord.DiscordBotTokenDetector",
    "github_token.GitHubTokenDetector",
    "gitlab_token.GitLabTokenDetector",
    "ibm_cloud_iam.IbmCloudIamDetector",
    "ibm_cos_hmac.IbmCosHmacDetector",
    "jwt.JwtTokenDetector",
    "mailchimp.MailchimpDetector",
    "npm.NpmDetector",
    "openai.OpenAIDetector",
    "pypi_token.PypiTokenDetector",
    "sendgrid.SendGridDetector",
    "slack.SlackDetector",
    "softlayer.SoftlayerDetector",
    "square_oauth.SquareOAuthDetector",
    "stripe.StripeDetector",
    "telegram_token.TelegramBotTokenDetector",
    "twilio.TwilioKeyDetector",
)

# What all keys of services look like; lines without it are not searched for them.
_KEY_LIKE = re.compile(
    r"(?<![\w+/-])[A-Za-z_+/-]*+[0-9][\w+/-]{10,}|\bcl(?:ou(?:dant)?)?[_-]?(?:api|key|p|t)", re.ASCII
)
_MAX_LINE = 2000  # characters of a line that patterns are tried on

_PRIVATE_KEY = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----")
_LOGIN_IN_URL = re.compile(r"://[^\s:/?#\[\]@!$&'()*+,;=\"<>{}]+:([^\s:/?#\[\]@!$&'()*+,;=\"<>{}%]{3,})@(?=[\w.-])")
_QUOTED = re.compile(r"[:=]\s*[bru]{0,2}([\"'])([^\"'\s\\{}<>$%()]{8,200})\1")
_UNQUOTED = re.compile(r"[:=][ \t]*([^\"'\s\\{}<>$%()\[\]#]{8,200})[ \t]*$", re.MULTILINE)
_UNQUOTED_LANGUAGES = frozenset({"bash", "dockerfile", "make", "yaml"})
_SECRET_NAME = re.compile(
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|api_?key|access_?key|auth_?key|private_?key|client_?key"
    r"|account_?key|service_?key|encryption_?key|signing_?key)\w*[\"'\]]*(?::\s*[\w.]+)?\s*$",
    re.IGNORECASE,
)
_SAMPLE = re.compile(r"x{4}|\*{3}|\.{3}|example|sample|dummy|fake|placeholder|1234567|abcdef", re.IGNORECASE)
_PLACEHOLDER = re.compile(  # in what a person would make up, not a machine
    r"test|change.?me|your|my_?|secret|passw|token|key|none|null|true|false|abc|1234|foo|bar|python|://|\./|\.\w+$",
    re.IGNORECASE,
)
_MIN_ENTROPY = 3.0  # bits a character

_EMAIL_DOMAIN = re.compile(
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,18}))(?![\w(\[.-]{0,100}[(\[\w@])"
)
_EMAIL_NAME = re.compile(r"[A-Za-z0-9](?:[\w.+-]{0,62}[\w+-])?\Z", re.ASCII)
_TOP_LEVEL = re.compile(
    r"com|org|net|edu|gov|mil|int|info|biz|io|dev|app|ai|me|tv|cc|name|pro|xyz|tech|cloud|online|site|eu|us|uk|de|fr|nl"
    r"|be|ch|at|it|es|pt|pl|cz|sk|hu|ro|bg|gr|se|no|fi|dk|is|ie|ru|ua|by|kz|cn|jp|kr|tw|hk|sg|in|au|nz|ca|br|mx|ar|cl"
    r"|co|za|il|tr|ir|sa|ae|my|th|vn|id|ph",
    re.IGNORECASE,
)
_NO_PERSON = re.compile(  # RFC 2606, and accounts of machines
    r"(?:^|[@.])(?:example|test|invalid|localhost|domain|foo|bar|spam|email|host|users\.noreply\.github)\.[a-z]+$|\.example\.\w+$"
    r"|^(?:git|hg|svn|noreply|no-reply|user|username|you|your[._]?name|name|foo|bar|me)@",
    re.IGNORECASE,
)

# Each begins with a sign that is rare, so that most of a text costs nothing; the first number is looked up backwards.
_IPV4_REST = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w.]{0,40}\w|-\w)")
_IPV4_FIRST = re.compile(r"(?<![\w.+-])\d{1,3}\Z")
_IPV6_REST = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){1,5}(?![\w:.])")
_IPV6_FIRST = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}\Z")
_MIN_IPV6_GROUPS = 4  # that are not zero; fewer are written by hand, in tests and examples
_VERSION = re.compile(r"(?:version|ver|release|rev|v|sections?|chapter|rfc|oid|[<>=~!]=?)\W{0,4}$", re.IGNORECASE)
_PUBLIC_RESOLVERS = frozenset(
    {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220"}
)


@dataclass(frozen=True)
class Secret:
    """Where something was found; what it was is kept nowhere.

    Attributes:
        kind: e.g. ``AWS Access Key`` or ``e-mail address``.
        start: first character in the text.
        end: one after the last.
        placeholder: what takes its place.
    """

    kind: str
    start: int
    end: int
    placeholder: str


def find_secrets(text: str, *, language: str | None) -> list[Secret]:
    """The secrets in ``text`` from its beginning on; none overlaps another.

    Raises:
        MissingExtraError: package detect-secrets is not installed.
    """
    found = [
        *_private_keys(text),
        *_service_keys(text),
        *_logins(text),
        *_assigned(text, language),
        *_emails(text),
        *_addresses(text),
    ]
    kept: list[Secret] = []
    for secret in sorted(found, key=lambda secret: secret.start):  # Of two that begin together the first one counts.
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
    return kept


def redact(text: str, *, language: str | None) -> tuple[str, list[Secret]]:
    """``text`` with a placeholder for each secret, and the secrets as they stood in it.

    Raises:
        MissingExtraError: package detect-secrets is not installed.
    """
    secrets = find_secrets(text, language=language)
    parts, end = [], 0
    for secret in secrets:
        parts += [text[end : secret.start], secret.placeholder]
        end = secret.end
    return "".join([*parts, text[end:]]), secrets


def _private_keys(text: str) -> Iterator[Secret]:
    begun: dict[str, int] = {}  # where the first key of each kind begins that has no end yet
    for match in _PRIVATE_KEY.finditer(text) if "PRIVATE KEY" in text else ():
        if match[1] == "BEGIN":
            begun.setdefault(match[2], match.start())
        elif match[2] in begun:
            yield Secret("private key", begun[match[2]], match.end(), KEY)
            begun.clear()


def _service_keys(text: str) -> Iterator[Secret]:
    done = -1
    for match in _KEY_LIKE.finditer(text):
        if match.start() < done:
            continue
        start = max(text.rfind("\n", 0, match.start()) + 1, match.start() - _MAX_LINE)
        end = text.find("\n", match.start())
        done = min(len(text) if end < 0 else end, start + 2 * _MAX_LINE)
        line = text[start:done]
        for plugin in _plugins():
            for pattern in plugin.denylist:
                for hit in pattern.finditer(line):
                    group = next((number for number in range(hit.re.groups, 0, -1) if len(hit[number] or "") > 15), 0)
                    if not _is_made_up(hit[group]):
                        yield Secret(plugin.secret_type, start + hit.start(group), start + hit.end(group), KEY)


def _logins(text: str) -> Iterator[Secret]:
    for match in _LOGIN_IN_URL.finditer(text):
        if not (
            _PLACEHOLDER.search(match[1]) or _SAMPLE.search(match[1]) or match[1].lower() in ("pass", "pwd", "user")
        ):
            yield Secret("password in a URL", match.start(1), match.end(1), PASSWORD)


def _assigned(text: str, language: str | None) -> Iterator[Secret]:
    patterns = [(_QUOTED, 2)] + ([(_UNQUOTED, 1)] if language in _UNQUOTED_LANGUAGES else [])
    for pattern, group in patterns:
        for match in pattern.finditer(text):
            if _looks_random(match[group]) and _SECRET_NAME.search(text[max(0, match.start() - 60) : match.start()]):
                yield Secret("assigned secret", match.start(group), match.end(group), PASSWORD)


def _emails(text: str) -> Iterator[Secret]:
    for match in _EMAIL_DOMAIN.finditer(text) if "@" in text else ():
        name = _EMAIL_NAME.search(text[max(0, match.start() - 64) : match.start()])
        if name and _TOP_LEVEL.fullmatch(match[2]) and not _NO_PERSON.search(name[0] + match[0]):
            yield Secret("e-mail address", match.start() - len(name[0]), match.end(), EMAIL)


def _addresses(text: str) -> Iterator[Secret]:
    for rest, first in ((_IPV4_REST, _IPV4_FIRST), (_IPV6_REST, _IPV6_FIRST)):
        for match in rest.finditer(text):
            before = text[max(0, match.start() - 20) : match.start()]
            start = first.search(before)
            if start and _is_personal(start[0] + match[0]) and not _VERSION.search(before[: start.start()]):
                yield Secret("IP address", match.start() - len(start[0]), match.end(), IP_ADDRESS)


def _is_personal(address: str) -> bool:
    """Whether it may lead to somebody: neither private nor reserved, no public resolver, no number of a version."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not parsed.is_global or parsed.is_multicast or address in _PUBLIC_RESOLVERS:
        return False
    if parsed.version == 4:
        return sum(part > 9 for part in parsed.packed) >= 2 and len(set(parsed.packed)) > 2
    return sum(group != "0000" for group in parsed.exploded.split(":")) >= _MIN_IPV6_GROUPS


def _looks_random(value: str) -> bool:
    """Whether ``value`` could be a password: letters and digits mixed, no word for a placeholder."""
    counts = Counter(value)
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    has_both = any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value)
    return has_both and entropy >= _MIN_ENTROPY and not _PLACEHOLDER.search(value) and not _is_made_up(value)


def _is_made_up(value: str) -> bool:
    """Whether it stands in documentation rather than opening anything."""
    from detect_secrets.filters import heuristic

    return bool(
        len(set(value)) < 6
        or _SAMPLE.search(value)
        or heuristic.is_potential_uuid(value)
        or heuristic.is_sequential_string(value)
        or heuristic.is_templated_secret(value)
    )


@cache
def _plugins() -> tuple[RegexBasedDetector, ...]:
    try:
        return tuple(
            getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
            for module, name in (service.split(".") for service in _SERVICES)
        )
    except ImportError as error:
        raise MissingExtraError.of("detect-secrets", extra="code", purpose="finding secrets") from error
