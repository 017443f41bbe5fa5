"""What can be named as a source or an output: a path is a path, and what cannot be opened is said in a line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import s3fs
from azure.core.exceptions import ClientAuthenticationError
from datasets import mixed_table, write_parts

import featflow
from featflow.config import parse
from featflow.dataset.listing import list_data_files
from featflow.errors import ConfigurationError, FeatflowError, InfrastructureError
from featflow.storage import filesystems
from featflow.storage.filesystems import failed, resolve, uri_of
from featflow.storage.retries import is_refused, is_transient
from featflow.storage.store import Store

SECRET = "s3cr3t-word"


@pytest.mark.parametrize(
    "name",
    [
        "n::o",
        "zip::o",
        "simplecache::o",
        "run [1]",
        "a b",
        "e%20f",
        "g#h",
        "q?r",
        "st*r",
        "{a,b}",
        "é😀",
        "x://y",
        "l:m",
    ],
)
def test_a_path_is_that_path(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / "f").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    for uri in (f"{tmp_path}/{name}/f", f"file://{tmp_path}/{name}/f", f"./{name}/f"):
        filesystem, path = resolve(uri, {"key": SECRET})
        assert Path(path) == tmp_path / name / "f"
        assert filesystem.cat_file(path) == b"1"
        assert uri_of(filesystem, path) == path
    Store(f"{tmp_path}/{name}/out", {}).write("a/b", b"2")
    assert (tmp_path / name / "out/a/b").read_bytes() == b"2"


@pytest.mark.parametrize("uri", ["s3://lake/a::b/c?d#e", "memory://lake/a::b/c?d#e", "S3://lake/a::b/c?d#e"])
def test_a_path_of_another_storage_is_that_path(uri, monkeypatch):
    path = resolve(uri, {"s3": {"key": "k", "secret": "s"}, "gs": {"token": "anon"}})[1]
    assert path.removeprefix("/") == "lake/a::b/c?d#e"


@pytest.mark.parametrize(
    "uri",
    ["simplecache::s3://lake/x", "zip://a.parquet::/lake/b.zip", "zip://a.parquet", "filecache::file:///x", "tar://x"],
)
def test_chains_are_refused_by_name(uri):
    with pytest.raises(ConfigurationError, match=f"nothing is read or written through {uri.partition(':')[0]}"):
        resolve(uri, {})


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nosuch://x/y", "no such kind of storage"),
        ("dbfs://x", "cannot open dbfs://.*'instance' and 'token'; check dataset.storage_options"),
        ("hdfs://namenode:8020/lake", "hdfs:// cannot be opened here.*JAVA_HOME"),
        ("sftp://127.0.0.1:9/x", "sftp:// cannot be opened here: .*paramiko"),
        ("smb://127.0.0.1:9/x/y", "smb:// cannot be opened here: .*smbprotocol"),
        ("az://lake/x", r"which account\? Write abfss://container@account"),
        ("s3://", "names no bucket"),
        ("gs:///", "names no bucket"),
        ("s3:/lake/x", "write s3:// with two slashes"),
        ("/lake/a\0b", r"/lake/a\\x00b: a path holds no NUL"),
        ("/lake/caf\udce9", r"/lake/caf\\udce9: this name is not UTF-8"),
    ],
)
def test_what_no_retry_opens(monkeypatch, uri, message):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("featflow.storage.filesystems.find_library", lambda _: None)
    for name in ("paramiko", "smbprotocol", "smbclient"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("ACCOUNT_NAME", "CONNECTION_STRING"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    with pytest.raises(ConfigurationError, match=message):
        resolve(uri, {})


def test_a_client_that_is_not_installed_is_named_by_its_extra(monkeypatch):
    for name, scheme in (("adlfs", "abfss"), ("gcsfs", "gs")):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'featflow\[gcs\]'"):
        resolve("gs://lake/x", {})
    with pytest.raises(ConfigurationError, match=r"pip install 'featflow\[azure\]'"):
        resolve("abfss://lake@account.dfs.core.windows.net/x", {})


def test_what_a_retry_may_open(free_port):
    with pytest.raises(InfrastructureError, match=r"cannot open ftp://: .*refused; retry"):
        resolve(f"ftp://127.0.0.1:{free_port}/x", {})


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("s3://lake/x", {"secert": SECRET}, r"storage_options\.secert is no option.*did you mean 'secret'\?"),
        ("s3://lake/x", {"key": 12, "secret": SECRET}, r"storage_options\.key is of a wrong type; it takes a str"),
        ("s3://lake/x", {"client_kwargs": SECRET}, r"storage_options\.client_kwargs is of a wrong type.* a dict"),
        ("s3://lake/x", {"client_kwargs": {"nonsense": SECRET}}, "unexpected keyword argument 'nonsense'"),
        ("s3://lake/x", {"config_kwargs": {"nonsense": SECRET}}, "unexpected keyword argument 'nonsense'"),
        ("s3://lake/x", {"profile": "nobody"}, r"config profile \(nobody\) could not be found; set AWS_ACCESS_KEY_ID"),
        ("s3://lake/x", {"key": SECRET}, "Partial credentials.*; set AWS_ACCESS_KEY_ID"),
        ("s3://lake/x", {"key": "a", "username": SECRET}, "Supply either key or username"),
        ("gs://lake/x", {"tokn": SECRET}, r"storage_options\.tokn is no option.*did you mean 'token'\?"),
        ("gs://lake/x", {"token": f"/nowhere/{SECRET}"}, r"storage_options\.token names a file that is not there"),
        ("abfss://lake@a.dfs.core.windows.net/x", {"acount_key": SECRET}, "did you mean 'account_key'"),
        ("abfss://lake@a.dfs.core.windows.net/x", {"account_key": 5}, "account_key is of a wrong type"),
        ("abfss://lake@a.dfs.core.windows.net/x", {"connection_string": SECRET}, "check dataset.storage_options"),
    ],
)
def test_wrong_options_are_found_before_the_first_request(uri, options, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        resolve(uri, options)
    assert SECRET not in str(caught.value)


def test_missing_credentials_say_what_to_set(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()  # another test's keys
    filesystems._session.cache_clear()
    folder = write_parts(mixed_table(100), tmp_path / "data", 1)
    for source, output in (("s3://lake/x", str(tmp_path / "out")), (folder, "s3://lake/out")):
        with pytest.raises(ConfigurationError, match=r"s3://lake.*NoCredentialsError.*set AWS_ACCESS_KEY_ID"):
            featflow.run({"dataset": {"source": source}, "output": output, "engine": {"kind": "serial"}})


def test_an_account_without_a_key_is_asked_for_once(monkeypatch):
    requests = []

    async def refuse(self, *scopes, **options):
        requests.append(scopes)
        raise ClientAuthenticationError("DefaultAzureCredential failed to retrieve a token.\nAttempted: ...")

    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential.get_token", refuse)
    for name in ("ACCOUNT_KEY", "SAS_TOKEN", "CONNECTION_STRING", "CLIENT_ID", "ANON"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    with pytest.raises(ConfigurationError, match=r"no key of the account .* was found; set AZURE_STORAGE_ACCOUNT_KEY"):
        list_data_files(["abfss://lake@keyless.dfs.core.windows.net/x"], {})
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [("gs://lake/x", "GOOGLE_APPLICATION_CREDENTIALS"), ("az://lake/x", "AZURE_STORAGE_ACCOUNT_KEY"), ("/x", "right")],
)
def test_a_refusal_is_no_outage(uri, remedy):
    class HttpError(Exception):
        code = 401

    class HttpResponseError(Exception):
        status_code = 403

    for error in (HttpError(), HttpResponseError(), PermissionError(13, "Permission denied"), OSError("Forbidden: x")):
        assert is_refused(error)
        assert not is_transient(error)
        assert isinstance(failed(uri, "read it", error), ConfigurationError)
        assert remedy in str(failed(uri, "read it", error))
    for error in (PermissionError("The provided token has expired."), OSError("SlowDown"), TimeoutError()):
        assert isinstance(failed(uri, "read it", error), InfrastructureError)


@pytest.mark.parametrize(
    "uri",
    [
        "abfss://lake@account.dfs.core.windows.net/flights/",
        "abfs://lake@account.dfs.core.windows.net/a@b:c",
        "wasbs://lake@account.blob.core.chinacloudapi.cn/flights",
        "abfss://$web@account.dfs.core.windows.net",
    ],
)
def test_the_container_of_an_account_is_no_credential(uri):
    parse({"dataset": {"source": uri}, "output": uri})
    filesystem, path = resolve(uri, {"account_key": "a2V5"})
    host = uri.partition("@")[2].partition("/")[0]
    assert filesystem.account_name == "account"
    assert filesystem.account_url == f"https://{host.replace('.dfs.', '.blob.')}"
    assert path.partition("/")[0] in {"lake", "$web"}
    assert uri_of(filesystem, path).partition("://")[2].rstrip("/") == uri.partition("://")[2].rstrip("/").replace(
        ".blob.", ".dfs."
    )


@pytest.mark.parametrize(
    "uri",
    [
        f"abfss://key:{SECRET}@account.dfs.core.windows.net/x",
        f"abfss://{SECRET}@lake/x",
        f"abfss://lake@account.dfs.core.windows.net:{SECRET}@host/x",
        f"s3://{SECRET}@lake.dfs.core.windows.net/x",
    ],
)
def test_credentials_of_azure_are_credentials(uri):
    with pytest.raises(ConfigurationError, match="holds credentials") as caught:
        parse({"dataset": {"source": uri}, "output": "out"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("output", ["file", "file/below", "/proc/nothing/x", "caf\udce9", "a\0b"])
def test_an_output_that_cannot_be(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    folder = write_parts(mixed_table(100), tmp_path / "data", 1)
    (tmp_path / "file").write_text("text")
    with pytest.raises(FeatflowError) as caught:
        featflow.run({"dataset": {"source": folder}, "output": output, "engine": {"kind": "serial"}})
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file"]


def test_an_output_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Store("~/a b", {}).write("x", b"1")
    assert (tmp_path / "a b/x").read_bytes() == b"1"
