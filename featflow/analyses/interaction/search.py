"""The best interactions without looking at every pair on every row.

All pairs are counted on a sample of the rows. Those whose upper limit reaches the lower limit of the last pair to be
kept go on, at most one in `SURVIVORS`, to twice as many rows (successive halving: Karnin, Koren & Somekh 2013, ICML;
Jamieson & Talwalkar 2016, AISTATS), until what is left is counted on all. A round costs half of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.interaction.scores import interactions, top
from featflow.analyses.interaction.screening import limits, scores
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.requests import CountsOfPairs
from featflow.columns.codebook import pair_cardinality
from featflow.columns.column import Role
from featflow.execution import state_store
from featflow.execution.context import Context
from featflow.execution.stored_columns import StoredColumns
from featflow.measures.codebook import ColumnStates
from featflow.measures.information import entropy
from featflow.summaries import PairCountsByGroupSummarizer, PairCountsSummarizer

__all__ = ["Searched", "search"]

FIRST_SHARE = 0.04
"""Share of the rows on which every pair is counted."""
FEWEST_ROWS = 5_000
"""Rows of the first sample, if there are so many."""
SURVIVORS = 4
"""One pair in so many goes on, while rows double: a round costs half of the one before."""
SPARE = 2
"""Times the pairs to be kept that are counted on all rows."""
PAIRS_OF_A_TASK = 2048
"""Pairs that a task of a later round counts."""
MEASURE_COPIES = 8
"""Copies of a state that measuring it takes."""
TILE = 64
"""Columns of a tile: pairs of one tile are counted by one task, which reads the codes of few columns."""


@dataclass(frozen=True)
class Searched:
    """The best pairs and what it took to find them."""

    table: pa.Table
    """Rows of the interaction table, without error bars."""
    targets: list[dict[str, Any]]
    """Of every target: rounds, each a share of the rows and a number of pairs, and all pairs times rows looked at as a
    share of looking at every pair on every row."""


@dataclass(frozen=True)
class _Candidates:
    """Pairs of one target that may be among the best."""

    a: np.ndarray
    """Index of the first feature, shape (pairs,)."""
    b: np.ndarray
    """Index of the second feature."""
    low: np.ndarray
    """Lower limit of synergy."""
    high: np.ndarray
    """Upper limit of synergy."""

    def take(self, rows: np.ndarray) -> _Candidates:
        """Return some of them."""
        return _Candidates(self.a[rows], self.b[rows], self.low[rows], self.high[rows])


@dataclass(frozen=True)
class _Screen:
    """What the tasks of the first round share."""

    stream: StoredColumns
    specs: tuple[PairCountsSummarizer, ...]
    features: dict[str, int]
    keep: int
    share: float


@dataclass(frozen=True)
class _Chunks:
    """What the tasks of a later round share."""

    stream: StoredColumns
    specs: tuple[PairCountsByGroupSummarizer, ...]
    scale: float
    share: float
    rows: int
    """Rows of the dataset."""
    present: int
    """Rows of the dataset in which the target is present."""


def search(context: Context, keep: int) -> Searched:
    """Return the ``keep`` pairs of most synergy of every target, counted on all rows.

    A pair is missed if in a sample as many others look better as are left to go on: the more synergy it has, the less
    likely that is.
    """
    codings, rows = context.codebook.codings, context.columns.rows
    features = {c.column.name: index for index, c in enumerate(codings) if c.column.role is Role.FEATURE}
    share = min(1.0, max(FIRST_SHARE, FEWEST_ROWS / rows))
    pairs = len(features) * (len(features) - 1) / 2
    screens = context.specs(CountsOfPairs(by_class=True, features_only=True))
    found = _first_round(context, _Screen(context.codes, screens, features, keep, share))
    tables, targets = [INTERACTION.empty()], []
    for target, (candidates, entropy_of) in found.items():
        steps = [{"rows": share, "pairs": pairs}]
        while True:
            of_rows = 1.0 if len(candidates.a) <= SPARE * keep else min(1.0, 2 * steps[-1]["rows"])
            steps.append({"rows": of_rows, "pairs": float(len(candidates.a))})
            table = _again(context, target, candidates, of_rows)
            if of_rows == 1:
                break
            candidates = _narrowed(_candidates(table, features, entropy_of), keep)  # noqa: PLW2901
        tables.append(table)
        spent = sum(step["rows"] * step["pairs"] for step in steps) / max(pairs, 1.0)
        targets.append({"target": target, "pair_rows": spent, "rounds": steps})
    return Searched(top(pa.concat_tables(tables), keep), targets)


def _first_round(context: Context, work: _Screen) -> dict[str, tuple[_Candidates, float]]:
    """Count all pairs on the sample; return what goes on, by target, and the target's entropy."""
    memory = MEASURE_COPIES * max(spec.nbytes() for spec in work.specs)
    by_target: dict[str, list[_Candidates]] = {}
    entropies: dict[str, float] = {}
    stage = f"interactions: {work.share:.1%} of rows"
    for block in context.map(_screen_block, work, range(len(work.specs)), stage, memory, gpus=True):
        for target, (candidates, entropies[target]) in block.items():
            by_target.setdefault(target, []).append(candidates)
    return {t: (_narrowed(_joined(parts), work.keep), entropies[t]) for t, parts in by_target.items()}


def _screen_block(work: _Screen, index: int) -> dict[str, tuple[_Candidates, float]]:
    spec = work.specs[index]
    state = work.stream.count(spec, work.share)
    table, found = interactions(spec, state), {}
    for target, counts in zip(spec.targets, state.counts, strict=True):
        one_pair = counts[1:, : pair_cardinality(spec.left[0]), : pair_cardinality(spec.right[0])]
        of_target = entropy(one_pair.sum(axis=(1, 2)))
        rows = table.filter(pc.equal(table["target"], target.column.name))
        found[target.column.name] = _narrowed(_candidates(rows, work.features, of_target), work.keep), of_target
    return found


def _candidates(table: pa.Table, features: dict[str, int], of_target: float) -> _Candidates:
    """Return the pairs of one target with limits of their synergy."""
    names = pa.array(list(features))
    places = np.array(list(features.values()))
    a, b = (places[pc.index_in(table[side], value_set=names).to_numpy()] for side in ("feature_a", "feature_b"))
    columns = ("synergy", "joint_mi", "expected_mi", "n")
    synergy, joint, expected, n = (table[name].to_numpy().astype(np.float64) for name in columns)
    return _Candidates(a, b, *limits(synergy, (joint, expected), n, of_target))


def _narrowed(candidates: _Candidates, keep: int) -> _Candidates:
    """Return those that may be among the ``keep`` best, at most one in `SURVIVORS` but enough to choose from."""
    count = len(candidates.a)
    most = max(count // SURVIVORS, SPARE * keep)
    least = np.partition(candidates.low, count - keep)[count - keep] if count > keep else -np.inf
    kept = np.flatnonzero(candidates.high >= least)
    if len(kept) > most:
        kept = kept[np.argsort(-candidates.high[kept], kind="stable")[:most]]
    return candidates.take(kept)


def _joined(parts: list[_Candidates]) -> _Candidates:
    return _Candidates(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Candidates)))


# --- later rounds ---------------------------------------------------------------------------------------------------


def _again(context: Context, target: str, candidates: _Candidates, share: float) -> pa.Table:
    """Count pairs on a share of the rows; return their rows of the interaction table."""
    codings = context.codebook.codings
    order = np.lexsort((candidates.b, candidates.a, candidates.b // TILE, candidates.a // TILE))
    pairs = [(codings[a], codings[b]) for a, b in zip(candidates.a[order], candidates.b[order], strict=True)]
    specs = tuple(
        PairCountsByGroupSummarizer(
            tuple(pairs[start : start + PAIRS_OF_A_TASK]), context.codebook[target], 1, context.dataset.weight
        )
        for start in range(0, len(pairs), PAIRS_OF_A_TASK)
    )
    sizes = context.columns.rows, _present(context.columns, target)
    work = _Chunks(context.codes, specs, context.scale, share, *sizes)
    memory = state_store.WORKING_COPIES * max((spec.nbytes() for spec in specs), default=0)
    stage = f"interactions: {share:.1%} of rows, {len(pairs):,} pairs"
    tables = context.map(_score_chunk, work, range(len(specs)), stage, memory)
    return pa.concat_tables([INTERACTION.empty(), *tables])


def _present(columns: ColumnStates, target: str) -> int:
    """Return the rows in which a column is present."""
    missing = {column.name: counts.missing for column, counts in zip(columns.categories, columns.levels, strict=True)}
    missing |= {column.name: int(n) for column, n in zip(columns.numbers, columns.moments.missing, strict=True)}
    return columns.rows - missing[target]


def _score_chunk(work: _Chunks, index: int) -> pa.Table:
    spec = work.specs[index]
    state, shapes = work.stream.count(spec, work.share), spec.shapes()
    joint, expected, synergy = np.empty((3, len(shapes)))
    tables = list(spec.tables(state))
    for shape in dict.fromkeys(shapes):
        alike = [place for place, other in enumerate(shapes) if other == shape]
        found = scores(np.stack([tables[place][0, :, :, 1:] for place in alike]), work.scale)
        joint[alike], expected[alike], synergy[alike] = found.joint_mi, found.expected_mi, found.synergy
    assert spec.target is not None  # noqa: S101  every chunk is about one
    n = round(float(tables[0][..., 1:].sum()) * work.scale)
    if spec.weight and state.rows == work.rows:  # weights do not say how many rows there were
        n = work.present
    return INTERACTION.build(
        {
            "target": [spec.target.column.name] * len(shapes),
            "feature_a": [left.column.name for left, _ in spec.pairs],
            "feature_b": [right.column.name for _, right in spec.pairs],
            "n": [n] * len(shapes),
            "rows_used": [state.rows] * len(shapes),
            "joint_mi": joint,
            "expected_mi": expected,
            "corrected_joint_mi": joint - expected,
            "synergy": synergy,
        },
    )
