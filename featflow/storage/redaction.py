"""The one redactor: texts without what may be a credential, before they are printed, logged or written.

Four kinds are found: user, token or password before a host; parameters of queries that sign or authorise; what stands
in a header or a connection string under a name that says it is secret; and values that are known, of options, of the
environment and of references, as they are and as they are quoted, escaped or encoded. An address is still *used* as it
was given: only what is said of it is redacted.
"""

from __future__ import annotations

import html
import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

from featflow.errors import FeatflowError
from featflow.storage.references import looked_up, texts_of

__all__ = ["redacted", "redacted_here", "redacted_values", "remember", "remember_users", "without_credentials"]

SHORTEST = 8
"""Characters of the shortest option that is taken for a secret. Its price: a password of seven characters is repeated
where a message names it outside of an address and of a header; without a bound, a user called "dev" would take the
folder dev/ out of every path."""
SHORTEST_OF_ENVIRONMENT = 4
"""The same of the variables below, whose names say that they are secret and nothing else."""
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "OPENLINEAGE_API_KEY",
    "RAY_AUTH_TOKEN",
)
"""Variables of the environment that no message repeats."""
PUBLIC = {
    *("access", "account_host", "account_name", "addressing_style", "adls.account-name", "anon", "authority"),
    *("consistency", "default_cache_type", "endpoint", "endpoint_url", "host", "location", "mode", "profile"),
    *("project", "protocol", "region", "region_name", "request_checksum_calculation", "response_checksum_validation"),
    *("s3.endpoint", "s3.profile-name", "s3.region", "signature_version", "tenant_id", "type", "uri", "warehouse"),
}
"""Options that say where storage is or how it is spoken to; what is secret in an address is found as in any other."""

NAMES = (
    r"(?:[\w.-]*(?:signature|credential|security-token|secret|passw(?:or)?d|token|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|accessid|account[_-]?key|authorization|auth)|sig|se|sp|skoid|sktid|pwd|key|code|policy|key-pair-id)"
)
"""Parameters of a query: elsewhere, some are names of folders such as key=5/."""
VALUE = r"(?:(?!%26|%3B|[:,.](?:\s|$))[^&;\s\"'<>#])+"
PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE), substitute)
    for pattern, substitute in (
        # User, token or password before a host; what stands there on Azure alone is a container.
        (r"(?<=://)(?<!abfs://)(?<!abfss://)(?<!wasb://)(?<!wasbs://)(?<!az://)[^/@\s]+@", "***@"),
        (r"(?<=://)[^/@\s:]{0,500}:(?!\d+(?:/|\s|$))[^@\s]{0,500}@", "***@"),
        (r"(?<=%3A%2F%2F)(?:(?!%2F)[^/@\s])+?%40", "***%40"),
        (rf"((?:[?&;]|%3F|%26|%3B){NAMES}(?:=|%3D)){VALUE}", r"\1***"),
        (rf"\b((?:x-amz-|x-goog-)[\w-]*(?:signature|credential|token)(?:=|%3D)){VALUE}", r"\1***"),
        # Headers and connection strings; behind a slash such a name is a folder, and "Basic Subscription" a plan.
        (r"(?<!/)\b((?:Account|SharedAccess)(?:Key|Signature)=)[^;\s\"']+", r"\1***"),
        (r"(?<!/)\b((?:Signature|Credential)=)[^\s,;&'\"]{8,}", r"\1***"),
        (r"\b((?:Basic|Bearer)\s+)(?=[\w.~+/-]*(?:\d|=|(?-i:[a-z][A-Z])))[\w.~+/-]{12,}=*", r"\1***"),
        (r"(?<![/\w.-])([\w.-]*(?:authorization|api[_-]?key)['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]{16,}", r"\1***"),
    )
)
SOURCES = r"(?:delta|iceberg|pictures):"
USER_INFO = re.compile(
    rf"^(?:{SOURCES})?(?!abfss?://|wasbs?://|az://)\w[\w+.-]*://([^/@\s]+|[^/@\s:]*:(?!\d+(?:/|$))[^@\s]+)@"
    rf"|^(?!{SOURCES})([^/@\s:=]+:(?!(?:\w+:)?//)[^@\s]+)@"
)
"""User and password before a host. Paths and names of tables may hold an @, too: without a scheme, a colon tells."""
_remembered: set[str] = set()
"""Secrets of this process's configuration, as they are written."""


def redacted(message: str, options: Mapping[str, Any]) -> str:
    """Return a message without what may be a credential.

    Parameters
    ----------
    options
        Options whose values, at any depth, may be secret: those of `SHORTEST` characters and more, but for `PUBLIC`.

    Examples
    --------
    >>> redacted("no access to https://me:abc@host with key s3cr3t-word", {"secret": "s3cr3t-word"})
    'no access to https://***@host with key ***'
    >>> redacted("s3://lake/dev/a.parquet?X-Amz-Signature=5f2b&x=1", {"profile": "dev"})
    's3://lake/dev/a.parquet?X-Amz-Signature=***&x=1'
    """
    return _without(message, _secrets(options))


def redacted_here(message: str) -> str:
    """Return a message without credentials, those that were remembered included: at the edges of a process."""
    return _without(message, _remembered | _of_environment())


def redacted_values(value: Any, redact: Callable[[str], str]) -> Any:
    """Return JSON values with all their texts redacted, keys of objects too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            redact(key) if isinstance(key, str) else key: redacted_values(each, redact) for key, each in value.items()
        }
    return [redacted_values(each, redact) for each in value] if isinstance(value, list | tuple) else value


def remember(options: Any) -> None:
    """Let no edge of this process repeat what options hold; whatever they are, for they may be refused later."""
    if isinstance(options, Mapping):
        _remembered.update(_secrets(options))


def remember_users(arguments: list[str]) -> None:
    """Let no edge of this process repeat users and passwords of addresses in arguments, and forget all else."""
    _remembered.clear()
    for argument in arguments:
        for text in (argument, argument.partition("=")[2]):
            if user := USER_INFO.match(text):
                _remembered.update(_of_user(user[1] or user[2]))


@contextmanager
def without_credentials(options: Mapping[str, Any]) -> Iterator[None]:
    """Take credentials out of what errors say: clients quote the address and the keys that they were given.

    Parameters
    ----------
    options
        What may hold credentials, at any depth.
    """
    try:
        yield
    except FeatflowError as error:
        said = redacted(str(error), options)
        if said == str(error):
            raise
        raise type(error)(said) from None


def _without(message: str, secrets: set[str]) -> str:
    for text in sorted(secrets, key=len, reverse=True):
        if text in message:
            message = message.replace(text, "***")
    for pattern, substitute in PATTERNS:
        message = pattern.sub(substitute, message)
    return message


def _secrets(options: Mapping[str, Any]) -> set[str]:
    found = _of_environment()
    for key, text in texts_of(options):
        named = looked_up(text)
        for value in named or [text]:
            if user := USER_INFO.match(value):
                found |= _of_user(user[1] or user[2])
            if key not in PUBLIC and "${" not in value and (named or not value.startswith(("http://", "https://"))):
                found |= _forms(value)
    return found


def _of_user(info: str) -> set[str]:
    """Return the forms of what stands before a host, of its password, and of the parts that parsers make of it."""
    parts = {info, info.partition(":")[2], *re.split("[:/]", info)}
    return set().union(*map(_forms, parts))


def _of_environment() -> set[str]:
    values = (os.environ.get(name, "") for name in VARIABLES)
    return {form for value in values for form in _forms(value, SHORTEST_OF_ENVIRONMENT)}


def _forms(secret: str, shortest: int = SHORTEST) -> set[str]:
    """Return a secret and its lines as they are, quoted for addresses, escaped for JSON and HTML, and in Base64."""
    forms = set()
    for text in filter(lambda text: len(text) >= shortest, map(str.strip, (secret, *secret.splitlines()))):
        in_json = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        escaped = {*in_json, repr(text)[1:-1], html.escape(text)}
        quoted = {quote(text, safe=""), quote(text), quote_plus(text)}
        lower = {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), each) for each in quoted}
        forms |= {text, *escaped, *quoted, *lower, b64encode(text.encode("utf-8", "replace")).decode()}
    return forms
