"""The bucket's policies against an S3 server that enforces them: enough for a run and for gc, and for no more.

moto looks at actions and resources, not at conditions: the prefixes of ListBucket are not tried here.
"""

from __future__ import annotations

import fnmatch
import json
import sys
import urllib.request

import boto3
import pytest
import s3fs
from datasets import mixed_table
from deployment.manifests import DEPLOY
from servers import make_bucket, s3_server

from featflow.config import load
from featflow.errors import ConfigurationError
from featflow.pipeline import garbage
from featflow.pipeline.job import run
from featflow.storage.store import Store

LAKE, OUTPUT = "s3://lake/flights/", "s3://lake/featflow/flights"
RUN, GC = "bucket-policy.json", "bucket-policy-gc.json"


def policy(name):
    return json.loads((DEPLOY / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def store():
    """A server with data in the lake, and what makes keys that may do what some policies allow."""
    with s3_server(lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as options:
        make_bucket(options)
        endpoint = options["client_kwargs"]["endpoint_url"]
        Store("s3://lake", options).write_parquet("flights/part-0.parquet", mixed_table(500))
        Store("s3://lake", options).write_parquet("other/part-0.parquet", mixed_table(500))
        keys = {"aws_access_key_id": options["key"], "aws_secret_access_key": options["secret"]}
        users = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1", **keys)

        def user(*names):
            name = "-".join(["user", *(each.removesuffix(".json") for each in names)])
            users.create_user(UserName=name)
            for each in names:
                users.put_user_policy(UserName=name, PolicyName=each, PolicyDocument=json.dumps(policy(each)))
            made = users.create_access_key(UserName=name)["AccessKey"]
            return options | {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}

        allowed = {"run": user(RUN), "gc": user(RUN, GC)}
        enforce(endpoint)
        yield allowed


def enforce(endpoint):
    """From here on the server looks at who asks."""
    header = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", b"0", header, method="POST")
    urllib.request.urlopen(request).close()


def configuration(options):
    changes = ["engine.kind=serial", "dataset.window=null", "dataset.event_time=when"]
    config = load(str(DEPLOY / "featflow.yaml"), changes)
    dataset = config.dataset.model_copy(update={"storage_options": options, "targets": ["target"]})
    assert (dataset.source, config.output) == ([LAKE], OUTPUT)
    return config.model_copy(update={"dataset": dataset})


def test_a_run_may_do_what_it_does_and_gc_needs_its_own(store):
    first = run(configuration(store["run"]))
    config = configuration(store["run"])
    measured = config.model_copy(update={"budget": config.budget.model_copy(update={"bad_rows": 0.002})})
    second = run(measured)  # finds states, and measures
    assert (second.manifest["status"], second.manifest["shards"]["reused"]) == ("done", 1)
    assert Store(OUTPUT, store["run"]).names("lock") == []
    with pytest.raises(ConfigurationError, match="cannot remove"):
        garbage.remove(OUTPUT, 1, store["run"])
    assert garbage.remove(OUTPUT, 1, store["gc"]).kept == (second.run_id,)
    assert Store(OUTPUT, store["gc"]).names("runs") == [second.run_id]
    assert first.run_id != second.run_id


def test_a_run_may_take_back_its_mark_and_not_its_tables(store):
    output, folder = Store(OUTPUT, store["run"]), "runs/20260101T000000Z-000000"
    for path in (f"{folder}/_SUCCESS", f"{folder}/tables/profile.parquet"):
        output.write(path, b"")
    output.remove(f"{folder}/_SUCCESS")
    with pytest.raises(ConfigurationError, match="cannot remove"):
        output.remove(f"{folder}/tables/profile.parquet")
    assert output.names(folder) == ["tables"]


@pytest.mark.parametrize("path", ["flights/part-0.parquet", "other/part-0.parquet", "featflow/other/x"])
def test_nothing_else_can_be_written_or_removed(store, path):
    for options in store.values():
        filesystem = s3fs.S3FileSystem(**options)
        with pytest.raises(PermissionError):
            filesystem.pipe_file(f"lake/{path}", b"mine now")
        with pytest.raises(PermissionError):
            filesystem.rm_file(f"lake/{path}")


def test_nothing_else_can_be_read(store):
    with pytest.raises(PermissionError):
        s3fs.S3FileSystem(**store["run"]).cat_file("lake/other/part-0.parquet")


def test_listing_is_bound_to_the_prefixes_of_the_configuration():
    (listing,) = [each for each in policy(RUN)["Statement"] if "s3:ListBucket" in each["Action"]]
    prefixes = listing["Condition"]["StringLikeIfExists"]["s3:prefix"]
    for wanted in ("flights/", "flights/part-0.parquet", "featflow/flights/runs/", "featflow/flights/lock/"):
        assert any(fnmatch.fnmatchcase(wanted, prefix) for prefix in prefixes)
    assert not any(fnmatch.fnmatchcase("other/", prefix) for prefix in prefixes)


def test_no_policy_names_everything():
    for name in (RUN, GC):
        for statement in policy(name)["Statement"]:
            resources = statement["Resource"]
            resources = [resources] if isinstance(resources, str) else resources
            assert all("*" not in action for action in statement["Action"])
            assert all(each.startswith("arn:aws:s3:::lake") for each in resources)


def test_the_life_cycle_removes_nothing_that_a_run_rests_on():
    rules = json.loads((DEPLOY / "lifecycle.json").read_text(encoding="utf-8"))["Rules"]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    for rule in rules:
        assert OUTPUT.removeprefix("s3://lake/").startswith(rule["Filter"]["Prefix"])
        # By no age: states live while runs use them.
        assert set(rule.get("Expiration", {})) <= {"ExpiredObjectDeleteMarker"}
