"""Ranks of features in windows of event time, and how well the past of a feature predicts the target later.

In every window but the first, the target is predicted from the feature as the windows before know it:
``p(y | x) = (n_xy + a_y) / (n_x + a)``, and without the feature ``p(y) = (n_y + L a_y) / (n + L a)``. Each of its L
levels has ``a = C/2`` rows of C classes beforehand (Krichevsky & Trofimov 1981, IEEE Trans. Inf. Theory 27), in the
shares that classes have in all rows: what is not known yet predicts these. The *forward information* is the mean of
``log p(y | x) / p(y)`` over rows: a split by time (Rubachev et al. 2024, TabReD), rolled forward. The *random-split
information* is its mean over splits in which any row of any time is learnt from, independently, with the probability
that gives as many. Both come from the same counts. Cost: a few operations a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import pyarrow as pa
from scipy.special import betaln, xlog1py, xlogy

from featflow.analyses.ranking.tables import RANKING_WINDOW
from featflow.measures.information import stacked_information
from featflow.summaries import TimeCounts, TimeCountsSummarizer

__all__ = [
    "Skill",
    "Skills",
    "expected_log",
    "rank_in_windows",
    "score_windows",
    "window_starts",
    "with_skills",
]

POOR_SHARE = 0.25
"""Share of the random-split information that a feature must hold forward in time. With it and two standard errors, a
feature that is the target until t0 and noise after it is flagged for t0 from 0.3 to 0.9 of 3,000 rows, and none of
16,000 features that hold was; 10 of 16,000 were whose values and targets share days (docs/methods.md)."""
STANDARD_ERRORS = 2.0
"""Standard errors that a difference must exceed; see `POOR_SHARE` for what was measured with it."""
SERIES_FROM = 32.0
"""Mean from which an expected logarithm is expanded: what is left out is below 1e-4."""
PLACES = 120
"""Counts that are summed where the mean is below `SERIES_FROM`: beyond, a binomial of mean 32 has 1e-27."""


@dataclass(frozen=True)
class Skill:
    """Information of a feature about a target forward in time and in random splits, in nats a row."""

    forward: float
    """Over all windows but the first."""
    random: float
    """Over all rows."""
    poor: bool
    """Whether it is good in random splits, and forward poor: on the whole, or harmful from some window on."""


Skills = dict[tuple[str, str], Skill]
"""By target and feature."""


def score_windows(spec: TimeCountsSummarizer, state: TimeCounts, windows: int) -> tuple[pa.Table, Skills, list[str]]:
    """Return a block of features' scores in every window, unranked, their skills, and warnings.

    Parameters
    ----------
    windows
        Windows at most. They are made of units of time that hold rows, with about as many rows of the target each.
    """
    tables, skills, warnings = [RANKING_WINDOW.empty()], dict[tuple[str, str], Skill](), []
    names = [feature.column.name for feature in spec.features]
    for index, coding in enumerate(spec.targets):
        target, scored = coding.column.name, _Target(spec, state, index, windows)
        if len(scored.rows) < 2:
            warnings.append(
                f"target '{target}': its rows lie in {len(scored.rows)} unit(s) of event time; none is ranked by window"
            )
            continue
        columns = scored.columns() | {"target": [target] * (len(scored.rows) * len(names))}
        tables.append(RANKING_WINDOW.build(columns | {"feature": names * len(scored.rows)}))
        skills |= {(target, name): skill for name, skill in zip(names, scored.skills(), strict=True)}
    return pa.concat_tables(tables), skills, warnings


def window_starts(rows: np.ndarray, windows: int) -> np.ndarray:
    """Return the first unit of every window: neighbouring units, whose middle rows fall into the same part of all rows.

    Parameters
    ----------
    rows
        Rows of every unit, shape (units,), int64, positive.

    Examples
    --------
    >>> window_starts(np.array([10, 10, 10, 10, 20, 20]), 4).tolist()
    [0, 2, 4, 5]
    >>> window_starts(np.array([90, 10]), 8).tolist()
    [0, 1]
    """
    middle = 2 * np.cumsum(rows) - rows
    part = middle * windows // (2 * rows.sum())
    return np.flatnonzero(np.diff(part, prepend=-1))


def expected_log(trials: np.ndarray, share: float, offset: np.ndarray) -> np.ndarray:
    """Return ``E[log(k + offset)]`` for k of Binomial(trials, share), in the shape of the broadcast.

    Parameters
    ----------
    trials
        Counts, shape (levels, classes) or (levels, 1).
    offset
        Positive, shape (classes,).

    Examples
    --------
    >>> expected_log(np.array([[1], [10**6]]), 0.5, np.array([1.0])).round(6).tolist()
    [[0.346574], [13.122365]]
    """
    mean = trials * share
    centre, second = mean + offset, mean * (1 - share)
    third, fourth = second * (1 - 2 * share), second * (1 + 3 * second - 6 * share * (1 - share))
    # Taylor's series of the logarithm about the mean, with the second to the fourth central moment.
    result = np.log(centre) - second / (2 * centre**2) + third / (3 * centre**3) - fourth / (4 * centre**4)
    few, place = np.unique(trials[mean < SERIES_FROM], return_inverse=True)
    k = np.arange(min(PLACES, int(few[-1]) if len(few) else 0) + 1.0)
    n = np.maximum(few[:, None], k)  # a binomial of more trials where k is out of reach, and struck out
    chance = np.exp(xlogy(k, share) + xlog1py(n - k, -share) - betaln(n - k + 1, k + 1) - np.log(n + 1))
    summed = np.where(k <= few[:, None], chance, 0.0) @ np.log(k[:, None] + offset)
    small = np.broadcast_to(mean < SERIES_FROM, result.shape)
    term_of_cell = np.zeros(trials.shape, np.int64)
    term_of_cell[mean < SERIES_FROM] = place
    known = summed[np.broadcast_to(term_of_cell, result.shape), np.arange(len(offset))] if len(few) else result
    return np.asarray(np.where(small, known, result))


class _Target:
    """All features of a block about one target; the levels of all features are one axis, feature after feature."""

    def __init__(self, spec: TimeCountsSummarizer, state: TimeCounts, target: int, windows: int) -> None:
        counts = spec.tables(state, target)[:, :, 1:]
        ends = spec.starts()
        self.starts, self.levels = ends[:-1], np.diff(ends)
        """First level of every feature, and how many it has."""
        classes = counts[:, : ends[1]].sum(axis=1)
        dated = np.flatnonzero(classes.sum(axis=1))
        self.units = counts[dated][:, :, classes.sum(axis=0) > 0]
        """Counts by unit, shape (units, levels, classes): units with rows, classes with rows."""
        self.unit_rows = classes[dated].sum(axis=1)
        """Rows of every unit."""
        self.first = window_starts(self.unit_rows, windows) if len(dated) else np.empty(0, np.int64)
        """First unit of every window."""
        self.counts = np.add.reduceat(self.units, self.first, axis=0) if len(dated) else self.units
        """Counts by window, shape (windows, levels, classes)."""
        self.classes = self.counts[:, : ends[1]].sum(axis=1)
        """Rows by window and class."""
        self.rows = self.classes.sum(axis=1)
        """Rows of every window."""
        whole, classes = self.counts.sum(axis=0), self.classes.sum(axis=0)
        self.seen = np.add.reduceat((whole.sum(axis=1) > 0).astype(np.int64), self.starts)
        """Levels of every feature that have rows."""
        self.prior = (classes + 0.5) / (classes + 0.5).sum() * len(classes) / 2
        """Rows of each class that a level has beforehand, shape (classes,)."""
        width, last = spec.unit * 2.0**state.level, [*(self.first[1:] - 1), -1]
        self.start = state.units[dated][self.first] * width
        self.end = (state.units[dated][last] + 1) * width if len(dated) else self.start

    def columns(self) -> dict[str, np.ndarray]:
        """Return the table's columns, window by window."""
        windows, features = len(self.rows), len(self.starts)
        scores = [
            stacked_information(table, self.starts, table.sum(axis=1), classes)
            for table, classes in zip(self.counts, self.classes, strict=True)
        ]
        mi, expected = (np.concatenate(parts) for parts in zip(*scores, strict=True))
        forward = np.full((windows, features), np.nan)
        forward[1:] = self._by_feature(self.counts[1:] * self.gains) / self.rows[1:, None]
        return {
            "window": np.repeat(np.arange(1, windows + 1), features),
            "start": np.repeat(self.start, features),
            "end": np.repeat(self.end, features),
            "n": np.repeat(self.rows, features),
            "mi": mi,
            "expected_mi": expected,
            "corrected_mi": mi - expected,
            "forward_information": forward.ravel(),
        }

    def skills(self) -> list[Skill]:
        """Return every feature's skill."""
        gains, rows = self.gains, self.rows[1:]
        by_window = self._by_feature(self.counts[1:] * gains)
        spread = np.maximum(self._by_feature(self.counts[1:] * gains**2) - by_window**2 / rows[:, None], 0.0)
        effect = self._design_effect(by_window, spread)
        ahead = np.cumsum(rows[::-1])[:, None]  # of the last window, of the last two, ... and of all
        forward, error = np.cumsum(by_window[::-1], axis=0) / ahead, np.cumsum(spread[::-1], axis=0)
        error = np.sqrt(effect * error) / ahead
        whole, total, at_random = self.counts.sum(axis=0), self.rows.sum(), self._random_gains()
        random = self._by_feature(whole * at_random) / total
        variance = np.maximum(self._by_feature(whole * at_random**2) / total - random**2, 0.0)
        random_error = np.sqrt(effect * variance / total)
        share, reach = POOR_SHARE * random, POOR_SHARE * random_error
        upper = forward + STANDARD_ERRORS * (error + reach)
        poor = (random > STANDARD_ERRORS * random_error) & ((upper[-1] < share) | (upper < -share).any(axis=0))
        return [Skill(*each) for each in zip(forward[-1].tolist(), random.tolist(), poor.tolist(), strict=True)]

    @cached_property
    def gains(self) -> np.ndarray:
        """Of each window but the first, log p(y | x) / p(y) from those before, shape (windows - 1, levels, classes)."""
        past, classes = np.cumsum(self.counts[:-1], axis=0), np.cumsum(self.classes[:-1], axis=0)
        given = np.log((past + self.prior) / (past.sum(axis=2, keepdims=True) + self.prior.sum()))
        alone = np.log(classes[:, None] + np.outer(self.seen, self.prior))
        alone -= np.log(classes.sum(axis=1)[:, None, None] + self.seen[:, None] * self.prior.sum())
        return np.asarray(given - np.repeat(alone, self.levels, axis=1))

    def _random_gains(self) -> np.ndarray:
        """Return the mean of log p(y | x) / p(y) of a row left out over random splits, shape (levels, classes)."""
        whole, classes = self.counts.sum(axis=0), self.classes.sum(axis=0)
        # A row is not learnt from itself: one row less of its cell, its level, and of all.
        cell_others, level_others = np.maximum(whole - 1, 0), np.maximum(whole.sum(axis=1, keepdims=True) - 1, 0)
        rest, alpha = np.array([[classes.sum() - 1]]), self.prior.sum(keepdims=True)
        kinds, kind = np.unique(self.seen, return_inverse=True)
        mean_gains = np.zeros(whole.shape)
        for past, rows in zip(np.cumsum(self.rows)[:-1], self.rows[1:], strict=True):
            share = float(past / classes.sum())
            given = expected_log(cell_others, share, self.prior) - expected_log(level_others, share, alpha)
            alone = [expected_log(classes[None] - 1, share, seen * self.prior) for seen in kinds]
            totals = [expected_log(rest, share, seen * alpha) for seen in kinds]
            log_alone = np.concatenate(alone) - np.concatenate(totals)
            mean_gains += rows / self.rows[1:].sum() * (given - np.repeat(log_alone[kind], self.levels, axis=0))
        return mean_gains

    def _design_effect(self, by_window: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the variance between units of a window over that between rows, the median window's, at least 1.

        It is a median, as the window in which a relation breaks does not show how rows of a unit depend on one another.
        """
        ends = [*self.first[2:], len(self.units)]
        ratios = [np.ones(len(self.starts))]
        for window, (start, end) in enumerate(zip(self.first[1:], ends, strict=True)):
            if end - start > 1:
                unit_gains = self._by_feature(self.units[start:end] * self.gains[window])
                mean = by_window[window] / self.rows[window + 1]
                squares = ((unit_gains - self.unit_rows[start:end, None] * mean) ** 2).sum(axis=0)
                varies = spread[window] > 0
                ratio = squares * (end - start) / (end - start - 1) / np.where(varies, spread[window], 1.0)
                ratios.append(np.where(varies, ratio, 1.0))
        return np.maximum(np.median(ratios[1:] or ratios, axis=0), 1.0)

    def _by_feature(self, cells: np.ndarray) -> np.ndarray:
        """Return sums over the levels of each feature and all classes, shape (..., features)."""
        return np.asarray(np.add.reduceat(cells.sum(axis=-1), self.starts, axis=-1))


# --- what needs all features ----------------------------------------------------------------------------------------


def rank_in_windows(scored: pa.Table) -> pa.Table:
    """Return the rows in the order of targets, windows and ranks; ties are ranked by name."""
    order = [("target", "ascending"), ("window", "ascending"), ("corrected_mi", "descending"), ("feature", "ascending")]
    scored = scored.sort_by(order)
    keys = zip(scored.column("target").to_pylist(), scored.column("window").to_pylist(), strict=True)
    ranks = [rank for _, rows in groupby(keys) for rank, _ in enumerate(rows, start=1)]
    index = scored.schema.get_field_index("rank")
    return scored.set_column(index, scored.schema.field("rank"), pa.array(ranks, pa.int64()))


def with_skills(scored: pa.Table, windows: pa.Table, skills: Skills) -> pa.Table:
    """Return the ranking with its columns about windows filled in.

    Parameters
    ----------
    scored
        The ranking, in any order.
    windows
        From `rank_in_windows`.
    """
    ranks: dict[tuple[str, str], list[int]] = {key: [] for key in skills}
    for row in zip(*(windows.column(name).to_pylist() for name in ("target", "feature", "rank")), strict=True):
        ranks[row[:2]].append(row[2])
    keys = list(zip(scored.column("target").to_pylist(), scored.column("feature").to_pylist(), strict=True))
    row_skills = [skills.get(key) for key in keys]
    values = {
        "forward_information": [skill.forward if skill else None for skill in row_skills],
        "random_split_information": [skill.random if skill else None for skill in row_skills],
        "window_rank_std": [float(np.std(ranks[key], ddof=1)) if key in ranks else None for key in keys],
        "alerts": [
            sorted({*alerts, "poor_forward"}) if skill and skill.poor else alerts
            for skill, alerts in zip(row_skills, scored.column("alerts").to_pylist(), strict=True)
        ],
    }
    for name, column in values.items():
        field = scored.schema.field(name)
        scored = scored.set_column(scored.schema.get_field_index(name), field, pa.array(column, field.type))
    return scored
