"""Which summaries a dataset's images need, and which columns are made of them.

Vectors come first. A model's vectors are then fitted: their principal directions and clusters are frozen, and every
shard's vectors placed by them. What later passes see are ordinary columns.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from featflow.columns.column import Column
from featflow.dataset.dataset import Dataset
from featflow.dataset.image_options import ImageOptions
from featflow.dataset.options import DatasetOptions
from featflow.errors import ConfigurationError, SchemaError
from featflow.execution import passes
from featflow.execution.passes import Workspace
from featflow.execution.state_store import AnySummarizer, folder, load
from featflow.summaries import RowCountSummarizer, VectorMomentsSummarizer, VectorSampleSummarizer
from featflow.transforms.images.descriptors import NAMES
from featflow.transforms.images.embeddings import EmbeddingsSummarizer
from featflow.transforms.images.encoders import DescriptorsSpec, EncoderSpec
from featflow.transforms.images.form import VectorForm
from featflow.transforms.images.made import described, kept, placed
from featflow.transforms.images.vision import vision_spec
from featflow.transforms.projection.fit import fit
from featflow.transforms.projection.projected import ProjectionsSummarizer

__all__ = ["Images", "derive_images", "image_specs", "joined", "key_specs", "made_columns", "to_fit", "vector_moments"]


@dataclass(frozen=True)
class Images:
    """What is made of a dataset's images."""

    embeddings: tuple[EmbeddingsSummarizer, ...]
    """Vectors."""
    projections: tuple[ProjectionsSummarizer, ...] = ()
    """What is made of vectors."""
    splits: tuple[str | None, ...] = ()
    """Column of train, test, ... of each of `embeddings`."""

    @property
    def layers(self) -> tuple[tuple[AnySummarizer, ...], ...]:
        """Specs whose states hold columns, those that others are made of first."""
        return tuple(layer for layer in (self.embeddings, self.projections) if layer)


def image_specs(dataset: Dataset, options: DatasetOptions) -> tuple[EmbeddingsSummarizer, ...]:
    """Return the specs of the pass over images, which goes before all others, in the order of `dataset.images`.

    Raises
    ------
    ConfigurationError
        A model cannot be loaded, or has fewer dimensions than are to be kept.
    SchemaError
        A column has the name of one that is made from images, or the column of a split is not there.
    """
    _check_names(dataset, options)
    rows = max(shard.rows for shard in dataset.shards)
    columns = {column.name: column for column in dataset.images}
    found = []
    for image in options.images:
        encoder, form = _encoder(image, options), VectorForm(image.prefix, image.normalize, image.dtype)
        if (image.prefix or 0) > encoder.width:
            raise ConfigurationError(
                f"dataset.images: prefix is {image.prefix}, and vectors of '{image.column}' have {encoder.width}"
            )
        found.append(EmbeddingsSummarizer(columns[image.column], encoder, image.most_pixels, form, rows))
    return tuple(found)


def _encoder(image: ImageOptions, options: DatasetOptions) -> EncoderSpec:
    if image.model is None:
        return DescriptorsSpec()
    return vision_spec(image.model, image, options.storage_options)


def key_specs(dataset: Dataset) -> tuple[AnySummarizer, ...]:
    """Return what pass 1 makes of join keys: a row group that cannot be read then joins the others in quarantine."""
    return (RowCountSummarizer(dataset.entity),) if dataset.images and dataset.entity else ()


def vector_moments(spec: EmbeddingsSummarizer) -> VectorMomentsSummarizer:
    """Return the spec of the moments of an image column's vectors."""
    vector, _ = kept(spec.column.name, folder(spec))
    return VectorMomentsSummarizer(vector, spec.width)


def to_fit(
    specs: tuple[EmbeddingsSummarizer, ...], options: DatasetOptions
) -> dict[EmbeddingsSummarizer, tuple[VectorMomentsSummarizer, VectorSampleSummarizer]]:
    """Return what directions and clusters are made of, for each spec whose vectors have them."""
    found = {}
    for spec, wanted in zip(specs, options.images, strict=True):
        if wanted.model and wanted.directions + wanted.clusters:
            vector, content = kept(spec.column.name, folder(spec))
            found[spec] = vector_moments(spec), VectorSampleSummarizer(vector, content, spec.width)
    return found


def made_columns(
    specs: tuple[EmbeddingsSummarizer, ...], options: DatasetOptions, load: Callable[[Any], Any]
) -> Images:
    """Return what is made of images.

    Parameters
    ----------
    load
        Returns the whole state of a spec of `to_fit`.
    """
    wanted_of, projections = dict(zip(specs, options.images, strict=True)), []
    for spec, (moments, sample) in to_fit(specs, options).items():
        wanted = wanted_of[spec]
        fitted = fit(load(moments), load(sample), wanted.directions, wanted.clusters)
        if fitted.width:
            projections.append(ProjectionsSummarizer(moments.vector, fitted, spec.shard_rows))
    return Images(specs, tuple(projections), tuple(image.split for image in options.images))


def joined(dataset: Dataset, images: Images) -> Dataset:
    """Return the dataset with the columns that are made from images beside its own."""
    made: list[Column] = []
    for spec in images.embeddings:
        if isinstance(spec.encoder, DescriptorsSpec):
            made += described(spec.column.name, folder(spec))
    for placing in images.projections:
        made += placed(placing.vector.name.removesuffix(".vector"), folder(placing), placing.fit)
    return replace(dataset, columns=(*dataset.columns, *made))


def _check_names(dataset: Dataset, options: DatasetOptions) -> None:
    """Raise SchemaError if a column has the name of one that is made from images."""
    names = {column.name for column in (*dataset.columns, *dataset.entity)}
    for image in options.images:
        of_model = ["cluster", *(f"direction_{place + 1}" for place in range(image.directions))]
        for name in (f"{image.column}.{each}" for each in (of_model if image.model else NAMES)):
            if name in names:
                raise SchemaError(f"column '{name}' is what dataset.images makes; rename it, or exclude it")
        if image.split and image.split not in names:
            near = difflib.get_close_matches(image.split, sorted(names), n=1)
            hint = f"the nearest is '{near[0]}'" if near else "it may be excluded, or no column of the dataset"
            raise SchemaError(f"dataset.images: split of '{image.column}': no column '{image.split}'; {hint}")


def derive_images(workspace: Workspace, dataset: Dataset, options: DatasetOptions) -> Images:
    """Return what is made of images; a model's vectors are made at once, as columns depend on all of them."""
    specs = image_specs(dataset, options)
    wanted = [spec for pair in to_fit(specs, options).values() for spec in pair]
    if not wanted:
        return made_columns(specs, options, load=lambda _: None)
    done = passes.compute(workspace, dataset.shards, wanted, "images: moments", (specs,))
    names = dict(zip(wanted, passes.merge(workspace, done.shards, wanted, "merging"), strict=True))
    return made_columns(specs, options, lambda spec: load(workspace.store, spec, names[spec]))
