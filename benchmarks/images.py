"""Images end to end beside the bare part of the work that nobody can do without.

End to end is what a run does to images: Parquet is read, images are decoded, hashed and encoded, the state is written.
Beside it stands the bare decoding of the same bytes, or the bare forward pass of the same model over tensors that are
ready; both have as many threads and cores. They take turns; a ratio is the median over rounds of bare seconds over
seconds end to end, and stands between its lowest and its highest. Run it by

    python benchmarks/images.py [--only descriptors,model,memory] [--small] [--json FILE]

| line        | what                                                                                      | at least |
|-------------|-------------------------------------------------------------------------------------------|----------|
| descriptors | named features, beside Pillow's decoding to RGB                                           | 0.60     |
| model       | random weights of the shape of ResNet-18 at 224 x 224, beside the model alone             | 0.85     |
| memory      | peak memory of five times as many images                                                  | 1.15 (at most) |

Real pictures are read from ../shared/data where they are there. Photographs are mosaics of them at JPEG quality 90, or
of drawn ones. A model runs on a GPU where there is one; its ratio is then said and not asserted.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from measured import Check, call_watched, conclude, machine, options_of, print_table, write_dataset
from PIL import Image

from featflow import passes, states
from featflow.config import parse
from featflow.dataset import Dataset, open_dataset
from featflow.embedding.encoders import load
from featflow.embedding.pixels import prepare
from featflow.engines.serial import SerialEngine
from featflow.images import image_specs
from featflow.progress import SilentProgress
from featflow.storage import Store
from featflow.summaries import EmbeddingsSummarizer

SHARED = Path("../shared/data")
SEED = 20260501
ROUNDS, ROUND_SECONDS = 7, 6.0
SHARE = {"descriptors": 0.60, "model": 0.85}
"""Least ratio, by line."""
LIMIT, TIMES, MEMORY_IMAGES = 1.15, 5, 4_000
"""Most growth of memory over so many times the images."""
GROUP_ROWS = 500
PIECE = 64
"""Images that a thread of the bare decoder takes at once, where it takes several."""
DISTINCT = 256
"""Different photographs; more are the same again."""
QUALITY = 90
READY = 8
"""Batches that are ready for the bare model, which goes over them again."""
NEAR = {"float32": 1e-4, "bfloat16": 0.05}
"""Most that a vector's number may differ from the bare model's, as a share of the largest."""
PROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor",
    "crop_pct": 0.875,
    "resample": 3,
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
}
"""That of ResNet on the hub: the shorter side to 256 pixels, the middle 224."""


@dataclass(frozen=True)
class Measured:
    """End to end beside the bare part, in rounds."""

    line: str
    """Line of the benchmark."""
    pictures: str
    """What was encoded."""
    images: int
    """How many."""
    threads: int
    """Of torch and of decoding; cores, too, where the model runs on them."""
    seconds: dict[str, list[float]]
    """Of each round, by who took them."""
    beside: str
    """Who does the bare part."""
    load: float
    """Of the machine in the last minute."""

    @property
    def ratios(self) -> list[float]:
        """Bare seconds over seconds end to end, of each round."""
        return [bare / ours for bare, ours in zip(self.seconds[self.beside], self.seconds["ours"], strict=True)]

    def rate(self, name: str) -> float:
        """Return somebody's images a second."""
        return self.images / statistics.median(self.seconds[name])

    def row(self) -> tuple[object, ...]:
        """Return it as printed."""
        ratios, decoding = self.ratios, self.rate("ours") / self.rate("decode")
        rates = self.rate("ours"), self.rate(self.beside), self.rate("decode")
        spread = statistics.median(ratios), min(ratios), max(ratios)
        return (self.pictures, self.images, self.threads, *rates, *spread, decoding, self.load)

    def check(self) -> Check:
        """Return what is asserted of it."""
        what = f"{self.pictures}, {self.threads} threads"
        return Check(self.line, what, statistics.median(self.ratios), SHARE[self.line], float("inf"))


HEADER = ("pictures", "images", "threads", "images/s", "bare", "decode", "ratio", "low", "high", "decoding", "load")


# --- pictures -------------------------------------------------------------------------------------------------------


def drawn(random: np.random.Generator, side: int = 100) -> np.ndarray:
    """Return a picture whose amplitude falls as frequency grows, as that of scenes does (Field 1987, JOSA A 4)."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) + 1 / side
    planes = np.fft.irfft2(np.fft.rfft2(random.normal(size=(4, side, side))) / frequency, s=(side, side))
    mixed = planes[0] + planes[1:] / 4
    pixels: np.ndarray = np.clip(128 + 50 * mixed / mixed.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return pixels


def jpeg(pixels: np.ndarray) -> bytes:
    """Return pixels as a file."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=QUALITY)
    return sink.getvalue()


def photographs(sizes: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return a mosaic of each width and height."""
    random = np.random.default_rng(SEED)
    path = SHARED / "sign_digits.parquet"
    if path.exists():
        encoded = pq.read_table(path, columns=["image"]).slice(0, DISTINCT)["image"].to_pylist()
        tiles = [np.asarray(Image.open(io.BytesIO(each["bytes"])).convert("RGB")) for each in encoded]
        tiles = [tile for tile in tiles if tile.shape == (100, 100, 3)]
    else:
        tiles = [drawn(random) for _ in range(32)]
    found = []
    for width, height in sizes:
        chosen = random.integers(0, len(tiles), (-(-height // 100), -(-width // 100)))
        rows = [np.concatenate([tiles[place] for place in row], axis=1) for row in chosen]
        found.append(jpeg(np.concatenate(rows)[:height, :width]))
    return found


def write_images(folder: Path, encoded: Sequence[bytes], count: int) -> Path:
    """Write so many images, the same ones again where there are fewer."""

    def group(index: int, rows: int) -> pa.Table:
        start = index * GROUP_ROWS
        return pa.table({"image": [encoded[row % len(encoded)] for row in range(start, start + rows)]})

    write_dataset(folder, count, GROUP_ROWS, group)
    return folder


# --- contenders -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """Images of a dataset, and what encodes them."""

    dataset: Dataset
    """The images."""
    spec: EmbeddingsSummarizer
    """What is done to them."""
    output: Path
    """Where states are written, in a folder for each time."""

    def __call__(self) -> Path:
        """Read, decode, hash, encode and write; return where."""
        output = self.output / uuid.uuid4().hex
        workspace = passes.Workspace(Store(str(output)), SerialEngine(), SilentProgress(), 2**32, 2**27)
        passes.compute(workspace, self.dataset.shards, [self.spec], "images")
        return output

    def table(self, output: Path) -> pa.Table:
        """Return what was written."""
        store = Store(str(output))
        return pa.concat_tables(states.load(store, self.spec, s.digest).table for s in self.dataset.shards)


def job_of(source: Path, folder: Path, shard_bytes: str = "128MiB", **options: Any) -> Job:
    """Return the job of a dataset; ``options`` are those of its images."""
    dataset = {"source": str(source), "shard_bytes": shard_bytes, "images": [{"column": "image", **options}]}
    config = parse({"dataset": dataset, "output": str(folder / "states")})
    found = open_dataset(config.dataset)
    (spec,) = image_specs(found, config)
    return Job(found, spec, folder / "states")


def bytes_of(source: Path) -> list[bytes]:
    """Return the encoded images of a dataset."""
    images = pq.read_table(source, columns=["image"])["image"].to_pylist()
    return [each["bytes"] if isinstance(each, dict) else each for each in images]


def bare_decode(data: bytes) -> tuple[int, ...]:
    """Decode an image and let it go."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).shape


def bare_decodes(piece: Sequence[bytes]) -> None:
    """Decode some images."""
    for data in piece:
        bare_decode(data)


def take_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call in each round, the order reversed each time, after a round that is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-1, rounds):
        for name in list(calls)[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            calls[name]()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def on_threads(threads: int, *, pinned: bool = True) -> None:
    """Give torch so many threads and this process as many cores."""
    torch.set_num_threads(threads)
    if pinned and sys.platform == "linux":
        for task in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(task), CORES[:threads])


CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def turns(job: Job, encoded: list[bytes], threads: int, rounds: int, forward: Callable[[], object] | None) -> Any:
    """Return the seconds of the job, the bare decoding and the bare forward pass; and what the job wrote first."""
    pieces = [encoded[start : start + PIECE] for start in range(0, len(encoded), PIECE)]
    with ThreadPoolExecutor(threads) as pool:
        calls: dict[str, Callable[[], object]] = {
            "ours": job,
            "one by one": lambda: list(pool.map(bare_decode, encoded)),
            "in pieces": lambda: list(pool.map(bare_decodes, pieces)),
        }
        if forward:
            calls["forward"] = forward
        seconds = take_turns(calls, rounds)
    seconds["decode"] = min(seconds.pop("one by one"), seconds.pop("in pieces"), key=statistics.median)
    return seconds
