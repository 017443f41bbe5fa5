"""How strongly columns depend on each other, pair by pair and method by method.

Every block of pairs is measured where the engine runs and its rows are put aside. The driver gets p-values as a
multiset, the strongest pairs, and the largest strengths of each column. Then parts of the table are written, each by a
task, with q-values and error bars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from featflow.analyses.change import Row
from featflow.analyses.correlation.blocks import (
    Block,
    PairMeasure,
    PartWork,
    measure_counts,
    measure_moments,
    measure_ranks,
    measure_ratios,
    write_part,
)
from featflow.analyses.correlation.error_bars import correlation_bars
from featflow.analyses.correlation.options import CorrelationOptions, pairs_to_write
from featflow.analyses.correlation.strongest import merge_best, strongest
from featflow.analyses.correlation.tables import CORRELATION
from featflow.analyses.protocol import Analysis
from featflow.analyses.recount import Bars, Pairs
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.requests import (
    CodesOfColumns,
    ComomentsOfNumbers,
    CountsOfPairs,
    MomentsByCategory,
    RanksOfNumbers,
)
from featflow.analyses.run_states import RunStates
from featflow.execution.context import Context
from featflow.execution.requests import Measurement, Request
from featflow.measures.p_values import PValues
from featflow.storage.run import Run
from featflow.storage.run_writer import PART_ROWS

__all__ = ["Correlation"]

MEASURES: dict[str, tuple[Request, Any]] = {
    "pearson": (ComomentsOfNumbers(), measure_moments),
    "spearman": (RanksOfNumbers(), measure_ranks),
    "correlation_ratio": (MomentsByCategory(), measure_ratios),
    "cramers_v": (CountsOfPairs(), measure_counts),
    "mutual_information": (CountsOfPairs(), measure_counts),
}
"""By method: its request, and the function that measures a block of its states; in the order of the table."""


class Correlation(Analysis[CorrelationOptions]):
    """The correlation table."""

    name = "correlation"
    tables = (CORRELATION,)

    def _requests_by_measure(self) -> dict[Any, Request]:
        """Return the request of each function that measures blocks, for the configured methods."""
        return {measure: request for method, (request, measure) in MEASURES.items() if method in self.options.methods}

    def relate(self, context: Context) -> Iterable[Request]:  # noqa: ARG002
        """Return requests for moments of numbers, of ranks and by category, for counts of pairs, and for codes."""
        requests = tuple(self._requests_by_measure().values())
        return (*requests, CodesOfColumns()) if CountsOfPairs() in requests else requests

    def measure(self, context: Context) -> Iterable[Measurement]:
        """Return one measurement a kind of state."""
        columns = context.columns
        work = PairMeasure(
            features={coding.column.name: index for index, coding in enumerate(context.codebook.codings)},
            present={c.name: int(n) for c, n in zip(columns.numbers, columns.moments.n, strict=True)},
            methods=tuple(self.options.methods),
            confidence=context.uncertainty.confidence,
            effective_share=columns.effective_share,
            keep=pairs_to_write(self.options.keep, len(context.codebook.codings)),
            error_bars=self.options.error_bars,
            dense=context.writer.folder("tensors") if self.options.dense else None,
        )
        return [Measurement(request, function, work) for function, request in self._requests_by_measure().items()]

    def write(self, context: Context) -> None:
        """Write the table from the rows that were put aside, which are removed."""
        blocks: list[Block] = [block for function in self._requests_by_measure() for block in context.results(function)]
        features = len(context.codebook.codings)
        keep = pairs_to_write(self.options.keep, features)
        p_values: dict[str, PValues] = {}
        for block in blocks:
            for method, values in block.p_values.items():
                p_values[method] = p_values[method].merge(values) if method in p_values else values
        errors: Bars = {}
        if blocks:
            best_pairs = strongest(pa.concat_tables([block.strongest for block in blocks]), self.options.error_bars)
            has_codes = CountsOfPairs() in self._requests_by_measure().values()
            errors = correlation_bars(context, _by_method(best_pairs), has_codes=has_codes)
        shared = PartWork(
            store=context.workspace.store,
            features={coding.column.name: index for index, coding in enumerate(context.codebook.codings)},
            q_values={method: each.rates(context.uncertainty.procedure) for method, each in p_values.items()},
            least=merge_best((block.best for block in blocks), features),
            errors=errors,
        )
        context.write_parts(CORRELATION, write_part, shared, _parts(blocks, keep.top, features))
        for block in blocks:
            for method, matrix in block.matrices.items():
                context.writer.matrices.setdefault(method, []).append(matrix)
            if block.rows:
                block.place.clear()

    def assumption(self, context: Context) -> str:
        """Return the assumption of p-values of correlations, as a sentence."""
        of = "correlations" if context.jackknife.most_units else "correlations and interactions"
        return f"p-values of {of}: one row says nothing of another."

    def drift(self, before: RunStates, now: RunStates) -> Iterator[Row]:
        """Yield changes of correlations, method by method."""
        if before.has("correlation") and now.has("correlation"):
            from featflow.analyses.correlation.drift import correlation_drift  # noqa: PLC0415  polars

            columns = now.columns.values()
            numbers = sum(column.is_numeric for column in columns)
            old, new = before.run.table("correlation"), now.run.table("correlation")
            yield from correlation_drift(old, new, (before.degrees, now.degrees), (numbers, len(columns) - numbers))

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return the heat map of each method and the strongest pairs."""
        from featflow.analyses.correlation import report  # noqa: PLC0415  Bokeh takes a second to import

        return report.section(run, limits)


def _by_method(strongest_pairs: pa.Table) -> dict[str, Pairs]:
    pairs: dict[str, Pairs] = defaultdict(list)
    for row in strongest_pairs.to_pylist():
        pairs[row["method"]].append((row["feature_a"], row["feature_b"]))
    return dict(pairs)


def _parts(blocks: list[Block], top: int | None, features: int) -> list[tuple[str, ...]]:
    """Return the paths of put-aside rows for every part, in order, so that a part keeps about `PART_ROWS` of them."""
    waiting = sum(block.rows for block in blocks)
    methods = {method for block in blocks for method in block.best}
    most = len(methods) * features * top if top else waiting
    share = min(1.0, most / max(waiting, 1))
    parts: list[list[str]] = [[]]
    rows = 0.0
    for block in blocks:
        if block.rows:
            if parts[-1] and rows + share * block.rows > PART_ROWS:
                parts.append([])
                rows = 0.0
            parts[-1].append(block.place.path)
            rows += share * block.rows
    return [tuple(part) for part in parts]
