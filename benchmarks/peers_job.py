"""The whole job with everything on, beside the sum of what does parts of it.

60 numbers, six of them with 5 % NaN; 20 columns of strings, of 2 to 100,000 levels; a binary target whose log-odds
depend on three numbers and on whether two others have the same sign. pandas and polars get all rows;
`mutual_info_classif` and FAST a tenth, and their seconds are taken as ten times as many: both are at least linear.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measured import Check, Job, call_watched, median_seconds, print_table, run_job, write_dataset

__all__ = ["GROUP_ROWS", "SIZE", "SMALL_SIZE", "Size", "fast", "row_group", "run_job_line"]

SEED = 20260202
MISSING = 6
"""Numbers with NaN, the last ones."""
MISSING_SHARE = 0.05
RHO = 0.6
WEIGHTS = {"f02": 1.2, "f03": 0.9, "f04": 0.6}
"""What a number adds to the target's log-odds; most important first."""
TOGETHER, TOGETHER_WEIGHT = ("f05", "f06"), 0.7
"""Numbers of which it matters whether they have the same sign."""
GROUP_ROWS = 2**17
SHARE_OF_SUM, MOST_BYTES, AGREE = 0.1, 4 * 2**30, 1e-9
JOBS = 2
"""Processes of `mutual_info_classif`."""


@dataclass(frozen=True)
class Size:
    """How much data there are."""

    rows: int
    numbers: int
    strings: int
    most_levels: int
    """Levels of the last column of strings; those of the first are two, the others' in geometric progression."""
    sample: int
    """Slow peers get one row in so many."""
    repeats: int
    """Calls of quick peers, of whose seconds the median is taken."""

    def names(self) -> list[str]:
        """Return the names of the numbers."""
        return [f"f{index:02d}" for index in range(self.numbers)]

    def correlated(self) -> list[tuple[str, str]]:
        """Return pairs of numbers to compare: two complete ones, two with missing values."""
        last = self.names()[-MISSING:]
        return [("f00", "f01"), ("f02", "f07"), ("f00", last[-1]), (last[0], last[2])]


SIZE, SMALL_SIZE = Size(1_000_000, 60, 20, 100_000, 10, 3), Size(10_000, 14, 3, 500, 1, 1)


def row_group(index: int, n: int, *, size: Size) -> pa.Table:
    """Return the same n rows for the same index."""
    random = np.random.default_rng((SEED, index))
    numbers = random.standard_normal((size.numbers, n), dtype=np.float32)
    numbers[1] = RHO * numbers[0] + math.sqrt(1 - RHO**2) * numbers[1]
    columns: dict[str, Any] = dict(zip(size.names(), numbers, strict=True))
    log_odds = TOGETHER_WEIGHT * np.sign(columns[TOGETHER[0]] * columns[TOGETHER[1]])
    for name, weight in WEIGHTS.items():
        log_odds = log_odds + weight * columns[name]
    target = (log_odds + random.logistic(size=n) > 0).astype(np.int8)
    numbers[-MISSING:][random.random((MISSING, n)) < MISSING_SHARE] = np.nan
    for place, levels in enumerate(np.geomspace(2, size.most_levels, size.strings).astype(int)):
        code = (levels * random.random(n) ** 1.5).astype(np.int64)
        padded = pc.utf8_lpad(pa.array(code).cast(pa.string()), 6, "0")
        columns[f"s{place:02d}"] = pc.binary_join_element_wise("v", padded, "")
    return pa.table(columns | {"y": target})


# --- peers, each in a process of its own ----------------------------------------------------------------------------


def _rows(source: Path, columns: list[str] | None, share: int = 1) -> pa.Table:
    table = pq.read_table(source, columns=columns)
    return table.slice(0, table.num_rows // share)


def pandas_corr(source: Path, size: Size) -> tuple[float, list[float]]:
    """Return the seconds of pandas `corr`, pairwise complete, and some correlations."""
    frame = _rows(source, size.names()).to_pandas()
    found = frame.corr()
    return median_seconds(frame.corr, size.repeats), [float(found.loc[a, b]) for a, b in size.correlated()]


def polars_corr(source: Path, size: Size) -> tuple[float, list[float]]:
    """Return the seconds of polars `corr`, which knows no missing values, and some correlations."""
    import polars as pl  # noqa: PLC0415

    frame = pl.DataFrame(pl.from_arrow(_rows(source, size.names())))
    found = dict(zip(frame.columns, frame.corr().rows(), strict=True))
    return median_seconds(frame.corr, size.repeats), [found[a][frame.columns.index(b)] for a, b in size.correlated()]


def information(source: Path, size: Size) -> tuple[float, list[str]]:
    """Return the seconds of `mutual_info_classif` on the numbers, and their names by its score."""
    from joblib.externals.loky import get_reusable_executor  # noqa: PLC0415
    from sklearn.feature_selection import mutual_info_classif  # noqa: PLC0415

    frame = _rows(source, [*size.names(), "y"], size.sample).to_pandas()
    target = frame.pop("y")
    frame = frame.fillna(frame.median())
    found: list[np.ndarray] = []
    seconds = median_seconds(lambda: found.append(mutual_info_classif(frame, target, random_state=0, n_jobs=JOBS)), 1)
    get_reusable_executor().shutdown()  # its workers would wait for minutes, and this process for them
    return seconds, [frame.columns[index] for index in np.argsort(-found[0], kind="stable")]


def fast(source: Path, size: Size) -> tuple[float, list[str]]:
    """Return the seconds of FAST on all columns, and its best pair."""
    from interpret.utils import measure_interactions  # noqa: PLC0415

    frame = _rows(source, None, size.sample).to_pandas()
    target = frame.pop("y")
    found: list[Any] = []
    seconds = median_seconds(lambda: found.append(measure_interactions(frame, target, objective="log_loss")), 1)
    return seconds, [frame.columns[index] for index in found[0][0][0]]


# --- the line -------------------------------------------------------------------------------------------------------


def run_job_line(*, small: bool) -> tuple[dict[str, Any], list[Check]]:
    """Compare the job with the sum of its peers; the small job runs without Ray."""
    size = SMALL_SIZE if small else SIZE
    with tempfile.TemporaryDirectory(prefix="featflow-peers-") as name:
        folder = Path(name)
        source = folder / "data"
        write_dataset(source, size.rows, GROUP_ROWS, partial(row_group, size=size))
        peers: dict[str, tuple[Callable[..., Any], int]] = {
            f"pandas corr, {size.numbers} numbers": (pandas_corr, 1),
            f"mutual_info_classif, {size.numbers} numbers, n_jobs={JOBS}": (information, size.sample),
            f"FAST, {size.numbers + size.strings} columns": (fast, size.sample),
            "polars corr, not in the sum": (polars_corr, 1),
        }
        found, figures = [], []
        for contender, (function, times) in peers.items():
            (seconds, answer), peak = call_watched(function, source, size)
            found.append(answer)
            figures.append({"contender": contender, "rows": size.rows // times, "measured_seconds": seconds})
            figures[-1] |= {"seconds": seconds * times, "peak_bytes": peak, "answer": answer}
        total = sum(figure["seconds"] for figure in figures[:3])
        dataset = {"source": str(source), "targets": ["y"]}
        jobs, checks = {}, list[Check]()
        for engine in ["serial"] if small else ["ray", "serial"]:
            jobs[engine] = run_job(folder / engine, {"dataset": dataset, "engine": {"kind": engine}})
            checks += _answers(engine, jobs[engine], found, size)
    for engine, job in jobs.items():
        figures.append({"contender": f"featflow run, {engine}", "rows": size.rows, "measured_seconds": job.seconds})
        figures[-1] |= {"seconds": job.seconds, "peak_bytes": job.peak_bytes}
    header = ("contender", "rows", "measured s", "seconds", "of the sum", "peak MiB")
    names = ("contender", "rows", "measured_seconds", "seconds")
    cells = [(*map(f.get, names), f["seconds"] / total, f["peak_bytes"] / 2**20) for f in figures]
    print_table(header, [*cells, ("sum of the first three", size.rows, "", total, 1.0, "")])
    print(f"planted: {', '.join(WEIGHTS)}; together {', '.join(TOGETHER)}")
    print(f"mutual_info_classif finds {', '.join(found[1][:3])}; FAST's best pair is {', '.join(found[2])}\n")
    stages = next(iter(jobs.values())).stages
    print_table(("seconds of", *jobs), [(stage, *(job.stages[stage] for job in jobs.values())) for stage in stages])
    if not small:
        share = jobs["ray"].seconds / total
        checks.append(Check("job", "seconds as a share of the sum", share, 0, SHARE_OF_SUM))
        checks.append(Check("job", "peak bytes of the process tree", jobs["ray"].peak_bytes, 0, MOST_BYTES))
    return {"contenders": figures, "jobs": {engine: job.figures() for engine, job in jobs.items()}}, checks


def _answers(engine: str, job: Job, found: list[Any], size: Size) -> list[Check]:
    """Compare what a run says with what was planted and with what the peers say."""
    of_pandas, by_information, _, of_polars = found
    ours = [job.row("correlation", method="pearson", feature_a=a, feature_b=b)["value"] for a, b in size.correlated()]
    error = max(abs(a - b) for a, b in zip(ours, of_pandas, strict=True))
    complete = max(abs(a - b) for a, b in zip(ours[:2], of_polars, strict=False))
    ranking = job.run.arrow("ranking").sort_by("rank").column("feature").to_pylist()
    best = job.row("interaction", rank=1)
    leading = [names[: len(WEIGHTS)] == list(WEIGHTS) for names in (ranking, by_information)]
    agreed = {
        "rows that are missing": size.rows - job.rows,
        "rankings that the planted features do not lead": leading.count(False),
        "the best pair is not the planted one": {best["feature_a"], best["feature_b"]} != set(TOGETHER),
    }
    checks = [Check("job", f"{engine}: {what}", count, 0, 0) for what, count in agreed.items()]
    checks.append(Check("job", f"{engine}: difference of Pearson from pandas", error, 0, AGREE))
    checks.append(Check("job", f"{engine}: difference of Pearson from polars, complete pairs", complete, 0, AGREE))
    return checks
