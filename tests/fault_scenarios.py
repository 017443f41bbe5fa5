"""What is done while storage fails: a first run, a night, one that changes nothing, images by path, gc, exports."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pyarrow import csv

import featflow
from featflow.export.feast.repository import export_feast
from featflow.pipeline import garbage

__all__ = ["SCENARIOS", "Objects", "Scenario", "differences", "latest", "reader_faults"]

Objects = dict[str, bytes]
ROWS = 120
DAY = 86_400_000_000
OUT = "lake/out"
PHOTOS = "lake/data/photos/"
ODD = "a mount"
"""No name for Feast, which is therefore given a copy of the rows."""


@dataclass(frozen=True)
class Scenario:
    """Something that is done below a root, and what must have come of it. Paths of objects begin with ``lake/``."""

    name: str
    before: tuple[Objects | Callable[[str], Any], ...]
    """What is done before: files that come, and acts."""
    act: Callable[[str], Any]
    """What is done while something fails."""
    result: Callable[[Objects, str | None], Any]
    """What must be the same as after an undisturbed act, from what is there and LATEST before that act."""
    broken: Callable[[Objects], list[str]] = lambda _: []
    """What no reader may see, beside what `reader_faults` looks for."""
    is_told: Callable[[Any], bool] = lambda _: False
    """Whether what the act returns says that something damaged was left for the next one."""
    refusable: str = "nothing"
    """Below this path, what is refused is a row's fault: tables tell of it, and the next run looks for it again."""


# --- data -----------------------------------------------------------------------------------------------------------


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=ROWS // 2)
    return sink.getvalue()


def _rows(seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    label = random.choice(["no", "yes"], ROWS)
    return pa.table(
        {
            "id": pa.array(np.arange(ROWS) + seed * ROWS),
            "when": pa.array(1_767_225_600_000_000 + seed * DAY + np.arange(ROWS) * 10**6, pa.timestamp("us", "UTC")),
            ODD: random.normal(size=ROWS) + (label == "yes"),
            "city": pa.array(random.choice(["Bern", "Rome", "Oslo"], ROWS), mask=random.random(ROWS) < 0.1),
            "label": label,
        }
    )


def _pictures(seed: int) -> tuple[pa.Table, Objects]:
    random = np.random.default_rng(seed)
    files = {}
    for number in range(6):
        sink = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(sink, "PNG")
        files[f"{PHOTOS}{seed}-{number}.png"] = sink.getvalue()
    paths = [f"photos/{seed}-{number}.png" for number in range(6)] + [None] * 2
    return _rows(seed).slice(0, 8).append_column("photo", pa.array(paths)), files


def _data(*seeds: int) -> Objects:
    return {f"lake/data/part-{seed}.parquet": _parquet(_rows(seed)) for seed in seeds}


def _plain() -> Objects:
    """Files that Feast can read as they are."""
    return {f"lake/data/part-{seed}.parquet": _parquet(_rows(seed).rename_columns({ODD: "amount"})) for seed in (0, 1)}


def _rewritten() -> Objects:
    return {"lake/data/part-1.parquet": _parquet(_rows(2))}


def _texts() -> Objects:
    """Files of text, which become Parquet first."""
    objects = {}
    for seed in (0, 1):
        sink = io.BytesIO()
        csv.write_csv(_rows(seed), sink)
        objects[f"lake/data/part-{seed}.csv"] = sink.getvalue()
    return objects


def _images(*seeds: int) -> Objects:
    objects: Objects = {}
    for seed in seeds:
        table, files = _pictures(seed)
        objects |= {f"lake/data/part-{seed}.parquet": _parquet(table)} | files
    return objects


# --- acts -----------------------------------------------------------------------------------------------------------


def _run(root: str, images: tuple[str, ...] = (), **changes: Any) -> featflow.Run:
    columns = {"targets": ["label"], "entity": ["id"], "event_time": "when"}
    return featflow.run(
        {
            "dataset": {"source": f"{root}/data", "images": list(images)} | columns,
            "output": f"{root}/out",
            "engine": {"kind": "serial"},
            "analyses": {"interaction": False},
            "lineage": False,
        }
        | changes
    )


def _told_run(root: str) -> featflow.Run:
    return _run(root, lineage=True)


def _image_run(root: str) -> featflow.Run:
    only = dict.fromkeys(("ranking", "correlation", "interaction"), False)
    return _run(root, analyses=only, images=("photo",))


def _rebinned_run(root: str) -> featflow.Run:
    return _run(root, codebook={"frozen": False})


def _gc(root: str) -> garbage.Garbage:
    return garbage.remove(f"{root}/out", 1)


def _feast(root: str) -> Any:
    return export_feast(f"{root}/out")


# --- what comes of them -----------------------------------------------------------------------------------------------


def latest(objects: Objects) -> str | None:
    found = objects.get(f"{OUT}/LATEST")
    return None if found is None else found.decode(errors="replace")


def _tables(objects: Objects, before: str | None) -> Any:
    """Digests of the latest run's tables, its rows, and the values of its drift where that is from the run before.

    A run that follows one which was published and ended in a fault has its drift from that one.
    """
    manifest = json.loads(objects[f"{OUT}/runs/{latest(objects)}/manifest.json"])
    found = {name: entry["sha256"] for name, entry in manifest["tables"].items()} | {"rows": manifest["rows"]}
    drift = pq.read_table(io.BytesIO(objects[f"{OUT}/{manifest['tables']['drift']['path']}"]))
    if set(drift["reference_run"].to_pylist()) <= {before}:
        return found | {"drift": str(drift.drop_columns(["reference_run", "current_run"]).to_pylist())}
    return {name: value for name, value in found.items() if name != "drift"}


def _left(objects: Objects, before: str | None) -> Any:
    return sorted(path for path in objects if path.startswith(f"{OUT}/") and _counts(path))


def _counts(path: str) -> bool:
    """Whether a file is of the output, and not what a process that is gone has left."""
    return "/lock/" not in path and not path.endswith(".partial")


def _exported(objects: Objects, before: str | None) -> Any:
    """Everything of the repository; of the monitoring table, all but when it was computed."""
    found = {}
    for path in (path for path in objects if path.startswith(f"{OUT}/feast/") and _counts(path)):
        if path.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(objects[path]))
            kept = [name for name in table.column_names if name != "computed_at"]
            found[path] = str(table.select(kept).to_pylist())
        else:
            found[path] = objects[path].decode()
    return found


def differences(expected: Any, found: Any) -> list[str]:
    """Names of what is not as it should be in a scenario's result. Drift may be left out."""
    if not isinstance(expected, dict):
        return sorted(set(expected) ^ set(found))
    names = (expected.keys() | found.keys()) - ({"drift"} - found.keys())
    return sorted(name for name in names if expected.get(name) != found.get(name))


def reader_faults(objects: Objects, before: Objects) -> list[str]:
    """What is wrong with finished runs and LATEST for a reader that checks every digest."""
    faults, whole = [], set()
    for path in sorted(path for path in objects if re.fullmatch(f"{OUT}/runs/[^/]+/_SUCCESS", path)):
        run = path.split("/")[3]
        try:
            manifest = json.loads(objects[f"{OUT}/runs/{run}/manifest.json"])
            for name, entry in manifest["tables"].items():
                assert _digest(objects, entry) == entry["sha256"], f"table {name} has another digest"
        except Exception as error:  # noqa: BLE001  whatever a reader meets
            faults.append(f"run {run}: {error!r}")
        else:
            whole.add(run)
    told, told_before = latest(objects), latest(before)
    if told != told_before and told not in whole:
        faults.append(f"LATEST is {told!r}, which is no whole run; it was {told_before!r}")
    if told == told_before and told is not None and told not in whole:
        faults.append(f"LATEST's run {told} is not whole any more")
    old = {path.split("/")[3] for path in before if path.endswith("/_SUCCESS")}
    if told_before and told in old and told != told_before:
        faults.append("LATEST went back")
    return faults


def _digest(objects: Objects, entry: dict[str, Any]) -> str:
    path, parts = f"{OUT}/{entry['path']}", entry["parts"]
    paths = [path] if parts == 1 else [f"{path}/part-{number:05d}.parquet" for number in range(parts)]
    digests = [hashlib.sha256(objects[each]).hexdigest() for each in paths]
    return digests[0] if parts == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _views(objects: Objects) -> dict[str, int]:
    """Rows that a reader of the repository's definitions finds in each folder that they name."""
    text = "\n".join(
        objects[path].decode() for path in objects if path.startswith(f"{OUT}/feast/") and path.endswith(".py")
    )
    found = {}
    for place in set(re.findall(r"path=[\"']([^\"']*)", text)):
        folder = f"lake/{place.partition('://lake/')[2]}" if "://" in place else f"{OUT}/feast/{place}"
        parts = [path for path in objects if path.startswith(f"{folder}/") and not path.split("/")[-1].startswith(".")]
        found[folder] = sum(pq.read_metadata(io.BytesIO(objects[path])).num_rows for path in parts)
    return found


def _mixed_views(objects: Objects) -> list[str]:
    """A view holds the rows of the run before, or of this one: of two files, of which one was rewritten."""
    return [f"{folder} has {rows} rows" for folder, rows in _views(objects).items() if rows != 2 * ROWS]


_TWO, _THIRD = _data(0, 1), _data(2)
SCENARIOS = {
    each.name: each
    for each in (
        Scenario("first run", (_TWO,), _run, _tables),
        Scenario("next night", (_TWO, _run, _THIRD), _run, _tables),
        Scenario("unchanged", (_TWO, _told_run), _told_run, _tables),
        Scenario("images by path", (_images(0, 1),), _image_run, _tables, refusable=PHOTOS),
        Scenario("more images", (_images(0, 1), _image_run, _images(2)), _image_run, _tables, refusable=PHOTOS),
        Scenario("new codings", (_TWO, _run, _THIRD), _rebinned_run, _tables),
        Scenario("files of text", (_texts(),), _run, _tables),
        Scenario(
            "gc", (_data(0), _run, _data(1), _run, _THIRD, _run), _gc, _left, is_told=lambda found: bool(found.notes)
        ),
        Scenario("export", (_TWO, _run), _feast, _exported, _mixed_views),
        Scenario("export in place", (_plain(), _run), _feast, _exported),
        Scenario("export again", (_TWO, _run, _feast, _rewritten(), _run), _feast, _exported, _mixed_views),
    )
}
