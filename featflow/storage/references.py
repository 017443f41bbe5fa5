"""Storage options that name where a secret is, and messages without secrets.

An option's text may hold ``${env:NAME}``, a variable of the environment, and ``${file:PATH}``, a file's text. What
travels to workers and what is kept is the reference; each process resolves it where it opens a store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from featflow.errors import ConfigurationError, FeatflowError

__all__ = ["plain_secrets", "redacted", "resolve_references", "without_credentials"]

REFERENCE = re.compile(r"\$\{(\w+):([^}]*)\}")
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "OPENLINEAGE_API_KEY",
)
"""Variables of the environment that no message repeats."""
SHORTEST = 4
"""Letters of the shortest secret: without a bound, an option "a" takes the a out of every word."""
CREDENTIALS = re.compile(
    r"(?i)(?<=://)(?<!abfs://)(?<!abfss://)(?<!wasb://)(?<!wasbs://)[^/@\s]+@|(?<=://)[^/@\s:]*:[^/@\s]*@"
)
"""User, token or password before a host; what stands there on Azure alone is a container."""


def resolve_references(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return storage options with the values that references in any of their texts name.

    Raises
    ------
    ConfigurationError
        A variable is not set or a file cannot be read; names the key and the reference, never a value.

    Examples
    --------
    >>> resolve_references({"client_kwargs": {"region_name": "${env:NO_SUCH_VARIABLE}"}})
    Traceback (most recent call last):
    featflow.errors.ConfigurationError: dataset.storage_options.client_kwargs.region_name: ...
    """
    return {str(key): _resolve(f"dataset.storage_options.{key}", value) for key, value in options.items()}


def _resolve(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return REFERENCE.sub(lambda match: _look_up(key, match[1], match[2]), value)
    if isinstance(value, Mapping):
        return {name: _resolve(f"{key}.{name}", each) for name, each in value.items()}
    return [_resolve(f"{key}.{index}", each) for index, each in enumerate(value)] if isinstance(value, list) else value


def _look_up(key: str, kind: str, name: str) -> str:
    if kind == "env":
        value = os.environ.get(name, "")
        if not value:
            raise ConfigurationError(f"{key}: the environment's variable {name} is not set, or empty; set it")
        return value
    if kind == "file":
        try:
            return Path(name).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError, RuntimeError) as error:
            said = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigurationError(f"{key}: cannot read the file {name}: {said}") from None
    raise ConfigurationError(f"{key}: a reference is ${{env:NAME}} or ${{file:PATH}}, not of another kind")


def plain_secrets(options: Mapping[str, Any]) -> list[str]:
    """Return the texts of storage options that may be secret as they stand: all but URLs and references."""
    texts = (text for text in _texts(options) if not REFERENCE.search(text))
    return [text for text in texts if not text.startswith(("http://", "https://"))]


def _referenced_secrets(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what references name, alone and in their texts."""
    for text in _texts(options):
        with suppress(ConfigurationError):  # what cannot be looked up cannot be in a message, either
            yield from (_look_up("", match[1], match[2]) for match in REFERENCE.finditer(text))
            yield from [_resolve("", text)] if REFERENCE.search(text) else []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def redacted(message: str, options: Mapping[str, Any]) -> str:
    """Return a message without what may be a credential: values of storage options and of the environment, URLs' own.

    Examples
    --------
    >>> redacted("no access to https://me:abc@host with key s3cr3t", {"secret": "s3cr3t"})
    'no access to https://***@host with key ***'
    """
    values = {*plain_secrets(options), *_referenced_secrets(options), *(os.environ.get(name, "") for name in SECRETS)}
    texts = {text for value in values if len(value) >= SHORTEST for text in (value, quote(value, safe=""))}
    for text in sorted(texts, key=len, reverse=True):
        message = message.replace(text, "***")
    return CREDENTIALS.sub("***@", message)


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
