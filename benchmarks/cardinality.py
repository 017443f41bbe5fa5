"""A column of ten million distinct strings costs at most 1 GiB of peak memory, and stays noise.

The job runs twice over one dataset, in a process of its own each: without the column, and with it. The
column has nothing to do with the target, so its corrected information is to lie within a few standard
deviations of 0; and a few values in it are frequent, which are to have codes of their own. Then targets are
drawn that are independent of the hashed column: p-values are to pass 0.05 and 0.005 as often as they say.
Run it by

    python benchmarks/cardinality.py [--rows 20000000] [--distinct 10000000] [--draws 2000] [--engine ray|serial]

The dataset, about 60 bytes a row, lies in ``TMPDIR`` while it is needed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measured import Job, print_table, run_job, write_dataset

from featflow.columns.codebook import CategoryCoding, Codebook
from featflow.columns.encoding import encode
from featflow.measures.information import mutual_information
from featflow.measures.permutation_null import ClassNull, null_test

LIMIT_MIB = 1024
SEED = 20260102
HEAVY = 20
"""Frequent values of the column."""
HEAVY_SHARE = 0.001
"""Share of the rows that each of them has."""
STEP = 7_368_787
"""Prime: steps of it go through all values before one comes again."""
DEVIATIONS = 5
"""Standard deviations that noise may be away from 0."""
RATES = {0.05: (0.03, 0.07), 0.005: (0.001, 0.012)}
"""Nominal false-positive rates, and what they may be over 2,000 draws; over fewer, four standard errors more."""
DISTINCT_ERROR = 0.05
"""Relative error that the estimate of distinct values may have, three of its standard errors."""


@dataclass(frozen=True)
class Found:
    """What the run with the column says of it."""

    distinct: int
    """Distinct values, estimated."""
    heavy: int
    """Frequent values with a code of their own."""
    corrected_mi: float
    """Information about the target less its mean under independence, nats."""
    deviation: float
    """Standard deviation of that under the null, nats."""
    p_value: float
    """Of the column in the run."""
    rates: dict[float, float]
    """Share of independent targets whose p-value is at most the key."""


def row_group(index: int, n: int, *, group_rows: int, distinct: int) -> pa.Table:
    """Return the same n rows for the same index; every value of the column before any comes again."""
    random = np.random.default_rng((SEED, index))
    value = (np.arange(index * group_rows, index * group_rows + n) % distinct) * STEP % distinct
    heavy = random.integers(0, round(1 / HEAVY_SHARE), n)
    value = np.where(heavy < HEAVY, -1 - heavy, value)
    return pa.table(
        {
            "value": pc.binary_join_element_wise("user", pa.array(value).cast(pa.string()), "-"),
            "number_0": random.normal(size=n),
            "number_1": random.exponential(size=n),
            "number_2": random.normal(size=n).astype(np.float32),
            "count": random.poisson(5, n),
            "level": pc.binary_join_element_wise("v", pa.array(random.integers(0, 100, n)).cast(pa.string()), "-"),
            "flag": random.random(n) < 0.3,
            "target": (random.random(n) < 0.4).astype(np.int8),
        }
    )


def measure(folder: Path, options: argparse.Namespace, exclude: list[str]) -> Job:
    """Run the job without some columns."""
    dataset = {"source": str(folder / "data"), "targets": ["target"], "exclude": exclude}
    dataset["shard_bytes"] = options.shard_bytes
    config = {"dataset": dataset, "engine": {"kind": options.engine}}
    return run_job(folder / ("without" if exclude else "with"), config)


def false_positive_rates(folder: Path, coding: CategoryCoding, draws: int) -> dict[float, float]:
    """Return how often targets of two classes, drawn independently of the hashed column, pass each nominal rate.

    A draw is the counts of one class over the column's levels, multivariate hypergeometric: rows permuted, counted.
    """
    margins = np.zeros(coding.cardinality, np.int64)
    classes = np.zeros(2, np.int64)
    for path in sorted((folder / "data").rglob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(2**17, columns=["value", "target"]):
            codes = encode(batch.column("value").dictionary_encode(), coding)
            margins += np.bincount(codes, minlength=coding.cardinality)
            classes += np.bincount(batch.column("target"), minlength=2)
    margins = margins[margins > 0]
    null, random = ClassNull(classes), np.random.default_rng(SEED)
    p_values = np.empty(draws)
    for index in range(draws):
        ones = random.multivariate_hypergeometric(margins, classes[1], method="marginals")
        score = mutual_information(np.stack([margins - ones, ones], axis=1))
        p_values[index] = null_test(score, [margins], [null]).p_value
    return {rate: float((p_values <= rate).mean()) for rate in RATES}


def found(folder: Path, job: Job, draws: int) -> Found:
    """Read what the run with the column says of it, and measure how its null is calibrated."""
    profile, row = job.row("profile", column="value"), job.row("ranking", feature="value")
    (path,) = (folder / "with" / "results" / "states" / "codebook").glob("*.arrow")
    coding = Codebook.from_arrow(pa.ipc.open_stream(path).read_all())["value"]
    rates = false_positive_rates(folder, coding, draws)
    score = row["corrected_mi"], row["null_std"], row["p_value"]
    return Found(profile["distinct"], len(coding.heavy), *score, rates)


def check(runs: list[Job], column: Found, options: argparse.Namespace) -> None:
    """Stop with a message if an answer is wrong or the column costs too much."""
    if {run.rows for run in runs} != {options.rows}:
        raise SystemExit(f"wrong: {[run.rows for run in runs]} rows read of {options.rows:,}")
    if abs(column.distinct / options.distinct - 1) > DISTINCT_ERROR:
        raise SystemExit(f"wrong: {column.distinct:,} distinct values for {options.distinct:,}")
    if column.heavy != HEAVY:
        raise SystemExit(f"wrong: {column.heavy} of {HEAVY} frequent values have a code of their own")
    if abs(column.corrected_mi) > DEVIATIONS * column.deviation:
        raise SystemExit(f"wrong: noise scores {column.corrected_mi:.2e}, its deviation is {column.deviation:.2e}")
    for nominal, (low, high) in RATES.items():
        error = 4 * np.sqrt(nominal * (1 - nominal)) * (options.draws**-0.5 - 2_000**-0.5)
        if not low - error <= column.rates[nominal] <= high + error:
            raise SystemExit(f"wrong: {column.rates[nominal]:.4f} of independent targets pass p <= {nominal}")
    difference = (runs[1].peak_bytes - runs[0].peak_bytes) / 2**20
    if difference > options.limit_mib:
        raise SystemExit(f"the column costs {difference:,.0f} MiB, more than {options.limit_mib:,}")


def main() -> None:
    """Measure both runs, print them, and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--distinct", type=int, default=10_000_000, help="distinct values of the column")
    parser.add_argument("--engine", choices=["ray", "serial"], default="ray")
    parser.add_argument("--group-rows", type=int, default=2**17, help="rows of a row group")
    parser.add_argument("--shard-bytes", default="128MiB", help="dataset.shard_bytes of the run")
    parser.add_argument("--limit-mib", type=int, default=LIMIT_MIB, help="memory that the column may cost")
    parser.add_argument("--draws", type=int, default=2_000, help="independent targets, at most 2,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="featflow-cardinality-") as name:
        folder = Path(name)
        make = partial(row_group, group_rows=options.group_rows, distinct=options.distinct)
        write_dataset(folder / "data", options.rows, options.group_rows, make)
        without = measure(folder, options, ["value"])
        with_column = measure(folder, options, [])
        column = found(folder, with_column, options.draws)
    runs = [without, with_column]
    print(f"engine {options.engine}")
    rows = [(n, j.rows, j.seconds, j.peak_bytes / 2**20) for n, j in zip(("without", "with"), runs, strict=True)]
    print_table(("column", "rows", "seconds", "peak MiB"), rows)
    difference = with_column.peak_bytes - without.peak_bytes
    print(f"the column costs {difference / 2**20:,.0f} MiB and {with_column.seconds - without.seconds:,.1f} seconds")
    print(
        f"{column.distinct:,} distinct values, {column.heavy} with a code of their own; corrected information "
        f"{column.corrected_mi:.2e}, {column.corrected_mi / column.deviation:.1f} standard deviations, "
        f"p {column.p_value:.3f}; false-positive rates {column.rates} over {options.draws:,} draws"
    )
    if options.json:
        figures = {"engine": options.engine, "difference_bytes": difference, "column": asdict(column)}
        figures |= {"runs": [run.figures() for run in runs]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    check(runs, column, options)


if __name__ == "__main__":
    main()
