"""Embedding table: a row an image, with its entity keys and its vector or the reason for its absence."""

from __future__ import annotations

from collections import Counter, defaultdict

from featflow.analyses.embedding.options import EmbeddingOptions
from featflow.analyses.embedding.parts import EmbeddingWork, embedding_part
from featflow.analyses.embedding.tables import EMBEDDING
from featflow.analyses.protocol import Analysis
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.columns.column import Role
from featflow.execution.context import Context
from featflow.storage.run import Run

__all__ = ["Embedding"]


OUTSIDE = (
    "{} rows of '{}' name images outside the dataset's folder, which were not looked at; set allow of its entry in "
    "dataset.images to the folders that rows may name"
)


class Embedding(Analysis[EmbeddingOptions]):
    """The embedding table."""

    name = "embedding"
    tables = (EMBEDDING,)

    def write(self, context: Context) -> None:
        """Write the table, a part a shard, and note the images of every column by status."""
        embeddings, dataset = context.derived.embeddings, context.dataset
        if not embeddings:
            return
        keys = (*dataset.entity, *dataset.with_role(Role.EVENT_TIME))
        work = EmbeddingWork(context.workspace.store, embeddings, keys, context.workspace.source_options)
        statuses, refused = defaultdict[str, Counter[str]](Counter), Counter[str]()
        for part in context.write_parts(EMBEDDING, embedding_part, work, dataset.shards):
            for column, counts in part.statuses.items():
                statuses[column].update(counts)
                refused[column] += part.refused[column]
        context.warn(*(OUTSIDE.format(count, column) for column, count in refused.items() if count))
        context.note(self.name, images={column: dict(counts) for column, counts in statuses.items()})

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:
        """Return the image columns with examples."""
        from featflow.analyses.embedding import report  # noqa: PLC0415  images are read of few reports

        return report.section(run, limits)
