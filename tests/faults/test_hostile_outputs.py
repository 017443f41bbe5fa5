"""Files of an output that someone else has written, cut, or put something else in place of."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from outputs import bound_memory, commands, said, sound_output, within, wrong

ALL_COMMANDS = int(os.environ.get("FEATFLOW_MUTATIONS", "6")) >= 50
"""Whether each file is given to all ten commands, and not to one in turn."""
DEEP = b"[" * 100_000
NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "a space": b" ",
    "bytes": bytes(range(256)),
    "null": b"null",
    "a list": b"[]",
    "an object": b"{}",
    "a number": b"1e999",
    "NaN": b"NaN",
    "deep": DEEP,
    "digits": b"9" * 100_000,
}
MANIFEST: dict[str, Any] = {
    "parts": ("tables", "drift", "parts", 10**9),
    "no parts": ("tables", "drift", "parts", 0),
    "a path that leads out": ("tables", "drift", "path", "../../../etc/passwd"),
    "a path of another table": ("tables", "drift", "path", "PROFILE"),
    "no table": ("tables", "drift", None),
    "tables": ("tables", []),
    "a digest": ("tables", "drift", "sha256", "0" * 64),
    "started": ("started", "soon"),
    "started long ago": ("started", "0001-01-01T00:00:00+00:00"),
    "started without a zone": ("started", "2026-01-01T00:00:00"),
    "seconds": ("seconds", "total", 1e300),
    "no seconds": ("seconds", {}),
    "rows": ("rows", "read", "many"),
    "negative rows": ("rows", "read", -1),
    "huge rows": ("rows", "read", 10**40),
    "shards": ("shards", None),
    "warnings": ("warnings", "none"),
    "a warning": ("warnings", [{"a": 1}]),
    "inputs": ("inputs", [None]),
    "codebook": ("codebook", "../../../x"),
    "compared with": ("compared_with", ["../.."]),
    "references": ("state_references", [{"folders": ["../../etc"], "names": ["passwd"]}]),
    "no names": ("state_references", [{"folders": ["states/moments/00"]}]),
    "states": ("states", "whole", [{"summary": "x", "path": "states/../../x", "columns": 1}]),
    "a kind": ("states", "columns", [{"name": "x", "type": "t", "kind": "k", "role": "r"}]),
    "configuration": ("config", {}),
    "unchanged since": ("unchanged_since", "../.."),
    "software": ("software", []),
    "retries": ("retries", {"storage": "x"}),
    "analyses": ("analyses", {"drift": 1}),
    "nothing fitted": ("fitted", "ABSENT"),
    "no codebook": ("codebook", None),
    "no assumptions": ("assumptions", "ABSENT"),
    "no software": ("software", "ABSENT"),
    "no analyses": ("analyses", "ABSENT"),
    "no uncertainty": ("config", "analyses", "uncertainty", "ABSENT"),
}
FAILURE: dict[str, bytes] = {
    "seconds": b'{"run": "x", "seconds": 1}',
    "started": b'{"started": "yesterday"}',
    "exit code": b'{"exit_code": "four"}',
    "error": b'{"error": {"a": 1}}',
    "infinite": b'{"seconds": {"total": Infinity}}',
}
LATEST: dict[str, bytes] = {
    "empty": b"",
    "bytes": b"\xff\xfe\x00",
    "no run": b"20250101T000000Z-abcdef",
    "no id": b"../../etc",
    "long": b"x" * 10_000_000,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_output(tmp_path_factory.mktemp("hostile"))


def last_run(output: Path) -> Path:
    return output / "runs" / (output / "LATEST").read_text()


def sign(folder: Path) -> None:
    (folder / "_SUCCESS").write_text(hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest())


def put(find: Callable[[Path], Path], data: bytes, *, signed: bool = False) -> Callable[[Path], None]:
    def change(output: Path) -> None:
        path = find(output)
        path.write_bytes(data)
        if signed:
            sign(path.parent)

    return change


def forge(*place: Any) -> Callable[[Path], None]:
    """Put a value into the last run's manifest, and sign it."""

    def change(output: Path) -> None:
        folder = last_run(output)
        manifest = json.loads((folder / "manifest.json").read_bytes())
        holder, value = manifest, place[-1]
        for key in place[:-2]:
            holder = holder[key]
        holder[place[-2]] = manifest["tables"]["profile"]["path"] if value == "PROFILE" else value
        if value == "ABSENT":
            del holder[place[-2]]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        sign(folder)

    return change


def replaced(find: Callable[[Path], Path], make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(output: Path) -> None:
        path = find(output)
        path.unlink()
        make(path)

    return change


def folder_named(name: str) -> Callable[[Path], None]:
    def change(output: Path) -> None:
        (output / "runs" / name).mkdir()
        (output / "runs" / name / "_SUCCESS").touch()

    return change


def at(pattern: str) -> Callable[[Path], Path]:
    return lambda output: min(output.glob(pattern))


manifest, failure, latest = (lambda o: last_run(o) / "manifest.json"), at("runs/*/failure.json"), at("LATEST")
drift_table, index = (lambda o: last_run(o) / "tables" / "drift.parquet"), at("runs/*/tensors/pearson/index.json")
note = at("states/quarantine/*/*.json")
HOSTILE: dict[str, Callable[[Path], None]] = {
    **{f"manifest: {name}": put(manifest, data, signed=True) for name, data in NOT_JSON.items()},
    **{f"manifest: {name}": forge(*place) for name, place in MANIFEST.items()},
    **{f"failure: {name}": put(failure, data) for name, data in (NOT_JSON | FAILURE).items()},
    **{f"LATEST: {name}": put(latest, data) for name, data in LATEST.items()},
    "manifest: unsigned": put(manifest, b"{}"),
    "manifest: gone": lambda output: manifest(output).unlink(),
    "manifest: a pipe": replaced(manifest, os.mkfifo),
    "manifest: a folder": replaced(manifest, lambda path: path.mkdir()),
    "manifest: endless": replaced(manifest, lambda path: path.symlink_to("/dev/zero")),
    "LATEST: a folder": replaced(latest, lambda path: path.mkdir()),
    "LATEST: a pipe": replaced(latest, os.mkfifo),
    "mark: bytes": put(lambda o: last_run(o) / "_SUCCESS", b"\xff" * 99),
    "table: empty": put(drift_table, b""),
    "table: cut": lambda output: drift_table(output).write_bytes(drift_table(output).read_bytes()[:-9]),
    "table: gone": lambda output: drift_table(output).unlink(),
    "table: a pipe": replaced(drift_table, os.mkfifo),
    "index: empty": put(index, b""),
    "note: a list": put(note, b"[1]"),
    "note: empty": put(note, b""),
    "run: no time": folder_named("20269999T999999Z-abcdef"),
    "run: year 0": folder_named("00000101T000000Z-abcdef"),
    "run: another tool's": folder_named("exp1"),
}


def test_hostile_files_of_an_output(sound, tmp_path):
    bad, named = [], 0
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=bound_memory) as pool:
        for number, (name, change) in enumerate(HOSTILE.items()):
            copy = tmp_path / f"{number}" / "out"
            shutil.copytree(sound, copy)
            every = commands(copy)  # by the marks of a sound output
            change(copy)
            for arguments in every if ALL_COMMANDS else [every[number % len(every)]]:
                code, text = within(pool, said, arguments)
                if problem := wrong(arguments, code, text):
                    bad.append(f"{name}: {problem}")
                named += code > 1
            shutil.rmtree(copy.parent)
    assert not bad, f"{len(bad)}: " + "\n".join(bad)
    assert named
    assert len(HOSTILE) >= 73
