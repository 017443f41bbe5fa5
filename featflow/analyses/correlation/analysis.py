"""From whole states to the ranking, correlation and interaction tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.correlation.blocks import BlockWork, Found, PartWork, measure_block, pending, write_part
from featflow.analyses.correlation.error_bars import correlation_bars
from featflow.analyses.correlation.options import ALL_PAIRS_UP_TO, TOP_OF_COLUMN, Keep
from featflow.analyses.correlation.strongest import merge_best, strongest
from featflow.analyses.embedding.parts import EmbeddingWork, embedding_part
from featflow.analyses.interaction.error_bars import interaction_bars
from featflow.analyses.interaction.jackknife import with_interaction_errors
from featflow.analyses.interaction.scores import top
from featflow.analyses.interaction.search import search
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.ranking.ranks import ranked
from featflow.analyses.ranking.scores import RankingMeasure
from featflow.analyses.ranking.scores import ranking as rank_features
from featflow.analyses.ranking.tables import RANKING, RANKING_WINDOW
from featflow.analyses.ranking.windows import Skill, rank_in_windows, score_windows, with_skills
from featflow.analyses.recount import WHERE, Bars, Pairs
from featflow.columns.column import Role
from featflow.dataset.dataset import Dataset
from featflow.execution import progress
from featflow.execution.context import Relations
from featflow.execution.engines.base import Resources
from featflow.execution.passes import Workspace
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.measures.p_values import PValues
from featflow.storage.run_writer import PART_ROWS, RunWriter
from featflow.transforms.images.embeddings import EmbeddingsSummarizer

__all__ = ["interaction", "measure_blocks", "write_correlation", "write_embeddings", "write_ranking"]

MEASURE_COPIES = 8
"""Copies of a state that measuring it takes."""


def write_ranking(relations: Relations, alerts: dict[str, list[str]], writer: RunWriter) -> None:
    """Write the ranking of all targets, and where there are event times that in their windows."""
    analyses, share = relations.config.analyses, relations.columns.effective_share
    options, wanted = analyses.uncertainty, analyses.ranking
    clustered = wanted is not None and wanted.clusters is not None
    measure = RankingMeasure(alerts, share, options.confidence, clustered)
    blocks = [rank_features(spec, relations.state(spec), measure) for spec in relations.specs.targets]
    relations.warnings.extend(dict.fromkeys(warning for _, block in blocks for warning in block))
    scored = pa.concat_tables([RANKING.empty(), *(table for table, _ in blocks)])
    if relations.specs.times and wanted:
        scored, windows = _in_windows(relations, scored, wanted.windows)
        writer.write(RANKING_WINDOW, [windows])
    elif relations.specs.weighted and relations.config.dataset.event_time and wanted and wanted.windows > 1:
        relations.warnings.append("dataset.weight: windows of event time count rows, so nothing is ranked in them")
    writer.write(RANKING, [ranked(scored, options)])


def _in_windows(relations: Relations, scored: pa.Table, windows: int) -> tuple[pa.Table, pa.Table]:
    """Return the ranking with what windows of event time say of its features, and the ranking in each of them."""
    specs, skills, tables = relations.specs.times, dict[tuple[str, str], Skill](), []
    undated, time = 0, specs[0].time.name
    for spec in specs:
        state = relations.state(spec)
        table, found, warnings = score_windows(spec, state, windows)
        tables.append(table)
        skills |= found
        undated = state.undated
        relations.warnings.extend(warning for warning in warnings if warning not in relations.warnings)
    if undated:
        relations.warnings.append(
            f"dataset.event_time: '{time}' is missing in {undated:,} rows; they are in no window of the ranking"
        )
    ranks = rank_in_windows(pa.concat_tables(tables))
    return with_skills(scored, ranks, skills), ranks


def write_embeddings(
    workspace: Workspace, specs: tuple[EmbeddingsSummarizer, ...], dataset: Dataset, writer: RunWriter
) -> dict[str, dict[str, int]]:
    """Write the embedding table, a part a shard; return the images of every column by status.

    Parameters
    ----------
    dataset
        With the shards that were read.
    """
    keys, shards = (*dataset.entity, *dataset.with_role(Role.EVENT_TIME)), dataset.shards
    work = EmbeddingWork(workspace.store, specs, keys, workspace.source_options)
    items = list(zip(shards, writer.part_paths("embedding", len(shards)), strict=True))
    written, statuses = [], defaultdict[str, Counter[str]](Counter)
    with progress.stage(workspace.progress, "writing: embedding", len(items)):
        for part in workspace.engine.map(embedding_part, work, items, Resources()):
            written.append((part.rows, part.sha256))
            for column, counts in part.statuses.items():
                statuses[column].update(counts)
            workspace.progress.advance(0)
    writer.add("embedding", written)
    return {column: dict(counts) for column, counts in statuses.items()}


# --- pairs ----------------------------------------------------------------------------------------------------------


def measure_blocks(relations: Relations, folder: str) -> tuple[BlockWork, list[Found]]:
    """Measure every block of pairs where the engine runs; rows of the correlation table wait in the folder."""
    analyses, workspace, of = relations.config.analyses, relations.workspace, relations.specs
    wanted, columns = analyses.correlation, relations.columns
    specs: tuple[Any, ...] = (*of.comoments, *of.ranks, *of.grouped, *of.pairs)
    work = BlockWork(
        store=workspace.store,
        folder=folder,
        specs=specs,
        names=tuple(relations.whole.get(spec) for spec in specs),
        codes=relations.stream,
        features={coding.column.name: index for index, coding in enumerate(relations.codebook.codings)},
        present={c.name: int(n) for c, n in zip(columns.numbers, columns.moments.n, strict=True)},
        methods=tuple(wanted.methods) if wanted else (),
        interactions=analyses.interaction.keep if analyses.interaction else 0,
        confidence=analyses.uncertainty.confidence,
        effective_share=columns.effective_share,
        keep=pairs_to_write(wanted.keep if wanted else None, len(relations.codebook.codings)),
        error_bars=wanted.error_bars if wanted else 1,
        dense=wanted is not None and wanted.dense,
    )
    memory = MEASURE_COPIES * max((spec.nbytes() for spec in specs), default=0)
    resources = Resources(memory=memory, gpus=workspace.gpus)
    found = []
    with progress.stage(workspace.progress, "pairs", len(specs)):
        for block in workspace.engine.map(measure_block, work, range(len(specs)), resources):
            found.append(block)
            workspace.progress.advance(0)
    return work, found


def pairs_to_write(keep: Keep | None, columns: int) -> Keep:
    """Return what `analyses.correlation.keep` means for so many columns.

    Examples
    --------
    >>> pairs_to_write(None, 80).top, pairs_to_write(None, 10_000).top
    (None, 100)
    """
    if keep is not None:
        return keep
    return Keep() if columns <= ALL_PAIRS_UP_TO else Keep(top=TOP_OF_COLUMN)


def write_correlation(relations: Relations, work: BlockWork, found: list[Found], writer: RunWriter) -> None:
    """Write the correlation table from the rows that wait; they are removed."""
    p_values: dict[str, PValues] = {}
    for block in found:
        for method, values in block.p_values.items():
            p_values[method] = p_values[method].merge(values) if method in p_values else values
    procedure = relations.config.analyses.uncertainty.procedure
    rates = {method: values.rates(procedure) for method, values in p_values.items()}
    least = merge_best((block.best for block in found), len(work.features))
    errors: Bars = {}
    if found:
        best = strongest(pa.concat_tables([block.strongest for block in found]), work.error_bars)
        errors = correlation_bars(relations, _by_method(best))
    parts = _parts(work, found)
    items = list(zip(parts, writer.part_paths("correlation", len(parts)), strict=True))
    shared = PartWork(relations.workspace.store, work.folder, work.features, rates, least, errors)
    written = []
    with progress.stage(relations.workspace.progress, "writing: correlation", len(items)):
        for part in relations.workspace.engine.map(write_part, shared, items, Resources()):
            written.append((part.rows, part.sha256))
            relations.workspace.progress.advance(0)
    writer.add("correlation", written)
    for block in found:
        for method, matrix in block.matrices.items():
            writer.matrices.setdefault(method, []).append(matrix)
    for index, block in enumerate(found):
        if block.rows:
            relations.workspace.store.remove(pending(work.folder, index))


def _by_method(strongest: pa.Table) -> dict[str, Pairs]:
    pairs: dict[str, Pairs] = defaultdict(list)
    for row in strongest.to_pylist():
        pairs[row["method"]].append((row["feature_a"], row["feature_b"]))
    return dict(pairs)


def _parts(work: BlockWork, found: list[Found]) -> list[tuple[int, ...]]:
    """Return the blocks of every part of the table, in order: about `PART_ROWS` rows of those that will be kept."""
    waiting = sum(block.rows for block in found)
    methods = {method for block in found for method in block.best}
    most = len(methods) * len(work.features) * work.keep.top if work.keep.top else waiting
    share = min(1.0, most / max(waiting, 1))
    parts: list[list[int]] = [[]]
    rows = 0.0
    for index, block in enumerate(found):
        if block.rows:
            if parts[-1] and rows + share * block.rows > PART_ROWS:
                parts.append([])
                rows = 0.0
            parts[-1].append(index)
            rows += share * block.rows
    return [tuple(part) for part in parts]


# --- interactions ---------------------------------------------------------------------------------------------------


def interaction(relations: Relations, keep: int, found: list[pa.Table]) -> pa.Table:
    """Return the interaction table: the best ``keep`` pairs of every target, with their error bars.

    Parameters
    ----------
    found
        The best of every block, where all pairs were counted on all rows.
    """
    options = relations.config.analyses.uncertainty
    if relations.specs.screens:
        searched = search(relations, keep)
        best = searched.table
        relations.searches.extend(searched.targets)
    else:
        best = top(pa.concat_tables([INTERACTION.empty(), *found]), keep)
    by_target: dict[str, Pairs] = defaultdict(list)
    for target, *pair in zip(*(best.column(k).to_pylist() for k in ("target", "feature_a", "feature_b")), strict=True):
        by_target[target].append((pair[0], pair[1]))
    if not by_target:
        return best
    bars = {target: interaction_bars(relations, pairs, target) for target, pairs in by_target.items()}
    relations.warnings.extend(
        f"interactions with target '{target}': their rows fall into {of['groups'][0]:.0f} group(s) and the jackknife "
        f"needs {FEWEST_GROUPS}; intervals are null; {WHERE}"
        for target, of in bars.items()
        if of["groups"][0] < FEWEST_GROUPS
    )
    arrays = {name: np.concatenate([of[name] for of in bars.values()]) for name in next(iter(bars.values()))}
    features = sum(coding.column.role is Role.FEATURE for coding in relations.codebook.codings)
    looked_at = dict.fromkeys(by_target, features * (features - 1) // 2)
    return with_interaction_errors(best, arrays, options, looked_at)
