"""Fixtures shared by all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from datasets import mixed_table
from servers import ACCESS_KEY, SECRET_KEY, make_bucket, s3_server, unused_port

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
