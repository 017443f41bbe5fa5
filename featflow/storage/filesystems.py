"""Filesystems: the one place where one is made, from a URI and storage options. With `store`, the importers of fsspec.

fsspec itself would take ``::`` in a path for a chain of filesystems, and passes on whatever its implementations raise.
Here a path is a path, and what no retry can mend, such as a missing package, an unknown option or no credentials, is an
error of the configuration.
"""

from __future__ import annotations

import logging
import os
import re
from ctypes.util import find_library
from functools import lru_cache
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from featflow.errors import ConfigurationError, FeatflowError, InfrastructureError, first_line
from featflow.option_types import AZURE
from featflow.storage.deadlines import bound
from featflow.storage.option_checks import check_options, check_same
from featflow.storage.redaction import redacted
from featflow.storage.references import resolve_references
from featflow.storage.retries import REQUEST_ATTEMPTS, count_request, is_refused, is_transient

__all__ = ["failed", "is_local", "reason", "remedy", "resolve", "uri_of"]

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
S3, GOOGLE, AZURE_SCHEMES = {"s3", "s3a"}, {"gs", "gcs"}, {"abfs", "abfss", "az", "wasb", "wasbs"}
LOST_SLASH = re.compile(r"(?!file:|local:)([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", re.IGNORECASE)
WRAPPERS = {
    *("asyncwrapper", "async_wrapper", "blockcache", "cached", "data", "dir", "filecache", "generic", "libarchive"),
    *("reference", "simplecache", "tar", "zip"),
}
"""fsspec's filesystems inside others, or of no storage."""
CHAIN = re.compile(rf"({'|'.join(sorted(WRAPPERS))})(?:::|://)")
LOGGERS = ("azure.identity", "gcsfs")
"""Loggers that print a page, or a traceback, for each attempt that fails: its error says so, too."""
EXTRAS = dict.fromkeys(GOOGLE, "gcs") | dict.fromkeys(AZURE_SCHEMES, "azure")
CREDENTIALS = {
    **dict.fromkeys(
        S3,
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or dataset.storage_options: {key: ..., "
        "secret: ...}; {anon: true} reads a public bucket",
    ),
    **dict.fromkeys(
        GOOGLE,
        "set GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key, or dataset.storage_options: "
        "{token: ...}; {token: anon} reads a public bucket",
    ),
    **dict.fromkeys(
        AZURE_SCHEMES,
        "set AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or "
        "dataset.storage_options: {account_key: ...}; {anon: true} reads a public container",
    ),
}
"""What to do about credentials that are missing or refused, by scheme."""


def resolve(uri: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Return the filesystem of a URI and the path in it.

    Parameters
    ----------
    options
        Options of the filesystem, which may hold references (see `references`). What stands below the name of a scheme,
        such as ``{"s3": {...}}``, is for that scheme alone.

    Raises
    ------
    ConfigurationError
        The URI names no storage, or its filesystem cannot be made and no retry mends that.
    InfrastructureError
        The storage does not answer.

    Examples
    --------
    >>> filesystem, path = resolve("file:///lake/n::o.parquet", {})
    >>> path
    '/lake/n::o.parquet'
    """
    scheme = _scheme(uri)
    if match := SCHEME.match(uri):  # and no search, which takes minutes for a word of 100,000 letters
        uri = match[0].lower() + uri[match.end() :]
    if scheme in {"file", "local"}:
        filesystem = fsspec.filesystem("file")
        return filesystem, str(filesystem._strip_protocol(uri))  # noqa: SLF001  as fsspec's own url_to_fs does
    try:
        filesystem, path = _open(uri, scheme, resolve_references(options))
    except FeatflowError:
        raise
    except Exception as error:  # noqa: BLE001  implementations raise what they like
        raise _unmade(uri, scheme, options, error) from None
    if not isinstance(filesystem, MemoryFileSystem):
        bound(filesystem)
    return filesystem, path


def is_local(filesystem: Any) -> bool:
    """Return whether a filesystem is this machine's."""
    return isinstance(filesystem, LocalFileSystem)


def uri_of(filesystem: Any, path: str) -> str:
    """Return the URI of a path of a filesystem; a local one is its own."""
    if is_local(filesystem):
        return path
    host = getattr(filesystem, "account_host", "")  # on Azure, where the URI named the account
    if host:
        container, _, below = path.partition("/")
        return f"abfss://{container}@{host.replace('.blob.', '.dfs.')}/{below}"
    return str(filesystem.unstrip_protocol(path))


def failed(uri: str, task: str, error: BaseException) -> FeatflowError:
    """Return the error of an operation on storage: one of the configuration where the storage refuses it.

    Examples
    --------
    >>> failed("s3://lake/x", "read it", PermissionError("Access Denied"))
    ConfigurationError('s3://lake/x: cannot read it: PermissionError: Access Denied; set AWS_ACCESS_KEY_ID and ...')
    """
    if isinstance(error, FeatflowError):
        return error
    if not is_refused(error):
        return InfrastructureError(f"{uri}: cannot {task}: {reason(error)}")
    return ConfigurationError(f"{uri}: cannot {task}: {reason(error)}; {remedy(uri)}")


def remedy(uri: str) -> str:
    """Return what to do about storage that refuses an operation."""
    return CREDENTIALS.get(_scheme(uri), "give this user the right to, or choose another")


def reason(error: BaseException) -> str:
    """Return the message of a filesystem's error, in a line."""
    if "DefaultAzureCredential" in str(error):  # which tells of eight ways to sign in that this user never heard of
        return "no key of the account and no way to sign in to it was found"
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {first_line(error)}"


def _scheme(uri: str) -> str:
    """Return the scheme of a URI, "file" for a path; ConfigurationError for what is no URI of a single storage."""
    chain, scheme = CHAIN.match(uri), SCHEME.match(uri)
    if chain and (scheme or "://" in uri):
        raise ConfigurationError(
            f"{uri}: nothing is read or written through {chain[1]}, which unpacks or copies what other storage holds; "
            "name the files themselves in dataset.source and output"
        )
    text = ascii(uri)[1:-1]
    if "\0" in uri:
        raise ConfigurationError(f"{text}: a path holds no NUL; check dataset.source and output")
    if not uri.isprintable() and any("\ud800" <= character <= "\udfff" for character in uri):
        raise ConfigurationError(f"{text}: this name is not UTF-8, and no table or manifest can hold it; rename it")
    slash = LOST_SLASH.match(uri)
    if slash and slash[1].lower() in fsspec.available_protocols():
        raise ConfigurationError(
            f"{uri}: write {slash[1]}:// with two slashes; a path of pathlib loses one, a string none"
        )
    if scheme and not uri[scheme.end() :].strip("/"):
        raise ConfigurationError(f"{uri}: names no bucket, container or folder; check dataset.source and output")
    return scheme[1].lower() if scheme else "file"


def _open(uri: str, scheme: str, options: dict[str, Any]) -> tuple[Any, str]:
    known = set(fsspec.available_protocols())
    own = {key: value for key, value in options.items() if not (key in known and isinstance(value, dict))}
    # Listings are not cached, as other machines write too.
    own = {"use_listings_cache": False} | own | options.get(scheme, {})
    kind = fsspec.get_filesystem_class("abfss" if scheme in AZURE_SCHEMES else scheme)
    if scheme in CREDENTIALS:
        check_options(kind, own)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.getLogger(name).level or logging.CRITICAL)
    if scheme in AZURE_SCHEMES:
        return _azure(uri, own)
    if scheme == "hdfs" and "JAVA_HOME" not in os.environ and not find_library("jvm"):
        raise ImportError("it needs Java and Hadoop's libhdfs: set JAVA_HOME, HADOOP_HOME and CLASSPATH")
    in_uri = kind._get_kwargs_from_urls(uri)  # noqa: SLF001  as fsspec's own url_to_fs does
    check_same(in_uri, own)
    filesystem = fsspec.filesystem(scheme, **in_uri | (_with_request_retries(own) if scheme in S3 else own))
    if scheme in S3:
        filesystem.retries = 1  # s3fs' own retries are neither counted nor jittered, and multiply botocore's and ours
        if getattr(filesystem, "_s3", None) is None:
            filesystem.connect()  # wrong options are found by now, not by the first request
    return filesystem, str(kind._strip_protocol(uri))  # noqa: SLF001


def _azure(uri: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Open ``abfss://container@account.dfs.core.windows.net/path`` of any cloud of Azure, or ``az://container/path``."""
    rest = uri.partition("://")[2]
    in_uri = {}
    if AZURE.match(uri):
        container, _, rest = rest.partition("@")
        host, _, below = rest.partition("/")
        rest = f"{container}/{below}"
        in_uri = {"account_name": host.partition(".")[0], "account_host": host.replace(".dfs.", ".blob.")}
        check_same(in_uri, options)
    filesystem = fsspec.filesystem("abfss", **in_uri | options)
    if filesystem.credential is not None and "credential" not in options and not hasattr(filesystem, "signed_in"):
        # Without a key it asks eight services, and all of them again for each request of a listing: minutes.
        fsspec.asyn.sync(filesystem.loop, filesystem.credential.get_token, "https://storage.azure.com/.default")
        filesystem.signed_in = True
    return filesystem, rest.rstrip("/")


def _unmade(uri: str, scheme: str, options: dict[str, Any], error: Exception) -> FeatflowError:
    """Return the error of a filesystem that cannot be made."""
    message = redacted(first_line(error), options)
    if is_refused(error):
        return ConfigurationError(f"{uri}: {redacted(reason(error), options)}; {remedy(uri)}")
    if isinstance(error, ImportError):
        extra = f": pip install 'featflow[{EXTRAS[scheme]}]'" if scheme in EXTRAS else f": {message}"
        return ConfigurationError(f"{uri}: {scheme}:// cannot be opened here{extra}")
    if scheme not in fsspec.available_protocols():
        return ConfigurationError(f"{uri}: no such kind of storage: {message}; check dataset.source and output")
    if "Must provide either a connection_string or account_name" in message:
        return ConfigurationError(
            f"{uri}: which account? Write abfss://container@account.dfs.core.windows.net/path, or set "
            "dataset.storage_options.account_name or AZURE_STORAGE_ACCOUNT_NAME"
        )
    lasting = isinstance(error, AttributeError | AssertionError) or re.search(r"libjvm|libhdfs", message)
    if is_transient(error) and not lasting:
        return InfrastructureError(f"{uri}: cannot open {scheme}://: {message}; retry")
    return ConfigurationError(f"{uri}: cannot open {scheme}://: {message}; check dataset.storage_options")


def _with_request_retries(options: dict[str, Any]) -> dict[str, Any]:
    config = {"retries": {"mode": "standard", "total_max_attempts": REQUEST_ATTEMPTS}}
    config |= options.get("config_kwargs", {})
    return options | {"config_kwargs": config, "session": _session(options.get("profile"))}


@lru_cache
def _session(profile: str | None) -> Any:
    """Return an S3 session that counts its retries, one a profile: fsspec caches filesystems by their options."""
    from aiobotocore.session import AioSession  # noqa: PLC0415  only S3 needs it

    session = AioSession(profile=profile)
    session.register("needs-retry.s3", count_request)
    return session
