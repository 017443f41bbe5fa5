"""Which summaries a dataset's images need, and which columns are made of them."""

from __future__ import annotations

from dataclasses import replace

from featflow.config import Config
from featflow.dataset import Dataset
from featflow.embedding.encoders import DescriptorsSpec
from featflow.embedding.made import described
from featflow.errors import SchemaError
from featflow.states import folder
from featflow.summaries import EmbeddingsSummarizer

__all__ = ["image_specs", "with_images"]


def image_specs(dataset: Dataset, config: Config) -> tuple[EmbeddingsSummarizer, ...]:
    """Return the specs of the pass over images, which goes before all others."""
    options = {image.column: image for image in config.dataset.images}
    rows = max(shard.rows for shard in dataset.shards)
    return tuple(
        EmbeddingsSummarizer(column, DescriptorsSpec(), options[column.name].most_pixels, rows)
        for column in dataset.images
    )


def with_images(dataset: Dataset, config: Config) -> Dataset:
    """Return the dataset with the columns that are made from images beside its own; SchemaError if one is there."""
    specs = image_specs(dataset, config)
    made = [column for spec in specs for column in described(spec.column.name, folder(spec))]
    names = {column.name for column in (*dataset.columns, *dataset.entity)}
    for column in made:
        if column.name in names:
            raise SchemaError(f"column '{column.name}' is what dataset.images makes; rename it, or exclude it")
    return replace(dataset, columns=(*dataset.columns, *made))
