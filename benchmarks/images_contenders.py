"""Who encodes images in the benchmark of them, and which images.

Photographs are mosaics of real pictures, or of drawn ones where these are not there. Whoever has a number of threads
has as many cores, so that decoding beside a model takes what the model alone has.
"""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from measured import Check, write_dataset
from PIL import Image

from featflow.config import parse
from featflow.dataset.dataset import Dataset, open_dataset
from featflow.execution import passes, state_store
from featflow.execution.engines.serial import SerialEngine
from featflow.execution.progress import SilentProgress
from featflow.execution.workspace import Workspace
from featflow.storage.store import Store
from featflow.summaries import StoredSummarizer
from featflow.transforms.derive import embeddings_of
from featflow.transforms.images.embeddings import Embedding
from featflow.transforms.images.encoders import load
from featflow.transforms.images.pixels import prepare

__all__ = [
    "CORES",
    "GROUP_ROWS",
    "SHARED",
    "Bare",
    "Job",
    "bytes_of",
    "job_of",
    "measure",
    "on_threads",
    "photographs",
    "write_images",
]

SEED = 20260501
SHARED = Path("../shared/data")
TILES, TILE, QUALITY = 256, 100, 90
"""Pictures that mosaics are made of, their sides, quality as JPEG."""
GROUP_ROWS = 500
PIECE = 64
"""Images that a thread of the bare decoder takes at once, where it takes several."""
READY = 8
"""Batches that are ready for the bare model, which takes them again."""
NEAR = {"float32": 1e-4, "bfloat16": 2e-2}
"""Most by which a vector's number may differ from the bare model's, as a share of the largest."""
CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))

Calls = dict[str, Callable[[], object]]


# --- pictures -------------------------------------------------------------------------------------------------------


def drawn(random: np.random.Generator) -> np.ndarray:
    """Return a picture whose amplitude falls with frequency, as that of scenes does (Field 1987, JOSA A 4)."""
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)) + 1 / TILE
    planes = np.fft.irfft2(np.fft.rfft2(random.normal(size=(4, TILE, TILE))) / frequency, s=(TILE, TILE))
    mixed = planes[0] + planes[1:] / 4
    return np.clip(128 + 50 * mixed / mixed.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0)


def photographs(sizes: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return a JPEG of each width and height."""
    random = np.random.default_rng(SEED)
    tiles, path = [drawn(random) for _ in range(32)], SHARED / "sign_digits.parquet"
    if path.exists():
        encoded = bytes_of(path)[:TILES]
        pictures = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in encoded)
        tiles = [pixels for pixels in pictures if pixels.shape == (TILE, TILE, 3)]
    found = []
    for width, height in sizes:
        places = random.integers(0, len(tiles), (-(-height // TILE), -(-width // TILE)))
        pixels = np.concatenate([np.concatenate([tiles[place] for place in row], axis=1) for row in places])
        sink = io.BytesIO()
        Image.fromarray(pixels[:height, :width]).save(sink, "JPEG", quality=QUALITY)
        found.append(sink.getvalue())
    return found


def bytes_of(source: Path) -> list[bytes]:
    """Return the encoded images of a dataset."""
    images = pq.read_table(source, columns=["image"])["image"].to_pylist()
    return [each["bytes"] if isinstance(each, dict) else each for each in images]


def write_images(folder: Path, encoded: Sequence[bytes], count: int) -> Path:
    """Write so many images, the same ones again where there are fewer, told apart by bytes after their end."""

    def group(index: int, rows: int) -> pa.Table:
        start = index * GROUP_ROWS
        images = (encoded[row % len(encoded)] + row.to_bytes(8) for row in range(start, start + rows))
        return pa.table({"image": list(images)})

    write_dataset(folder, count, GROUP_ROWS, group)
    return folder


# --- contenders -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """Images of a dataset, and what encodes them."""

    dataset: Dataset
    """The images."""
    made: Embedding
    """What is done to them."""
    output: Path
    """Where states are written, in a folder for each time."""

    def __call__(self) -> Store:
        """Read, decode, hash, encode and write; return where."""
        store = Store(str(self.output / uuid.uuid4().hex))
        workspace = Workspace(store, SerialEngine(), SilentProgress(), 2**32, 2**27)
        passes.summarize_shards(workspace, self.dataset.shards, [StoredSummarizer(self.made)], "images")
        return store

    def check(self, encoded: list[bytes]) -> tuple[np.ndarray, list[Check]]:
        """Return the vectors that are written, and whether every image is there, whole and in its place."""
        store = self()
        spec = StoredSummarizer(self.made)
        whole = pa.concat_tables(state_store.load(store, spec, shard.digest).table for shard in self.dataset.shards)
        names = ("vector", "width", "height", "status", "content")
        table = {name: whole[self.made.named(name).name] for name in names}
        vectors = np.stack(table["vector"].to_numpy())
        digests = [hashlib.sha256(data).digest()[:16] for data in encoded]
        sides = [sorted(Image.open(io.BytesIO(data)).size) for data in encoded]
        sizes = map(sorted, zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True))
        wrong = {
            "not ok": sum(status != "ok" for status in table["status"].to_pylist()),
            "of another content": sum(a != b for a, b in zip(table["content"].to_pylist(), digests, strict=True)),
            "of another size": sum(a != b for a, b in zip(sizes, sides, strict=True)),
            "without finite numbers": int((~np.isfinite(vectors)).any(axis=1).sum()),
        }
        line = "model" if self.made.encoder.uses_gpus else "descriptors"
        return vectors, [Check(line, f"images {what}", count, 0, 0) for what, count in wrong.items()]


def job_of(source: Path, output: Path, shard_bytes: str = "128MiB", **options: Any) -> Job:
    """Return the job of a dataset; ``options`` are those of its images."""
    dataset = {"source": str(source), "shard_bytes": shard_bytes, "images": [{"column": "image", **options}]}
    config = parse({"dataset": dataset, "output": str(output)})
    found = open_dataset(config.dataset)
    (made,) = embeddings_of(found, config.dataset, int(config.budget.memory))
    return Job(found, made, output)


def decode(piece: Sequence[bytes]) -> None:
    """Decode some images and let them go."""
    for data in piece:
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


class Bare:
    """A model in the memory format that is faster, and tensors that are ready for it."""

    def __init__(self, network: Any, job: Job, encoded: Sequence[bytes]) -> None:
        spec: Any = job.made.encoder
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype, self.batch = torch.bfloat16 if spec.bfloat16 else torch.float32, load(spec).batch
        self._network, self._batches = network.to(device), list[torch.Tensor]()
        images = islice(cycle(encoded), self.batch * READY)
        while some := [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in islice(images, self.batch)]:
            self._batches.append(prepare(some, spec.preprocessing, self.batch, device))
        found = {}
        for form in (torch.contiguous_format, torch.channels_last):
            self._arrange(form)
            found[form] = take_turns({"forward": partial(self, 1)}, 3)["forward"]
        self._arrange(min(found, key=lambda form: min(found[form])))
        self.rate = self.batch / min(map(min, found.values()))

    def _arrange(self, form: torch.memory_format) -> None:
        self._network.to(memory_format=form)
        self._batches = [pixels.contiguous(memory_format=form) for pixels in self._batches]

    def __call__(self, batches: int) -> np.ndarray:
        """Return the vectors of the last of so many batches."""
        kind = self._batches[0].device.type
        with torch.inference_mode(), torch.autocast(kind, self._dtype, enabled=self._dtype != torch.float32):
            for pixels in islice(cycle(self._batches), batches):
                vectors = self._network(pixel_values=pixels).pooler_output
        return np.asarray(vectors.float().flatten(1).cpu().numpy())  # which waits for a GPU

    def check(self, vectors: np.ndarray, dtype: str) -> Check:
        """Return whether a job's vectors are those of the model alone."""
        truth = self(1)[: len(vectors)]
        difference = np.abs(vectors[: len(truth)] - truth).max() / np.abs(truth).max()
        return Check("model", f"largest difference of vectors, {dtype}", float(difference), 0, NEAR[dtype])


def take_turns(calls: Calls, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call in each round, of which every other goes backwards; one before does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-1, rounds):
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            began = time.perf_counter()
            calls[name]()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def measure(job: Job, encoded: list[bytes], rounds: int, **bare: Callable[[], object]) -> dict[str, list[float]]:
    """Return the seconds of the job, of decoding, one image or several at a time, and of what else is named."""
    single, pieces = ([encoded[start : start + size] for start in range(0, len(encoded), size)] for size in (1, PIECE))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        ways: Calls = {"one": lambda: list(pool.map(decode, single)), "several": lambda: list(pool.map(decode, pieces))}
        seconds = take_turns({"job": job} | ways | bare, rounds)
    return seconds | {"decode": min((seconds.pop(name) for name in ways), key=statistics.median)}


def on_threads(threads: int) -> None:
    """Give torch so many threads, and every thread of this process as many cores."""
    torch.set_num_threads(threads)
    if sys.platform == "linux":
        for task in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that has ended
                os.sched_setaffinity(int(task.name), CORES[:threads])
