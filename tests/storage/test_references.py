"""Options that name where a secret is: looked up where they are used, and written nowhere."""

from __future__ import annotations

import json
import pickle

import pytest
import yaml
from datasets import mixed_table

import featflow
from featflow.config import parse
from featflow.dataset.sources.storage import delta_options, iceberg_options
from featflow.errors import ConfigurationError, DatasetError
from featflow.pipeline import job
from featflow.pipeline.plan import plan
from featflow.pipeline.submission import submission
from featflow.storage.redaction import redacted
from featflow.storage.references import resolve_references
from featflow.storage.store import Store

SECRET = "w0rd-of-the-store"


@pytest.fixture
def secret_file(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return tmp_path / "secret"


def test_every_text_at_any_depth(monkeypatch, secret_file):
    monkeypatch.setenv("FEATFLOW_TEST_KEY", "k")
    options = {
        "key": "${env:FEATFLOW_TEST_KEY}",
        "client_kwargs": {"headers": [{"auth": f"Bearer ${{file:{secret_file}}}!"}, 1, None]},
        "anon": False,
        "plain": "$HOME ${x} {env:y}",
    }
    assert resolve_references(options) == {
        "key": "k",
        "client_kwargs": {"headers": [{"auth": f"Bearer {SECRET}!"}, 1, None]},
        "anon": False,
        "plain": "$HOME ${x} {env:y}",
    }


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("${env:FEATFLOW_TEST_UNSET}", "the environment's variable FEATFLOW_TEST_UNSET is not set"),
        ("${env:FEATFLOW_TEST_EMPTY}", "FEATFLOW_TEST_EMPTY is not set, or empty"),
        ("${file:/nowhere/secret}", "cannot read the file /nowhere/secret: No such file"),
        ("${file:/}", "cannot read the file /: Is a directory"),
        ("${vault:word}", r"a reference is \$\{env:NAME\} or \$\{file:PATH\}"),
    ],
)
def test_what_is_not_there_is_named_by_its_key(monkeypatch, tmp_path, reference, message):
    monkeypatch.setenv("FEATFLOW_TEST_EMPTY", "")
    monkeypatch.setenv("FEATFLOW_TEST_KEY", SECRET)
    options = {"client_kwargs": {"endpoint_url": ["${env:FEATFLOW_TEST_KEY}", reference]}}
    config = {"dataset": {"source": "memory://x/y", "storage_options": options}, "output": str(tmp_path / "out")}
    with pytest.raises(ConfigurationError, match=rf"storage_options\.client_kwargs\.endpoint_url\.1: .*{message}") as e:
        featflow.run(config | {"engine": {"kind": "serial"}})
    assert SECRET not in str(e.value)


def test_messages_hold_neither_the_secret_nor_what_it_is_part_of(monkeypatch, secret_file):
    monkeypatch.setenv("FEATFLOW_TEST_KEY", "https://me:pass@host:1/x")
    options = {"a": [f"${{file:{secret_file}}}"], "b": {"c": "${env:FEATFLOW_TEST_KEY}"}, "d": "${env:FEATFLOW_UNSET}"}
    message = f"no {SECRET} at https://me:pass@host:1/x; ${{file:{secret_file}}} is wrong"
    assert redacted(message, options) == f"no *** at ***; ${{file:{secret_file}}} is wrong"
    kept = "abfss://lake@account.dfs.core.windows.net/x: away"
    assert redacted(kept, {}) == kept
    assert redacted("abfss://me:pass@host/x and s3://me@host/y", {}) == "abfss://***@host/x and s3://***@host/y"


def test_what_travels_and_what_is_written_holds_references_only(rclone_options, tmp_path, secret_file):
    secret_file.write_text(rclone_options["secret"])
    key_file = tmp_path / "key"
    key_file.write_text(rclone_options["key"])
    options = rclone_options | {"key": f"${{file:{key_file}}}", "secret": f"${{file:{secret_file}}}"}
    store = Store("s3://lake/references/data", options)
    store.write_parquet("a.parquet", mixed_table(200).select(["x", "target"]))
    arrived = pickle.loads(pickle.dumps(store))
    assert arrived.names("") == ["a.parquet"]
    config = {
        "dataset": {"source": "s3://lake/references/data", "targets": ["target"], "storage_options": options},
        "output": "s3://lake/references/out",
        "engine": {"kind": "serial"},
    }
    run = featflow.run(config)
    assert run.manifest["rows"]["read"] == 200
    said = repr(run) + json.dumps(run.manifest) + repr(parse(config)) + repr(parse(config).dataset)
    said += pickle.dumps(parse(config)).decode("latin-1") + pickle.dumps(store).decode("latin-1")
    output = Store("s3://lake/references/out", rclone_options)
    sizes = output.sizes("")
    assert len(sizes) > 10
    for path in sizes:
        said += output.read(path).decode("latin-1")
    assert all(rclone_options[name] not in said for name in ("key", "secret"))

    secret_file.write_text("another-word")  # is read again: a secret that is renewed needs no other configuration
    with pytest.raises(
        ConfigurationError, match=r"output: cannot write to s3://lake/references/out: .*; set AWS_"
    ) as e:
        featflow.run(config)
    assert "another-word" not in str(e.value)


def test_references_may_travel_with_a_job_where_values_may_not():
    endpoint = {"client_kwargs": {"endpoint_url": "http://minio:9000"}}
    config = {"dataset": {"source": "s3://lake/x"}, "output": "s3://lake/out"}

    def sent(**options):
        return submission(parse(config | {"dataset": config["dataset"] | {"storage_options": endpoint | options}}))

    (text,) = sent(key="${env:KEY}", secret="${file:/run/secrets/s3}").files.values()
    assert yaml.safe_load(text)["dataset"]["storage_options"]["key"] == "${env:KEY}"
    with pytest.raises(ConfigurationError, match=r"write \$\{env:NAME\}"):
        sent(key="${env:KEY}", secret=SECRET)


def test_the_libraries_of_tables_are_given_values(secret_file):
    options = {"key": "k", "client_kwargs": {"endpoint_url": f"${{file:{secret_file}}}"}}
    assert delta_options(options) == {"AWS_ACCESS_KEY_ID": "k", "AWS_ENDPOINT_URL": SECRET}
    assert iceberg_options(options) == {"s3.access-key-id": "k", "s3.endpoint": SECRET}


def test_what_is_left_of_a_run_that_fails_holds_no_secret_of_its_catalog(tmp_path, monkeypatch):
    def refuse(options, known):
        raise DatasetError(f"the catalog at https://catalog.example.org refuses the token {SECRET}")

    monkeypatch.setattr("featflow.dataset.dataset.open_tables", refuse)
    catalog = {"type": "rest", "uri": "https://catalog.example.org", "token": SECRET}
    dataset = {"source": "iceberg:shop.lake.sales", "catalog": catalog}
    config = parse({"dataset": dataset, "output": str(tmp_path / "out"), "lineage": {"folder": str(tmp_path / "told")}})
    for command in (job.run, plan):
        with pytest.raises(DatasetError, match=r"https://catalog\.example\.org refuses the token \*\*\*"):
            command(config)
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("refuses the token ***" in text for text in written)
    assert not any(SECRET in text for text in written)
