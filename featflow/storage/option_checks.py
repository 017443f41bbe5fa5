"""Storage options that a filesystem would pass over, or stumble on at its first request."""

from __future__ import annotations

import re
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

from featflow.errors import ConfigurationError

__all__ = ["check_options", "check_same"]

COMMON_OPTIONS = {"listings_expiry_time", "max_paths", "profile", "skip_instance_cache", "use_listings_cache"}
OPEN_OPTIONS = re.compile(r"[A-Z]|exclude_|managed_identity_|workload_identity_|authority|additionally_allowed_tenants")
"""Names that are passed on: parameters of S3's requests, and of Azure's default credentials."""
OPTION_TYPES = {
    str: {"key", "secret", "endpoint_url", "profile", "account_name", "account_key", "connection_string", "sas_token"},
    dict: {"client_kwargs", "config_kwargs", "s3_additional_kwargs", "session_kwargs"},
}
"""What YAML gets wrong: keys of digits alone become numbers."""


def check_options(kind: Any, options: dict[str, Any]) -> None:
    """Raise ConfigurationError for an option that is unknown, or of a wrong type; never repeats a value.

    Parameters
    ----------
    kind
        Class of the filesystem.
    """
    known = {name for each in kind.__mro__ for name in signature(each.__init__).parameters} | COMMON_OPTIONS
    for key, value in options.items():
        kept = next((kinds for kinds, names in OPTION_TYPES.items() if key in names), object)
        if not isinstance(value, kept | None):
            raise ConfigurationError(f"dataset.storage_options.{key} is of a wrong type; it takes a {kept.__name__}")
        if key not in known and not OPEN_OPTIONS.match(key):
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"check the options of {kind.__name__}"
            raise ConfigurationError(f"dataset.storage_options.{key} is no option of this storage; {hint}")
    token = options.get("token")  # which gcsfs sends to Google as a token where no such file is
    if isinstance(token, str) and "gs" in kind.protocol and "/" in token and not Path(token).is_file():
        raise ConfigurationError("dataset.storage_options.token names a file that is not there")


def check_same(in_uri: dict[str, Any], options: dict[str, Any]) -> None:
    """Raise ConfigurationError where an option is not what the URI says."""
    for key, value in in_uri.items():
        if options.get(key, value) != value:
            raise ConfigurationError(
                f"dataset.storage_options.{key} is not what the URI says; take it out of one of both"
            )
