"""Jobs on a real Ray cluster of a head and some nodes, from S3 to S3."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from clusters import ray_cluster
from datasets import mixed_table
from PIL import Image

import featflow
from featflow.storage import lock
from featflow.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]
NODES, FILES, SECONDS = 2, 8, 240
THEIRS = "0" * 32
"""Token of another run."""
LIGHT = {"correlation": False, "interaction": False}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lake(moto_options):
    """What writes a table to the lake and returns its URI."""
    storage = s3fs.S3FileSystem(**moto_options)

    def write(name, table, files=1):
        rows = -(-table.num_rows // files)
        for index in range(files):
            with storage.open(f"lake/{name}/{index}.parquet", "wb") as file:
                pq.write_table(table.slice(index * rows, rows), file)
        return f"s3://lake/{name}/"

    return write


@pytest.fixture(scope="module")
def cluster(moto_options):
    """A cluster whose nodes, and nobody else, know how to reach the lake."""
    environment = {
        "AWS_ACCESS_KEY_ID": moto_options["key"],
        "AWS_SECRET_ACCESS_KEY": moto_options["secret"],
        "AWS_ENDPOINT_URL": moto_options["client_kwargs"]["endpoint_url"],
        "PYTHONPATH": str(ROOT),
    }
    with ray_cluster(NODES, environment) as made:
        yield made


@pytest.fixture(scope="module")
def flights(lake):
    """A year of flights where it is at hand, else a table that is made, in several files."""
    real = ROOT.parent / "shared" / "data" / "hflights.parquet"
    table = pq.read_table(real) if real.exists() else mixed_table(100_000)
    target = "Cancelled" if real.exists() else "target"
    return {"source": lake("flights", table, FILES), "targets": [target]}


@pytest.fixture
def configured(tmp_path):
    """What writes a configuration into a working directory and returns its path."""

    def write(name, dataset, **more):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"dataset": dataset, "output": f"s3://lake/out/{name}"} | more))
        return path

    return write


def start(cluster, *command):
    """Start a command of somebody who may talk to the cluster and knows no credentials of the lake."""
    environment = {key: value for key, value in cluster.environment.items() if not key.startswith("AWS_")}
    return subprocess.Popen(
        [str(word) for word in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def submit(cluster, config, *more):
    return start(cluster, sys.executable, "-m", "featflow", "submit", config, "--address", cluster.address, *more)


def ray_submit(cluster, config, script, *more):
    ray, script = Path(sys.executable).parent / "ray", ROOT / "jobs" / script
    command = [ray, "job", "submit", "--address", cluster.address, "--submission-id", f"{config.stem}-{script.stem}"]
    return start(cluster, *command, "--working-dir", config.parent, "--", "python", script, config.name, *more)


def ended(process):
    """Return a process's exit code, output and errors."""
    out, errors = process.communicate(timeout=SECONDS)
    return process.returncode, out, errors


def digest(output, options):
    """Return a digest of all tables but drift, which is of the run before, and the run."""
    run = featflow.Run.open(output, options=options)
    found = {name: entry["sha256"] for name, entry in run.manifest["tables"].items() if name != "drift"}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest(), run


@pytest.fixture(scope="module")
def undisturbed(cluster, flights, tmp_path_factory):
    """A night submitted by two at once, what each was told, and what the head then exported."""
    config = tmp_path_factory.mktemp("night") / "flights.yaml"
    config.write_text(yaml.safe_dump({"dataset": flights, "output": "s3://lake/out/flights"}))
    both = [submit(cluster, config, "--json", "--night", "2026-01-02") for _ in range(2)]
    return [ended(process) for process in both], cluster.exported()


def test_a_night_submitted_by_two_is_one_job(undisturbed, moto_options):
    told, _ = undisturbed
    assert [code for code, *_ in told] == [0, 0], told
    first, second = (json.loads(out) for _, out, _ in told)
    assert re.fullmatch("featflow-flights-2026-01-02-[0-9a-f]{10}", first["job"])
    assert {first.pop("attached"), second.pop("attached")} == {True, False}
    assert first == second
    assert featflow.Run.open("s3://lake/out/flights", options=moto_options).run_id == first["run"]
    for *_, log in told:
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert {line["run"] for line in lines} == {first["run"]}
        assert {"time", "level", "stage", "done", "total", "rows", "in_flight", "retries"} <= set(lines[-1])


def test_a_night_that_is_done_is_told_and_not_run_again(cluster, flights, undisturbed, configured):
    code, out, errors = ended(submit(cluster, configured("flights", flights), "--json", "--night", "2026-01-02"))
    assert code == 0, errors
    assert json.loads(out) == json.loads(undisturbed[0][0][1]) | {"attached": True}


def test_figures_are_exported_and_in_the_manifest(undisturbed, moto_options):
    _, exported = undisturbed
    run = featflow.Run.open("s3://lake/out/flights", options=moto_options)
    stages = run.manifest["figures"]["stages"]
    assert stages["reading"]["rows"] == 2 * run.manifest["rows"]["read"]
    assert stages["reading"]["shards"] == 2 * run.manifest["shards"]["total"]
    for name in ("rows", "shards", "bytes"):
        (value,) = re.findall(rf'^ray_featflow_{name}_total{{.*stage="reading".*}} (\S+)$', exported, re.MULTILINE)
        assert float(value) == stages["reading"][name]
    seconds = re.findall(r'^ray_featflow_stage_seconds_total{.*stage="(.*?)".*} \S+$', exported, re.MULTILINE)
    assert {"reading", "merging"} <= set(seconds) <= set(stages)
    assert run.manifest["figures"]["peak_memory_bytes"]["task"] > 2**26


def test_a_node_killed_in_mid_run_changes_nothing(cluster, flights, undisturbed, configured, moto_options):
    victim = cluster.start_node()  # beside those that the other tests use
    cluster.wait_for_nodes(NODES + 1)
    process = ray_submit(cluster, configured("killed", flights), "nightly.py")
    deadline = time.monotonic() + SECONDS
    while not any(_title(each).startswith("ray::summarize") for each in victim.processes()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    victim.kill()
    code, out, errors = ended(process)
    assert code == 0, out + errors
    killed, run = digest("s3://lake/out/killed", moto_options)
    assert run.run_id in out
    assert run.manifest["retries"]["tasks"] >= 1
    assert killed == digest("s3://lake/out/flights", moto_options)[0]


def test_exit_codes_pass_through(cluster, lake, configured, moto_options):
    table = mixed_table(2_000)
    source = lake("small", table, 2)
    broken = lake("broken", table, 2)
    s3fs.S3FileSystem(**moto_options).pipe_file("lake/broken/1.parquet", b"PAR1 and no more of it PAR1")
    theirs = {"token": THEIRS, "host": "elsewhere", "pid": 1, "expires": time.time() + 3600, "holds": True}
    Store("s3://lake/out/locked", moto_options).write(f"{lock.FOLDER}/{THEIRS}.json", json.dumps(theirs).encode())
    wrong = configured("wrong", {"source": source, "targets": ["targett"]})
    bad = configured("bad", {"source": broken, "targets": ["target"]}, analyses=LIGHT)
    locked = configured("locked", {"source": source, "targets": ["target"]}, analyses=LIGHT)
    submitted = {
        2: submit(cluster, wrong, "--json"),
        3: submit(cluster, bad, "--json"),
        5: submit(cluster, locked, "--json"),
    }
    by_ray = ray_submit(cluster, configured("elsewhere", {"source": source, "targets": ["targett"]}), "nightly.py")
    said = {code: ended(process) for code, process in submitted.items()}
    assert {code: of[0] for code, of in said.items()} == {2: 2, 3: 3, 5: 5}, said
    told = {code: json.loads(out) for code, (_, out, _) in said.items()}
    assert "'targett'; the nearest is 'target'" in told[2]["error"]
    assert "unreadable piece" in told[3]["error"]
    assert "process 1 on elsewhere" in told[5]["error"]
    assert ended(by_ray)[0] == 1  # all that Ray's command tells
    assert cluster.job("elsewhere-nightly")["driver_exit_code"] == 2

    again = json.loads(ended(submit(cluster, wrong, "--json"))[1])
    assert again["job"] == told[2]["job"] + "-2"


def test_the_other_jobs(cluster, lake, configured, moto_options):
    random = np.random.default_rng(3)
    days = pa.table({"x": random.normal(size=300), "day": np.repeat(np.arange(3), 100).astype("datetime64[D]")})
    of_days = {"source": lake("days", days, 3), "event_time": "day", "window": "last 1 day"}
    pictures = io.BytesIO()
    Image.fromarray(random.integers(0, 255, (8, 8, 3), np.uint8)).save(pictures, "PNG")
    photos = {"source": lake("photos", pa.table({"photo": [pictures.getvalue()] * 4})), "images": ["photo"]}
    started = [
        ray_submit(
            cluster,
            configured("days", of_days, analyses=LIGHT),
            "backfill.py",
            "--from",
            "1970-01-01",
            "--to",
            "1970-01-02",
        ),
        ray_submit(cluster, configured("photos", photos), "embed.py"),
        ray_submit(
            cluster, configured("today", of_days, analyses=LIGHT), "nightly.py", "--set", "dataset.as_of=1970-01-03"
        ),
    ]
    for process in started:
        code, out, errors = ended(process)
        assert code == 0, out + errors
    ends = [
        run.manifest["config"]["dataset"]["as_of"] for run in featflow.list_runs("s3://lake/out/days", moto_options)
    ]
    assert ends == ["1970-01-01", "1970-01-02"]
    assert "LATEST" not in Store("s3://lake/out/days", moto_options).names("")
    assert "LATEST" not in Store("s3://lake/out/photos", moto_options).names("")
    (embedded,) = featflow.list_runs("s3://lake/out/photos", moto_options)
    assert set(embedded.tables) == {"embedding", "embedding_profile", "quarantine"}
    assert set(embedded.table("embedding")["status"]) == {"ok"}
    nightly = featflow.Run.open("s3://lake/out/today", options=moto_options)
    assert nightly.manifest["rows"]["read"] == 100


def _title(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
