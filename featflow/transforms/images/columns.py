"""Which columns are made of a column of images, and by what.

Vectors come first. Descriptors are their elements. A model's vectors are placed by principal directions and clusters,
which are fitted to them once and then frozen.
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
from featflow.transforms.images.encoders import DescriptorsSpec, EncoderSpec
from featflow.transforms.images.postprocessing import Postprocessing
from featflow.transforms.projection.fit import fit
from featflow.transforms.projection.placing import Placing
from featflow.transforms.projection.projection import Projection

__all__ = ["embedding", "vector_columns"]


def embedding(derivation: Derivation, options: ImageOptions, dataset: DatasetOptions, memory: int) -> Embedding:
    """Return what makes vectors of a column of images.

    Parameters
    ----------
    memory
        Bytes of the whole run.

    Raises
    ------
    ConfigurationError
        A model cannot be loaded, or has fewer dimensions than are to be kept.
    """
    (image,) = derivation.inputs
    encoder: EncoderSpec = DescriptorsSpec()
    if options.model:
        from featflow.transforms.images.vision import vision_spec  # noqa: PLC0415  torch, for those who have a model

        encoder = vision_spec(options.model, options, dataset.storage_options)
    if (options.prefix or 0) > encoder.width:
        raise ConfigurationError(
            f"dataset.images: prefix is {options.prefix}, and vectors of '{image.name}' have {encoder.width}"
        )
    postprocessing = Postprocessing(options.prefix, options.normalize, options.dtype)
    return Embedding(image, encoder, options.most_pixels, postprocessing, memory=memory)


def vector_columns(made: Embedding, options: ImageOptions, fitting: Fitting) -> tuple[Column, ...]:
    """Return the columns that are made of an image column's vectors."""
    name, vector = made.column.name, made.named("vector")
    if made.of_pixels:
        return DescriptorColumns(name, vector).outputs
    if not options.directions + options.clusters:
        return ()
    frozen_as, of = f"{name}: {made.space}", f"directions={options.directions};clusters={options.clusters}"
    arrays = fitting.frozen(frozen_as, of)
    if arrays is None:
        sample = VectorSampleSummarizer(vector, made.named("content"), made.width)
        moments, vectors = fitting.states([made.moments, sample])
        before = fitting.earlier(frozen_as)
        earlier = Projection.from_arrays(before) if before else None
        fitted = fit(moments, vectors, options.directions, options.clusters, earlier)
        if fitted.width:  # else there was nothing to fit to
            fitting.freeze(frozen_as, of, fitted.arrays())
        return Placing(name, vector, fitted).outputs
    return Placing(name, vector, Projection.from_arrays(arrays)).outputs
