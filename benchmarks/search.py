"""Interactions found without looking at every pair on every row: what is found, and how much was looked at.

The target's log-odds go up or down by a strength with the sign of the product of two columns, for 20 disjoint pairs of
columns that say nothing alone. Columns are independent and in random order. Run it by

    python benchmarks/search.py [--only recall,overlap] [--small] [--engine ray|serial] [--json FILE]

| line    | what                                                                                                  |
|---------|-------------------------------------------------------------------------------------------------------|
| recall  | of 2,000 columns x 200,000 rows: how many of the 20 pairs are the first 20, for three strengths       |
| overlap | of fewer columns and graded strengths: how many significant rows of `search: all` a sample finds, too |

Asserted: all 20 at strength 0.55, for at most a tenth of all pairs times rows; overlap of at least 0.6, where the
weakest pairs add 0.1: what a sample of the rows cannot see, a search on samples may miss.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from measured import Check, Job, conclude, machine, options_of, print_table, run_job, write_dataset

SEED = 20260204
PAIRS, SMALL_PAIRS = 20, 6
STRENGTHS, STRONG = (0.25, 0.35, 0.55), 0.55
"""What a planted pair adds to the target's log-odds, or takes away; at the last all must be found."""
GRADES = (0.1, 0.6)
"""Strength of the weakest and of the strongest pair of the graded target."""
KEEP = 100
MOST_PAIR_ROWS = 0.1
LEAST_OVERLAP = 0.6
SIGNIFICANT = 0.05
GROUP_BYTES = 128 * 2**20


def target_name(strength: float) -> str:
    """Return the name of the target of a strength."""
    return f"y{round(100 * strength):03d}"


@dataclass(frozen=True)
class Planted:
    """A dataset and its truth."""

    rows: int
    columns: int
    pairs: int
    """Pairs of columns that say something together."""

    def names(self) -> list[tuple[str, str]]:
        """Return the names of these pairs."""
        order = np.random.default_rng(SEED).permutation(self.columns)
        return [(f"x{order[2 * k]:05d}", f"x{order[2 * k + 1]:05d}") for k in range(self.pairs)]


def row_group(index: int, n: int, *, planted: Planted) -> pa.Table:
    """Return float32 columns and a target for every strength and for `GRADES`."""
    random = np.random.default_rng((SEED, index))
    numbers = {f"x{place:05d}": random.standard_normal(n, dtype=np.float32) for place in range(planted.columns)}
    signs = np.stack([np.sign(numbers[a] * numbers[b]) for a, b in planted.names()])
    noise = random.logistic(size=n)
    grades = np.linspace(*GRADES, planted.pairs)
    log_odds = {target_name(strength): strength * signs.sum(axis=0) for strength in STRENGTHS} | {"y": grades @ signs}
    return pa.table(numbers | {name: (odds + noise > 0).astype(np.int8) for name, odds in log_odds.items()})


def run_search(source: Path, target: str, search: str, engine: str) -> Job:
    """Run the job for the interactions of one target alone."""
    others = {*map(target_name, STRENGTHS), "y"} - {target}
    dataset = {"source": str(source / "data"), "targets": [target], "exclude": sorted(others)}
    wanted = {"search": search, "keep": KEEP}
    analyses = {"correlation": False, "ranking": False, "interaction": wanted}
    config = {"dataset": dataset, "analyses": analyses, "engine": {"kind": engine}}
    return run_job(source / f"{search}-{target}", config)


def _pairs(job: Job, *, significant: bool = False) -> list[frozenset[str]]:
    table = job.run.arrow("interaction").sort_by("rank")
    table = table.filter(pc.field("q_value") <= SIGNIFICANT) if significant else table
    return [frozenset((row["feature_a"], row["feature_b"])) for row in table.to_pylist()]


def _found(job: Job, target: str, planted: Planted) -> dict[str, Any]:
    pairs, truth = _pairs(job), set(map(frozenset, planted.names()))
    spent = job.run.manifest["analyses"].get("interaction", {}).get("search", [{"pair_rows": 1.0}])[0]
    in_front, kept = truth.intersection(pairs[: planted.pairs]), truth.intersection(pairs)
    found = {
        "target": target,
        "first": len(in_front),
        "kept": len(kept),
        "significant": len(_pairs(job, significant=True)),
    }
    return found | {"search": spent} | job.figures()


# --- lines ----------------------------------------------------------------------------------------------------------


def run_recall(source: Path, engine: str, *, small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Search for every strength."""
    planted = Planted(20_000, 70, SMALL_PAIRS) if small else Planted(200_000, 2_000, PAIRS)
    _write(source, planted)
    found = []
    for strength in (STRONG,) if small else STRENGTHS:
        name = target_name(strength)
        found.append(_found(run_search(source, name, "sample", engine), name, planted) | {"strength": strength})
    print(f"{planted.rows:,} rows x {planted.columns:,} columns, {planted.pairs} planted pairs, {KEEP} kept")
    _print(found)
    count = planted.pairs
    checks = [Check("recall", f"planted pairs among the first {count}", found[-1]["first"], count, count)]
    if not small:
        spent = found[-1]["search"]["pair_rows"]
        checks.append(Check("recall", "pairs times rows looked at, as a share", spent, 0, MOST_PAIR_ROWS))
    return found, checks


def run_overlap(source: Path, engine: str, *, small: bool) -> tuple[list[dict[str, Any]], list[Check]]:
    """Compare a search on samples with looking at everything."""
    planted = Planted(20_000, 40, SMALL_PAIRS) if small else Planted(200_000, 400, PAIRS)
    _write(source, planted)
    jobs = {search: run_search(source, "y", search, engine) for search in ("all", "sample")}
    every, sample = (set(_pairs(job, significant=True)) for job in jobs.values())
    overlap = len(every & sample) / max(len(every), 1)
    found = [_found(job, "y", planted) | {"search_of": search} for search, job in jobs.items()]
    where = f"{planted.rows:,} rows x {planted.columns:,} columns"
    print(f"{where}; of {len(every)} significant pairs {overlap:.0%} are found on samples")
    _print(found)
    checks = [
        Check("overlap", "share of significant pairs found on samples", overlap, LEAST_OVERLAP, 1),
        Check("overlap", "significant pairs of all", len(every), planted.pairs // 2, KEEP),
    ]
    return found, checks


def _write(source: Path, planted: Planted) -> None:
    group_rows = GROUP_BYTES // (4 * planted.columns)
    write_dataset(source / "data", planted.rows, group_rows, partial(row_group, planted=planted))


def _print(found: list[dict[str, Any]]) -> None:
    header = ("target", "first", "kept", "significant", "pair-rows", "seconds", "peak MiB")
    names = ("target", "first", "kept", "significant")
    rows = [(*map(f.get, names), f["search"]["pair_rows"], f["seconds"], f["peak_bytes"] / 2**20) for f in found]
    print_table(header, rows)


LINES = {"recall": run_recall, "overlap": run_overlap}


def main() -> None:
    """Run the lines, print them, and check them."""
    options = options_of(__doc__ or "", tuple(LINES))
    figures, checks = {"machine": machine(), "small": options.small}, list[Check]()
    for name in options.only:
        print(f"--- {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="featflow-search-") as folder:
            figures[name], found = LINES[name](Path(folder), options.engine, small=options.small)
        checks += found
    conclude(checks, options.json, figures | {"checks": [check.public() for check in checks]})


if __name__ == "__main__":
    main()
