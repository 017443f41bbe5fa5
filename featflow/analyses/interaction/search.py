"""Search for the best interactions that counts few pairs on all rows.

All pairs are counted on a sample of the rows. Those whose upper limit reaches the lower limit of the last pair of the
table go on, at most one in `SURVIVORS`, to twice as many rows (successive halving: Karnin, Koren & Somekh 2013, ICML;
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
"""Share of the rows on which every pair is counted. It decides the cost of a search: for 2,000 columns of 200,000 rows,
all rounds together took 5.0 % of pairs times rows (docs/benchmarks.md)."""
FEWEST_ROWS = 5_000
"""Rows of the first sample, if there are so many: of fewer, limits are too wide to tell pairs apart."""
SURVIVORS = 4
"""One pair in so many goes on, while rows double: a round costs half of the one before, so all rounds cost at most
twice the first."""
SPARE = 2
"""Times the pairs of the table that are counted on all rows, so that the last pairs need not rank right in a sample."""
PAIRS_OF_A_TASK = 2048
"""Pairs that a task of a later round counts: more share the codes of a tile, fewer let more tasks run at once."""
MEASURE_COPIES = 8
"""Memory that scoring a block takes, in copies of its state: counts, logarithms, margins and terms of the null."""
TILE = 64
"""Columns of a tile: pairs of one tile are counted by one task, which reads the codes of few columns."""


@dataclass(frozen=True)
class Searched:
    """The best pairs, and the rounds that found them."""

    table: pa.Table
    """Rows of the interaction table, without error bars."""
    targets: list[dict[str, Any]]
    """Entry of the manifest for every target: rounds, each a share of the rows and a number of pairs, and their pairs
    times rows as a share of every pair on every row."""


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
class _FirstRound:
    """Input that all tasks of the first round share."""

    stream: StoredColumns
    specs: tuple[PairCountsSummarizer, ...]
    features: dict[str, int]
    keep: int
    share: float


@dataclass(frozen=True)
class _LaterRound:
    """Input that all tasks of a later round share."""

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

    A pair is lost if, in a sample, as many others score higher as go on to the next round. The more synergy a pair has,
    the less likely that is.
    """
    codings, rows = context.codebook.codings, context.columns.rows
    features = {c.column.name: index for index, c in enumerate(codings) if c.column.role is Role.FEATURE}
    share = min(1.0, max(FIRST_SHARE, FEWEST_ROWS / rows))
    pairs = len(features) * (len(features) - 1) / 2
    specs = context.specs(CountsOfPairs(by_class=True, features_only=True))
    by_target = _first_round(context, _FirstRound(context.codes, specs, features, keep, share))
    tables, targets = [INTERACTION.empty()], []
    for target, (candidates, target_entropy) in by_target.items():
        rounds = [{"rows": share, "pairs": pairs}]
        while True:
            next_share = 1.0 if len(candidates.a) <= SPARE * keep else min(1.0, 2 * rounds[-1]["rows"])
            rounds.append({"rows": next_share, "pairs": float(len(candidates.a))})
            table = _scored_pairs(context, target, candidates, next_share)
            if next_share == 1:
                break
            candidates = _survivors(_candidates(table, features, target_entropy), keep)  # noqa: PLW2901
        tables.append(table)
        spent = sum(each["rows"] * each["pairs"] for each in rounds) / max(pairs, 1.0)
        targets.append({"target": target, "pair_rows": spent, "rounds": rounds})
    return Searched(top(pa.concat_tables(tables), keep), targets)


def _first_round(context: Context, work: _FirstRound) -> dict[str, tuple[_Candidates, float]]:
    """Count all pairs on the sample; return by target the pairs that go on, and the target's entropy."""
    memory = MEASURE_COPIES * max(spec.nbytes() for spec in work.specs)
    by_target: dict[str, list[_Candidates]] = {}
    entropies: dict[str, float] = {}
    stage = f"interactions: {work.share:.1%} of rows"
    for block in context.map(_screen_block, work, range(len(work.specs)), stage, memory, gpus=True):
        for target, (candidates, entropies[target]) in block.items():
            by_target.setdefault(target, []).append(candidates)
    return {t: (_survivors(_concatenated(parts), work.keep), entropies[t]) for t, parts in by_target.items()}


def _screen_block(work: _FirstRound, index: int) -> dict[str, tuple[_Candidates, float]]:
    spec = work.specs[index]
    state = work.stream.count(spec, work.share)
    table, by_target = interactions(spec, state), {}
    for target, counts in zip(spec.targets, state.counts, strict=True):
        one_pair = counts[1:, : pair_cardinality(spec.left[0]), : pair_cardinality(spec.right[0])]
        target_entropy = entropy(one_pair.sum(axis=(1, 2)))
        rows = table.filter(pc.equal(table["target"], target.column.name))
        by_target[target.column.name] = (
            _survivors(_candidates(rows, work.features, target_entropy), work.keep),
            target_entropy,
        )
    return by_target


def _candidates(table: pa.Table, features: dict[str, int], target_entropy: float) -> _Candidates:
    """Return the pairs of one target with limits of their synergy."""
    names = pa.array(list(features))
    places = np.array(list(features.values()))
    a, b = (places[pc.index_in(table[side], value_set=names).to_numpy()] for side in ("feature_a", "feature_b"))
    columns = ("synergy", "joint_mi", "expected_mi", "n")
    synergy, joint, expected, n = (table[name].to_numpy().astype(np.float64) for name in columns)
    return _Candidates(a, b, *limits(synergy, (joint, expected), n, target_entropy))


def _survivors(candidates: _Candidates, keep: int) -> _Candidates:
    """Return the pairs that may be among the ``keep`` best, at most one in `SURVIVORS`, or `SPARE` times ``keep``."""
    count = len(candidates.a)
    most = max(count // SURVIVORS, SPARE * keep)
    least = np.partition(candidates.low, count - keep)[count - keep] if count > keep else -np.inf
    # ``keep`` pairs have a lower limit of ``least`` or more, so a pair with a lower upper limit is not among the best.
    chosen = np.flatnonzero(candidates.high >= least)
    if len(chosen) > most:
        chosen = chosen[np.argsort(-candidates.high[chosen], kind="stable")[:most]]
    return candidates.take(chosen)


def _concatenated(parts: list[_Candidates]) -> _Candidates:
    return _Candidates(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Candidates)))


# --- later rounds ---------------------------------------------------------------------------------------------------


def _scored_pairs(context: Context, target: str, candidates: _Candidates, share: float) -> pa.Table:
    """Count pairs on a share of the rows; return their rows of the interaction table, without error bars."""
    codings = context.codebook.codings
    order = np.lexsort((candidates.b, candidates.a, candidates.b // TILE, candidates.a // TILE))
    pairs = [(codings[a], codings[b]) for a, b in zip(candidates.a[order], candidates.b[order], strict=True)]
    specs = tuple(
        PairCountsByGroupSummarizer(
            tuple(pairs[start : start + PAIRS_OF_A_TASK]), context.codebook[target], 1, context.dataset.weight
        )
        for start in range(0, len(pairs), PAIRS_OF_A_TASK)
    )
    sizes = context.columns.rows, _present_rows(context.columns, target)
    work = _LaterRound(context.codes, specs, context.scale, share, *sizes)
    memory = state_store.WORKING_COPIES * max((spec.nbytes() for spec in specs), default=0)
    stage = f"interactions: {share:.1%} of rows, {len(pairs):,} pairs"
    tables = context.map(_score_chunk, work, range(len(specs)), stage, memory)
    return pa.concat_tables([INTERACTION.empty(), *tables])


def _present_rows(columns: ColumnStates, target: str) -> int:
    """Return the rows in which a column is present."""
    missing = {column.name: counts.missing for column, counts in zip(columns.categories, columns.levels, strict=True)}
    missing |= {column.name: int(n) for column, n in zip(columns.numbers, columns.moments.missing, strict=True)}
    return columns.rows - missing[target]


def _score_chunk(work: _LaterRound, index: int) -> pa.Table:
    spec = work.specs[index]
    state, shapes = work.stream.count(spec, work.share), spec.shapes()
    joint, expected, synergy = np.empty((3, len(shapes)))
    tables = list(spec.tables(state))
    for shape in dict.fromkeys(shapes):
        places = [place for place, other in enumerate(shapes) if other == shape]
        scored = scores(np.stack([tables[place][0, :, :, 1:] for place in places]), work.scale)
        joint[places], expected[places], synergy[places] = scored.joint_mi, scored.expected_mi, scored.synergy
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
