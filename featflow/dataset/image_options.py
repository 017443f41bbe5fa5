"""Options of a column of images."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from featflow.columns.column import Column, Kind
from featflow.option_types import Names, Options, without_credentials

__all__ = ["DESCRIPTORS", "MODEL", "ImageOptions"]

MODEL = "transformers:"
"""Prefix of an encoder that is the directory or URI of a model."""
MODEL_KEYS = {"sha256", "pooling", "bfloat16", "prefix", "normalize", "dtype", "directions", "clusters"}
"""Options that apply to a model's vectors only."""


def _encoder(value: str) -> str:
    if value.startswith(MODEL):
        return MODEL + without_credentials(value.removeprefix(MODEL))
    if value != "descriptors":
        raise ValueError(f"write descriptors, or {MODEL}<directory or URI>")
    return value


def _folders(values: list[str]) -> list[str]:
    for value in values:
        if "*" in without_credentials(value) or value.endswith("://"):
            raise ValueError(f"{value} is no folder, bucket or prefix; write one such as s3://photos/2026/")
    return values


DESCRIPTORS = (
    "width",
    "height",
    "aspect",
    "brightness",
    "contrast",
    "entropy",
    "saturation",
    "saturation_spread",
    "hue",
    "hue_concentration",
    "colourfulness",
    "sharpness",
    "edge_density",
    "edge_0",
    "edge_45",
    "edge_90",
    "edge_135",
    "symmetry_left_right",
    "symmetry_top_bottom",
    "blockiness",
)
"""Features of an image, in the order of their vectors (see `featflow.transforms.images.descriptors`)."""


class ImageOptions(Options):
    """A column of images, and what is made of them."""

    column: str = Field(
        examples=["photo"], description="Column of encoded bytes, of structs of bytes and path, or of URIs."
    )
    encoder: Annotated[str, AfterValidator(_encoder)] = Field(
        default="descriptors",
        examples=["transformers:s3://models/dinov2-small"],
        description="What makes vectors of the images: descriptors, or transformers:<directory or URI> of a vision "
        "model saved with save_pretrained.",
    )
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        examples=["0f" * 32],
        description="Digest that a model's files must have.",
    )
    pooling: Literal["auto", "pooler", "cls", "mean"] = Field(
        default="auto",
        description="A model's output that is the vector: its pooler's, its first token's, or the mean over patches.",
    )
    bfloat16: bool = Field(default=False, description="Run a model under bfloat16 autocast.")
    prefix: int | None = Field(
        default=None, ge=1, examples=[256], description="Leading dimensions of a vector that are kept."
    )
    normalize: bool = Field(default=False, description="Scale vectors to length 1, after the prefix is taken.")
    dtype: Literal["float32", "float16"] = Field(default="float32", description="What vectors are rounded to.")
    directions: int = Field(
        default=8, ge=0, le=256, description="Principal directions of a model's vectors that become columns."
    )
    clusters: int = Field(
        default=16, ge=0, le=256, description="Clusters of a model's vectors, which become a column; 0 for none."
    )
    split: str | None = Field(
        default=None,
        examples=["part"],
        description="Column of train, test, ...: images that lie in several of its parts are counted.",
    )
    most_pixels: int = Field(default=100_000_000, ge=1, description="Pixels beyond which an image is not decoded.")
    allow: Annotated[Names, AfterValidator(_folders)] = Field(
        default=[],
        examples=[["s3://photos/2026/"]],
        description="Folders, or URIs of buckets and prefixes, in which rows may name images; without it, only those "
        "below the dataset's own folder.",
    )

    @model_validator(mode="after")
    def _of_this_encoder(self) -> Self:
        meaningless = sorted(MODEL_KEYS & self.model_fields_set)
        if not self.model and any(getattr(self, key) != type(self).model_fields[key].default for key in meaningless):
            raise ValueError(f"{', '.join(meaningless)} are of {MODEL}<directory or URI>, not of descriptors")
        return self

    @property
    def model(self) -> str | None:
        """Directory or URI of the model; None for descriptors."""
        return self.encoder.removeprefix(MODEL) if self.encoder.startswith(MODEL) else None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The column of images."""
        return (self.column,)

    def columns(self, inputs: tuple[Column, ...]) -> tuple[Column, ...]:
        """Return the columns derived from the images: descriptors, or a model's directions and its clusters."""
        (image,) = inputs
        names: tuple[str, ...] = DESCRIPTORS
        meaning = "descriptor of an image"
        if self.model:
            names = tuple(f"direction_{place + 1}" for place in range(self.directions))
            meaning = "principal direction of vectors"
        numbers = tuple(Column(f"{image.name}.{name}", "float32", Kind.NUMBER, source_type=meaning) for name in names)
        cluster = Column(f"{image.name}.cluster", "string", Kind.CATEGORY, source_type="cluster of vectors")
        return (*numbers, cluster) if self.model and self.clusters else numbers
