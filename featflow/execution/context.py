"""The run as analyses see it: columns, codings, states, stored codes, tables; never an engine or a path.

A run goes in rounds: profile (columns known), fit (decisions frozen), relate (codebook known), measure (where the
engine runs), write. Declaring a request early only shares reading: `Context.states` returns any state at any time, from
storage or by one more pass over the shards. Every pass is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from featflow.columns.codebook import Codebook, Coding
from featflow.columns.column import Kind, Role
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.dataset.dataset import Dataset, Quarantined, Shard
from featflow.execution import passes, progress, state_store
from featflow.execution.column_blocks import block_pairs, column_blocks
from featflow.execution.engines.base import Resources
from featflow.execution.measuring import MeasureWork, measure_state
from featflow.execution.requests import Measurement, Place, Request
from featflow.execution.state_store import COLUMNS_AT_ONCE, AnySummarizer
from featflow.execution.stored_columns import StoredColumns, count_totals, stored_columns_of
from featflow.execution.workspace import Workspace
from featflow.measures.codebook import ColumnStates
from featflow.measures.options import EXHAUSTIVE_UP_TO, UncertaintyOptions
from featflow.storage.run import Run
from featflow.storage.run_writer import RunWriter
from featflow.storage.tables import TableSpec

__all__ = ["Context", "Pass"]

MEASURE_COPIES = 8
"""Copies of a state that a task needs to measure it. With more, cores would be idle where memory bounds the tasks; with
fewer, an engine would start more tasks than memory holds."""


@dataclass(frozen=True)
class Pass:
    """One pass over shards."""

    stage: str
    shards: int
    """Shards that the pass covers."""
    computed: frozenset[str]
    """Digests of the shards that were read; states of the others existed."""

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"stage": self.stage, "shards": self.shards, "computed": len(self.computed)}


@dataclass
class Context:
    """A run under way, as analyses see it.

    Rounds fill it: `columns` is there after the profile round, `codebook` and `jackknife` after the fit, results of
    measurements after the measure round, tables as they are written.
    """

    workspace: Workspace
    dataset: Dataset
    """Columns, and the shards that can be read."""
    uncertainty: UncertaintyOptions
    writer: RunWriter
    analyses: Sequence[Any] = ()
    """All analyses that exist; drift compares figures of each."""
    derived: Any = None
    """Derived columns and their transforms; see `featflow.transforms.derive`."""
    columns: ColumnStates = field(init=False)
    """Merged states of pass 1, column by column."""
    codebook: Codebook = field(init=False)
    jackknife: JackknifeGroups = field(init=False)
    """Groups of rows that the jackknife deletes together."""
    fitted: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Decisions that each analysis froze, by its name."""
    passes: list[Pass] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    compared_with: list[str] = field(default_factory=list)
    """Runs that this one's tables are compared with; garbage collection keeps them as long as this one."""
    run_so_far: Callable[[], Run] = field(init=False, repr=False)
    """Returns the run as it is written so far."""
    _declared: dict[type, tuple[Request, tuple[AnySummarizer, ...]]] = field(default_factory=dict)
    _merged_names: dict[AnySummarizer, str] = field(default_factory=dict)
    _results: dict[Callable[..., Any], list[Any]] = field(default_factory=dict)
    _first: tuple[AnySummarizer, ...] = ()  # specs of the first pass, which says what can be read

    # --- requests ----------------------------------------------------------------------------------------------------

    def declare(self, requests: Iterable[Request]) -> tuple[AnySummarizer, ...]:
        """Join requests of a kind, cut them, and return the specs of all; nothing is read."""
        joined: dict[type, Request] = {}
        for request in requests:
            kind = type(request)
            joined[kind] = joined[kind].join(request) if kind in joined else request
        for kind, request in joined.items():
            self._declared[kind] = request, request.specs(self)
        return tuple(spec for kind in joined for spec in self._declared[kind][1])

    def specs(self, request: Request) -> tuple[Any, ...]:
        """Return the specs that serve a request: those declared of its kind where they cover it, else its own."""
        declared, specs = self._declared.get(type(request), (None, ()))
        if declared is not None and declared.join(request) == declared:
            return specs
        return request.specs(self)

    def blocks(
        self, make: Callable[[tuple[Any, ...]], Any], items: tuple[Any, ...], most: int = COLUMNS_AT_ONCE
    ) -> tuple[Any, ...]:
        """Return a spec for every block of columns, codings or pairs."""
        return column_blocks(make, items, self.workspace.state_bytes, most)

    def block_pairs(
        self, make: Callable[[tuple[Any, ...], tuple[Any, ...]], Any], items: tuple[Coding, ...]
    ) -> tuple[Any, ...]:
        """Return a spec for every pair of blocks, the first not after the second, at most `MOST_OF_A_SIDE` wide."""
        return block_pairs(make, items, self.workspace.state_bytes)

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, stage: str, specs: Sequence[AnySummarizer]) -> tuple[Shard, ...]:
        """Compute missing states of specs and merge them; return the shards that could be read; raises as `states`."""
        file_specs = [spec for spec in specs if not spec.of_stored]
        stored_specs = [spec for spec in specs if spec.of_stored]
        shards = self.dataset.shards
        if file_specs:
            result = passes.summarize_shards(self.workspace, shards, file_specs, f"reading: {stage}", self._first)
            self._first = self._first or tuple(file_specs)
            self.passes.append(Pass(stage, len(result.shards), result.computed))
            self.quarantined += result.quarantined
            shards = result.shards
            merged = [spec for spec in file_specs if not spec.by_shard] if shards else []
            self._merged_names |= zip(merged, passes.merge(self.workspace, shards, merged, "merging"), strict=True)
        if stored_specs:
            codes: tuple[Any, ...] = tuple(spec for spec in file_specs if spec.by_shard)
            self._merged_names |= count_totals(self.workspace, shards, codes, stored_specs, "counting pairs")
        return shards

    def states(
        self, *requests: Request, shards: Sequence[Shard] | None = None, stage: str = ""
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the specs of requests and their merged states, of some shards or all; a pass computes missing ones.

        Raises
        ------
        InfrastructureError
            A row group cannot be read that an earlier pass has read.
        """
        specs = [spec for request in requests for spec in self.specs(request)]
        missing = [spec for spec in specs if shards is not None or spec not in self._merged_names]
        names = dict(self._merged_names) if shards is None else {}
        if missing:
            chosen = self.dataset.shards if shards is None else shards
            stage = stage or missing[0].name
            result = passes.summarize_shards(self.workspace, chosen, missing, f"reading: {stage}", self._first)
            self.passes.append(Pass(stage, len(result.shards), result.computed))
            merged = dict(zip(missing, passes.merge(self.workspace, chosen, missing, "merging"), strict=True))
            names |= merged
            if shards is None:
                self._merged_names |= merged
        for spec in specs:
            yield spec, state_store.load(self.workspace.store, spec, names[spec])

    def state(self, spec: AnySummarizer) -> Any:
        """Return the merged state of a spec that was read."""
        return state_store.load(self.workspace.store, spec, self._merged_names[spec])

    def path(self, spec: AnySummarizer) -> str:
        """Return the path of the merged state of a spec that was read, for later runs."""
        return state_store.path(spec, self._merged_names[spec])

    @cached_property
    def codes(self) -> StoredColumns:
        """The stored codes of all columns; they can be read repeatedly, in whole or on a sample of the rows."""
        codes: tuple[Any, ...] = tuple(spec for _, specs in self._declared.values() for spec in specs if spec.by_shard)
        return stored_columns_of(self.workspace, self.dataset.shards, codes)

    # --- measuring ---------------------------------------------------------------------------------------------------

    def measure(self, measurements: Iterable[tuple[str, Measurement]]) -> None:
        """Compute all measurements in tasks; each state is loaded, or counted from codes, once for all of them.

        Parameters
        ----------
        measurements
            Each with the name of its analysis.
        """
        calls_by_spec: dict[AnySummarizer, list[tuple[Measurement, Place]]] = {}
        counts: dict[str, int] = {}
        for name, measurement in measurements:
            self._results[measurement.function] = []
            for spec in self.specs(measurement.request):
                index = counts[name] = counts.get(name, -1) + 1
                place = Place(self.workspace.store, self.writer.folder(f"pending/{name}"), index)
                calls_by_spec.setdefault(spec, []).append((measurement, place))
        if not calls_by_spec:
            return
        specs = tuple(calls_by_spec)
        # Functions share large values: each is sent once, and referred to by its id.
        shared = {id(m.shared): m.shared for calls in calls_by_spec.values() for m, _ in calls}
        calls = tuple(tuple((m.function, id(m.shared), place) for m, place in calls_by_spec[spec]) for spec in specs)
        codes = self.codes if any(spec.of_stored for spec in specs) else None
        names = tuple(self._merged_names.get(spec) for spec in specs)
        work = MeasureWork(self.workspace.store, specs, names, calls, shared, codes)
        memory = MEASURE_COPIES * max(spec.nbytes() for spec in specs)
        resources = Resources(memory=memory, gpus=self.workspace.gpus)
        answers = self._map(measure_state, work, range(len(specs)), "measuring", resources)
        for spec_calls, results in zip(calls, answers, strict=True):
            for (function, _, _), result in zip(spec_calls, results, strict=True):
                self._results[function].append(result)

    def results(self, function: Callable[..., Any]) -> list[Any]:
        """Return what a measurement's function returned, in the order of its request's specs; none if not asked for."""
        return self._results.get(function, [])

    @property
    def exhaustive(self) -> bool:
        """Whether all pairs of features are measured on all rows; all analyses of pairs follow this one decision."""
        features = sum(column.kind is not Kind.TEXT for column in self.dataset.with_role(Role.FEATURE))
        return features * (features - 1) / 2 * self.dataset.rows <= EXHAUSTIVE_UP_TO

    @property
    def scale(self) -> float:
        """Number of equally weighted rows that one unit of weight stands for: sum of weights over sum of squares."""
        moments = self.columns.moments
        return moments.weight_sum / moments.weight_square_sum if self.dataset.weight else 1.0

    @property
    def codings(self) -> tuple[Coding, ...]:
        """Codings of all columns but event time."""
        return tuple(coding for coding in self.codebook.codings if coding.column.role is not Role.EVENT_TIME)

    def codings_of(self, role: Role) -> tuple[Coding, ...]:
        """Return the codings of columns of a role."""
        return tuple(coding for coding in self.codebook.codings if coding.column.role is role)

    def map(
        self,
        function: Callable[[Any, Any], Any],
        shared: Any,
        items: Sequence[Any],
        stage: str,
        memory: int = 0,
        *,
        gpus: bool = False,
    ) -> Iterator[Any]:
        """Yield ``function(shared, item)`` of every item, in order, where the engine runs.

        Parameters
        ----------
        memory
            Bytes that one call needs.
        gpus
            Whether the function counts pairs, which takes the share of a GPU of ``engine.gpus``.
        """
        yield from self._map(function, shared, items, stage, Resources(self.workspace.gpus if gpus else 0.0, memory))

    def _map(
        self, function: Callable[..., Any], shared: Any, items: Sequence[Any], stage: str, resources: Resources
    ) -> Iterator[Any]:
        with progress.stage(self.workspace.progress, stage, len(items)):
            for result in self.workspace.engine.map(function, shared, items, resources):
                self.workspace.progress.advance(0)
                yield result

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, table: TableSpec, pieces: Iterable[pa.Table]) -> None:
        """Write a table from its pieces, in the order given."""
        self.writer.write(table, pieces)

    def write_parts(
        self, table: TableSpec, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]
    ) -> list[Any]:
        """Write a table, a part a task, by ``function(shared, (item, path))``, which returns a `Written`."""
        paths = self.writer.part_paths(table.name, len(items))
        parts = list(self.map(function, shared, list(zip(items, paths, strict=True)), f"writing: {table.name}"))
        self.writer.add(table, parts)
        return parts

    def table(self, name: str) -> pa.Table | None:
        """Return a table that an analysis before this one wrote; None if there is none."""
        return self.run_so_far().arrow(name) if name in self.writer.tables else None

    def warn(self, *texts: str) -> None:
        """Add warnings for readers of the tables to the manifest, each text once."""
        self.warnings.extend(text for text in texts if text not in self.warnings)

    def note(self, analysis: str, **values: Any) -> None:
        """Keep JSON values under an analysis' name in the manifest."""
        self.notes.setdefault(analysis, {}).update(values)
