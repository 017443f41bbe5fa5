"""OpenLineage events of real runs: valid, the same in the file and at a server, and never a reason to fail."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jsonschema
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import mixed_table, write_parts
from lineage_spec import RUN_EVENT
from servers import ACCESS_KEY, SECRET_KEY

import featflow
from featflow import config
from featflow.errors import ConfigurationError, SchemaError
from featflow.export.openlineage import events
from featflow.export.openlineage.lineage import export_openlineage

KEY = "lineage-key-71c0"
CHECK = jsonschema.Draft202012Validator(RUN_EVENT, format_checker=jsonschema.FormatChecker())
HOSTILE = 'a "name"\n<b>|`'


def events_in(text):
    """Valid events of a text, a JSON object a line."""
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        CHECK.validate(event)
        uuid.UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert len({event["run"]["runId"] for event in events}) == 1
    return events


@contextmanager
def lineage_server(answer):
    """A server on loopback that keeps what is posted; ``answer`` is its status, or an event to wait for first."""
    posts = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append((self.path, dict(self.headers), body.decode()))
            if isinstance(answer, threading.Event):
                answer.wait()
            self.send_response(201 if isinstance(answer, threading.Event) else answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", posts
    finally:
        if isinstance(answer, threading.Event):
            answer.set()
        server.shutdown()
        thread.join()
        server.server_close()


def configuration(tmp_path, table, **more):
    return {
        "dataset": {"source": write_parts(table, tmp_path / "data", 2), "targets": ["target"], "entity": ["user"]},
        "output": str(tmp_path / "out"),
        "engine": {"kind": "serial"},
        "analyses": {"interaction": False},
        **more,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    table = mixed_table(2_000).rename_columns({"city": HOSTILE})
    return table, featflow.run(configuration(tmp_path_factory.mktemp("lineage"), table))


def lines_of(run):
    return run.store.read(f"runs/{run.run_id}/openlineage.jsonl").decode()


def test_events_of_a_run_are_valid_and_true(finished):
    table, run = finished
    start, complete = events_in(lines_of(run))
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["eventTime"] < complete["eventTime"]
    assert start["job"] == complete["job"]
    [dataset] = complete["inputs"]
    source = run.manifest["config"]["dataset"]["source"][0]
    assert (dataset["namespace"], dataset["name"]) == ("file", source)
    assert {"name": "x", "type": "double"} in dataset["facets"]["schema"]["fields"]

    quality = dataset["inputFacets"]["dataQualityMetrics"]
    assert (quality["rowCount"], quality["fileCount"]) == (2_000, 2)
    assert quality["bytes"] == sum(entry["size"] for entry in run.manifest["inputs"])
    metrics = quality["columnMetrics"]
    assert metrics[HOSTILE]["nullCount"] == table[HOSTILE].null_count
    assert metrics[HOSTILE]["distinctCount"] == pc.count_distinct(table[HOSTILE], "only_valid").as_py()
    assert [metrics["x"][end] for end in ("min", "max")] == list(pc.min_max(table["x"]).as_py().values())
    assert metrics["x"]["quantiles"]["0.5"] == pytest.approx(pc.quantile(table["x"]).to_pylist()[0], abs=0.05)

    outputs = {output["name"].rpartition("/")[2]: output for output in complete["outputs"]}
    assert set(outputs) == set(run.tables)
    for name, output in outputs.items():
        written = output["outputFacets"]["outputStatistics"]
        entry = run.manifest["tables"][name]
        assert (written["rowCount"], written["fileCount"]) == (entry["rows"], 1)
        assert written["size"] == len(run.store.read(entry["path"]))
        assert [field["name"] for field in output["facets"]["schema"]["fields"]] == run.arrow(name).column_names
        assert output["facets"]["symlinks"]["identifiers"][0]["name"] == run.tables[name]
        assert output["facets"]["version"]["datasetVersion"] == run.run_id
    made_of = outputs["ranking"]["facets"]["columnLineage"]["fields"]["mi"]["inputFields"]
    assert {field["field"] for field in made_of} == set(run.table("profile")["column"])
    assert {(field["namespace"], field["name"]) for field in made_of} == {("file", source)}


def test_export_writes_what_the_run_told(finished, tmp_path):
    _, run = finished
    assert export_openlineage(run, str(tmp_path / "events.jsonl")) == str(tmp_path / "events.jsonl")
    assert (tmp_path / "events.jsonl").read_text() == lines_of(run)


def test_tables_keep_their_names_from_run_to_run(finished):
    _, run = finished
    again = featflow.run({**run.manifest["config"]})
    first, second = (events_in(lines_of(each))[1] for each in (run, again))
    assert [output["name"] for output in first["outputs"]] == [output["name"] for output in second["outputs"]]
    assert first["run"]["runId"] != second["run"]["runId"]


def test_a_server_gets_what_the_file_holds_and_no_file_holds_its_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", KEY)
    with lineage_server(201) as (url, posts):
        lineage = {"url": url, "namespace": "lake", "job": "nightly", "folder": str(tmp_path / "told")}
        run = featflow.run(configuration(tmp_path, mixed_table(500), lineage=lineage))
    text = (tmp_path / "told" / f"{run.run_id}.jsonl").read_text()
    assert [json.loads(body) for _, _, body in posts] == events_in(text)
    assert {path for path, _, _ in posts} == {"/api/v1/lineage"}
    assert {headers["Authorization"] for _, headers, _ in posts} == {f"Bearer {KEY}"}
    assert {(each["job"]["namespace"], each["job"]["name"]) for each in events_in(text)} == {("lake", "nightly")}
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_run_that_fails_says_so(tmp_path):
    settings = configuration(tmp_path, mixed_table(500))
    settings["dataset"]["targets"] = ["targets"]
    with lineage_server(201) as (url, posts), pytest.raises(SchemaError, match="no column 'targets'"):
        featflow.run({**settings, "lineage": {"url": url}})
    [path] = (tmp_path / "out" / "runs").glob("*/openlineage.jsonl")
    start, fail = events_in(path.read_text())
    assert (start["eventType"], fail["eventType"]) == ("START", "FAIL")
    error = fail["run"]["facets"]["errorMessage"]
    assert "no column 'targets'" in error["message"]
    assert error["programmingLanguage"] == "Python"
    assert [json.loads(body)["eventType"] for _, _, body in posts] == ["START", "FAIL"]
    assert featflow.list_runs(str(tmp_path / "out")) == []


def test_on_s3_names_are_keys_and_credentials_are_nowhere(moto_options, tmp_path):
    filesystem = s3fs.S3FileSystem(**moto_options)
    with filesystem.open("lake/lineage/data/a.parquet", "wb") as sink:
        pq.write_table(mixed_table(500), sink)
    settings = {
        "dataset": {"source": "s3://lake/lineage/data/", "targets": ["target"], "storage_options": moto_options},
        "output": "s3://lake/lineage/out",
        "engine": {"kind": "serial"},
        "analyses": {"interaction": False},
    }
    run = featflow.run(settings)
    _, complete = events_in(lines_of(run))
    assert [(each["namespace"], each["name"]) for each in complete["inputs"]] == [("s3://lake", "lineage/data")]
    assert ("s3://lake", "lineage/out/ranking") in {(each["namespace"], each["name"]) for each in complete["outputs"]}

    settings["dataset"]["event_time"] = SECRET_KEY  # an error that repeats it
    with pytest.raises(SchemaError, match=r"no column '\*\*\*'"):
        featflow.run(settings)
    filesystem.invalidate_cache()
    files = [path for path in filesystem.find("lake/lineage/out/runs") if path.endswith("openlineage.jsonl")]
    texts = [filesystem.cat_file(path).decode() for path in files]
    assert sorted(events_in(text)[-1]["eventType"] for text in texts) == ["COMPLETE", "FAIL"]
    assert not any(secret in text for text in texts for secret in (SECRET_KEY, ACCESS_KEY))
    assert any("no column '***'" in text for text in texts)


@pytest.mark.parametrize("fault", ["absent", "refuses", "silent"])
def test_a_run_goes_on_where_nobody_listens(fault, tmp_path, free_port, caplog):
    answers = {"absent": 201, "refuses": 403, "silent": threading.Event()}
    with lineage_server(answers[fault]) as (url, _), caplog.at_level(logging.WARNING):
        told = f"http://127.0.0.1:{free_port}" if fault == "absent" else url
        settings = configuration(tmp_path, mixed_table(500), lineage={"url": told, "timeout": 0.2})
        run = featflow.run(settings)
    assert run.manifest["status"] == "done"
    said = [record.getMessage() for record in caplog.records if record.name == "featflow.lineage"]
    assert [line.split()[1] for line in said] == ["START", "COMPLETE"]
    assert [event["eventType"] for event in events_in(lines_of(run))] == ["START", "COMPLETE"]


def test_a_folder_that_cannot_be_written_fails_no_run(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    settings = configuration(tmp_path, mixed_table(500), lineage={"folder": str(tmp_path / "file" / "below")})
    with caplog.at_level(logging.WARNING):
        assert featflow.run(settings).manifest["status"] == "done"
    assert "not written" in caplog.text


def test_lineage_can_be_left_out(tmp_path):
    run = featflow.run(configuration(tmp_path, mixed_table(500), lineage=False))
    assert not [path for path in run.store.sizes(f"runs/{run.run_id}") if path.endswith("jsonl")]


@pytest.mark.parametrize("url", ["http://me:secret@host", "http://host?key=secret", "ftp://host"])
def test_a_url_holds_no_key(url):
    with pytest.raises(ConfigurationError, match=r"lineage\.url") as refused:
        config.parse({"dataset": {"source": "a"}, "output": "b", "lineage": {"url": url}})
    assert "@" not in url or "secret" not in str(refused.value)


def test_events_follow_the_schemas_of_the_client():
    from openlineage.client import facet_v2
    from openlineage.client.event_v2 import RunEvent

    modules = [module for module in vars(facet_v2).values() if isinstance(module, type(facet_v2))]
    for name, version in events.FACETS.items():
        facet = next(getattr(module, name) for module in modules if hasattr(module, name))
        assert facet._get_schema() == f"{events.SPEC}/facets/{version}/{name}.json#/$defs/{name}"
    assert RunEvent._get_schema() == events.EVENT
