"""How a process ends: whoever stops reading, whatever cannot be written, whatever nobody expected."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from datasets import mixed_table, write_parts

from featflow import errors
from featflow.cli.main import EPILOG
from featflow.errors import EXIT_CODES
from featflow.storage.run import list_runs

FEATFLOW = [sys.executable, "-m", "featflow"]
TRACES = ("Traceback", "Exception ignored", "BrokenPipe")


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ending")
    source = write_parts(mixed_table(1_000), folder / "data", 2)
    path = folder / "config.yaml"
    values = {"dataset": {"source": source, "targets": ["target"]}, "output": str(folder / "out")}
    path.write_text(yaml.safe_dump(values | {"engine": {"kind": "serial"}}))
    return path


@pytest.fixture(scope="module")
def output(configured):
    """An output that has a run."""
    subprocess.run([*FEATFLOW, "run", str(configured)], check=True, capture_output=True)
    return str(configured.parent / "out")


def unread():
    """Return the writing end of a pipe that nobody reads."""
    read, written = os.pipe()
    os.close(read)
    return written


def ended(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE):
    """Return the exit code of a command and what it wrote on standard error, if that is read."""
    done = subprocess.run([*FEATFLOW, *map(str, arguments)], stdout=stdout, stderr=stderr, check=False, timeout=120)
    for stream in (stdout, stderr):
        if stream >= 0:
            os.close(stream)
    return done.returncode, (done.stderr or b"").decode()


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_run_that_nobody_reads_goes_on_and_is_published(configured, output, closed):
    before = len(list_runs(output))
    streams = {"stdout": {"stdout": unread()}, "stderr": {"stderr": unread()}}.get(closed) or {
        "stdout": unread(),
        "stderr": unread(),
    }
    code, said = ended(["run", configured, "--rebin"], **streams)
    assert code == 0
    assert not any(trace in said for trace in TRACES)
    assert len(list_runs(output)) == before + 1


def test_one_pipe_for_both_that_is_closed_after_a_line(configured, output):
    """As by `featflow run ... 2>&1 | head -1`."""
    before = len(list_runs(output))
    process = subprocess.Popen(
        [*FEATFLOW, "run", str(configured), "--rebin"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert json.loads(process.stdout.readline())["stage"]
    process.stdout.close()
    assert process.wait(120) == 0
    assert len(list_runs(output)) == before + 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], 0),
        (["nonsense"], 2),
        (["run", "no-such-file.yaml"], 2),
        (["run", "no-such-file.yaml", "--json"], 2),
        (["report", "OUTPUT", "--to", "-"], 0),
        (["runs", "OUTPUT", "--json"], 0),
        (["status", "OUTPUT", "--max-age", "1h"], 0),
        (["schema", "config"], 0),
    ],
)
def test_codes_are_the_same_where_nobody_reads(output, arguments, expected):
    arguments = [output if each == "OUTPUT" else each for each in arguments]
    code, said = ended(arguments, unread())
    assert code == expected
    assert not any(trace in said for trace in TRACES)
    assert ended(arguments, unread(), unread())[0] == expected


def test_streams_that_are_closed_from_the_start(output):
    for closing in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(
            f"{sys.executable} -m featflow status {output} {closing}", shell=True, capture_output=True, check=False
        )
        assert done.returncode == 0, closing
        assert not any(trace in (done.stderr + done.stdout).decode() for trace in TRACES), closing


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_loses_results_but_not_a_log(configured, output):
    with Path("/dev/full").open("wb") as full:
        code, said = ended(["status", output], os.dup(full.fileno()))
        assert code == 4
        assert said.count("error: standard output cannot be written: No space left on device") == 1
        assert not any(trace in said for trace in TRACES)
        assert ended(["run", configured, "--rebin"], stderr=os.dup(full.fileno()))[0] == 0


def test_the_report_on_standard_output_is_the_page(output):
    page = subprocess.run([*FEATFLOW, "report", output, "--to", "-"], capture_output=True, check=True).stdout
    assert page.startswith(b"<!doctype html>")
    assert page.endswith(b"</html>\n") or page.rstrip().endswith(b"</html>")
    code, said = ended(["report", output, "--to", "-", "--json"])
    assert code == 2
    assert "leave one of them out" in said


def test_characters_that_an_encoding_lacks_are_written_out(configured, output):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*FEATFLOW, "runs", output], capture_output=True, check=True, env=environment)
    assert b"+--" in done.stdout
    done = subprocess.run([*FEATFLOW, "run", "größe.yaml"], capture_output=True, check=False, env=environment)
    assert done.returncode == 2
    assert b"gr\\xf6\\xdfe.yaml: cannot read the configuration" in done.stderr


DEFECT = """
import sys
from featflow.cli import main
from featflow.pipeline import job

def broken(config, progress, **_):
    raise {error}

job.run = broken
main({arguments})
"""


def broken(configured, error, *more):
    code = DEFECT.format(error=error, arguments=["run", str(configured), *more])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_a_defect_asks_for_a_report(configured):
    done = broken(configured, "RuntimeError('unforeseen')")
    assert done.returncode == 1
    assert "in broken" in done.stderr
    assert "RuntimeError: unforeseen. This is a defect of featflow " in done.stderr.splitlines()[-1]
    assert "please report it with the traceback" in done.stderr
    assert done.stdout == ""
    done = broken(configured, "RuntimeError('unforeseen')", "--json")
    assert json.loads(done.stdout)["exit_code"] == done.returncode == 1


def test_a_defect_gives_no_secret_away(configured, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    secret = "__import__('os').environ['AWS_SECRET_ACCESS_KEY']"
    error = f"RuntimeError('at https://me:hunter2@host: k3y-of-store and ' + {secret})"
    options = ["--set", "dataset.storage_options.key=k3y-of-store"]
    for more in (options, [*options, "--json"]):
        done = broken(configured, error, *more)
        assert done.returncode == 1
        assert done.stderr.count("at https://***@host: *** and ***") == 2  # the traceback's last line, and the message
        assert all(word not in done.stdout + done.stderr for word in ("hunter2", "k3y-of-store", "s3cr3t"))


def test_what_is_no_defect_shows_no_traceback(configured):
    for error, code, words in (
        ("MemoryError()", 4, "ran out of memory; lower budget.memory"),
        ("KeyboardInterrupt()", 130, ""),
        ("SystemExit(143)", 143, ""),
    ):
        done = broken(configured, error)
        assert done.returncode == code
        assert words in done.stderr
        assert not any(trace in done.stderr for trace in TRACES)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_their_codes(configured, number, code):
    slow = (
        "import os, sys, time\nfrom featflow.cli import main\nfrom featflow.pipeline import job\n"
        "def wait(config, progress, **_):\n    sys.stderr.write('ready\\n'); sys.stderr.flush(); time.sleep(60)\n"
        f"job.run = wait\nmain(['run', {str(configured)!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", slow], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(60) == code
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_codes_of_errors_and_signals_are_listed():
    raised = {
        error.exit_code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "exit_code")
    }
    assert raised | {0, 128 + signal.SIGINT, 128 + signal.SIGTERM} == set(EXIT_CODES)
    assert all(f"{code} {meaning}" in EPILOG for code, meaning in EXIT_CODES.items())


def test_version_help_and_completion():
    def said(*arguments, **environment):
        done = subprocess.run(
            [*FEATFLOW, *arguments], capture_output=True, text=True, check=False, env=os.environ | environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    from importlib.metadata import version

    assert said("--version") == f"featflow {version('featflow')}\n"
    for command in ([], ["run"], ["export"], ["export", "feast"], ["status"]):
        assert said(*command, "-h") == said(*command, "--help")
    assert " ".join(EPILOG.split()) in " ".join(said("-h").split())
    whatever_shell = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_FEATFLOW_COMPLETE=complete_bash" in said("--show-completion", "bash", **whatever_shell)
    completing = {"_FEATFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "featflow st", "COMP_CWORD": "1"}
    assert said(**completing).split() == ["status"]
