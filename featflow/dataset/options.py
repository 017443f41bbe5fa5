"""Options of the dataset: what is read."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, model_validator

from featflow.dataset.csv_options import CsvOptions
from featflow.dataset.formats import IMAGE, KEY, PICTURES, Format
from featflow.dataset.image_options import ImageOptions
from featflow.dataset.transform_options import TransformOptions
from featflow.option_types import Names, Options, Uris

__all__ = ["DatasetOptions"]

PLACES_OF_CATALOGS = {"type", "uri", "warehouse"}
"""Properties that messages may quote, less credentials in a URI."""


def _each_once(images: list[ImageOptions]) -> list[ImageOptions]:
    encodings = [(image.column, "a model" if image.model else "descriptors") for image in images]
    repeated = sorted({each for each in encodings if encodings.count(each) > 1})
    if repeated:
        raise ValueError(f"names {' and '.join(f'{column} twice with {encoder}' for column, encoder in repeated)}")
    return images


def _stretch(value: str | None) -> str | None:
    if value is not None and not re.fullmatch("last [1-9][0-9]{0,6} (hour|day|week)s?", value):
        raise ValueError("write it as 'last 30 days'; hours, days and weeks are understood, up to seven digits")
    return value


def _are_pictures(source: object) -> bool:
    sources = source if isinstance(source, list) else [source]
    return bool(sources) and all(isinstance(each, str) and each.startswith(PICTURES) for each in sources)


def _columns_as_images(value: object) -> object:
    return [{"column": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


class DatasetOptions(Options):
    """Which files are read, and the roles and kinds of their columns."""

    source: Uris = Field(
        examples=["s3://lake/orders/"],
        description="File, directory, glob, or a list of them; any fsspec URI; pictures:FOLDER is a folder of "
        "pictures, delta:URI a Delta table, iceberg:CATALOG.NAMESPACE.TABLE an Iceberg table.",
    )
    version: int | date | datetime | None = Field(
        default=None,
        union_mode="left_to_right",
        examples=[12],
        description="Version of a Delta table or snapshot id of an Iceberg table, or a day or moment whose state of "
        "the tables is read; null reads the latest.",
    )
    table_format: Literal["auto"] | None = Field(
        default=None,
        examples=["auto"],
        description="auto reads a folder that is a Delta table as delta:URI; null refuses it, with the line to write.",
    )
    catalog: dict[str, Any] = Field(
        default={},
        repr=False,
        examples=[{"type": "rest", "uri": "https://catalog.example.org"}],
        description="Properties of the Iceberg catalog beside pyiceberg's own configuration; never logged, never "
        "written anywhere.",
    )
    format: Format = Field(
        default="auto",
        examples=["csv"],
        description="Of the files: auto reads those that end in .csv, .tsv, .jsonl, .ndjson, .arrow or .feather (texts "
        "also with .gz, .bz2 or .zst) as what they are where none is Parquet, and all others as Parquet.",
    )
    csv: CsvOptions = CsvOptions()
    entity: Names = Field(default=[], examples=[["order_id"]], description="Join keys: kept out of the statistics.")
    event_time: str | None = Field(
        default=None, examples=["created"], description="Column that says when a row happened: profiled, not ranked."
    )
    targets: Names = Field(
        default=[], examples=[["returned"]], description="Columns to rank features against; categorical or numeric."
    )
    exclude: Names = Field(default=[], examples=[["comment"]], description="Columns to leave out.")
    kinds: dict[str, Literal["category", "number", "time", "text", "image"]] = Field(
        default={},
        examples=[{"zip": "category"}],
        description="Kind of a column where the guess from its type is wrong.",
    )
    images: Annotated[
        list[ImageOptions],
        BeforeValidator(_columns_as_images, json_schema_input_type=list[ImageOptions | str]),
        AfterValidator(_each_once),
    ] = Field(
        default=[],
        examples=[["photo"]],
        description="Columns of images: encoded, and described by numbers beside the other columns.",
    )
    derive: list[TransformOptions] = Field(
        default=[], description="Columns made of other columns, such as {parts: created}."
    )
    window: Annotated[str | None, AfterValidator(_stretch)] = Field(
        default=None,
        examples=["last 30 days"],
        description="Stretch of event time that is read, such as last 30 days; null reads all. Files or row groups "
        "must lie on one side of its edges.",
    )
    as_of: date | datetime | None = Field(
        default=None,
        union_mode="left_to_right",
        examples=[date(2026, 3, 1)],
        description="Last day, or moment, of the window; by default the last day that the files hold.",
    )
    null_values: list[str] = Field(
        default=[], examples=[["NA", "-999"]], description="Strings that mean missing, in every string column."
    )
    shard_bytes: ByteSize = Field(
        default=ByteSize(128 * 2**20), ge=1, description="About how many decoded bytes make one shard."
    )
    weight: str | None = Field(
        default=None,
        examples=["exposure"],
        description="Column of row weights, finite and not negative: kept out of the statistics.",
    )
    storage_options: dict[str, Any] = Field(
        default={},
        repr=False,
        examples=[{"anon": True}, {"key": "${env:LAKE_KEY}", "secret": "${file:/run/secrets/lake}"}],
        description="Options of the store; texts may hold ${env:NAME} and ${file:PATH}. Never logged, never written.",
    )

    @property
    def secrets(self) -> dict[str, Any]:
        """What may hold credentials: storage options, and a catalog's properties but for what and where it is."""
        catalog = {key: value for key, value in self.catalog.items() if key not in PLACES_OF_CATALOGS}
        return {"storage_options": self.storage_options, "catalog": catalog}

    @model_validator(mode="after")
    def _window_of_times(self) -> Self:
        if any(source.startswith(PICTURES) for source in self.source) and not _are_pictures(self.source):
            raise ValueError(f"source: {PICTURES}FOLDER stands with other folders of pictures only")
        if self.window and not self.event_time:
            raise ValueError("window needs event_time, the column that says when a row happened")
        if self.as_of and not self.window:
            raise ValueError("as_of ends a window; set window, such as last 30 days")
        return self

    @model_validator(mode="before")
    @classmethod
    def _images_by_kind(cls, values: Any) -> Any:
        """Take columns of kind image, and a source of pictures, for images with default options."""
        if isinstance(values, dict) and _are_pictures(values.get("source")):
            values = {"images": [IMAGE], "entity": [KEY]} | values
        kinds, images = (values.get(key) for key in ("kinds", "images")) if isinstance(values, dict) else (None, None)
        if not isinstance(kinds, dict) or not isinstance(images, list | None):
            return values
        images = images or []
        named = {each.get("column") if isinstance(each, dict) else each for each in images}
        return values | {"images": [*images, *(k for k, kind in kinds.items() if kind == "image" and k not in named)]}
