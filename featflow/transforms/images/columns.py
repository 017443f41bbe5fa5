"""The transforms of a column of images.

The first gives vectors. Descriptors are the elements of theirs. A model's vectors become projections on principal
directions and clusters, which are fitted once and then frozen.
"""

from __future__ import annotations

from featflow.columns.column import Column
from featflow.dataset.image_options import ImageOptions
from featflow.dataset.options import DatasetOptions
from featflow.dataset.transform_options import Derivation, Fitting
from featflow.errors import ConfigurationError
from featflow.summaries import VectorSampleSummarizer
from featflow.transforms.images.descriptor_columns import DescriptorColumns
from featflow.transforms.images.embeddings import Embedding
from featflow.transforms.images.encoders import DescriptorsSpec
from featflow.transforms.images.postprocessing import Postprocessing
from featflow.transforms.images.vision import vision_spec
from featflow.transforms.projection.fit import fit
from featflow.transforms.projection.placing import Placing
from featflow.transforms.projection.projection import Projection

__all__ = ["embedding", "vector_columns"]


def embedding(derivation: Derivation, options: ImageOptions, dataset: DatasetOptions) -> Embedding:
    """Return the transform of a column of images to vectors.

    Raises
    ------
    ConfigurationError
        A model cannot be loaded, or has fewer dimensions than are to be kept.
    """
    (image,) = derivation.inputs
    encoder = vision_spec(options.model, options, dataset.storage_options) if options.model else DescriptorsSpec()
    if (options.prefix or 0) > encoder.width:
        raise ConfigurationError(
            f"dataset.images: prefix is {options.prefix}, and vectors of '{image.name}' have {encoder.width}"
        )
    postprocessing = Postprocessing(options.prefix, options.normalize, options.dtype)
    return Embedding(image, encoder, options.most_pixels, postprocessing)


def vector_columns(transform: Embedding, options: ImageOptions, fitting: Fitting) -> tuple[Column, ...]:
    """Return the columns that are derived from an image column's vectors."""
    name, vector = transform.column.name, transform.named("vector")
    if transform.of_pixels:
        return DescriptorColumns(name, vector).outputs
    if not options.directions + options.clusters:
        return ()
    fit_name, settings = f"{name}: {transform.space}", f"directions={options.directions};clusters={options.clusters}"
    arrays = fitting.frozen(fit_name, settings)
    if arrays is None:
        sample = VectorSampleSummarizer(vector, transform.named("content"), transform.width)
        moments, vectors = fitting.states([transform.moments, sample])
        earlier_arrays = fitting.earlier(fit_name)
        earlier = Projection.from_arrays(earlier_arrays) if earlier_arrays else None
        fitted = fit(moments, vectors, options.directions, options.clusters, earlier)
        if fitted.width:  # no vectors: the next run is to fit
            fitting.freeze(fit_name, settings, fitted.arrays())
        return Placing(name, vector, fitted).outputs
    return Placing(name, vector, Projection.from_arrays(arrays)).outputs
