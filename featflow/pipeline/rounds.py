"""The parts of a run's rounds that read no data, which a plan and a run share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from featflow.analyses.catalogue import chosen, every_analysis
from featflow.analyses.protocol import Analysis
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.execution.context import Context
from featflow.execution.engines.base import Engine
from featflow.execution.engines.serial import SerialEngine
from featflow.execution.progress import Reporter, SilentProgress
from featflow.execution.state_store import AnySummarizer
from featflow.execution.workspace import Workspace
from featflow.pipeline.column_pass import ProfileSpecs, profile_specs, state_bytes
from featflow.storage.run_writer import RunWriter
from featflow.transforms.derive import key_specs

__all__ = ["begin", "profile_round", "relate_round"]

Analyses = Sequence[Analysis[Any]]


def begin(
    config: Config, dataset: Dataset, writer: RunWriter, engine: Engine | None = None, progress: Reporter | None = None
) -> tuple[Context, Analyses]:
    """Return a run's context and the analyses that its configuration asks for; a plan gives no engine."""
    workspace = Workspace(
        writer.store,
        engine or SerialEngine(),
        progress or SilentProgress(),
        state_bytes(config),
        int(config.dataset.shard_bytes),
        config.dataset.storage_options,
        config.engine.gpus,
        config.engine.encoder_gpus,
        int(config.budget.memory),
    )
    context = Context(workspace, dataset, config.analyses.uncertainty, writer, every_analysis(config.analyses))
    return context, chosen(config.analyses)


def profile_round(
    context: Context, analyses: Analyses, config: Config
) -> tuple[ProfileSpecs, tuple[AnySummarizer, ...]]:
    """Return the specs of all columns; and all specs of pass 1, with those that analyses request."""
    columns = profile_specs(context.dataset.columns, config, context.dataset.weight)
    requests = (request for analysis in analyses for request in analysis.profile(context))
    return columns, (*columns.all(), *key_specs(context.dataset), *context.declare(requests))


def relate_round(context: Context, analyses: Analyses) -> tuple[AnySummarizer, ...]:
    """Return the specs that analyses request of pass 2."""
    return context.declare(request for analysis in analyses for request in analysis.relate(context))
