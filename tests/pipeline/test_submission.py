"""What is submitted and under which name; which job of a night counts; what is told of how it ended."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from featflow.cli.submission_view import shown_line
from featflow.config import load, parse
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.execution.engines.base import Job
from featflow.pipeline.submission import Outcome, explained, follow, place, submission


def config(**more):
    dataset = {"source": "s3://lake/flights", "event_time": "day", "window": "last 30 days"} | more.pop("dataset", {})
    return parse({"dataset": dataset, "output": "s3://lake/out/flights"} | more)


class Listed:
    """A cluster of the jobs given; one that is submitted runs, and ends when its log is read."""

    def __init__(self, *jobs, quicker=(), log=("",)):
        self.jobs, self.quicker, self.texts = {job.name: job for job in jobs}, list(quicker), log
        self.stopped = []

    def named(self, name):
        return [job for job in self.jobs.values() if job.name.startswith(name)]

    def submit(self, name, _):
        if self.quicker:
            other = self.quicker.pop()
            self.jobs[other.name] = other
        if name in self.jobs:
            return False
        self.jobs[name] = Job(name, "PENDING")
        return True

    def job(self, name):
        return self.jobs[name]

    def log(self, name, seen):
        skip = seen
        for text in self.texts:
            if text is KeyboardInterrupt:
                self.texts = [each for each in self.texts if each is not text]
                raise KeyboardInterrupt
            if text[skip:]:
                yield text[skip:]
            skip = max(0, skip - len(text))
        self.jobs[name] = Job(name, "SUCCEEDED", 0)

    def stop(self, name):
        self.stopped.append(name)


def test_the_name_is_of_configuration_and_night():
    name = submission(config(), "2026-01-02").name
    assert name == submission(config(), "2026-01-02").name
    assert name == submission(config(engine={"kind": "serial"}), "2026-01-02").name  # it runs where it is submitted
    assert name == submission(config(codebook={"bins": 64}), "2026-01-02").name  # the default, said aloud
    others = [
        submission(config(), "2026-01-03"),
        submission(config(codebook={"bins": 32}), "2026-01-02"),
        submission(config(output="s3://lake/out/hotels"), "2026-01-02"),
    ]
    assert len({name, *(other.name for other in others)}) == 4
    assert submission(config(dataset={"as_of": "2026-01-02"})).name.startswith("featflow-flights-2026-01-02-")
    assert submission(config(output="s3://lake/Ünï/a b/")).name.startswith("featflow-a-b-")


def test_what_travels_is_the_same_configuration(tmp_path):
    sent = config(analyses={"correlation": False, "interaction": {"keep": 7}}, dataset={"exclude": ["\U0001f600", "ä"]})
    ((name, text),) = submission(sent).files.items()
    (tmp_path / name).write_text(text, encoding="utf-8")
    arrived = load(str(tmp_path / name))
    assert arrived.analyses == sent.analyses
    assert arrived.dataset == sent.dataset
    assert (arrived.engine.kind, arrived.engine.address) == ("ray", "auto")


def test_credentials_do_not_travel():
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID") as caught:
        submission(config(dataset={"storage_options": {"key": "hush"}}))
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="--night"):
        submission(config(), "a/b")


@pytest.mark.parametrize(
    ("statuses", "found", "attached"),
    [
        ([], "", False),
        (["RUNNING"], "", True),
        (["SUCCEEDED"], "", True),
        (["FAILED"], "-2", False),
        (["FAILED", "STOPPED"], "-3", False),
        (["FAILED", "PENDING"], "-2", True),
    ],
)
def test_which_attempt_counts(statuses, found, attached):
    submitted = submission(config(), "2026-01-02")
    names = [submitted.name, *(f"{submitted.name}-{number}" for number in range(2, 10))]
    others = [Job(submitted.name + "-9x", "RUNNING"), Job("raysubmit_1", "RUNNING")]
    jobs = Listed(*others, *(Job(name, status) for name, status in zip(names, statuses, strict=False)))
    job, there = place(jobs, submitted)
    assert (job.name, there) == (submitted.name + found, attached)


def test_whoever_is_quicker_is_met():
    submitted = submission(config(), "2026-01-02")
    jobs = Listed(quicker=[Job(submitted.name, "RUNNING")])
    assert place(jobs, submitted) == (Job(submitted.name, "RUNNING"), True)


def test_a_log_is_shown_by_line_once_and_its_result_kept():
    said = json.dumps({"status": "failed", "exit_code": 3, "error": "no"})
    jobs = Listed(Job("a", "RUNNING"), log=["one\ntw", KeyboardInterrupt, "o\n" + said, "\nlast"])
    shown, asked = [], []
    outcome = follow(jobs, Outcome(Job("a", "RUNNING"), attached=False), shown.append, lambda: asked.append(1) or True)
    assert shown == ["one", "two", "last"]
    assert outcome.result["error"] == "no"
    assert (len(asked), jobs.stopped) == (1, ["a"])


@pytest.mark.parametrize(
    ("status", "code", "result", "exit_code", "words"),
    [
        ("SUCCEEDED", 0, {"run": "r"}, 0, ""),
        ("RUNNING", None, {}, 0, ""),
        ("FAILED", 3, {"exit_code": 3, "error": "no"}, 3, ""),
        ("FAILED", 2, {}, 4, "its driver ended with 2: boom"),  # of a library that gave up, not featflow's
        ("FAILED", None, {}, 4, "it did not start, or was lost: boom"),
        ("STOPPED", None, {}, 4, "a was stopped"),
    ],
)
def test_exit_codes(status, code, result, exit_code, words):
    outcome = Outcome(Job("a", status, code, "log\nboom"), attached=False, result=result)
    assert outcome.exit_code == exit_code
    assert outcome.public()["exit_code"] == exit_code
    if status != "RUNNING":
        assert words in explained(outcome)
        assert bool(words) == bool(explained(outcome))


def test_lines_for_people():
    assert shown_line("Ray says something") == "Ray says something"
    line = {"stage": "merging", "done": 0, "total": 2, "rows": 0}
    assert shown_line(json.dumps(line)) is None


def test_a_server_that_accepts_and_never_answers_is_given_up(monkeypatch):
    ray_jobs = pytest.importorskip("featflow.execution.engines.ray_jobs")
    monkeypatch.setattr(ray_jobs, "LOST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InfrastructureError, match="no Ray job server answers"):
            ray_jobs.RayJobs(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265x", "ray://127.0.0.1:10001", "http://"])
def test_an_address_that_is_none_is_named(address):
    ray_jobs = pytest.importorskip("featflow.execution.engines.ray_jobs")
    with pytest.raises(ConfigurationError, match=f"--address {address}.*write it as http://HEAD:8265"):
        ray_jobs.RayJobs(address)


def test_days_that_run_backwards_are_refused():
    script = Path(__file__).resolve().parents[2] / "jobs" / "backfill.py"
    command = [sys.executable, str(script), "flights.yaml", "--from", "2026-10-07", "--to", "2026-10-01"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "is before --from 2026-10-07" in done.stderr) == (2, True)
