"""Line fdr: a thousand columns of noise and fifty true ones, half of each by row and half of units; whole runs.

The target has what its unit is and what its row is; true columns read one of the two, with noise of their own.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import cycle, islice
from math import sqrt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from calibration_checks import SEED, ranking_rows
from measured import Check, print_table
from units_drawn import Shape, coded, counts

from featflow.measures.information import mutual_information

LINE = "fdr"
SHAPE = Shape(365, 50)
DRAWS = 10
NOISE, SMALL_NOISE = 1_000, 100
TRUE = 50
FOUND = 40
RATE = 0.05
SPREAD = 0.3
"""Share of the target's variance between units."""
READS = {"row": 0.1, "unit": 0.35}
"""Correlation of a true column with what it reads of rows, or of units."""
LEVELS = (2, 3, 8)
PERMUTATIONS = 999


@dataclass(frozen=True)
class Drawn:
    """The rows of a draw, and what brute force finds of its true columns."""

    table: pa.Table
    by_brute_force: int


def drawn(draw: int, noise: int, permutations: int) -> Drawn:
    """Return the rows of a draw; ``permutations`` of units or rows for every true column."""
    random, unit = np.random.default_rng((SEED, draw)), SHAPE.unit
    of_unit, of_row = random.standard_normal(SHAPE.units), random.standard_normal(SHAPE.total)
    target = sqrt(SPREAD) * of_unit[unit] + sqrt(1 - SPREAD) * random.normal(0.0, 1.0, SHAPE.total) * sqrt(0.5)
    target += sqrt((1 - SPREAD) * 0.5) * of_row
    y = (target > np.median(target)).astype(np.int64)
    columns, found = {"user": pa.array([f"user {each:03d}" for each in unit])}, 0
    for kind, count, reads in (("true", TRUE, True), ("noise", noise, False)):
        for index, levels in enumerate(islice(cycle(LEVELS), count)):
            by = "row" if index < count // 2 else "unit"
            read = of_row if by == "row" else of_unit
            share = READS[by] if reads else 0.0
            values = share * read + sqrt(1 - share**2) * random.standard_normal(len(read))
            x = coded(values, levels)
            x = x if by == "row" else x[unit]
            columns[f"{kind}_{by}_{index:04d}"] = pa.array(x).cast(pa.string()).dictionary_encode()
            found += reads and _brute_force(x, y, levels, by, permutations, random)
    return Drawn(pa.table(columns | {"y": pa.array(y).cast(pa.int8())}), found)


def _brute_force(
    x: np.ndarray, y: np.ndarray, levels: int, by: str, permutations: int, random: np.random.Generator
) -> bool:
    """Whether no permutation of rows within units, or of units, scores as high as the data."""
    by_unit, observed = y.reshape(SHAPE.units, SHAPE.rows), mutual_information(counts(x, y, (levels, 2)))
    for _ in range(permutations):
        labels = random.permuted(by_unit, axis=1) if by == "row" else by_unit[random.permutation(SHAPE.units)]
        if mutual_information(counts(x, labels.ravel(), (levels, 2))) >= observed:
            return False
    return True


def run(small: bool, draws: int | None) -> list[Check]:
    """Print the table and return the checks."""
    wanted, noise = (1, SMALL_NOISE) if small else (min(draws or DRAWS, DRAWS), NOISE)
    lines, chosen, wrong, fewest = [], 0, [], TRUE
    for draw in range(wanted):
        with tempfile.TemporaryDirectory(prefix="featflow-units-") as name:
            folder, data = Path(name), drawn(draw, noise, 99 if small else PERMUTATIONS)
            pq.write_table(data.table, folder / "data.parquet")
            dataset = {"source": str(folder / "data.parquet"), "targets": ["y"]}
            rows = ranking_rows(folder, dataset, ranking={"clusters": "user"}, drift=False)
        names = [row["feature"] for row in rows if row["significant"] and row["feature"] != "user"]
        found = [sum(each.startswith(f"true_{by}") for each in names) for by in READS]
        noises = [sum(each.startswith(f"noise_{by}") for each in names) for by in READS]
        share = sum(noises) / max(len(names), 1)
        lines.append([draw, len(names), *found, data.by_brute_force, *noises, share])
        chosen, fewest = chosen + len(names), min(fewest, sum(found))
        wrong.append(share)
    print(f"{noise} columns of noise and {TRUE} true ones, {SHAPE} rows, q at {RATE}")
    header = (
        "draw",
        "significant",
        "true by row",
        "true of units",
        "by brute force",
        "noise by row",
        "of units",
        "share",
    )
    print_table(header, lines)
    limit = RATE + 3 * sqrt(RATE * (1 - RATE) / max(chosen, 1))
    return [
        Check(LINE, "share of noise among the significant, mean over draws", float(np.mean(wrong)), 0.0, limit),
        Check(LINE, "fewest of the true columns that a draw finds", fewest, FOUND, TRUE),
    ]
