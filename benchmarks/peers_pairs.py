"""Counting all pairs of coded columns, beside one `mutual_info_score` a pair and beside FAST.

Columns have 16 bins and "missing", as numbers have by default. Compared are pair-rows a second: pairs times rows.
`mutual_info_score` gets the same codes. So does FAST, and its seconds stand once as they are and once less those that
one pair alone takes, its own binning; then it gets what it is for, the numbers and strings of the job line.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measured import Check, call_watched, median_seconds, print_table, write_dataset
from peers_job import GROUP_ROWS, SIZE, SMALL_SIZE, Size, fast, row_group

from featflow.analyses.interaction.scores import interactions
from featflow.columns.binning import category_coding
from featflow.columns.codebook import CategoryCoding, NumberCoding
from featflow.columns.column import Column, Kind, Role
from featflow.measures.information import mutual_information
from featflow.summaries import PairCountsSummarizer

__all__ = ["run_fast", "run_pairs"]

SEED = 20260201
BINS = 16
DEPENDENT = 0.3
"""Share of rows in which column 1 repeats column 0."""
PLANTED = (2, 3)
"""Columns whose interaction decides about the target: whether they lie in the same half."""
CHECKED = ((0, 1), (0, 2), (5, 9), (1, 12), (7, 17))
COLUMNS, ROWS, REPEATS = (100, 400), 1_000_000, 5
SMALL_COLUMNS, SMALL_ROWS, SMALL_REPEATS = (20, 30), 20_000, 2
FAST_COLUMNS, FAST_ROWS = 80, 100_000
AGREE = 1e-12
"""Nats by which mutual information may differ."""
WANTED = {100: 2.0e9, 400: 3.5e9}
"""Least pair-rows a second, by columns."""
TIMES_MUTUAL_INFO_SCORE, TIMES_FAST = 300.0, 40.0


@dataclass(frozen=True)
class Rate:
    """What one contender took for one piece of work."""

    contender: str
    """Who, and doing what."""
    columns: int
    rows: int
    pairs: int
    """Pairs that were counted."""
    seconds: float
    """Median of several calls."""
    peak_bytes: int
    """Peak PSS of its process, data and imports included."""

    @property
    def pair_rows(self) -> float:
        """Pairs times rows, a second."""
        return self.pairs * self.rows / self.seconds


def codes_of(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes from 1 to `BINS`, shape (columns, rows), and a target's codes, 1 or 2; uint8."""
    random = np.random.default_rng(SEED)
    codes = random.integers(1, BINS + 1, (columns, rows), dtype=np.uint8)
    codes[1] = np.where(random.random(rows) < DEPENDENT, codes[0], codes[1])
    halves = codes[list(PLANTED)] > BINS // 2
    same = 0.5 * np.where(halves[0] == halves[1], 1, -1) + 0.02 * codes[4]
    target = 1 + (same + random.logistic(size=rows) > 0.02 * BINS / 2)
    return codes, target.astype(np.uint8)


def _spec(columns: int, *, target: bool) -> PairCountsSummarizer:
    edges, groups = np.arange(1, BINS, dtype=np.uint64), np.arange(BINS + 1, dtype=np.uint8)
    of_ranks = np.zeros(1, np.uint64), np.zeros(1), 0.0, 0.0
    left = tuple(
        NumberCoding(Column(str(index), "float32", Kind.NUMBER), edges, groups, *of_ranks) for index in range(columns)
    )
    return PairCountsSummarizer(left, left, (_target(),) if target else ())


def _target() -> CategoryCoding:
    return category_coding(Column("target", "string", Kind.CATEGORY, role=Role.TARGET), ["0", "1"], [1, 1], BINS)


def _batch(codes: np.ndarray, target: np.ndarray) -> pa.RecordBatch:
    fields = {f"column:{index}": pa.array(column) for index, column in enumerate(codes)}
    return pa.record_batch(fields | {"target:target": pa.array(target)})


# --- contenders, each in a process of its own -----------------------------------------------------------------------


def count_pairs(columns: int, rows: int, repeats: int) -> tuple[float, list[float]]:
    """Return featflow's seconds for the counts of all pairs, and the information in some of them."""
    batch, spec = _batch(*codes_of(columns, rows)), _spec(columns, target=False)
    counts = spec.summarize(batch).counts[0][0].reshape(columns, BINS + 1, columns, BINS + 1)
    found = [float(mutual_information(counts[a, :, b, :])) for a, b in CHECKED]
    return median_seconds(lambda: spec.summarize(batch), repeats), found


def score_pairs(columns: int, rows: int, repeats: int) -> tuple[float, list[float]]:
    """Return scikit-learn's median seconds a pair, and the information in the same pairs."""
    from sklearn.metrics import mutual_info_score  # noqa: PLC0415

    codes, _ = codes_of(columns, rows)
    found = [float(mutual_info_score(codes[a], codes[b])) for a, b in CHECKED]
    return median_seconds(lambda: [mutual_info_score(codes[a], codes[b]) for a, b in CHECKED], repeats), found


def count_triples(columns: int, rows: int, repeats: int) -> tuple[float, float, tuple[int, int]]:
    """Return featflow's seconds for all tables of two columns and the target; with synergies; the best pair."""
    batch, spec = _batch(*codes_of(columns, rows)), _spec(columns, target=True)
    best = interactions(spec, spec.summarize(batch)).sort_by([("synergy", "descending")]).slice(0, 1).to_pylist()[0]
    counting = median_seconds(lambda: spec.summarize(batch), repeats)
    whole = median_seconds(lambda: interactions(spec, spec.summarize(batch)), repeats)
    return counting, whole, (int(best["feature_a"]), int(best["feature_b"]))


def fast_triples(columns: int, rows: int, repeats: int) -> tuple[float, float, tuple[int, int]]:
    """Return FAST's seconds for all pairs; for one alone; its best pair."""
    from interpret.utils import measure_interactions  # noqa: PLC0415

    codes, target = codes_of(columns, rows)
    values, kinds = codes.T.astype(np.float64), ["continuous"] * columns

    def measure(pairs: list[tuple[int, int]] | None) -> list[tuple[tuple[int, int], float]]:
        return measure_interactions(values, target - 1, pairs, feature_types=kinds, objective="log_loss")

    best = measure(None)[0][0]
    whole = median_seconds(lambda: measure(None), repeats)
    return whole, median_seconds(lambda: measure([(0, 1)]), repeats), (int(best[0]), int(best[1]))


# --- lines ----------------------------------------------------------------------------------------------------------


def run_pairs(*, small: bool) -> tuple[dict[str, Any], list[Check]]:
    """Compare counting all pairs with one `mutual_info_score` a pair."""
    rows, repeats = (SMALL_ROWS, SMALL_REPEATS) if small else (ROWS, REPEATS)
    widths = SMALL_COLUMNS if small else COLUMNS
    (peer_seconds, peer_found), peer_peak = call_watched(score_pairs, widths[0], rows, repeats)
    peer = Rate("mutual_info_score", widths[0], rows, len(CHECKED), peer_seconds, peer_peak)
    rates, checks = [peer], []
    for columns in widths:
        (seconds, found), peak = call_watched(count_pairs, columns, rows, repeats)
        ours = Rate("featflow, all pairs", columns, rows, math.comb(columns, 2), seconds, peak)
        rates.append(ours)
        if columns == widths[0]:
            error = max(abs(a - b) for a, b in zip(found, peer_found, strict=True))
            checks.append(Check("pairs", "difference of mutual information, nats", error, 0, AGREE))
        if not small:
            times = ours.pair_rows / peer.pair_rows
            what = f"pair-rows a second, {columns} columns"
            checks.append(Check("pairs", what, ours.pair_rows, WANTED[columns], math.inf))
            what = f"times mutual_info_score, {columns} columns"
            checks.append(Check("pairs", what, times, TIMES_MUTUAL_INFO_SCORE, math.inf))
    return _shown(rates), checks


def run_fast(*, small: bool) -> tuple[dict[str, Any], list[Check]]:
    """Compare all three-way tables with FAST."""
    rows, repeats = (SMALL_ROWS, SMALL_REPEATS) if small else (ROWS, REPEATS)
    columns = SMALL_COLUMNS[0] if small else COLUMNS[0]
    shared = (columns, rows) if small else (FAST_COLUMNS, FAST_ROWS)
    mixed, mixed_seconds, mixed_peak = _fast_on_mixed(SMALL_SIZE if small else SIZE)
    rates = [Rate("FAST, numbers and strings", *mixed, math.comb(mixed[0], 2), mixed_seconds, mixed_peak)]
    (whole, one, peer_best), peak = call_watched(fast_triples, *shared, repeats)
    rates.append(Rate("FAST, codes", *shared, math.comb(shared[0], 2), whole, peak))
    rates.append(Rate("FAST, codes, less its binning", *shared, math.comb(shared[0], 2) - 1, whole - one, peak))
    bests = [peer_best]
    for of_columns, of_rows in dict.fromkeys([shared, (columns, rows)]):
        (counting, scored, best), peak = call_watched(count_triples, of_columns, of_rows, repeats)
        for what, seconds in (("tables", counting), ("tables and synergies", scored)):
            rates.append(Rate(f"featflow, {what}", of_columns, of_rows, math.comb(of_columns, 2), seconds, peak))
        bests.append(best)
    found = sum(set(best) == set(PLANTED) for best in bests)
    checks = [Check("fast", "runs whose best pair is the planted one", found, len(bests), len(bests))]
    if not small:
        times = rates[-2].pair_rows / rates[0].pair_rows
        checks.append(Check("fast", "times FAST on numbers and strings, tables", times, TIMES_FAST, math.inf))
    return _shown(rates), checks


def _fast_on_mixed(size: Size) -> tuple[tuple[int, int], float, int]:
    """Return the columns and rows of the job line's sample; FAST's seconds on them and the peak of its process."""
    rows = size.rows // size.sample
    with tempfile.TemporaryDirectory(prefix="featflow-peers-") as folder:
        source = Path(folder) / "data"
        write_dataset(source, rows, GROUP_ROWS, partial(row_group, size=size))
        (seconds, _), peak = call_watched(fast, source, replace(size, rows=rows, sample=1))
    return (size.numbers + size.strings, rows), seconds, peak


def _shown(rates: list[Rate]) -> dict[str, Any]:
    """Print rates as multiples of the first; return them as JSON values."""
    header = ("contender", "columns", "rows", "pairs", "seconds", "pair-rows/s", "times", "peak MiB")
    cells = [
        (r.contender, r.columns, r.rows, r.pairs, r.seconds, f"{r.pair_rows:.2e}", r.pair_rows / rates[0].pair_rows,
         r.peak_bytes / 2**20) for r in rates
    ]  # fmt: skip
    print_table(header, cells)
    return {"rates": [asdict(rate) | {"pair_rows": rate.pair_rows} for rate in rates]}
