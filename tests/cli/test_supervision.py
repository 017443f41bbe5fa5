"""Runs on Ray end with documented codes and the JSON object, whatever ends them; the lock is given back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from datasets import mixed_table, write_parts

from featflow.cli.main import main
from featflow.pipeline import job
from featflow.pipeline.status import status

FEATFLOW = [sys.executable, "-m", "featflow"]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    source = write_parts(mixed_table(20_000), folder / "data", 4)
    path = folder / "config.yaml"
    dataset = {"source": source, "targets": ["target"], "shard_bytes": "128KiB"}
    path.write_text(yaml.safe_dump({"dataset": dataset, "output": str(folder / "out"), "engine": {"kind": "ray"}}))
    return path


def started(config):
    """Return the process of a run that has begun to read on a Ray of its own."""
    process = subprocess.Popen(
        [*FEATFLOW, "run", str(config), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stderr.readline()
    assert json.loads(line)["stage"], line
    return process


def ended(process):
    out, err = process.communicate(timeout=120)
    return json.loads(out), err


def process_of(process, name):
    """Return the process of a Ray that a run has started."""
    found = psutil.Process(process.pid).children(recursive=True)
    return next(each for each in found if each.name() == name)


def assert_over(config, said, code, process):
    assert said["status"] == "failed"
    assert said["exit_code"] == process.returncode == code
    now = status(str(config.parent / "out"), 1)
    assert now.under_way is None
    assert now.runs[0].status != "done"


def test_a_node_that_is_gone_ends_with_4(config):
    process = started(config)
    process_of(process, "raylet").kill()
    said, err = ended(process)
    assert_over(config, said, 4, process)
    assert "Ray does so where its node or cluster is gone" in said["error"]
    assert "Traceback" not in err
    (run,) = status(str(config.parent / "out"), 1).runs
    assert run.error == said["error"]


def test_the_end_of_a_schedule_ends_a_run_on_ray_with_its_code(config):
    process = started(config)
    process.terminate()
    said, err = ended(process)
    assert_over(config, said, 143, process)
    assert "SIGTERM received" not in err
    assert "Traceback" not in err


def test_an_interrupted_run_says_so_as_json(config, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "run", interrupted)
    with pytest.raises(SystemExit) as end:
        main(["run", str(config), "--json"])
    assert end.value.code == json.loads(capsys.readouterr().out)["exit_code"] == 130


WORK = """
import os, signal, sys, time
from featflow.cli.supervision import say_ending, supervise
supervise()
print(os.getpid(), flush=True)
{0}
"""


def supervised(work, **options):
    command = [sys.executable, "-c", WORK.format(work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    return process, int(process.stdout.readline())


def test_what_a_process_has_said_counts_whatever_it_ends_with():
    process, _ = supervised("say_ending(3); os.abort()")
    assert process.wait(30) == 3
    process.stdout.close()


def test_a_command_whose_own_parent_waits_for_no_child_waits_for_its_own():
    process, _ = supervised("say_ending(3)", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert process.wait(30) == 3
    process.stdout.close()


def test_a_process_that_is_left_behind_is_not_waited_for():
    process, _ = supervised("print(os.fork() or signal.pause(), flush=True); os.abort()")
    left = int(process.stdout.readline())
    try:
        assert process.wait(30) == 1  # of the error that says by what it ended
    finally:
        os.kill(left, signal.SIGKILL)
    process.stdout.close()


def test_nothing_outlives_the_process_that_was_started():
    process, number = supervised("time.sleep(60)")
    child = psutil.Process(number)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    process.stdout.close()


def test_both_halt_and_go_on_and_signals_are_passed_on():
    # A group of its own: a group whose starter has gone, as that of tests in the background, is never halted.
    work = "signal.signal(signal.SIGINT, lambda *_: say_ending(130)); signal.pause(); os.abort()"
    process, number = supervised(work, process_group=0)
    child, both = psutil.Process(number), (psutil.Process(number), psutil.Process(process.pid))
    process.send_signal(signal.SIGTSTP)
    until(lambda: all(each.status() == psutil.STATUS_STOPPED for each in both))
    process.send_signal(signal.SIGCONT)
    until(lambda: child.status() != psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.stdout.close()


def until(reached):
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)
