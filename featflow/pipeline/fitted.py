"""Decisions that pass 2 needs and that are fitted to data: fitted once, and frozen for the runs that follow.

A night's rows change counts, not codes: while codings, groups of rows and compared columns stay as they are, states of
unchanged shards stay valid, and runs stay comparable. A column that is new, or read in another way, gets a coding of
its own; ``codebook.frozen: false`` fits all of them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from featflow.analyses.protocol import Analysis
from featflow.columns.codebook import CategoryCoding, Codebook, Coding, NumberCoding
from featflow.columns.column import POSITION, Column, Role
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.errors import ConfigurationError, DamagedError
from featflow.execution.context import Context
from featflow.measures.codebook import ColumnStates, build_codebook
from featflow.pipeline.assumptions import row_grouping
from featflow.storage.records.states import codebook_path, read_state
from featflow.storage.run_before import WARNING
from featflow.storage.run_writer import RunWriter
from featflow.transforms.derive import Earlier
from featflow.transforms.frozen import load_frozen

__all__ = ["Fitted", "earlier_fits", "earlier_fitted", "fit", "make_fitted", "stale"]

ROWS_ANYWHERE = {"run", "shard"}
"""Kinds of groups that are cut by position: which of them is chosen depends on the number of shards alone."""
ANEW = "codings are made anew, and all is counted again"
"""What a codebook that is lost costs."""
STALE_SHARE = 0.05
"""Share of rows beyond the bins or levels of a frozen coding from which a warning asks for new ones. Less would warn of
ordinary nights; more would let codes lose what distinguishes new rows."""
OUTER_BINS = "more of the values of '{}' lie in its outermost bins than when these were made"
NEW_LEVELS = "of the values of '{}' lie in none of the levels that were told apart"
"""Texts of the two warnings, after the share of the rows that hold a value."""


@dataclass(frozen=True)
class Fitted:
    """Codings of columns, groups of rows, and the decisions that each analysis took from data."""

    codebook: Codebook
    """Codings of all columns that can be coded."""
    jackknife: JackknifeGroups
    """Rows that the jackknife deletes together."""
    kept: frozenset[str] = frozenset()
    """Columns whose codings are those of an earlier run."""
    analyses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What each analysis froze, by its name, as JSON values."""

    def public(self) -> dict[str, Any]:
        """Return JSON values for the manifest, which also holds the codebook's digest."""
        jackknife = {
            "kind": self.jackknife.kind,
            "columns": [column.name for column in self.jackknife.columns],
            "groups": self.jackknife.groups,
            "unit": self.jackknife.unit,
            "most_units": self.jackknife.most_units,
        }
        return {"jackknife": jackknife, "analyses": self.analyses}


def earlier_fitted(writer: RunWriter, config: Config, dataset: Dataset, warn: Callable[[str], object]) -> Fitted | None:
    """Return the decisions that the last run froze, as far as they apply to this dataset; None if there are none.

    Parameters
    ----------
    warn
        Told of a codebook that is gone or damaged.

    Raises
    ------
    ConfigurationError
        ``codebook.version`` names a codebook that is not there.
    DamagedError
        It names one that is damaged.
    """
    options = config.codebook
    if not options.frozen:
        return None
    latest, store = _manifest_before(writer), writer.store
    public, digest = latest.get("fitted") or {}, options.version or latest.get("codebook")
    if not digest or (not options.version and _coding_options(latest["config"]) != _coding_options(config.public())):
        return None
    try:
        codebook = read_state(store, codebook_path(digest), Codebook.from_arrow)
    except FileNotFoundError:
        if options.version:
            raise ConfigurationError(
                f"codebook.version: no codebook {digest} at {store.root}; manifests name those that are there"
            ) from None
        warn(f"{WARNING}{store.uri(codebook_path(digest))}: the codebook is gone; {ANEW}")
        return None
    except DamagedError as error:
        if options.version:
            raise
        warn(f"{WARNING}{error}; {ANEW}")
        return None
    by_name = {column.name: column for column in (*dataset.columns, *dataset.entity, POSITION)}
    known = [coding for coding in codebook.codings if _is_read_alike(coding.column, by_name.get(coding.column.name))]
    codings = tuple(replace(coding, column=by_name[coding.column.name]) for coding in known)
    return Fitted(
        Codebook(codings),
        _jackknife_groups(public.get("jackknife"), by_name),
        frozenset(coding.column.name for coding in codings),
        public.get("analyses", {}),
    )


def earlier_fits(writer: RunWriter, config: Config, warn: Callable[[str], object]) -> Earlier:
    """Return the arrays that transforms fitted to data in the last run; `warn` is told of what is gone or damaged."""
    digests = _manifest_before(writer).get("frozen") or {}
    frozen = load_frozen(writer.store, digests, lambda lost: warn(f"{WARNING}{lost}; it is fitted anew"))
    return Earlier(frozen, refit=not config.codebook.frozen)


def _coding_options(config: dict[str, Any]) -> dict[str, Any]:
    """Return the options that new codings depend on."""
    return {key: value for key, value in config["codebook"].items() if key not in {"frozen", "version"}}


def _manifest_before(writer: RunWriter) -> Mapping[str, Any]:
    return writer.before.run.manifest if writer.before.run else {}


def _is_read_alike(column: Column, other: Column | None) -> bool:
    """Whether two columns have the same name, type, kind and null values, whatever their roles and sources."""
    return other is not None and column == replace(
        other, derived=column.derived, role=column.role, source_type=column.source_type
    )


def _jackknife_groups(public: dict[str, Any] | None, by_name: dict[str, Column]) -> JackknifeGroups:
    if public is None or not all(name in by_name for name in public["columns"]):
        return JackknifeGroups("none", (), 0)
    columns = tuple(by_name[name] for name in public["columns"])
    return JackknifeGroups(public["kind"], columns, public["groups"], public["unit"], public.get("most_units", 0))


def fit(context: Context, analyses: Sequence[Analysis[Any]], config: Config) -> Fitted:
    """Freeze codings, groups of rows and analyses' decisions, and give them to the context.

    Decisions that an earlier run at the output froze are taken where they apply.
    """
    dataset, states = context.dataset, context.columns
    clusters = next((analysis.clusters for analysis in analyses if analysis.clusters), None)
    jackknife = row_grouping(context.uncertainty, clusters, dataset, states)
    earlier = earlier_fitted(context.writer, config, dataset, context.warn)
    fitted = make_fitted(dataset, states, config, jackknife, earlier)
    context.codebook, context.jackknife = fitted.codebook, fitted.jackknife
    for analysis in analyses:
        frozen = earlier.analyses.get(analysis.name) if earlier else None
        context.fitted[analysis.name] = analysis.fit(context, frozen)
    return replace(fitted, analyses=context.fitted)


def make_fitted(
    dataset: Dataset, states: ColumnStates, config: Config, jackknife: JackknifeGroups, earlier: Fitted | None
) -> Fitted:
    """Return codings and groups of a run: earlier ones where they apply, else new ones, fitted to the data.

    Parameters
    ----------
    states
        Merged states of pass 1.
    jackknife
        Groups that the configuration asks for.
    """
    built = build_codebook(dataset.columns, states, config.codebook)
    if earlier is None:
        return Fitted(built, jackknife)
    old = {coding.column.name: coding for coding in earlier.codebook.codings}
    codebook = Codebook(tuple(old.get(coding.column.name, coding) for coding in built.codings))
    same = _grouping_rule(earlier.jackknife) == _grouping_rule(jackknife)
    return Fitted(codebook, earlier.jackknife if same else jackknife, earlier.kept)


def _grouping_rule(jackknife: JackknifeGroups) -> tuple[object, ...]:
    by_position = jackknife.kind in ROWS_ANYWHERE
    kind = "anywhere" if by_position else jackknife.kind
    return kind, jackknife.columns, jackknife.groups, jackknife.most_units > 0


def stale(fitted: Fitted, states: ColumnStates) -> list[str]:
    """Return a warning for each frozen coding that too many rows have outgrown."""
    warnings = []
    for name, share, text in _outgrown(fitted, states):
        if share > STALE_SHARE:
            warnings.append(f"codebook: {share:.1%} {text.format(name)}; run with --rebin for new ones")
    return warnings


def _outgrown(fitted: Fitted, states: ColumnStates) -> Iterator[tuple[str, float, str]]:
    codings: dict[str, Coding] = {c.column.name: c for c in fitted.codebook.codings if c.column.name in fitted.kept}
    for column, histogram in zip(states.numbers, states.histograms, strict=True):
        coding = codings.get(column.name)
        if column.role is Role.EVENT_TIME:  # every night adds later times, and no table counts by them
            continue
        if isinstance(coding, NumberCoding) and len(histogram.counts) and len(coding.edges):
            yield column.name, _in_outer_bins(coding, histogram.cells, histogram.counts), OUTER_BINS
    for column, counted in zip(states.categories, states.levels, strict=True):
        coding = codings.get(column.name)
        if isinstance(coding, CategoryCoding) and coding.buckets == 1 and counted.levels is not None:
            known = set(coding.levels.to_pylist())
            new = np.array([level not in known for level in counted.levels.to_pylist()], bool)
            yield column.name, float(counted.counts[new].sum() / max(counted.counts.sum(), 1)), NEW_LEVELS


def _in_outer_bins(coding: NumberCoding, cells: np.ndarray, counts: np.ndarray) -> float:
    """Return by how much the share of rows in the first and last bin, together, has grown since the bins were made."""
    total = max(int(counts.sum()), 1)
    now = (counts[cells < coding.edges[0]].sum() + counts[cells >= coding.edges[-1]].sum()) / total
    # A mean rank is half of its cell's share beyond all before: neighbouring shares add up to twice a step of ranks.
    sign = 1.0 - 2.0 * (np.arange(len(coding.ranks)) % 2)
    share = sign * np.cumsum(sign * 2 * np.diff(coding.ranks, prepend=0.0))
    before = share[coding.cells < coding.edges[0]].sum() + share[coding.cells >= coding.edges[-1]].sum()
    return float(now - before)
