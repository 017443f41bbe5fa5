"""Line 2: a thousand columns of noise, fifty that say something, through the whole job.

Strength is given in standard deviations of the null: a column of df degrees of freedom and strength z holds
z sqrt(2 df) / 2N nats, so that strong and weak are the same at any cardinality. A number is normal, and shifted by d
between the classes (d^2 / 8 nats); a category's even levels are likelier in one class by e (2 e^2 nats).
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from calibration_checks import SEED, ranking_rows
from measured import Check
from scipy import stats

from featflow.measures.multiple_testing import false_discovery_rates

LINE = "2"
ROWS, SMALL_ROWS = 200_000, 20_000
NOISE, SMALL_NOISE = 1_000, 100
GROUP_ROWS = 20_000
INFORMATIVE = 50
FOUND = 45
RATE = 0.05
STRENGTHS = (3.5, 100.0)
NOISE_LEVELS = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1_000) * 2 + (2_000, 5_000, 20_000, 100_000)
INFORMATIVE_LEVELS = (2, 10, 100, 1_000, 10_000)
BINS = 64
MISSING = 0.1
MISSING_EVERY = 4
"""One column in so many has missing values."""


@dataclass(frozen=True)
class Planted:
    """A column to draw."""

    name: str
    levels: int | None
    """None of a number that takes any value."""
    is_category: bool
    strength: float
    """In standard deviations of its null; 0 of noise."""
    has_missing: bool

    def draw(self, random: np.random.Generator, target: np.ndarray, rows: int) -> pa.Array:
        """Return values of some of ``rows`` rows."""
        freedom = (self.levels or BINS) - 1
        nats = self.strength * sqrt(2 * freedom) / (2 * rows)
        if self.levels is None:
            values = (random.normal(size=len(target)) + sqrt(8 * nats) * (target - 0.5)).astype(np.float32)
        else:
            values = random.integers(0, self.levels, len(target), dtype=np.int32)
            if self.strength:
                even = random.random(len(target)) < 0.5 + sqrt(nats / 2) * (2 * target - 1)
                values = (values // 2) * 2 + ~even
        return pa.array(values, mask=random.random(len(target)) < MISSING if self.has_missing else None)


def planted(noise: int) -> list[Planted]:
    """Return all columns: half of each kind are categories, half numbers, of which half take any value."""
    columns = []
    for index in range(noise):
        levels = NOISE_LEVELS[index // 4 % len(NOISE_LEVELS)]
        free = index % 4 == 3
        columns.append(Planted(f"noise_{index:04d}", None if free else levels, index % 2 == 0, 0.0, index % 3 == 0))
    for index, strength in enumerate(np.geomspace(*STRENGTHS, INFORMATIVE)):
        levels = INFORMATIVE_LEVELS[index // 2 % len(INFORMATIVE_LEVELS)]
        is_category = index % 2 == 0
        columns.append(
            Planted(
                f"true_{index:02d}", levels if is_category else None, is_category, strength, not index % MISSING_EVERY
            )
        )
    return columns


def write(path: Path, columns: list[Planted], rows: int) -> None:
    """Write the dataset a row group at a time."""
    writer = None
    for index in range(rows // GROUP_ROWS):
        random = np.random.default_rng((SEED, index))
        target = random.integers(0, 2, GROUP_ROWS)
        table = pa.table({c.name: c.draw(random, target, rows) for c in columns} | {"target": target.astype(np.int8)})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def discoveries(name: str, chosen: list[str]) -> tuple[int, float]:
    """Print how many of the chosen are true, and return it with the share that is not."""
    found = sum(feature.startswith("true") for feature in chosen)
    share = 1 - found / max(len(chosen), 1)
    print(f"{name:<34} {len(chosen):>7} {found:>6} {len(chosen) - found:>6} {share:>9.3f}")
    return found, share


def run(small: bool) -> list[Check]:
    """Print the table and return the checks."""
    rows, columns = (SMALL_ROWS, planted(SMALL_NOISE)) if small else (ROWS, planted(NOISE))
    with tempfile.TemporaryDirectory(prefix="featflow-calibration-") as name:
        folder = Path(name)
        write(folder / "data.parquet", columns, rows)
        began = time.monotonic()
        scored = _ranking(folder, columns)
        seconds = time.monotonic() - began
    print(f"{len(columns):,} columns, {INFORMATIVE} of them informative, {rows:,} rows, {seconds:.0f} s of the job")
    print(f"{'chosen by':<34} {'columns':>7} {'true':>6} {'noise':>6} {'of noise':>9}")
    ours = [row["feature"] for row in scored if row["significant"]]
    found, share = discoveries(f"q of featflow at {RATE}", ours)
    by_plug_in = sorted(scored, key=lambda row: -row["mi"])
    first = [row["feature"] for row in by_plug_in[:INFORMATIVE]]
    _, plug_in = discoveries(f"plug-in information, first {INFORMATIVE}", first)
    corrected = [row["feature"] for row in scored[:INFORMATIVE]]
    discoveries(f"corrected information, first {INFORMATIVE}", corrected)
    p_values = np.array([stats.chi2.sf(2 * row["n"] * row["mi"], row["cardinality"] - 1) for row in scored])
    q_values = false_discovery_rates(p_values, "benjamini_hochberg")
    chosen = [row["feature"] for row, q in zip(scored, q_values, strict=True) if q <= RATE]
    _, g_test = discoveries(f"G-test and Benjamini-Hochberg at {RATE}", chosen)
    limit = RATE + 3 * sqrt(RATE * (1 - RATE) / max(len(ours), 1))
    return [
        Check(LINE, "informative columns found", found, FOUND, INFORMATIVE),
        Check(LINE, "share of noise among the significant", share, 0.0, limit),
        Check(LINE, "share of noise in plug-in's first, which should fail", plug_in, limit, 1.0),
        Check(LINE, "share of noise by the G-test, which should fail", g_test, limit, 1.0),
    ]


def _ranking(folder: Path, columns: list[Planted]) -> list[dict[str, Any]]:
    categories = [column.name for column in columns if column.is_category]
    dataset = {
        "source": str(folder / "data.parquet"),
        "targets": ["target"],
        "kinds": dict.fromkeys(categories, "category"),
        "shard_bytes": "512MiB",
    }
    return ranking_rows(folder, dataset, uncertainty={"groups": 8})
