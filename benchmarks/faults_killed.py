"""Processes killed at every step of every write and removal, on disk and on an S3 server: a part of the line "every".

A child of this process acts and ends itself by SIGKILL at the n-th step: before a write, with half of the partial file
there, with all of it, after its renaming; before and after a removal. Then every digest is checked, and another child
acts again. On S3, where a write is one request, the steps are before and after each request that changes anything.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import boto3
from fault_scenarios import SCENARIOS, Objects, Scenario, differences, latest, reader_faults
from faults_job import moto_server
from s3fs import S3FileSystem

from featflow.errors import FeatflowError

__all__ = ["killed_on_disk", "killed_on_s3"]

LAKE = "lake"
CHANGING = {"put_object", "delete_object", "delete_objects", "complete_multipart_upload", "copy_object"}
"""Requests that change what a bucket holds."""
Row = dict[str, Any]


class _Steps:
    """Counts the steps of this process, and ends it at one of them."""

    def __init__(self, at: int, told: Path) -> None:
        self._at, self._told, self._count = at, told, 0
        self._armed: dict[int, str] = {}
        self._lock = threading.RLock()

    def step(self, name: str, before_the_end: Callable[[], Any] = lambda: None) -> None:
        """Count a step."""
        with self._lock:
            self._count += 1
            if self._count - 1 == self._at:
                before_the_end()
                self._told.write_text(name)
                os.kill(os.getpid(), signal.SIGKILL)

    def count(self) -> int:
        """Return the steps until now."""
        return self._count

    def on_disk(self, root: str) -> None:
        """Take what this process does below a folder for steps, from now to its end."""
        watched = threading.local()

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if getattr(watched, "busy", False):
                return
            watched.busy = True
            try:
                self._saw(event, arguments, root)
            finally:
                watched.busy = False

        sys.addaudithook(hook)

    def _saw(self, event: str, arguments: tuple[Any, ...], root: str) -> None:
        thread = threading.get_ident()
        if thread in self._armed:  # the call that was announced before is over by now
            self.step(self._armed.pop(thread))
        path = os.fsdecode(arguments[0]) if arguments and isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if not path.startswith(root):
            return
        if event == "open" and (set(arguments[1] or "") & set("wxa+") or arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            self.step("before a write")
        elif event in {"os.rename", "os.link"}:
            if path.endswith(".partial") and os.path.isfile(path):  # noqa: PTH113  a path of bytes or text
                self.step("half of a partial", lambda: os.truncate(path, os.path.getsize(path) // 2))  # noqa: PTH202
            self.step("a whole partial")
            self._armed[thread] = "renamed"
        elif event in {"os.remove", "os.rmdir"}:
            self.step("before a removal")
            self._armed[thread] = "removed"

    @contextmanager
    def on_s3(self) -> Iterator[None]:
        """Take requests of s3fs that change anything for steps."""
        call = S3FileSystem._call_s3  # noqa: SLF001

        async def counted(this: Any, method: str, *arguments: Any, **options: Any) -> Any:
            if method not in CHANGING:
                return await call(this, method, *arguments, **options)
            self.step(f"before {method}")
            answer = await call(this, method, *arguments, **options)
            self.step(f"after {method}")
            return answer

        with mock.patch.object(S3FileSystem, "_call_s3", counted):
            yield


class _Place(Protocol):
    """Where acts find their data and write: a folder, or a bucket's prefix."""

    root: str

    def fill(self, objects: Objects) -> None:
        """Hold these objects and nothing else."""

    def read(self) -> Objects:
        """Return what is there."""

    def watch(self, steps: _Steps) -> Any:
        """Return a context in which steps are counted."""


class _Disk:
    def __init__(self, folder: Path) -> None:
        self._folder, self.root = folder, str(folder / LAKE)

    def fill(self, objects: Objects) -> None:
        there = self.read()
        for path in (path for path, data in there.items() if objects.get(path) != data):
            (self._folder / path).unlink()
        for path, data in objects.items():
            if there.get(path) == data:  # the time of its change is a part of a file's version, and cannot be set
                continue
            (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / path).write_bytes(data)
            os.utime(self._folder / path, (1_767_225_600, 1_767_225_600))

    def read(self) -> Objects:
        files = (path for path in Path(self.root).rglob("*") if path.is_file())
        return {str(path.relative_to(self._folder)): path.read_bytes() for path in files}

    @contextmanager
    def watch(self, steps: _Steps) -> Iterator[None]:
        steps.on_disk(self.root)
        yield


class _Bucket:
    root = f"s3://{LAKE}"

    def __init__(self, options: dict[str, Any]) -> None:
        keys = {"aws_access_key_id": options["key"], "aws_secret_access_key": options["secret"]}
        endpoint = options["client_kwargs"]["endpoint_url"]
        # Acts are told a URI alone; children of this process take the rest from its environment.
        os.environ |= {name.upper(): value for name, value in keys.items()} | {"AWS_ENDPOINT_URL": endpoint}
        self._bucket = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1", **keys).Bucket(LAKE)

    def fill(self, objects: Objects) -> None:
        self._bucket.objects.all().delete()
        for path, data in objects.items():
            self._bucket.put_object(Key=path.removeprefix(f"{LAKE}/"), Body=data)

    def read(self) -> Objects:
        return {f"{LAKE}/{each.key}": each.get()["Body"].read() for each in self._bucket.objects.all()}

    def watch(self, steps: _Steps) -> Any:
        return steps.on_s3()


def _in_child(task: Callable[[], Any], log: Path) -> int:
    """Do something in a child of this process; return its exit code, or a signal's number below 0."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 0
    try:
        with log.open("w") as said:
            os.dup2(said.fileno(), 2)
        task()
    except FeatflowError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    except BaseException:  # noqa: BLE001  a child must not go on as its parent
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def _killed(place: _Place, folder: Path, scenario: Scenario, most: int | None) -> Row:
    """Kill an act at each of its steps, or at some of them drawn from a seed; return what came of it."""
    log, told = folder / "said.txt", folder / "told.txt"

    def done(task: Callable[[], Any]) -> None:
        if _in_child(task, log):
            raise SystemExit(f"{scenario.name} failed undisturbed: {log.read_text()}")

    place.fill({})
    for step in scenario.before:
        if isinstance(step, dict):
            place.fill(place.read() | step)
        else:
            done(lambda step=step: step(place.root))
    before = place.read()

    def watched(at: int) -> None:
        steps = _Steps(at, told)
        with place.watch(steps):
            scenario.act(place.root)
        told.write_text(str(steps.count()))

    place.fill(before)
    done(lambda: watched(-1))
    count, expected = int(told.read_text()), scenario.result(place.read(), latest(before))
    numbers = range(count) if most is None else sorted(random.Random(scenario.name).sample(range(count), most))  # noqa: S311  no secret
    steps, faults, partials = Counter[str](), list[str](), 0
    for number in numbers:
        place.fill(before)
        code = _in_child(lambda number=number: watched(number), log)
        if code != -signal.SIGKILL:
            faults.append(f"step {number}: not met, exit {code}: {log.read_text()[-500:]}")
            continue
        name = told.read_text()
        steps[name] += 1
        left = place.read()
        found = reader_faults(left, before) + scenario.broken(left)
        code = _in_child(lambda: scenario.act(place.root), log)
        after = place.read()
        if code:
            found.append(f"the next one ended with {code}: {log.read_text()[-500:]}")
        elif different := differences(expected, scenario.result(after, latest(before))):
            found.append(f"another result in {different[:5]}")
        found += reader_faults(after, left)
        partials += sum(path.endswith(".partial") for path in after)
        faults += [f"step {number}, {name}: {text}" for text in found]
    row = {
        "scenario": scenario.name,
        "points": steps.total(),
        "of": count,
        "bad": len(faults),
        "partials left": partials,
    }
    print("  ".join(f"{key} {value}" for key, value in row.items()), dict(steps), *faults[:5], sep="\n  ", flush=True)
    return row | {"steps": dict(steps), "faults": faults}


def killed_on_disk(small: bool) -> list[Row]:
    """Kill every act at every step on disk; two of them at two steps with ``small``."""
    names = ("first run", "gc") if small else tuple(SCENARIOS)
    with tempfile.TemporaryDirectory(prefix="featflow-killed-") as name:
        return _all_killed("disk", _Disk(Path(name)), Path(name), names, 2 if small else None)


def killed_on_s3(small: bool) -> list[Row]:
    """Kill a first run, a night and gc at every request that changes anything; a run at two with ``small``."""
    names = ("first run",) if small else ("first run", "next night", "gc")
    with tempfile.TemporaryDirectory(prefix="featflow-killed-") as name, moto_server() as options:
        return _all_killed("moto", _Bucket(options), Path(name), names, 2 if small else None)


def _all_killed(store: str, place: _Place, folder: Path, names: Iterable[str], most: int | None) -> list[Row]:
    return [{"store": store} | _killed(place, folder, SCENARIOS[name], most) for name in names]
