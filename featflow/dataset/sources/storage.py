"""What the libraries of tables are told of a store, from fsspec's options, and what their errors mean."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from featflow.errors import ConfigurationError, DatasetError, FeatflowError, InfrastructureError
from featflow.storage.filesystems import is_local, resolve
from featflow.storage.redaction import redacted
from featflow.storage.references import resolve_references
from featflow.storage.retries import is_transient

__all__ = ["delta_options", "described", "failure", "iceberg_options", "same_uri"]

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
SCHEMES = ("s3", "s3a", "abfss", "abfs", "az")
"""Names below which options stand that are for one kind of storage alone."""
REFUSED = re.compile(
    r"necessary privileges|credential|\b40[13]\b|ACCESS_?DENIED|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT|"
    "must be specified|forbidden|unauthorized",
    re.IGNORECASE,
)
"""What the libraries say where a store or a catalog lets nobody in."""
DAMAGED = (ArithmeticError, AssertionError, AttributeError, EOFError, pa.ArrowException, struct.error, zlib.error)
"""Errors of reading bytes that are not what they should be, beside those that no retry mends anyway."""
LINE_MARKS = re.compile("\x1b\\[[0-9]*m|\N{DOWNWARDS ARROW WITH TIP RIGHTWARDS}")
MOST_TEXT = 400
"""Characters of a library's error in a message."""


def _values(options: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    options = resolve_references(options)
    options |= {key: value for scheme in SCHEMES for key, value in (options.get(scheme) or {}).items()}
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


def failure(name: str, error: BaseException, properties: Mapping[str, Any]) -> FeatflowError:
    """Return featflow's error for a library's, by what mends it: access, the table, or another try.

    Parameters
    ----------
    name
        Table or catalog.
    properties
        Options whose secrets the message must not hold.

    Examples
    --------
    >>> str(failure("delta:s3://lake/a", OSError("403 Forbidden for t0ken-of-it"), {"token": "t0ken-of-it"}))[:60]
    'delta:s3://lake/a: access is refused: 403 Forbidden for ***;'
    """
    message = described(error, properties)
    if REFUSED.search(f"{type(error).__name__} {message}"):
        return ConfigurationError(
            f"{name}: access is refused: {message}; check credentials: dataset.storage_options, dataset.catalog, or "
            "the environment"
        )
    if isinstance(error, DAMAGED) or type(error).__name__ == "ValidationError" or not is_transient(error):
        return DatasetError(f"{name}: its metadata cannot be read: {message}; check dataset.source")
    return InfrastructureError(f"{name}: no answer: {message}; retry")


def described(error: BaseException, properties: Mapping[str, Any]) -> str:
    """Return what an error says, in a line and without secrets; the Delta reader says it in a tree of lines."""
    lines = (" ".join(LINE_MARKS.sub(" ", line).split()) for line in str(error).splitlines())
    text = ": ".join(filter(None, lines)) or type(error).__name__
    text = redacted(text, properties)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT // 2]} ... {text[-MOST_TEXT // 2 :]}"
