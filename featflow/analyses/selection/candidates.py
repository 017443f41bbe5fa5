"""Which features may be chosen, and what their pairs say: from the ranking, the interactions and counts by group."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from featflow.analyses.recount import recount_pairs
from featflow.analyses.selection.criteria import Matrices
from featflow.analyses.selection.options import SelectionOptions
from featflow.analyses.selection.pair_figures import Parts, SideFigures, cross_name, measure_pairs
from featflow.execution.context import Context

__all__ = ["Candidates", "candidates_of", "pairs_of"]

BEYOND = 3
"""Features looked at that are not significant, so that a path shows where it ends."""


@dataclass(frozen=True)
class Shortlist:
    """Features of one target that are looked at in pairs."""

    target: str
    names: list[str]
    """Features, by name: no figure depends on the order of columns."""
    crosses: list[tuple[str, str]]
    """Pairs of them that are candidates themselves."""
    given: list[str]
    kept_out: dict[str, str]
    """Features that an alert keeps out, and the alert."""
    ranking: dict[str, dict[str, Any]]
    """Row of the ranking of every feature."""
    others: list[str]
    """Features looked at for other criteria alone: the path of cmim does not depend on which are asked for."""
    left_out: int = 0
    """Significant features beyond the shortlist."""

    def is_significant(self, name: str) -> bool:
        """Return whether the ranking calls a feature significant; crosses are, as the interaction table does."""
        return name not in self.ranking or bool(self.ranking[name]["significant"])

    def outside(self, method: str) -> int:
        """Return the number of features that a method's path does not look at in pairs, and that no alert keeps out."""
        looked_at = set(self.names) - set(self.others if method == "cmim" else ())
        return sum(name not in looked_at and name not in self.kept_out for name in self.ranking)

    @property
    def candidates(self) -> list[str]:
        """Features and crosses, by name."""
        return sorted([*self.names, *(cross_name(*pair) for pair in self.crosses)])


@dataclass(frozen=True)
class Candidates:
    """Candidates of one target, with figures of all pairs of them."""

    shortlist: Shortlist
    names: list[str]
    figures: Matrices
    evidence: np.ndarray
    """What is tested of k given j, less its mean, shape (candidates, candidates); the diagonal is of k alone."""
    mean: np.ndarray
    """Its mean under the null."""
    variance: np.ndarray
    """Its variance; NaN where the null is not known."""
    parts: Parts = field(repr=False)


def candidates_of(ranking: pl.DataFrame, interaction: pl.DataFrame | None, options: SelectionOptions) -> Shortlist:
    """Return the features of one target that are looked at in pairs.

    Parameters
    ----------
    ranking
        Rows of the target, by rank.
    interaction
        Its rows of the interaction table; None without one.
    """
    rows = {row["feature"]: row for row in ranking.iter_rows(named=True)}
    kept_out = _kept_out(rows, options)
    crosses = _crosses(rows, kept_out, interaction) if interaction is not None else []
    crosses = crosses[: options.crosses]
    of_crosses = list(dict.fromkeys(name for pair in crosses for name in pair))
    open_rows = [name for name in rows if name not in kept_out]
    significant = [name for name in open_rows if rows[name]["significant"]]
    first = list(dict.fromkeys([*options.given, *significant, *of_crosses]))
    more = [name for name in open_rows if name not in first]
    others = more[BEYOND:] if options.methods != ["cmim"] else []
    names = [*first, *more[:BEYOND], *others][: options.shortlist]
    crosses = [pair for pair in crosses if set(pair) <= set(names)]
    target = ranking["target"][0]
    left_out = sum(name not in names for name in significant)
    return Shortlist(target, sorted(names), sorted(crosses), [*options.given], kept_out, rows, others, left_out)


def _crosses(
    rows: dict[str, dict[str, Any]], kept_out: dict[str, str], interaction: pl.DataFrame
) -> list[tuple[str, str]]:
    """Return the pairs that say more together than either does alone, most synergy first: single steps miss these."""
    memorised = interaction.filter(pl.col("strategy") == "memorise").sort("rank")
    crosses = []
    for *pair, synergy in memorised.select("feature_a", "feature_b", "synergy").iter_rows():
        a, b = sorted(pair)
        ranked = all(name in rows and name not in kept_out for name in pair)  # the column of the units is not ranked
        named = cross_name(a, b) in rows  # a feature has the name that the cross would have
        if ranked and not named and synergy > max(rows[name]["corrected_mi"] for name in pair):
            crosses.append((a, b))
    return crosses


def _kept_out(rows: dict[str, dict[str, Any]], options: SelectionOptions) -> dict[str, str]:
    """Return the features that an alert keeps out, and the alert.

    Of equal columns the first by name stays; the profile's alert leaves the first in the dataset without one.
    """
    first = {name: name for name in rows}
    for name, row in rows.items():
        for alert in row["alerts"]:
            kind, _, other = alert.partition(":")
            if kind == "duplicate_of" and other in rows:
                first[other] = min(first[other], name)
    kept_out = {}
    for name, row in rows.items():
        alerts = [alert for alert in row["alerts"] if not alert.startswith("duplicate_of:")]
        same = next((alert.partition(":")[2] for alert in row["alerts"] if alert.startswith("duplicate_of:")), name)
        stays = first.get(same, same)
        if stays != name:
            alerts.append(f"duplicate_of:{stays}")
        barred = [alert for alert in alerts if alert.partition(":")[0] in options.without]
        if barred and name not in options.given:
            kept_out[name] = barred[0]
    return kept_out


def pairs_of(context: Context, shortlist: Shortlist, stability: int) -> Candidates:
    """Return the candidates with figures of all their pairs, counted on all rows by group."""
    names, crosses = shortlist.names, shortlist.crosses
    tuples: list[tuple[str, ...]] = [(a, b) for place, a in enumerate(names) for b in names[place:]]
    tuples += sorted({tuple(sorted((*pair, name))) for pair in crosses for name in names if name not in pair})
    units = context.jackknife.most_units > 0
    measure = partial(measure_pairs, frozenset(crosses), context.scale, stability, units)
    stage = f"choosing features: {shortlist.target}"
    sides = SideFigures.joined(list(recount_pairs(context, tuples, shortlist.target, measure, stage)))
    return _placed(shortlist, sides)


def _placed(shortlist: Shortlist, sides: SideFigures) -> Candidates:
    names = shortlist.candidates
    index = {name: place for place, name in enumerate(names)}
    size, parts = len(names), sides.information.shape[1]
    # Two crosses of four columns are not counted: the second is not chosen once the first is.
    conditional, shared = np.full((size, size, parts), -np.inf), np.full((size, size, parts), np.inf)
    (evidence, mean), joint = np.zeros((2, size, size)), np.ones((size, size))
    variance = np.full((size, size), np.nan)
    first, second = (np.array([index[name[side]] for name in sides.names]) for side in (0, 1))
    conditional[first, second], shared[first, second] = sides.information, sides.shared
    evidence[first, second], mean[first, second] = sides.evidence, sides.mean
    variance[first, second], joint[first, second] = sides.variance, sides.entropy
    entropies = np.zeros(size)
    entropies[first] = sides.first_entropy
    for a, b in shortlist.crosses:
        cross, sides_of_cross = index[cross_name(a, b)], (index[a], index[b])
        for part, other in (sides_of_cross, sides_of_cross[::-1]):
            for array in (conditional, evidence, mean, variance):  # given one part, the cross says what the other does
                array[cross, part] = array[other, part]
            for array in (conditional, evidence, mean, variance):  # and a part says nothing given the cross
                array[part, cross] = 0.0
            shared[cross, part] = shared[part, cross] = entropies[part]
            joint[cross, part] = joint[part, cross] = joint[part, other]
    alone = np.arange(size)
    relevance = conditional[alone, alone].copy()
    conditional[alone, alone], shared[alone, alone] = 0.0, entropies[:, None]
    figures = Matrices(relevance, conditional, shared, entropies, joint, float(sides.target_entropy[0]))
    return Candidates(shortlist, names, figures, evidence, mean, variance, sides.parts)
