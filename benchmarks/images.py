"""Images end to end beside the bare part of that work which cannot be left out.

End to end is what a run does to images: Parquet is read, images are decoded, hashed and encoded, states are written.
Beside it stands the bare decoding of the same bytes, or the bare forward pass of the same model over tensors that are
ready, on as many threads and cores. They take turns. A ratio is that of bare seconds to seconds end to end, the median
over rounds, and "low" and "high" are its extremes; "decoding" is that of decoding. Run it by

    python benchmarks/images.py [--only descriptors,model,memory] [--small] [--json FILE]

| line        | what                                                                        | asserted      |
|-------------|-----------------------------------------------------------------------------|---------------|
| descriptors | named features, beside Pillow's decoding to RGB                             | at least 0.60 |
| model       | ResNet-18 of random weights at 224 x 224, beside the model alone            | at least 0.85 |
| memory      | peak memory of five times as many images                                    | at most 1.15  |

Real pictures come from ../shared/data, where that is there. A model runs on a GPU where there is one; its ratio is
printed then, and not asserted.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import uuid
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from images_contenders import (
    CORES,
    GROUP_ROWS,
    SHARED,
    Bare,
    bytes_of,
    job_of,
    measure,
    on_threads,
    photographs,
    write_images,
)
from measured import Check, call_watched, conclude, machine, options_of, print_table

from featflow.execution import state_store
from featflow.summaries import StoredSummarizer

SEED = 20260502
REAL = (("sign_digits", 2_062), ("cifar10_20k", 6_000))
"""Files, and rows that are taken, in groups as they are."""
PHOTOGRAPHS = ((224, 224, 6_144), (640, 480, 1_536))
"""Width, height, images: a shard of the default size each."""
DISTINCT = 256
"""Different photographs."""
ROUNDS, ROUND_SECONDS = 7, 6.0
SHARE = {"descriptors": 0.60, "model": 0.85}
LIMIT, TIMES, MEMORY_IMAGES = 1.15, 5, 4_000
ON_HUB = {"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "resample": 3}
"""What goes with ResNet there: the shorter side to 256 pixels, the middle 224."""
THREADS = [threads for threads in (1, 2) if threads <= len(CORES)]
HEADER = ("pictures", "images", "threads", "images/s", "bare", "decode", "ratio", "low", "high", "decoding", "load")

Findings = tuple[list[dict[str, Any]], list[Check]]


@dataclass(frozen=True)
class Measured:
    """A job beside its bare part."""

    line: str
    """Line of the benchmark."""
    pictures: str
    """What was encoded."""
    images: int
    """How many."""
    threads: int
    """And cores."""
    seconds: dict[str, list[float]]
    """Of each round: of the job, of decoding, and of the model alone."""
    beside: str
    """Which of these is the bare part."""
    load: float
    """Of the machine in the last minute."""

    def row(self) -> tuple[Any, ...]:
        """Return it as printed."""
        rates = {name: self.images / statistics.median(seconds) for name, seconds in self.seconds.items()}
        ratios = [bare / job for bare, job in zip(self.seconds[self.beside], self.seconds["job"], strict=True)]
        shown = rates["job"], rates[self.beside], rates["decode"], statistics.median(ratios), min(ratios), max(ratios)
        return (self.pictures, self.images, self.threads, *shown, rates["job"] / rates["decode"], round(self.load, 1))

    def check(self) -> Check:
        """Return what is asserted of it."""
        what = f"{self.pictures}, {self.threads} threads"
        return Check(self.line, what, self.row()[HEADER.index("ratio")], SHARE[self.line], float("inf"))


# --- lines ----------------------------------------------------------------------------------------------------------


def run_descriptors(folder: Path, *, small: bool) -> Findings:
    """Compare named features with decoding."""
    sources = {}
    for name, rows in () if small else REAL:
        if (path := SHARED / f"{name}.parquet").exists():
            sources[name], groups = folder / path.name, pq.read_metadata(path).row_group(0).num_rows
            pq.write_table(pq.read_table(path).slice(0, rows), sources[name], row_group_size=groups)
    for width, height, images in PHOTOGRAPHS:
        encoded, name = photographs([(width, height)] * (8 if small else DISTINCT)), f"photographs {width} x {height}"
        sources[name] = write_images(folder / name, encoded, 16 if small else images)
    found, checks = [], list[Check]()
    for name, source in sources.items():
        job, encoded = job_of(source, folder / "states"), bytes_of(source)
        for threads in THREADS:
            on_threads(threads)
            checks += job.check(encoded)[1]
            seconds = measure(job, encoded, 1 if small else ROUNDS)
            found.append(Measured("descriptors", name, len(encoded), threads, seconds, "decode", os.getloadavg()[0]))
    return report(found, checks, asserted=not small)


def run_model(folder: Path, *, small: bool) -> Findings:
    """Compare a model's vectors with the model."""
    side, on_gpu = 32 if small else 224, torch.cuda.is_available()
    sizes = np.random.default_rng(SEED).integers(side, side * 8 // 7 + 1, (16 if small else DISTINCT, 2)).tolist()
    encoded, network = photographs(sizes), save_model(folder / "model", side)
    found, checks = [], list[Check]()
    for threads in [len(CORES)] if on_gpu else THREADS:
        on_threads(threads)
        slowest = 0.0
        for dtype in ("float32", "bfloat16"):
            images = {"encoder": f"transformers:{folder / 'model'}", "bfloat16": dtype == "bfloat16"}
            make = partial(job_of, output=folder / "states", **images)
            source = write_images(folder / uuid.uuid4().hex, encoded, len(encoded))
            job = make(source)
            vectors, right = job.check(bytes_of(source))
            bare = Bare(network, job, encoded)
            checks += [*right, bare.check(vectors, dtype)]
            if bare.rate < slowest:  # this processor only imitates bfloat16
                continue
            slowest, batches = bare.rate, 2 if small else max(4, round(ROUND_SECONDS * bare.rate / bare.batch))
            source = write_images(folder / uuid.uuid4().hex, encoded, batches * bare.batch)
            seconds = measure(make(source), bytes_of(source), 1 if small else ROUNDS, forward=partial(bare, batches))
            name, count = f"ResNet-18, {dtype}{', CUDA' * on_gpu}", batches * bare.batch
            found.append(Measured("model", name, count, threads, seconds, "forward", os.getloadavg()[0]))
    return report(found, checks, asserted=not small and not on_gpu)


def save_model(folder: Path, side: int) -> Any:
    """Save a model and its preprocessing; return it."""
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(SEED)
    shape = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}
    network = transformers.ResNetModel(transformers.ResNetConfig(**shape)).eval()
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(ON_HUB | {"size": {"shortest_edge": side}}))
    return network


def run_memory(folder: Path, *, small: bool) -> Findings:
    """Compare the memory of few images and of many, which differ in nothing."""
    encoded = photographs([(224, 224)] * (8 if small else DISTINCT))
    rows, checks, peaks = [], list[Check](), list[int]()
    for images in (n * (GROUP_ROWS if small else MEMORY_IMAGES) for n in (1, TIMES)):
        source = write_images(folder / str(images), encoded, images)
        (shards, good), peak = call_watched(encode_apart, source, folder / "states")
        peaks.append(peak)
        checks.append(Check("memory", f"images that are ok of {images:,}", good, images, images))
        rows.append({"line": "memory", "images": images, "shards": shards, "peak_bytes": peak})
    print_table(("images", "shards", "peak MiB"), [(n, s, p / 2**20) for _, n, s, p in map(dict.values, rows)])
    if not small:
        checks.append(Check("memory", f"peak of {TIMES} times the images", peaks[1] / peaks[0], 0, LIMIT))
    return rows, checks


def encode_apart(source: Path, output: Path) -> tuple[int, int]:
    """Encode a dataset of several shards; return how many, and the images that are ok."""
    job = job_of(source, output, "1MiB")
    store, shards = job(), job.dataset.shards
    tables = (state_store.load(store, StoredSummarizer(job.made), shard.digest).table for shard in shards)
    status = job.made.named("status").name
    return len(shards), sum(table[status].to_pylist().count("ok") for table in tables)


def report(found: list[Measured], checks: list[Check], *, asserted: bool) -> Findings:
    """Print what was measured; return it, and what is asserted."""
    print_table(HEADER, [each.row() for each in found])
    checks += [each.check() for each in found if asserted]
    return [asdict(each) | dict(zip(HEADER, each.row(), strict=True)) for each in found], checks


LINES = {"descriptors": run_descriptors, "model": run_model, "memory": run_memory}


def main() -> None:
    """Run the lines, print them, and check them."""
    options = options_of(__doc__ or "", tuple(LINES), engine=False)
    figures, checks = {"machine": machine(), "small": options.small}, list[Check]()
    for name in options.only:
        print(f"--- {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="featflow-images-") as folder:
            figures[name], found = LINES[name](Path(folder), small=options.small)
        checks += found
    conclude(checks, options.json, figures | {"checks": [check.public() for check in checks]})


if __name__ == "__main__":
    main()
