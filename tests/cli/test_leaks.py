"""Ways to leak a secret: by every command, on both streams, as text and JSON, into every file; none does.

Each way has a marker that no form of quoting changes. What is said must still name what is wrong.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
import warnings

import pytest
import yaml
from datasets import mixed_table, write_parts

from featflow.cli.main import main
from featflow.cli.streams import filtered
from featflow.config import load
from featflow.errors import InfrastructureError
from featflow.pipeline import job
from featflow.storage.redaction import redacted, remember, remember_users

MARK = "MARKER5f2b"
SECRET = f"a+{MARK}/z=1"
NOWHERE = "127.0.0.1:9"
USER = f"me:{SECRET}"
SIGNED = (
    f"https://{NOWHERE}/lake/a.parquet?X-Amz-Credential=AKIA{MARK}&X-Amz-Signature={MARK}&X-Amz-Security-Token={MARK}"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a configuration, its data, and an output with a run whose options hold the secret."""
    folder = tmp_path_factory.mktemp("leaks")
    source = write_parts(mixed_table(300).select(["x", "y", "target"]), folder / "data", 1)
    options = {"s3": {"secret": SECRET, "key": f"{MARK}-key"}, "gs": {"token": {"private_key": f"{MARK}\nsecond\n"}}}
    values = {
        "dataset": {"source": source, "targets": ["target"], "storage_options": options},
        "output": str(folder / "out"),
        "engine": {"kind": "serial"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    plain = values | {"dataset": {"source": "s3://lake/x"}, "output": "s3://lake/out"}
    (folder / "plain.yaml").write_text(yaml.safe_dump(plain))
    (folder / "broken.yaml").write_text(f"dataset:\n  storage_options:\n  secret: '{SECRET}\n output: {SECRET}: x\n")
    (folder / "typed.yaml").write_text(f"dataset: {{storage_options: {{secret: '{SECRET}', key: 1}}, sorce: x}}\n")
    job.run(load(str(folder / "config.yaml")))
    return folder


def s3(key, value):
    options = [
        "--set",
        "dataset.source=s3://lake/nothing",
        "--set",
        f"dataset.storage_options={{s3: {{{key}: '{value}'}}}}",
    ]
    return ["CONFIG", *options]


COMMANDS = {
    "plan: endpoint without scheme": ["plan", *s3("endpoint_url", f"{USER}@nowhere")],
    "run: endpoint without scheme": ["run", *s3("endpoint_url", f"{USER}@nowhere")],
    "plan: unknown option": ["plan", *s3("secrt", SECRET)],
    "run: source with a user": ["run", "CONFIG", "--set", f"dataset.source=s3://{USER}@lake/x"],
    "run: data with a user": ["run", f"s3://{USER}@lake/x"],
    "run: output with a user": ["run", "CONFIG", "--set", f"output=s3://{USER}@lake/x"],
    "plan: address of Ray with a user": ["plan", "CONFIG", "--set", f"engine.address=ray://{USER}@{NOWHERE}"],
    "gc": ["gc", f"s3://{USER}@", "--keep", "1"],
    "status": ["status", f"ftps://{USER}@{NOWHERE}/x"],
    "runs": ["runs", f"nonsense://{USER}@lake/x"],
    "runs: nothing there": ["runs", f"/nowhere/?sig={MARK}"],
    "report": ["report", f"nonsense://{USER}@lake/x"],
    "report: to": ["report", "OUTPUT", "--to", f"nonsense://{USER}@lake/x"],
    "compare": ["compare", f"nonsense://{USER}@lake/x", f"nonsense://{USER}@lake/y"],
    "export feast": ["export", "feast", f"nonsense://{USER}@lake/x"],
    "export feast: to": ["export", "feast", "OUTPUT", "--to", f"nonsense://{USER}@lake/x"],
    "export openlineage": ["export", "openlineage", f"nonsense://{USER}@lake/x"],
    "export delta": ["export", "delta", "OUTPUT", "--to", f"nonsense://{USER}@lake/x"],
    "export iceberg": ["export", "iceberg", "OUTPUT", "--to", "c.n", "--catalog", f"uri=nonsense://{USER}@lake"],
    "submit: address": ["submit", "PLAIN", "--address", f"http://{USER}@{NOWHERE}"],
    "submit: address without scheme": ["submit", "PLAIN", "--address", f"{USER}@nowhere"],
    "set: colon for equals": ["plan", "CONFIG", "--set", f"dataset.storage_options.secret:{SECRET.replace('=', '')}"],
    "set: no key": ["plan", "CONFIG", "--set", f"={SECRET}"],
    "set: not YAML": ["plan", "CONFIG", "--set", f"dataset.storage_options.secret=[{SECRET}"],
    "set: no options": ["plan", "CONFIG", "--set", f"dataset.storage_options={SECRET}"],
    "set: wrong section": ["plan", "CONFIG", "--set", f"dataset.storage_optoins.secret={SECRET}"],
    "file: not YAML": ["plan", "BROKEN"],
    "file: wrong key": ["plan", "TYPED"],
    "lineage: query": ["plan", "CONFIG", "--set", f"lineage.url=http://{NOWHERE}/x?api_key={MARK}"],
    "lineage: user": ["plan", "CONFIG", "--set", f"lineage.url=http://{USER}@{NOWHERE}"],
    "signed source": ["run", "CONFIG", "--set", f"dataset.source={SIGNED}", "--set", "output=LATER"],
    "signed data": ["plan", SIGNED],
    "catalog": [
        "plan",
        "CONFIG",
        "--set",
        "dataset.source=iceberg:c.n.t",
        "--set",
        f"dataset.catalog={{uri: 'x://{MARK}:{MARK}@h', token: {MARK}}}",
    ],
    "unknown argument": ["plan", "CONFIG", f"s3://{USER}@lake/x"],
    "usage": ["gc", "OUTPUT", "--keep", f"s3://{USER}@lake"],
}


@pytest.mark.parametrize("way", COMMANDS)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_no_command_says_a_secret(place, capfd, tmp_path, way, more):
    words = {
        "CONFIG": "config.yaml",
        "BROKEN": "broken.yaml",
        "TYPED": "typed.yaml",
        "PLAIN": "plain.yaml",
        "OUTPUT": "out",
    }
    arguments = [str(place / words[each]) if each in words else each for each in COMMANDS[way]]
    arguments = [each.replace("LATER", str(tmp_path / "out")) for each in arguments]
    with pytest.raises(SystemExit) as ended:
        main(arguments + (more if "openlineage" not in arguments else []))
    out, err = capfd.readouterr()
    assert ended.value.code in {0, 2, 4}
    assert out + err
    assert "Traceback" not in err
    assert_nowhere(out + err, tmp_path)
    assert way != "signed source" or any(tmp_path.rglob("failure.json"))


def assert_nowhere(said, *folders):
    forms = [MARK, MARK.lower(), base64.b64encode(USER.encode()).decode(), base64.b64encode(SECRET.encode()).decode()]
    for form in forms:
        assert form not in said
        for folder in folders:
            for path in folder.rglob("*"):
                assert not (path.is_file() and form.encode() in path.read_bytes()), path
                assert form not in str(path)


def test_nothing_that_a_run_leaves_holds_a_secret(place, capfd, tmp_path):
    out = place / "out"
    for arguments in (["report", str(out), "--to", str(tmp_path / "r.html")], ["export", "openlineage", str(out)]):
        with pytest.raises(SystemExit):
            main(arguments)
    for arguments in (["status", str(out)], ["runs", str(out), "--json"], ["export", "feast", str(out), "--json"]):
        with pytest.raises(SystemExit):
            main(arguments)
    assert_nowhere("".join(capfd.readouterr()), out, tmp_path)


EVENTS = {
    "defect": f"raise RuntimeError('at https://{USER}@host: {SECRET}')",
    "error": f"raise InfrastructureError('refused: {SECRET}')",
    "warning": f"sys.stderr.write(warnings.formatwarning('with {SECRET}', UserWarning, 'x', 1))",
    "log": f"logging.StreamHandler().emit(logging.makeLogRecord({{'msg': '{SECRET}'}}))",
    "header": f"raise InfrastructureError('Authorization: Basic {base64.b64encode(USER.encode()).decode()}')",
}


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_that_happens_in_a_run_says_a_secret(place, capfd, monkeypatch, event):
    names = {"InfrastructureError": InfrastructureError, "warnings": warnings, "logging": logging, "sys": sys}

    def happen(*_, **__):
        exec(EVENTS[event], names)
        raise InfrastructureError("over")

    monkeypatch.setattr(job, "run", happen)
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main(["run", str(place / "config.yaml"), *more])
    out, err = capfd.readouterr()
    assert "***" in err
    assert_nowhere(out + err)


@pytest.mark.parametrize(
    "said",
    [
        f"s3://{USER}@lake",
        f"ftp://me:{MARK}@host:21/x, and more",
        f"https://{MARK}@host/x",
        f"GET https://h/a?sv=1&sig={MARK}%3D&se=2026",
        f"GET https://h/a?GoogleAccessId={MARK}&Expires=1&Signature={MARK}",
        f"GET https://h/a?AWSAccessKeyId={MARK}",
        f"GET https://h/a?x=1&token={MARK}",
        f"https%3A%2F%2Fme%3A{MARK}%40host%2Fa%3FX-Amz-Signature%3D{MARK}%26x",
        f"{{'Authorization': 'Bearer {MARK}.{MARK}'}}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=AKIA{MARK}/20260101, Signature={MARK}",
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={MARK}==;",
        f"x-api-key: {MARK}{MARK}",
    ],
)
def test_forms_that_are_known_by_their_shape(said):
    assert MARK not in redacted(said, {})
    assert MARK not in filtered(said)


def test_forms_of_known_values(monkeypatch):
    word = f'one "{MARK}" ü\ntwo of {MARK}'
    monkeypatch.setenv("FEATFLOW_TEST_SECRET", f"{MARK}-of-variable")
    options = {"a": [{"b": word}], "c": "x ${env:FEATFLOW_TEST_SECRET}"}
    remember(options)
    for said in (word, json.dumps(word), repr(word), word.splitlines()[1], f"{MARK}-of-variable"):
        assert MARK not in redacted(said, options)
        assert MARK not in filtered(said)


def test_what_is_public_or_short_is_left():
    options = {
        "profile": "dev",
        "client_kwargs": {"region_name": "eu-central-1"},
        "key": "lake",
        "endpoint_url": "x.example",
    }
    said = "s3://lake/dev/key=5/token=1/eu-central-1/a?.parquet at http://x.example:9000/b, by me@example.org"
    assert redacted(said, options) == said
    assert redacted("abfss://lake@account.dfs.core.windows.net/x", {}) == "abfss://lake@account.dfs.core.windows.net/x"


@pytest.mark.parametrize(
    "said",
    [
        "s3://lake/api_key=1/part-00000-c000.snappy.parquet",
        "s3://lake/token=1/signature=1/part-00001.parquet, /data/credential=9/accountkey=1/part-00001.parquet",
        "s3://company-lake/customers/by@hash/part.parquet",
        "/home/customers/export@monday/data.csv",
        "customers@monday.csv",
        "delta:s3://company-lake/customers@version",
        "iceberg:catalogue.customers@main",
        "transformers:s3://company-models/transformer@main",
        "http://customers:8265/export@monday",
        "abfss://customers@account.dfs.core.windows.net/x",
        "level Basic Subscription of column password: the basic configuration",
        "someone.else@example.com",
    ],
)
def test_paths_and_names_that_look_like_secrets_are_left(said):
    remember_users([said, f"dataset.source={said}"])
    remember({"warehouse": said})
    assert filtered(f"cannot read {said}; mend it") == f"cannot read {said}; mend it"
