"""Seconds per million pairs of columns, from counts to rows of tables; and per thousand kept pairs, to error bars.

Counts are drawn, so no rows are read. Columns are categories of 17 or 4 levels, missing one of them, beside a target of
two classes and missing; most pairs are independent, some columns follow their neighbour. A sample of the answers is
compared with scikit-learn and scipy, and the whole of one block with the same columns in two. Seconds are of the
processor, on one core. Run it by

    python benchmarks/measures.py [--columns 300] [--rows 1000000] [--kept 300] [--small] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import chi2_contingency
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import expected_mutual_information

from featflow.analyses.correlation.counts import cramers_v, pair_information
from featflow.analyses.interaction.jackknife import interaction_errors
from featflow.analyses.interaction.scores import interactions
from featflow.columns.binning import category_coding
from featflow.columns.column import Column, Kind, Role
from featflow.summaries import PairCounts, PairCountsSummarizer

SEED = 20260103
LEVELS = (17, 4)
CLASSES = 3
"""Of the target, missing one of them."""
DRAWN = 20_000
"""Rows drawn; counts are those times what makes up the rows asked for, and a few at random."""
GROUPS = 32
KEEP = 100
MEASURES: dict[str, Callable[..., pa.Table]] = {
    "mutual_information": pair_information,
    "cramers_v": cramers_v,
    "interaction": lambda spec, state: interactions(spec, state, KEEP),
}


@dataclass(frozen=True)
class Measured:
    """What one measure costs."""

    measure: str
    """Its name."""
    levels: int
    """Levels of every column."""
    count: int
    """Pairs measured."""
    seconds: float
    """Processor seconds, for a million pairs; of error bars for a thousand."""


def coding(name: str, levels: int, role: Role) -> Any:
    """Return the coding of a category with so many pair codes, missing and "other" two of them."""
    values = [f"v{index:02}" for index in range(levels - 2)]
    return category_coding(Column(name, "string", Kind.CATEGORY, role=role), values, [1] * len(values), 256)


def block(columns: int, levels: int, rows: int) -> tuple[PairCountsSummarizer, PairCounts]:
    """Return the counts of all pairs of so many columns, a diagonal block."""
    random = np.random.default_rng((SEED, levels))
    codes = np.stack([random.choice(levels, DRAWN, p=random.dirichlet(np.ones(levels))) for _ in range(columns)])
    for index in range(1, columns, 10):
        same = random.random(DRAWN) < 0.1
        codes[index, same] = codes[index - 1, same]
    target = random.choice(CLASSES, DRAWN, p=[0.02, 0.68, 0.3])
    weight = rows // DRAWN + random.integers(0, 3, DRAWN)  # rows like each
    counts = np.zeros((CLASSES, columns * levels, columns * levels), np.int64)
    for label in range(CLASSES):
        some = np.flatnonzero(target == label)
        one_hot = np.zeros((columns * levels, len(some)))
        one_hot[codes[:, some] + levels * np.arange(columns)[:, None], np.arange(len(some))] = 1.0
        counts[label] = ((one_hot * weight[some]) @ one_hot.T).astype(np.int64)
    codings = tuple(coding(f"column_{index:05}", levels, Role.FEATURE) for index in range(columns))
    spec = PairCountsSummarizer(codings, codings, (coding("target", CLASSES, Role.TARGET),))
    return spec, PairCounts(int(weight.sum()), (counts,))


def part(spec: PairCountsSummarizer, state: PairCounts, left: slice, right: slice) -> tuple[Any, PairCounts]:
    """Return some columns of a block against some."""
    levels = state.counts[0].shape[1] // len(spec.left)
    rows, columns = (slice(side.start * levels, side.stop * levels) for side in (left, right))
    cut = PairCountsSummarizer(spec.left[left], spec.right[right], spec.targets)
    return cut, PairCounts(state.rows, (state.counts[0][:, rows, columns],))


def check_answers(spec: PairCountsSummarizer, state: PairCounts, tables: dict[str, pa.Table]) -> None:
    """Stop with a message if a sample of the answers is not scikit-learn's and scipy's."""
    levels, counts = state.counts[0].shape[1] // len(spec.left), state.counts[0]
    every = tables["mutual_information"].num_rows
    for row in np.random.default_rng(SEED).integers(0, every, 20).tolist():
        information, association = (tables[name].slice(row, 1).to_pylist()[0] for name in list(MEASURES)[:2])
        a, b = (int(information[name].removeprefix("column_")) for name in ("feature_a", "feature_b"))
        table = counts[:, a * levels : (a + 1) * levels, b * levels : (b + 1) * levels].sum(axis=0)
        expect("information", information["value"], mutual_info_score(None, None, contingency=table), 1e-12)
        if state.rows < 2 * 10**6:  # scikit-learn sums over all rows
            seen = table[table.any(axis=1)][:, table.any(axis=0)]
            truth = expected_mutual_information(seen, state.rows)
            expect("expected information", information["expected"], truth, 1e-9)
        both = table[1:, 1:]
        both = both[both.any(axis=1)][:, both.any(axis=0)]
        n, (left, right) = both.sum(), both.shape
        phi2 = chi2_contingency(both, correction=False).statistic / n
        smaller = min(side - (side - 1) ** 2 / (n - 1) for side in (left, right)) - 1
        truth = np.sqrt(max(0.0, phi2 - (left - 1) * (right - 1) / (n - 1)) / smaller)
        expect("Cramer's V", association["value"], truth, 1e-9)
    for best in tables["interaction"].slice(0, 5).to_pylist():
        a, b = (int(best[name].removeprefix("column_")) for name in ("feature_a", "feature_b"))
        cube = counts[1:, a * levels : (a + 1) * levels, b * levels : (b + 1) * levels]
        alone = sum(mutual_info_score(None, None, contingency=cube.sum(axis=axis)) for axis in (1, 2))
        joint = mutual_info_score(None, None, contingency=cube.reshape(len(cube), -1))
        expect("joint information", best["joint_mi"], joint, 1e-12)
        if abs(best["synergy"] - joint + alone) > 2 * levels**2 / state.rows:
            raise SystemExit(f"wrong: synergy {best['synergy']}, plug-in {joint - alone}")


def check_cut(spec: PairCountsSummarizer, state: PairCounts, tables: dict[str, pa.Table]) -> None:
    """Stop with a message if the same columns in two blocks differ by a bit."""
    middle, end = len(spec.left) // 3, len(spec.left)
    first, second = slice(0, middle), slice(middle, end)
    keys = [("feature_a", "ascending"), ("feature_b", "ascending")]
    for name in ("mutual_information", "cramers_v"):
        parts = [
            MEASURES[name](*part(spec, state, *sides)) for sides in ((first, first), (first, second), (second, second))
        ]
        if not pa.concat_tables(parts).sort_by(keys).equals(tables[name].sort_by(keys)):
            raise SystemExit(f"wrong: {name} depends on how columns are cut into blocks")


def expect(name: str, ours: float, truth: float, tolerance: float) -> None:
    """Stop with a message if a number is off."""
    if not abs(ours - truth) <= tolerance:
        raise SystemExit(f"wrong: {name} is {ours!r}, not {truth!r}")


def error_bars(pairs: int, levels: int, rows: int) -> Measured:
    """Return what the error bars of kept interactions cost."""
    random = np.random.default_rng(SEED)
    by_class = np.stack([random.multinomial(int(rows * share), np.ones(GROUPS) / GROUPS) for share in (0.7, 0.3)], 1)
    tables = []
    for _ in range(pairs):
        cells = np.outer(random.dirichlet(np.ones(levels)), random.dirichlet(np.ones(levels))).ravel()
        counts = random.multinomial(by_class.ravel(), cells)
        tables.append(np.moveaxis(counts.reshape(GROUPS, 2, levels, levels), 1, 3))
    started = time.process_time()
    interaction_errors(tables, 1.0, 0.95)
    return Measured("interaction_errors", levels, pairs, (time.process_time() - started) / pairs * 1e3)


def main() -> None:
    """Measure everything, print it, and check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=300)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kept", type=int, default=300, help="pairs whose error bars are computed")
    parser.add_argument("--small", action="store_true", help="a few seconds: 40 columns, 100,000 rows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    if options.small:
        options.columns, options.rows, options.kept = 40, 100_000, 10
    found = []
    for levels in LEVELS:
        spec, state = block(options.columns, levels, options.rows)
        pairs, tables = options.columns * (options.columns - 1) // 2, {}
        for name, measure in MEASURES.items():
            measure(spec, state)  # tables that are made once
            started = time.process_time()
            tables[name] = measure(spec, state)
            found.append(Measured(name, levels, pairs, (time.process_time() - started) / pairs * 1e6))
        check_answers(spec, state, tables)
        check_cut(spec, state, tables)
        found.append(error_bars(options.kept, levels, options.rows))
    print(f"{'measure':<19} {'levels':>6} {'pairs':>9}   {options.rows:,} rows")
    for one in found:
        unit = "a thousand" if one.measure == "interaction_errors" else "a million"
        print(f"{one.measure:<19} {one.levels:>6} {one.count:>9,} {one.seconds:>8.2f} s {unit}")
    if options.json:
        figures = {"rows": options.rows, "measures": [asdict(one) for one in found]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
