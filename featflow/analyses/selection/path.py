"""A path of features: each step takes the candidate of highest criterion, and says what noise would have gained.

The stop: of the candidate chosen the null of its gain is known, so is the chance that noise in its place would gain as
much, p; the best of as many columns of noise as features are left would look as unlikely with probability
``1 - (1 - p)^left`` (Sidak 1967). Gains themselves are not compared: noise of many levels, or constant within few
units, gains more by chance than other features say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from featflow.analyses.selection.candidates import BEYOND, Candidates
from featflow.analyses.selection.criteria import Matrices, criterion
from featflow.measures.jackknife import error_bars
from featflow.measures.multiple_testing import gamma_tail

__all__ = ["Step", "path", "probabilities"]


@dataclass(frozen=True)
class Step:
    """A step of a path."""

    feature: int
    """Candidate that was chosen."""
    gain: float
    standard_error: float
    noise_p: float
    """P(the best of as many columns of noise looks as unlikely); NaN where the null is not known."""
    kept: bool
    conditioned_on: int | None
    """Candidate chosen before, given which it says least."""
    runner_up: int | None
    runner_up_gain: float
    margin_p: float
    before: tuple[int, ...]
    """Candidates on which this step's gain is conditioned."""


def path(method: str, candidates: Candidates, most: int, confidence: float) -> list[Step]:
    """Return the steps of a path; features that are not kept are passed over: nothing is conditioned on them.

    By cmim, gains fall and the path ends after three such features in a row. Other criteria do not say where to stop.

    Parameters
    ----------
    most
        Features kept at most; by other criteria than cmim, steps.
    confidence
        A feature is kept if ``noise_p`` is at most one less this.
    """
    names = candidates.names
    chosen = [names.index(name) for name in candidates.shortlist.given]
    passed_over = set(candidates.shortlist.others) if method == "cmim" else set()
    left = [place for place, name in enumerate(names) if place not in chosen and name not in passed_over]
    steps: list[Step] = []
    beyond = kept = 0
    while kept < most and (beyond < BEYOND if method == "cmim" else len(steps) < most):
        values = criterion(method, candidates.figures, chosen)
        left = [place for place in left if np.isfinite(values[place, 0])]
        if not left:
            break
        step = _step(method, candidates, chosen, left, values[left], confidence)
        steps.append(step)
        left.remove(step.feature)
        if step.kept:
            kept, beyond = kept + 1, 0
            chosen.append(step.feature)
        else:
            beyond += 1
    return steps


def _step(
    method: str, candidates: Candidates, chosen: list[int], left: list[int], values: np.ndarray, confidence: float
) -> Step:
    """Return the step that takes the candidate left whose criterion is highest; values are of those left, and parts."""
    figures, parts = candidates.figures, candidates.parts
    order = np.argsort(-values[:, 0], kind="stable")
    best = left[int(order[0])]
    noise_p = _noise_p(method, candidates, chosen, left, best)
    deleted, rows = values[:, parts.deleted], parts.rows
    error = margin = np.nan
    runner_up = left[int(order[1])] if len(order) > 1 else None
    if deleted.shape[1]:
        own = values[order[0]]
        error = float(error_bars(own[0], own[parts.deleted], rows, confidence).standard_error)
        if runner_up is not None:
            apart = own - values[order[1]]
            bars = error_bars(apart[0], apart[parts.deleted], rows, confidence)
            if bars.standard_error > 0:
                margin = float(2 * stdtr(bars.degrees, -abs(apart[0]) / bars.standard_error))
    given = figures.conditional[best, chosen, 0] if chosen else np.empty(0)
    least = int(np.argmin(given)) if chosen and given.min() < figures.relevance[best, 0] else None
    return Step(
        feature=best,
        gain=float(values[order[0], 0]),
        standard_error=error,
        noise_p=noise_p,
        kept=noise_p <= 1 - confidence
        and (method != "cmim" or candidates.shortlist.is_significant(candidates.names[best])),
        conditioned_on=None if least is None else chosen[least],
        runner_up=runner_up,
        runner_up_gain=float(values[order[1], 0]) if runner_up is not None else np.nan,
        margin_p=margin,
        before=tuple(chosen),
    )


def _noise_p(method: str, candidates: Candidates, chosen: list[int], left: list[int], best: int) -> float:
    """Return the chance that the best of noise looks as unlikely as a step's feature does.

    By cmim, that is what it says given the feature given which it says least. Other criteria choose for other reasons,
    and a feature is asked whether it says anything: alone, or given any feature chosen before.
    """
    conditions = [best, *chosen]  # the diagonal is of the feature alone
    tested = (candidates.evidence, candidates.mean, candidates.variance)
    evidence, mean, variance = (array[best, conditions] for array in tested)
    if method == "cmim":
        information = candidates.figures.conditional[best, conditions, 0]
        information[0] = candidates.figures.relevance[best, 0]
        least = [int(information.argmin())]
        evidence, mean, variance = evidence[least], mean[least], variance[least]
    known = ~np.isnan(variance)
    if not known.any():
        return float("nan")
    evidence, mean, variance = evidence[known], mean[known], variance[known]
    some = (variance > 0) & (mean > 0)
    tails = np.ones(len(mean))  # a null of one value says nothing
    tails[some] = gamma_tail(np.maximum(evidence[some] + mean[some], 0.0), mean[some], variance[some])
    tests = (len(left) + candidates.shortlist.outside(method)) * len(tails)
    return float(-np.expm1(tests * np.log1p(-min(float(tails.min()), 1 - 1e-16)))) + 0.0


def probabilities(method: str, candidates: Candidates, steps: list[Step]) -> dict[int, float]:
    """Return the share of halves in which each candidate is among as many first ones as are kept; none without halves.

    Source: complementary pairs of halves, Shah & Samworth (2013, JRSS B 75).
    """
    halves = range(*candidates.parts.halves.indices(len(candidates.parts.members)))
    first = max(sum(step.kept for step in steps), 1)
    refused = {step.feature for step in steps if not step.kept}
    if method == "cmim":
        refused = {place for place, name in enumerate(candidates.names) if name in candidates.shortlist.others}
    given = [candidates.names.index(name) for name in candidates.shortlist.given]
    counts = np.zeros(len(candidates.names))
    for part in halves:
        figures = _part(candidates.figures, part)
        chosen = list(given)
        left = [place for place in range(len(counts)) if place not in given and place not in refused]
        for _ in range(min(first, len(left))):
            values = criterion(method, figures, chosen)[left, 0]
            best = left[int(np.argmax(values))]
            chosen.append(best)
            left.remove(best)
        counts[chosen[len(given) :]] += 1
    return {place: float(count / len(halves)) for place, count in enumerate(counts)} if halves else {}


def _part(figures: Matrices, part: int) -> Matrices:
    some = slice(part, part + 1)
    return Matrices(
        figures.relevance[:, some],
        figures.conditional[:, :, some],
        figures.shared[:, :, some],
        figures.entropy,
        figures.joint_entropy,
        figures.target_entropy,
    )
