"""The whole job on one page.

Two passes over the shards, written as plain calls: pass 1 gives the profile and
the codebook, pass 2 the relations between columns. Then measures and tables.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from featflow.analyses.correlation import analysis
from featflow.analyses.drift.analysis import Earlier, drift_tables, earlier_runs
from featflow.analyses.drift.options import DriftOptions
from featflow.analyses.drift.tables import DRIFT
from featflow.analyses.embedding_profile.analysis import profile_images
from featflow.analyses.embedding_profile.tables import EMBEDDING_PROFILE
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.profile.table import alerts_by_column, profile, target_values
from featflow.analyses.profile.tables import PROFILE
from featflow.analyses.requests import RelationSpecs, profile_specs, relation_specs, state_bytes
from featflow.analyses.run_states import named_states
from featflow.columns.column import Role
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.errors import BadDataError, InfrastructureError, SchemaError
from featflow.execution import passes
from featflow.execution import state_store as stored
from featflow.execution.context import Relations
from featflow.execution.engines.base import Engine
from featflow.execution.passes import Computed, Workspace
from featflow.execution.progress import Stopwatch
from featflow.execution.state_store import codebook_path
from featflow.execution.stored_columns import count_totals
from featflow.execution.telemetry import Telemetry
from featflow.measures.codebook import CANDIDATES, ColumnStates
from featflow.pipeline.assumptions import incomplete
from featflow.pipeline.fitted import earlier_basis, make_basis, stale
from featflow.pipeline.manifest import Record
from featflow.storage.run import Run
from featflow.storage.run_writer import RunWriter
from featflow.storage.tables import QUARANTINE
from featflow.transforms.images.columns import (
    Images,
    image_specs,
    joined,
    key_specs,
    made_columns,
    to_fit,
    vector_moments,
)
from featflow.transforms.images.embeddings import EmbeddingsSummarizer

__all__ = ["write_tables"]


def write_tables(
    config: Config, dataset: Dataset, writer: RunWriter, engine: Engine, telemetry: Telemetry, watch: Stopwatch
) -> dict[str, Any]:
    """Compute and write all tables; return the manifest. Nothing is visible yet."""
    store = writer.store
    sizes = state_bytes(config), int(config.dataset.shard_bytes)
    gpus = config.engine.gpus, config.engine.encoder_gpus
    workspace = Workspace(store, engine, telemetry, *sizes, config.dataset.storage_options, *gpus)
    record = Record(config, dataset, engine.name, watch, telemetry, list(dataset.quarantined), used=workspace.used)
    earlier = earlier_runs(store, config.analyses.drift) if config.analyses.drift else None

    images = _images(workspace, dataset, config)
    dataset = joined(dataset, images)
    watch.lap("images")
    specs = profile_specs(dataset.columns, config, dataset.weight)
    wanted = (*specs.all(), *key_specs(dataset))
    first = passes.compute(workspace, dataset.shards, wanted, "reading: profile", images.layers)
    record.add(first)
    record.rows_read = sum(shard.rows for shard in first.shards)
    _check_budget(config, record, writer)
    wholes = dict(zip(specs.all(), passes.merge(workspace, first.shards, specs.all(), "merging"), strict=True))
    states = specs.states(lambda spec: stored.load(workspace.store, spec, wholes[spec]))
    if states.rows != record.rows_read:
        raise InfrastructureError(
            f"{states.rows} rows were summarized and {record.rows_read} are in the footers of what was read; "
            "the input changed during the run, run again"
        )
    _check_weights(dataset, states)
    basis = record.basis = make_basis(dataset, states, config, earlier_basis(workspace.store, config, dataset))
    codebook = basis.codebook
    workspace.store.write_arrow(codebook_path(codebook.digest), codebook.to_arrow())
    record.warnings += stale(basis, states)
    _check_targets(dataset, states)
    watch.lap("profile")

    relations = relation_specs(basis, config, dataset, states.rows, max(shard.rows for shard in first.shards))
    record.warnings += incomplete(basis.grouping, states)
    second = passes.compute(workspace, first.shards, (*relations.over_shards(), *relations.codes), "reading: relations")
    record.add(second)
    if second.quarantined:  # readable a moment ago: the file changed or storage is failing
        raise InfrastructureError(f"{second.quarantined[0].uri}: became unreadable during the run; run again")
    names = passes.merge(workspace, first.shards, relations.over_shards(), "merging")
    whole = dict(zip(relations.over_shards(), names, strict=True))
    watch.lap("relations")
    whole |= count_totals(workspace, first.shards, relations.codes, relations.pairs, "counting pairs")
    watch.lap("counts")

    found = Relations(config, codebook, workspace, first.shards, relations, states, whole)
    _write_results(dataset, found, writer, record)
    if images.embeddings:
        read = replace(dataset, shards=first.shards)
        record.images = analysis.write_embeddings(workspace, images.embeddings, read, writer)
        profiled = profile_images(workspace, read, config, images, codebook, record.warnings)
        writer.write(EMBEDDING_PROFILE, [profiled])
    writer.write(QUARANTINE, [record.quarantine_table()])
    record.states = named_states(dataset.columns, wholes, _vector_states(workspace, first, images))
    if earlier and config.analyses.drift:
        _write_drift(config.analyses.drift, earlier, writer, record)
    watch.lap("measures and tables")
    return record.manifest(writer, "done")


def _images(workspace: Workspace, dataset: Dataset, config: Config) -> Images:
    """Return what is made of images; a model's vectors are made at once, as columns depend on all of them."""
    specs = image_specs(dataset, config)
    wanted = [spec for pair in to_fit(specs, config).values() for spec in pair]
    if not wanted:
        return Images(specs)
    done = passes.compute(workspace, dataset.shards, wanted, "images: moments", (specs,))
    names = dict(zip(wanted, passes.merge(workspace, done.shards, wanted, "merging"), strict=True))
    return made_columns(specs, config, lambda spec: stored.load(workspace.store, spec, names[spec]))


def _vector_states(workspace: Workspace, first: Computed, images: Images) -> dict[EmbeddingsSummarizer, str]:
    """Return where the moments of each image column's vectors are."""
    specs = [vector_moments(spec) for spec in images.embeddings]
    names = passes.merge(workspace, first.shards, specs, "merging")
    paths = (stored.path(spec, name) for spec, name in zip(specs, names, strict=True))
    return dict(zip(images.embeddings, paths, strict=True))


def _write_results(dataset: Dataset, relations: Relations, writer: RunWriter, record: Record) -> None:
    analyses = relations.config.analyses
    if sum(len(spec.pairs) for spec in relations.specs.agreement) == CANDIDATES:
        record.warnings.append(
            f"{CANDIDATES} pairs of columns or more have the same counts; duplicates beyond these are not looked for"
        )
    profiled = profile(dataset.columns, relations.columns, _duplicates(relations.specs, relations.state))
    if analyses.profile:
        writer.write(PROFILE, [profiled])
    targets = dataset.with_role(Role.TARGET)
    if analyses.ranking and targets:
        analysis.write_ranking(relations, alerts_by_column(profiled), writer)
    work, found = analysis.measure_blocks(relations, writer.folder("pending"))
    if analyses.correlation:
        analysis.write_correlation(relations, work, found, writer)
    if analyses.interaction and targets:
        best = [block.interaction for block in found]
        writer.write(INTERACTION, [analysis.interaction(relations, analyses.interaction.keep, best)])
    record.warnings += relations.warnings
    record.searches = relations.searches


def _write_drift(options: DriftOptions, earlier: Earlier, writer: RunWriter, record: Record) -> None:
    """Write what changed since earlier runs: all other tables and states are there."""
    record.drift = earlier.public()
    written = Run(writer.store, writer.run_id, record.manifest(writer, "done"))
    tables, warnings = drift_tables(written, earlier, options)
    writer.write(DRIFT, tables)
    record.warnings += warnings


def _duplicates(relations: RelationSpecs, state: Any) -> dict[str, str]:
    """Return the earlier column that a column equals in every row."""
    found: dict[str, str] = {}
    for spec in relations.agreement:
        agreement = state(spec)
        for (first, second), equal in zip(spec.pairs, agreement.equal, strict=True):
            if equal == agreement.rows:
                found.setdefault(second.name, first.name)
    return found


def _check_targets(dataset: Dataset, states: ColumnStates) -> None:
    for target in dataset.with_role(Role.TARGET):
        values = target_values(states, target)
        if values < 2:
            said = "no finite value, every row is null, NaN or infinite" if values == 0 else "one value in all rows"
            raise SchemaError(f"dataset.targets: '{target.name}' has {said}; nothing can be said about it, take it out")


def _check_weights(dataset: Dataset, states: ColumnStates) -> None:
    squares = states.moments.weight_square_sum
    if dataset.weight and not 0 < squares < math.inf:
        zero = states.moments.weight_sum == 0
        said = "is 0 in all rows; take it out" if zero else f"has squares that add up to {squares}; scale it"
        raise SchemaError(f"dataset.weight: '{dataset.weight.name}' {said}")


def _check_budget(config: Config, record: Record, writer: RunWriter) -> None:
    lost = record.lost
    # The rows of a file without a readable footer are not known: its share of the bytes or of the files, the larger.
    whole_files = [entry for entry in record.quarantined if entry.rows is None]
    by_bytes = sum(entry.nbytes for entry in whole_files) / max(record.dataset.nbytes, 1)
    share = lost / record.dataset.rows + max(by_bytes, len(whole_files) / record.dataset.files)
    if record.quarantined and (share > config.budget.bad_rows or lost == record.dataset.rows):
        writer.write(QUARANTINE, [record.quarantine_table()])
        writer.save_manifest(record.manifest(writer, "bad data"))
        entry = record.quarantined[0]
        where = entry.uri + (f", row group {entry.row_group}" if entry.row_group is not None else "")
        where += f", column '{entry.column}'" if entry.column else ""
        raise BadDataError(
            f"{len(record.quarantined)} unreadable piece(s), {share:.2%} of the data against budget.bad_rows "
            f"{config.budget.bad_rows:.2%}; the first is {where}: {entry.detail}. All are in "
            f"{writer.store.uri(writer.tables['quarantine']['path'])}; "
            f"mend them{'' if lost == record.dataset.rows else ', or raise budget.bad_rows to go on without'}"
        )
