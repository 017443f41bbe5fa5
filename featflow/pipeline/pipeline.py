"""The whole job on one page: rounds over the analyses that a configuration asks for, none of them by name.

Pass 1 gives the states of all columns and what is frozen of them; pass 2 the relations between columns. Then states are
measured where the engine runs, and every analysis writes its tables.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from featflow.analyses.run_states import named_states
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.errors import InfrastructureError
from featflow.execution.engines.base import Engine
from featflow.execution.progress import Stopwatch
from featflow.execution.telemetry import Telemetry
from featflow.pipeline.assumptions import incomplete
from featflow.pipeline.checks import check_budget, check_targets, check_weights
from featflow.pipeline.fitted import earlier_fits, fit, stale
from featflow.pipeline.manifest import Record
from featflow.pipeline.rounds import begin, profile_round, relate_round
from featflow.storage.records.states import codebook_path
from featflow.storage.run import Run
from featflow.storage.run_writer import RunWriter
from featflow.storage.tables import QUARANTINE
from featflow.transforms.derive import derive

__all__ = ["write_tables"]


def write_tables(
    config: Config, dataset: Dataset, writer: RunWriter, engine: Engine, telemetry: Telemetry, watch: Stopwatch
) -> dict[str, Any]:
    """Compute and write all tables; return the manifest. Nothing is visible yet."""
    context, analyses = begin(config, dataset, writer, engine, telemetry)
    record = Record(config, dataset, context, engine.name, watch, telemetry)
    context.run_so_far = lambda: Run(writer.store, writer.run_id, record.manifest("done"))

    context.warn(*writer.before.warnings)
    earlier = earlier_fits(writer, config, context.warn)
    context.derived = derive(context.workspace, dataset, config.dataset, earlier)
    context.dataset = dataset = record.derived(context.derived)
    config.analyses.check(dataset, config.dataset.entity)
    watch.lap("derived columns")

    specs, requested = profile_round(context, analyses, config)
    context.dataset = replace(dataset, shards=context.read("profile", requested))
    telemetry.lose(record.lost)
    check_budget(record)
    context.columns = states = specs.states(context.state)
    if states.rows != record.rows_read:
        raise InfrastructureError(
            f"{states.rows} rows were summarized and {record.rows_read} are in the footers of what was read; "
            "the input changed during the run, run again"
        )
    check_weights(dataset, states)
    fitted = record.fitted = fit(context, analyses, config)
    writer.store.write_arrow(codebook_path(fitted.codebook.digest), fitted.codebook.to_arrow())
    context.warn(*stale(fitted, states), *incomplete(fitted.jackknife, states))
    check_targets(dataset, states)
    record.states = named_states(dataset.columns, {spec: context.path(spec) for spec in specs.all()})
    watch.lap("profile")

    context.read("relations", relate_round(context, analyses))
    watch.lap("relations")
    context.measure((analysis.name, each) for analysis in analyses for each in analysis.measure(context))
    watch.lap("measures")
    record.assumptions = tuple(analysis.assumption(context) for analysis in analyses)
    writer.write(QUARANTINE, [record.quarantine_table()])
    for analysis in analyses:
        analysis.write(context)
        watch.lap(analysis.name)
    return record.manifest("done")
