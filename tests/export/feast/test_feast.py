"""Real Feast on exported repositories, untouched: apply, load, read online and as of a time, monitor; disks and S3."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from datasets import mixed_table, write_parts
from reports import damage
from servers import ACCESS_KEY, SECRET_KEY, unused_port, wait_until_open

import featflow
from featflow.cli.main import app
from featflow.errors import ConfigurationError, DatasetError
from featflow.export.feast.monitoring import METRICS, PATH
from featflow.export.feast.repository import export_feast

PAGE = Path(__file__).resolve().parents[3] / "docs" / "feature-stores.md"
BIN = Path(sys.executable).parent
HOSTILE = 'tilt <b>|`"\n'
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def flights(path, rows):
    """The first flights, with a key and a time."""
    table = pq.read_table(path / "hflights.parquet").slice(0, rows)
    days = pc.binary_join_element_wise(*(table[name].cast("string") for name in ("Year", "Month", "DayofMonth")), "-")
    when = pc.strptime(days, "%Y-%m-%d", "us").cast(pa.timestamp("us", "UTC"))
    return table.append_column("flight_id", pa.array(np.arange(rows))).append_column("event_timestamp", when)


def digits(path, images=24):
    """Images, each twice with a day between, beside columns of types and names that Feast does not take."""
    table = pq.read_table(path / "sign_digits.parquet").slice(0, images)
    twice = pa.concat_tables([table, table])
    random = np.random.default_rng(3)
    numbers = random.normal(size=2 * images)
    return (
        twice.append_column("when", pa.array([FIRST + timedelta(days=n // images) for n in range(2 * images)]))
        .append_column(HOSTILE, pa.array(numbers, mask=random.random(2 * images) < 0.1))
        .append_column("day", pa.array([date(2026, 1, 1 + n % 5) for n in range(2 * images)]))
        .append_column("signer", pa.array([f"s{n % 3}" for n in range(2 * images)], pa.large_string()))
        .append_column("nested", pa.array([{"half": float(n) / 2} for n in range(2 * images)]))
        .append_column("seen", pa.array([n % 2 == 0 for n in range(2 * images)]))
    )


def run_digits(table, source, output):
    return featflow.run(
        {
            "dataset": {
                "source": source,
                "entity": ["image_id"],
                "event_time": "when",
                "targets": ["label"],
                "images": ["image"],
            },
            "output": output,
            "engine": {"kind": "serial"},
            "analyses": {"interaction": False},
        }
    )


def in_feast(requests, **environment):
    """What Feast answers to each request, in one process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("feast_session.py")],
        input=json.dumps(requests),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_page_runs_as_it_is_written(shared_data, tmp_path, monkeypatch):
    """Every command and the example of docs/feature-stores.md, and Feast's own server over what they leave."""
    table = flights(shared_data, 1_500)
    (tmp_path / "flights.yaml").write_text(blocks("yaml")[0] + "engine: {kind: serial}\n")
    write_parts(table, tmp_path / "flights", 2)
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}

    def command(*arguments):
        done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    monkeypatch.chdir(tmp_path)
    for line in dict.fromkeys("".join(blocks("sh")).splitlines()):
        if line.startswith("featflow"):
            app(shlex.split(line)[1:], standalone_mode=False)
        else:
            command("sh", "-c", line)
    [example] = blocks("python")
    told = command(sys.executable, "-c", example + "\nprint(repr([online, training.to_dict('list')]))").splitlines()[-1]
    online, training = eval(told, {"nan": None, "Timestamp": lambda text, **_: text})
    ranking = pl.read_parquet(tmp_path / "results/runs/*/tables/ranking.parquet")
    chosen = ranking.filter((pl.col("target") == "Cancelled") & pl.col("significant")).sort("rank")["feature"].to_list()
    assert len(chosen) > 3
    for found in (online, training):
        assert set(found) - {"event_timestamp"} == {"flight_id", *chosen}
        assert {name: found[name][0] for name in chosen} == {name: table[name][0].as_py() for name in chosen}
    definitions = (tmp_path / "repository/definitions.py").read_text()
    selected = [name for name in re.findall(r"view_1\[\[(.*?)\]\]", definitions) if name.count(",") == len(chosen) - 1]
    assert ", ".join(map(repr, chosen)) in selected

    port = unused_port()
    server = subprocess.Popen(
        [BIN / "feast", "ui", "--host", "127.0.0.1", "--port", str(port)],
        cwd=tmp_path / "repository",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_open(server, port)
        address = f"http://127.0.0.1:{port}/api/v1/monitoring/metrics"
        rows = json.load(urllib.request.urlopen(f"{address}/features?project=results"))
        baseline = json.load(urllib.request.urlopen(f"{address}/baseline?project=results&feature_name=DepDelay"))
    finally:
        server.terminate()
        server.wait(timeout=30)
    by_name = {row["feature_name"]: row for row in rows}
    assert set(by_name) == set(table.column_names) - {"Cancelled", "ArrDelay", "flight_id", "event_timestamp"}
    number, values = by_name["DepDelay"], table["DepDelay"].drop_null().to_numpy()
    assert (number["row_count"], number["null_count"]) == (1_500, table["DepDelay"].null_count)
    assert (number["mean"], number["stddev"]) == pytest.approx((values.mean(), values.std(ddof=1)))
    percentiles = [number[f"p{p}"] for p in (50, 75, 90, 95, 99)]
    assert percentiles == np.quantile(values, [0.5, 0.75, 0.9, 0.95, 0.99], method="inverted_cdf").tolist()
    counts, bins = np.histogram(values, 20)
    assert (number["histogram"]["counts"], number["histogram"]["bins"]) == (counts.tolist(), pytest.approx(bins))
    assert (number["granularity"], number["metric_date"], number["is_baseline"]) == ("monthly", "2011-01-01", True)
    category, top = by_name["Dest"]["histogram"], table["Dest"].value_counts().to_pylist()
    assert category["values"][0]["count"] == max(each["counts"] for each in top)
    assert sum(each["count"] for each in category["values"]) + category["other_count"] == 1_500
    assert [row["feature_name"] for row in baseline] == ["DepDelay"]


def test_images_and_types_that_feast_does_not_take_are_copied(shared_data, tmp_path):
    table = digits(shared_data)
    run = run_digits(table, write_parts(table, tmp_path / "data", 3), str(tmp_path / "signs"))
    told = export_feast(run.uri, str(tmp_path / "repository")).public()
    assert "`signs_columns` reads a copy" in told["notes"][0]
    renamed = "tilt_b_"
    assert any(repr(HOSTILE) in note and f"`{renamed}`" in note for note in told["notes"])
    readme = (tmp_path / "repository" / "README.md").read_text()
    assert "<b>" not in re.sub("`[^`\n]*`", "", readme), "markup in names is text"
    first, last = FIRST, FIRST + timedelta(days=1)
    assert told["materialize"] == f"feast materialize {first:%Y-%m-%dT%H:%M:%S} {last:%Y-%m-%dT%H:%M:%S}"
    features = [f"signs_columns:{name}" for name in (renamed, "day", "signer", "nested.half", "seen")]
    features += ["image_embedding:embedding", "image_descriptors:image.brightness"]
    at = [f"{FIRST:%Y-%m-%d} 12:00", f"{FIRST + timedelta(days=2):%Y-%m-%d}"]
    keys = table["image_id"].to_pylist()[:2]
    request = {"repository": str(tmp_path / "repository"), "features": features, "at": at}
    [found] = in_feast([request | {"entities": [{"image_id": key} for key in keys]}])

    assert set(found["views"]) == {"signs_columns", "image_embedding", "image_descriptors"}
    assert found["views"]["signs_columns"] == {
        renamed: "Float64", "day": "UnixTimestamp", "signer": "String", "nested.half": "Float64", "seen": "Bool"
    }  # fmt: skip
    assert found["vectors"] == {"embedding": [20, "cosine"]}
    assert found["tags"] == [{"featflow_run": str(tmp_path / "signs" / "LATEST")}] * 3
    selected = run.table("ranking").filter(pl.col("significant")).sort("rank")["feature"].to_list()
    of_pixels = [name for name in selected if name.startswith("image.")]
    assert [name for name in found["services"]["signs_label"] if name.startswith("image.")] == of_pixels != []

    embedded = run.table("embedding").to_dicts()
    brightness = run.table("profile").filter(pl.col("column") == "image.brightness")
    online, historical = found["online"], found["historical"]
    half = len(table) // 2
    for place in range(2):
        now, then = table.slice(half + place, 1).to_pylist()[0], table.slice(place, 1).to_pylist()[0]
        assert [online[name][place] for name in ("signer", "nested.half", "seen")] == [
            now["signer"], now["nested"]["half"], now["seen"]
        ]  # fmt: skip
        assert online[renamed][place] == now[HOSTILE]
        [vector] = [r["embedding"] for r in embedded if r["image_id"] == keys[place] and r["when"] == now["when"]]
        assert online["embedding"][place] == vector
        assert online["image.brightness"][place] == vector[3]
        seen = [then, now][place]  # asked on the first day, and after both
        row = historical["image_id"].index(keys[place])
        assert historical["nested.half"][row] == seen["nested"]["half"]
    assert brightness["min"][0] <= online["image.brightness"][0] <= brightness["max"][0]


@pytest.mark.slow
def test_feast_reads_the_dataset_itself_and_copies_on_s3(shared_data, moto_options, tmp_path, monkeypatch):
    filesystem = s3fs.S3FileSystem(**moto_options)
    table, images = flights(shared_data, 400), digits(shared_data, 6)
    for path, content in (("lake/feast/flights/a.parquet", table), ("lake/feast/images/a.parquet", images)):
        with filesystem.open(path, "wb") as sink:
            pq.write_table(content, sink)
    endpoint = moto_options["client_kwargs"]["endpoint_url"]
    environment = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = {
        "dataset": {
            "source": "s3://lake/feast/flights/",
            "entity": ["flight_id"],
            "event_time": "event_timestamp",
            "targets": ["Cancelled"],
        },
        "output": "s3://lake/feast/out/flights",
        "engine": {"kind": "serial"},
        "analyses": {"interaction": False},
    }
    featflow.run(settings)
    told = export_feast("s3://lake/feast/out/flights", str(tmp_path / "flights")).public()
    assert told["views"] == {"flights_columns": "s3://lake/feast/flights"}
    assert told["notes"] == []
    run_digits(images, "s3://lake/feast/images/", "s3://lake/feast/out/signs")
    copied = export_feast("s3://lake/feast/out/signs", str(tmp_path / "signs"), "s3://lake/feast/copies").public()
    assert all(path.startswith("s3://lake/feast/copies/") for path in copied["views"].values())
    export_feast("s3://lake/feast/out/signs")  # a repository on S3, beside its run
    filesystem.invalidate_cache()
    there = set(filesystem.find("lake/feast/out/signs/feast"))
    assert {path.rpartition("/")[2] for path in there} >= {"definitions.py", "feature_store.yaml", "README.md"}
    for path in (*there, *filesystem.find("lake/feast/copies")):
        assert SECRET_KEY.encode() not in filesystem.cat_file(path), path
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET_KEY.encode() not in path.read_bytes(), path
        assert not path.is_file() or endpoint.encode() not in path.read_bytes(), path

    key = images["image_id"][0].as_py()
    requests = [
        {"repository": str(tmp_path / "flights"), "features": ["flights_columns:Dest", "flights_columns:DepDelay"],
         "entities": [{"flight_id": 7}], "at": ["2012-01-01"]},
        {"repository": str(tmp_path / "signs"), "features": ["image_embedding:embedding", "signs_columns:signer"],
         "entities": [{"image_id": key}], "at": ["2026-06-01"]},
    ]  # fmt: skip
    of_flights, of_signs = in_feast(requests, **environment)
    for found in (of_flights["online"], of_flights["historical"]):
        assert (found["Dest"], found["DepDelay"]) == ([table["Dest"][7].as_py()], [table["DepDelay"][7].as_py()])
    for found in (of_signs["online"], of_signs["historical"]):
        assert len(found["embedding"][0]) == 20
        assert found["signer"] == [images["signer"][6].as_py()]


def mixed_settings(tmp_path, parts=3, **more):
    table = mixed_table(1_200).append_column("id", pa.array(range(1_200)))
    source = write_parts(table, tmp_path / "data", parts)
    dataset = {"source": source, "entity": ["id"], "event_time": "when", "targets": ["target"], **more}
    return {
        "dataset": dataset,
        "output": str(tmp_path / "out"),
        "engine": {"kind": "serial"},
        "analyses": {"interaction": False, "drift": False},
    }


def test_what_users_wrote_of_their_store_stays(tmp_path):
    settings = mixed_settings(tmp_path)
    featflow.run(settings)
    store = tmp_path / "out" / "feast" / "feature_store.yaml"
    export_feast(settings["output"])
    store.write_text("project: mine\nregistry: here\nprovider: local\n")
    again = export_feast(settings["output"])
    assert store.read_text().startswith("project: mine")
    assert list(again.public()["views"]) == ["mine_columns"]
    store.write_text("provider: local\n")
    with pytest.raises(ConfigurationError, match="names no project"):
        export_feast(settings["output"])


def test_parts_are_named_by_what_they_hold(tmp_path):
    settings = mixed_settings(tmp_path)
    featflow.run(settings)
    exported = export_feast(settings["output"])
    folder = Path(exported.uri) / exported.public()["views"]["out_columns"]
    first = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_parts(mixed_table(100, seed=8).append_column("id", pa.array(range(100))), tmp_path / "data" / "more", 1)
    (tmp_path / "data" / "part-000.parquet").unlink()
    with pytest.raises(DatasetError, match=r"part-000\.parquet: changed or gone since the run read it"):
        export_feast(settings["output"])
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == first
    featflow.run(settings)
    again = export_feast(settings["output"])
    assert not folder.exists()
    folder = Path(again.uri) / again.public()["views"]["out_columns"]
    second = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(second) == 3
    assert len(first.items() & second.items()) == 2, "two parts stay, one goes, one comes"
    assert sum(pq.read_metadata(path).num_rows for path in folder.iterdir()) == 900


def test_rows_without_key_or_time_are_left_out_and_said(tmp_path):
    table = mixed_table(600)
    table = table.append_column("id", pa.array([None if n < 5 else n for n in range(600)], pa.int32()))
    when = pa.array(
        [None if n > 589 else value for n, value in enumerate(table["when"].to_pylist())], pa.timestamp("us")
    )
    settings = mixed_settings(tmp_path)
    settings["dataset"]["source"] = write_parts(
        table.set_column(table.column_names.index("when"), "when", when), tmp_path / "holes", 1
    )
    featflow.run(settings)
    exported = export_feast(settings["output"], str(tmp_path / "repository"))
    assert any("15 rows" in note for note in exported.repository.notes)
    again = export_feast(settings["output"], str(tmp_path / "repository"))
    assert again.repository.notes == exported.repository.notes, "what is there already is counted, too"
    [path] = (tmp_path / "repository").rglob("part-*.parquet")
    copy = pq.read_table(path)
    assert copy.schema.field("id").type == pa.int64()
    assert copy.schema.field("when").type == pa.timestamp("us", "UTC")
    assert copy["x"].to_pylist() == table["x"].to_pylist()[5:590]
    assert copy["nested.b"].to_pylist() == [row["b"] for row in table["nested"].to_pylist()[5:590]]


def columns_copy(repository):
    return pq.read_table(sorted(Path(repository).rglob("*_columns-*/part-*.parquet")))


def test_parts_of_times_are_features_and_are_copied(tmp_path):
    """Of a run they are what a row of the files says; those of images lie in views of their own."""
    settings = mixed_settings(tmp_path)
    settings["dataset"]["derive"] = [{"parts": "when", "timezone": "Asia/Tokyo"}]
    run = featflow.run(settings)
    exported = export_feast(settings["output"], str(tmp_path / "repository"))
    assert any("is made of other columns" in note for note in exported.repository.notes)
    copy = columns_copy(tmp_path / "repository")
    local = pl.from_arrow(copy)["when"].dt.convert_time_zone("Asia/Tokyo")
    assert copy["when.hour"].to_pylist() == local.dt.hour().to_list()
    assert copy["when.weekday"].to_pylist() == local.dt.weekday().to_list()
    days = (local.dt.date() - local.dt.date().min()).dt.total_days().to_list()
    assert copy["when.days"].to_pylist() == days
    assert copy.schema.field("when.hour").type == pa.int64()
    assert run.manifest["derived"]["when.hour"] == ["when"]


def test_rows_are_copied_anew_when_they_are_read_another_way(tmp_path):
    settings = mixed_settings(tmp_path)
    featflow.run(settings)
    export_feast(settings["output"], str(tmp_path / "repository"))
    before = columns_copy(tmp_path / "repository")
    settings["dataset"]["null_values"] = ["city-7"]
    featflow.run(settings)
    export_feast(settings["output"], str(tmp_path / "repository"))
    after = columns_copy(tmp_path / "repository")
    assert (len(before), len(after)) == (1_200, 1_200)
    assert "city-7" in before["city"].to_pylist()
    assert "city-7" not in after["city"].to_pylist()


def test_what_the_run_could_not_read_is_left_out_and_said(tmp_path):
    settings = mixed_settings(tmp_path) | {"budget": {"bad_rows": 0.5}}
    table = mixed_table(1_200).append_column("id", pa.array(range(1_200)))
    settings["dataset"]["source"] = write_parts(table, tmp_path / "bad", 2, group_rows=200)
    damage(tmp_path / "bad" / "part-001.parquet")
    (tmp_path / "bad" / "torn.parquet").write_bytes(b"PAR1 and no more")
    featflow.run(settings)
    notes = export_feast(settings["output"], str(tmp_path / "repository")).repository.notes
    said = next(note for note in notes if "`quarantine`" in note)
    assert "torn.parquet" in said
    assert "2 that it could not read" in said
    assert said.partition("'")[0] in (tmp_path / "repository" / "README.md").read_text()
    assert sorted(columns_copy(tmp_path / "repository")["id"].to_pylist()) == [*range(800), *range(1_000, 1_200)]
    export_feast(settings["output"], str(tmp_path / "again"))
    (tmp_path / "bad" / "part-000.parquet").unlink()
    with pytest.raises(DatasetError, match=r"part-000\.parquet: changed or gone since the run read it"):
        export_feast(settings["output"], str(tmp_path / "repository"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"id": pa.array([None, *range(1, 300)])}, "'id' is missing in some row"),
        ({"at": pa.array([FIRST] * 299 + [None], pa.timestamp("us", "UTC"))}, "'at' is missing in some row"),
        ({"at": pa.array([FIRST.replace(tzinfo=None)] * 300, pa.timestamp("us"))}, "'at' is not a time in UTC"),
        ({"x": pa.array(["a"] * 300).dictionary_encode()}, "x is dictionary"),
        ({"x": pa.array([1.5] * 300, pa.float16())}, "x is halffloat"),
        ({"x": pa.array(range(300), pa.uint64())}, "x is uint64"),
        ({"a:b": pa.array(range(300))}, "it has no name for 'a:b'"),
        ({"event_timestamp": pa.array(range(300))}, "it has no name for 'event_timestamp'"),
    ],
)
def test_why_feast_does_not_read_the_dataset_itself(change, reason, tmp_path):
    plain = {
        "id": pa.array(range(300)),
        "at": pa.array([FIRST] * 300, pa.timestamp("ms", "UTC")),
        "x": pa.array(np.arange(300) % 7),
        "target": pa.array(["left", "right"] * 150),
    }
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(plain | change), tmp_path / "data" / "a.parquet")
    settings = mixed_settings(tmp_path / "other", event_time="at")
    settings["dataset"]["source"] = str(tmp_path / "data")
    settings["analyses"] |= {"correlation": False}
    featflow.run(settings)
    told = export_feast(settings["output"]).public()
    copied = str(tmp_path / "data") not in told["views"].values()
    notes = [note for note in told["notes"] if "reads a copy" in note]
    assert [reason in note for note in notes] == [True] * copied
    assert copied is (reason is not None)
    if copied:
        (tmp_path / "data" / "a.parquet").unlink()
        with pytest.raises(DatasetError, match="no Parquet files there"):
            export_feast(settings["output"])


def test_other_files_beside_the_dataset_are_none_of_feasts(tmp_path):
    settings = mixed_settings(tmp_path)
    table = pa.table({"id": range(300), "when": pa.array([FIRST] * 300), "x": range(300), "target": ["a", "b"] * 150})
    settings["dataset"]["source"] = write_parts(table, tmp_path / "plain", 1)
    settings["output"] = str(tmp_path / "plain" / "results")
    featflow.run(settings)
    [note] = export_feast(settings["output"]).repository.notes[:1]
    assert f"there is {settings['output']}" in note


def test_metrics_of_other_days_stay_and_the_first_run_is_the_baseline(tmp_path):
    settings = mixed_settings(tmp_path)
    featflow.run(settings)
    path = tmp_path / "repository" / PATH
    exported = export_feast(settings["output"], str(tmp_path / "repository"))
    first = pq.read_table(path)
    assert first.schema.equals(METRICS)
    assert first["is_baseline"].to_pylist() == [True] * exported.metrics
    export_feast(settings["output"], str(tmp_path / "repository"))
    assert pq.read_table(path).equals(first), "a second export changes nothing"
    earlier = [day - timedelta(days=1) for day in first["metric_date"].to_pylist()]
    place = METRICS.get_field_index("metric_date")
    pq.write_table(first.set_column(place, "metric_date", pa.array(earlier)), path)
    export_feast(settings["output"], str(tmp_path / "repository"))
    both = pl.read_parquet(path)
    assert both.group_by("metric_date").agg(pl.col("is_baseline").all()).sort("metric_date")[
        "is_baseline"
    ].to_list() == [
        True,
        False,
    ]
    pq.write_table(pa.table({"something": [1]}), path)
    with pytest.raises(DatasetError, match="not Feast's table of metrics"):
        export_feast(settings["output"], str(tmp_path / "repository"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entity": []}, r"Feast needs join keys; set dataset\.entity"),
        ({"event_time": None}, r"set dataset\.event_time"),
        ({"event_time": "big_id"}, "'big_id' is int64 and Feast needs times"),
    ],
)
def test_what_feast_cannot_do_without_is_named(change, said, tmp_path):
    settings = mixed_settings(tmp_path, **change)
    featflow.run(settings)
    with pytest.raises(ConfigurationError, match=said):
        export_feast(settings["output"])
    assert not (tmp_path / "out" / "feast").exists()


def test_command_says_what_comes_next(tmp_path):
    settings = mixed_settings(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    run = featflow.run(settings)
    command = [sys.executable, "-m", "featflow", "export", "feast", run.uri, "--to", str(tmp_path / "repository")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "feast materialize 2020-09-13T" in done.stdout
    assert "note:" in done.stdout
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert json.loads(told.stdout)["services"]["out_target"][0] == run.table("ranking")["feature"][0]
    bad = subprocess.run([*command[:-1], "s3://me:secret@lake/x"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert "holds credentials" in bad.stderr
    assert "secret" not in bad.stderr
