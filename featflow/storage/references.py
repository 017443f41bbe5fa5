"""Storage options that name where a secret is.

An option's text may hold ``${env:NAME}``, a variable of the environment, and ``${file:PATH}``, a file's text. What
travels to workers and what is kept is the reference; each process resolves it where it opens a store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from featflow.errors import ConfigurationError

__all__ = ["looked_up", "plain_secrets", "resolve_references", "texts_of"]

REFERENCE = re.compile(r"\$\{(\w+):([^}]*)\}")


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
    texts = (text for _, text in texts_of(options) if not REFERENCE.search(text))
    return [text for text in texts if not text.startswith(("http://", "https://"))]


def looked_up(text: str) -> list[str]:
    """Return what the references in a text name, and the text with them in place; nothing where there are none."""
    with suppress(ConfigurationError):  # what cannot be looked up cannot be in a message, either
        named = [_look_up("", match[1], match[2]) for match in REFERENCE.finditer(text)]
        return [*named, _resolve("", text)] if named else []
    return []


def texts_of(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts in options, each with the name of its option."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from texts_of(each, str(name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each, key)
