"""The choice of an engine: one process where the work takes up to two minutes, Ray where it takes longer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from featflow.columns.column import Kind
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.dataset.image_options import ImageOptions

__all__ = ["SERIAL_SECONDS", "EngineChoice", "choose_engine", "serial_seconds"]

SERIAL_SECONDS = 120.0
"""Estimated seconds of one process up to which Ray is not started: its own start takes six, each of its processes
350 MiB, and what it gains on a laptop's cores is about that minute."""
START_SECONDS = 2.0
"""Seconds to import the libraries of a run in one process."""
VALUE_NS = 350.0
"""Nanoseconds a value, by both passes, measures and error bars of one process: 1,000,000 rows x 80 columns took 26 s
beside the start (docs/benchmarks.md)."""
PAIR_ROW_NS = 0.4
"""Nanoseconds a pair and row: 3,160 pairs of the same rows took 1.3 s."""
DESCRIPTOR_MS, MODEL_MS = 2.0, 36.0
"""Milliseconds a picture: descriptors of 640 x 480 pixels, 466 a second; a ResNet-18 at 224 x 224, 27.7 a second."""
BYTE_NS, FEWEST_BYTES = 80.0, 500
"""Nanoseconds that descriptors take a byte of files that hold the pictures themselves: 35 to 77 were seen, most for
pictures of 100 x 100 pixels; and bytes of a small picture, as rows may have none."""


@dataclass(frozen=True)
class EngineChoice:
    """Which engine, and why."""

    kind: Literal["serial", "ray"]
    """Its name in the configuration."""
    reason: str
    """Reason of the choice, in a few words."""
    seconds: float
    """Estimated seconds of one process if no state exists yet."""


def choose_engine(config: Config, dataset: Dataset) -> EngineChoice:
    """Return the engine that a configuration names, or the one that suits the size of its dataset."""
    seconds, options = serial_seconds(config, dataset), config.engine
    work = f"about {seconds:,.0f} s of work in one process"
    if options.kind != "auto":
        return EngineChoice(options.kind, "engine.kind says so", seconds)
    if options.address is not None:
        return EngineChoice("ray", "engine.address names a cluster", seconds)
    if seconds <= SERIAL_SECONDS:
        return EngineChoice("serial", f"{work}; Ray is started from {SERIAL_SECONDS:.0f} s on", seconds)
    return EngineChoice("ray", f"{work}, more than {SERIAL_SECONDS:.0f} s", seconds)


def serial_seconds(config: Config, dataset: Dataset) -> float:
    """Return about how long one process takes for all shards, by rows, columns, pairs of columns and pictures."""
    rows = dataset.rows
    coded = sum(column.kind is not Kind.TEXT for column in dataset.columns)
    pairs = coded * (coded - 1) / 2 if config.analyses.of_pairs else 0.0
    pictures = sum(_picture_seconds(dataset, image) for image in config.dataset.images)
    return START_SECONDS + 1e-9 * rows * (VALUE_NS * len(dataset.columns) + PAIR_ROW_NS * pairs) + pictures


def _picture_seconds(dataset: Dataset, image: ImageOptions) -> float:
    """Return the seconds that a column of images takes; of URIs, every row counts as a picture."""
    of_uris = any(column.name == image.column and column.source_type == "string" for column in dataset.images)
    pictures = dataset.rows if of_uris else min(dataset.rows, dataset.nbytes / FEWEST_BYTES)
    if image.model:
        return 1e-3 * MODEL_MS * pictures
    seconds = 1e-3 * DESCRIPTOR_MS * pictures
    return seconds if of_uris else min(seconds, 1e-9 * BYTE_NS * dataset.nbytes)
