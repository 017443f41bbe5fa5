"""Ways by which text from arguments, files and names could reach a terminal with what moves its cursor: none does."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import warnings

import pytest
import yaml
from datasets import mixed_table, write_parts

from featflow.cli.main import main
from featflow.cli.printing import PlainConsole
from featflow.cli.streams import keep_streams_open
from featflow.cli.terminal_progress import TerminalProgress
from featflow.config import load
from featflow.errors import InfrastructureError
from featflow.pipeline import job

HOSTILE = "\x1b]0;title\x07\x1b[2J\x1b[8mx\x9b31m\u202ey\rz\x08"
"""A title, a screen that is cleared, hidden text, a colour by a C1 control, text turned around, a line overwritten."""
OWN_STYLES = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of hostile name with a configuration, data with hostile columns and levels, and an output with runs."""
    folder = tmp_path_factory.mktemp("escapes") / HOSTILE.replace("/", "")
    folder.mkdir()
    table = mixed_table(300).select(["x", "y", "target"]).rename_columns([HOSTILE, "y", "target"])
    values = {
        "dataset": {"source": write_parts(table, folder / "data", 1), "targets": ["target"]},
        "output": str(folder / "out"),
        "engine": {"kind": "serial"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    job.run(load(str(folder / "config.yaml")))
    failed = folder / "out" / "runs" / "20260101T000000Z-aaaaaa"
    failed.mkdir()
    note = {"run": failed.name, "started": "2026-01-01T00:00:00+00:00", "seconds": {"total": 1.0}, "exit_code": 4}
    (failed / "failure.json").write_text(json.dumps(note | {"error": f"failed {HOSTILE}"}))
    return folder


COMMANDS = {
    "help": ["run", "--help"],
    "run": ["run", "CONFIG"],
    "plan": ["plan", "CONFIG"],
    "status": ["status", "OUTPUT"],
    "runs": ["runs", "OUTPUT"],
    "compare": ["compare", "OUTPUT", "OUTPUT"],
    "gc": ["gc", "OUTPUT", "--keep", "1"],
    "report": ["report", "OUTPUT"],
    "export openlineage": ["export", "openlineage", "OUTPUT"],
    "export feast": ["export", "feast", "OUTPUT"],
    "error": ["runs", f"s3://{HOSTILE}"],
    "no such file": ["run", f"{HOSTILE}.yaml"],
    "override": ["plan", "CONFIG", "--set", f"{HOSTILE}={HOSTILE}"],
    "wrong value": ["plan", "CONFIG", "--set", f"engine.kind='{HOSTILE}'"],
    "no such command": [HOSTILE],
    "no such option": ["run", f"--{HOSTILE}"],
    "argument too many": ["status", "OUTPUT", HOSTILE],
    "value of an option": ["status", "OUTPUT", "--last", HOSTILE],
    "table": ["schema", HOSTILE],
}


@pytest.mark.parametrize("way", COMMANDS)
def test_no_command_shows_an_escape(place, capfd, way):
    words = {"CONFIG": str(place / "config.yaml"), "OUTPUT": str(place / "out")}
    with pytest.raises(SystemExit):
        main([words.get(each, each) for each in COMMANDS[way]])
    assert_shown("".join(capfd.readouterr()), colours=False)


def assert_shown(said, *, colours):
    assert said
    said = OWN_STYLES.sub("", said) if colours else said
    assert not [character for character in said if character not in "\n\t" and not character.isprintable()]


EVENTS = {
    "a defect": "raise RuntimeError(HOSTILE)",
    "an error": "raise InfrastructureError(HOSTILE)",
    "a warning": "sys.stderr.write(warnings.formatwarning(HOSTILE, UserWarning, HOSTILE, 1))",
    "a library's print": "print(HOSTILE, file=sys.stderr)",
}


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_that_happens_in_a_run_shows_an_escape(place, capfd, monkeypatch, event):
    names = {"InfrastructureError": InfrastructureError, "warnings": warnings, "sys": sys, "HOSTILE": HOSTILE}

    def happen(*_, **__):
        exec(EVENTS[event], names)
        raise InfrastructureError("over")

    monkeypatch.setattr(job, "run", happen)
    with pytest.raises(SystemExit):
        main(["run", str(place / "config.yaml")])
    said = "".join(capfd.readouterr())
    assert "\\x1b]0;title" in said
    assert_shown(said, colours=False)


def test_a_terminal_gets_styles_of_our_own_alone(place):
    """Each stream a terminal: tables, an error, and a usage error in colours."""
    calls = [
        ["status", str(place / "out")],
        ["plan", str(place / "config.yaml")],
        [HOSTILE],
        ["run", f"{HOSTILE}.yaml"],
    ]
    code = (
        "import sys\nfrom featflow.cli import main\n"
        "for arguments in {0!r}:\n    try:\n        main(arguments)\n    except SystemExit:\n        pass\n"
    )
    ours, theirs = os.openpty()
    process = subprocess.Popen([sys.executable, "-c", code.format(calls)], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while part := read(ours):
        said += part
    os.close(ours)
    assert process.wait(60) == 0
    shown = said.decode().replace("\r\n", "\n")
    assert "\x1b[8m" not in shown
    assert "\\x1b]0;title" in shown.replace("\n", "")
    assert_shown(shown, colours=True)


def read(terminal):
    """Return what a terminal shows, nothing at its end."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_a_bar_moves_the_cursor_and_what_is_written_beside_it_does_not(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", terminal)
    keep_streams_open()
    progress = TerminalProgress(PlainConsole(stderr=True))
    progress.start("reading", 1)
    sys.stderr.write(HOSTILE)
    progress.finish()
    assert "\x1b[2K" in terminal.getvalue()
    assert "\\x1b[2K" not in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
