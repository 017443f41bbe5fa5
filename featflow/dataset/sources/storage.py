"""How each library is told of a store, from one set of options: fsspec's, the Delta reader's and Iceberg's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from featflow.storage.store import is_local, resolve

__all__ = ["delta_options", "iceberg_options", "same_uri", "without_secrets"]

S3 = (
    (("key",), "AWS_ACCESS_KEY_ID", "s3.access-key-id"),
    (("secret",), "AWS_SECRET_ACCESS_KEY", "s3.secret-access-key"),
    (("token",), "AWS_SESSION_TOKEN", "s3.session-token"),
    (("endpoint_url",), "AWS_ENDPOINT_URL", "s3.endpoint"),
    (("client_kwargs", "endpoint_url"), "AWS_ENDPOINT_URL", "s3.endpoint"),
    (("client_kwargs", "region_name"), "AWS_REGION", "s3.region"),
    (("profile",), "AWS_PROFILE", "s3.profile-name"),
    (("account_name",), "AZURE_STORAGE_ACCOUNT_NAME", "adls.account-name"),
    (("account_key",), "AZURE_STORAGE_ACCOUNT_KEY", "adls.account-key"),
    (("sas_token",), "AZURE_STORAGE_SAS_TOKEN", "adls.sas-token"),
    (("tenant_id",), "AZURE_STORAGE_TENANT_ID", "adls.tenant-id"),
    (("client_id",), "AZURE_STORAGE_CLIENT_ID", "adls.client-id"),
    (("client_secret",), "AZURE_STORAGE_CLIENT_SECRET", "adls.client-secret"),
)
"""Where fsspec's options name a thing, the Delta reader's name of it, and Iceberg's."""
SECRET_KEY = re.compile("secret|token|password|credential|key|auth", re.IGNORECASE)
CREDENTIALS = re.compile(r"://[^/@\s]+@")


def _values(options: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    nested = options.get("client_kwargs") or {}
    flat: dict[tuple[str, ...], Any] = {(name,): value for name, value in options.items()}
    flat |= {("client_kwargs", name): value for name, value in nested.items()}
    return {path: value for path, value in flat.items() if isinstance(value, str)}


def delta_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the Delta reader's options for fsspec's.

    Examples
    --------
    >>> delta_options({"key": "me", "client_kwargs": {"endpoint_url": "http://127.0.0.1:9000"}})
    {'AWS_ACCESS_KEY_ID': 'me', 'AWS_ENDPOINT_URL': 'http://127.0.0.1:9000', 'AWS_ALLOW_HTTP': 'true'}
    """
    values = _values(options)
    told = {name: values[path] for path, name, _ in S3 if path in values}
    if told.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT_URL", "")).startswith("http://"):
        told["AWS_ALLOW_HTTP"] = "true"
    if options.get("anon"):
        told["AWS_SKIP_SIGNATURE"] = "true"
    return told


def iceberg_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Return Iceberg's properties for fsspec's options.

    Examples
    --------
    >>> iceberg_options({"key": "me", "secret": "s"})
    {'s3.access-key-id': 'me', 's3.secret-access-key': 's'}
    """
    values = _values(options)
    return {name: values[path] for path, _, name in S3 if path in values}


def same_uri(uri: str, options: dict[str, Any]) -> str:
    """Return a URI as plain sources write it: local files by their path alone.

    Examples
    --------
    >>> same_uri("file:///lake/a.parquet", {})
    '/lake/a.parquet'
    """
    if "://" in uri and not uri.startswith("file:"):
        return uri
    filesystem, path = resolve(uri, options)
    return path if is_local(filesystem) else uri


def without_secrets(text: str, properties: Mapping[str, Any]) -> str:
    """Return a message without the secrets of a catalog's properties, and without those in URLs.

    Examples
    --------
    >>> without_secrets("no answer for s3cr3t at http://me:pw@host", {"token": "s3cr3t", "type": "rest"})
    'no answer for *** at http://***@host'
    """
    secrets = [str(value) for key, value in properties.items() if value and SECRET_KEY.search(key)]
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, "***")
    return CREDENTIALS.sub("://***@", text)
