"""What each section of the configuration may hold, validated key by key."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, model_validator

from featflow.drift_options import DriftOptions
from featflow.image_options import ImageOptions
from featflow.option_types import Names, Options, Uris, switch

__all__ = [
    "ALL_PAIRS_UP_TO",
    "SAMPLED_FROM",
    "TOP_OF_COLUMN",
    "Analyses",
    "Budget",
    "CodebookOptions",
    "CorrelationOptions",
    "DatasetOptions",
    "EngineOptions",
    "InteractionOptions",
    "Keep",
    "RankingOptions",
    "UncertaintyOptions",
]

ALL_PAIRS_UP_TO = 1000
"""Columns up to which every pair is written by default: half a million pairs a method."""
TOP_OF_COLUMN = 100
"""Pairs of every column that are written by default beyond."""

SAMPLED_FROM = 1e12
"""Pairs times rows from which interactions are searched for on samples by default: minutes of a few cores."""

CorrelationMethod = Literal["pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information"]


def _each_once(images: list[ImageOptions]) -> list[ImageOptions]:
    made = [(image.column, "a model" if image.model else "descriptors") for image in images]
    twice = sorted({each for each in made if made.count(each) > 1})
    if twice:
        raise ValueError(f"names {' and '.join(f'{column} twice with {encoder}' for column, encoder in twice)}")
    return images


def _stretch(value: str | None) -> str | None:
    if value is not None and not re.fullmatch("last [1-9][0-9]* (hour|day|week)s?", value):
        raise ValueError("write it as 'last 30 days'; hours, days and weeks are understood")
    return value


def _columns_as_images(value: object) -> object:
    return [{"column": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


class DatasetOptions(Options):
    """What to read."""

    source: Uris = Field(description="File, directory, glob, or a list of them; any fsspec URI.")
    entity: Names = Field(default=[], description="Join keys: kept out of the statistics.")
    event_time: str | None = Field(
        default=None, description="Column that says when a row happened: profiled, not ranked."
    )
    targets: Names = Field(default=[], description="Columns to rank features against; categorical or numeric.")
    exclude: Names = Field(default=[], description="Columns to leave out.")
    kinds: dict[str, Literal["category", "number", "time", "text", "image"]] = Field(
        default={}, description="Kind of a column where the guess from its type is wrong."
    )
    images: Annotated[
        list[ImageOptions],
        BeforeValidator(_columns_as_images, json_schema_input_type=list[ImageOptions | str]),
        AfterValidator(_each_once),
    ] = Field(default=[], description="Columns of images: encoded, and described by numbers beside the other columns.")
    window: Annotated[str | None, AfterValidator(_stretch)] = Field(
        default=None,
        description="Stretch of event time that is read, such as last 30 days; null reads all. Files or row groups "
        "must lie on one side of its edges.",
    )
    as_of: date | datetime | None = Field(
        default=None,
        union_mode="left_to_right",
        description="Last day, or moment, of the window; by default the last day that the files hold.",
    )
    null_values: list[str] = Field(default=[], description="Strings that mean missing, in every string column.")
    shard_bytes: ByteSize = Field(
        default=ByteSize(128 * 2**20), ge=1, description="About how many decoded bytes make one shard."
    )
    weight: str | None = Field(
        default=None, description="Column of row weights, finite and not negative: kept out of the statistics."
    )
    storage_options: dict[str, Any] = Field(
        default={}, repr=False, description="Passed to fsspec; never logged, never written anywhere."
    )

    @model_validator(mode="after")
    def _window_of_times(self) -> Self:
        if self.window and not self.event_time:
            raise ValueError("window needs event_time, the column that says when a row happened")
        if self.as_of and not self.window:
            raise ValueError("as_of ends a window; set window, such as last 30 days")
        return self

    @model_validator(mode="before")
    @classmethod
    def _images_by_kind(cls, values: Any) -> Any:
        """Take columns of kind image for images with default options."""
        kinds, images = (values.get(key) for key in ("kinds", "images")) if isinstance(values, dict) else (None, None)
        if not isinstance(kinds, dict) or not isinstance(images, list | None):
            return values
        images = images or []
        named = {each.get("column") if isinstance(each, dict) else each for each in images}
        return values | {"images": [*images, *(k for k, kind in kinds.items() if kind == "image" and k not in named)]}


class CodebookOptions(Options):
    """How columns become codes."""

    frozen: bool = Field(
        default=True,
        description="Code columns as the last run did, so that runs stay comparable and unchanged data is not counted "
        "again; false, or --rebin, makes new bins and levels of the data.",
    )
    version: str | None = Field(
        default=None,
        pattern="^[0-9a-f]+$",
        description="Codebook to use in place of the last run's, as manifests name it.",
    )

    bins: int = Field(
        default=64, ge=2, le=4096, description="Quantile bins of a number when it is scored against a target."
    )
    pair_bins: int = Field(
        default=16, ge=2, le=120, description="Bins or levels of a column inside pairs and as a target."
    )
    levels: int = Field(
        default=65_536, ge=16, le=2**24, description="Categories counted exactly up to this many levels, hashed beyond."
    )
    cells: int | None = Field(
        default=None,
        ge=64,
        le=2**20,
        description="Histogram cells kept a number; chosen from the number of columns if null.",
    )


class Keep(Options):
    """Which pairs are written: all of them if neither is set."""

    top: int | None = Field(default=None, ge=1, description="Strongest pairs of every column, of each method.")
    above: float | None = Field(
        default=None, ge=0, description="Least |value|, for mutual_information value - expected."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.top is not None and self.above is not None:
            raise ValueError("has both top and above; leave one out")
        return self


def _keep(value: object) -> object:
    if value is None or isinstance(value, dict | Keep):
        return value
    if value == "all":
        return Keep()
    raise ValueError("write all, {top: 100} or {above: 0.3}")


class CorrelationOptions(Options):
    """The correlation table."""

    methods: list[CorrelationMethod] = Field(
        default=["pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information"],
        description="Methods to compute.",
    )
    keep: Annotated[Keep | None, BeforeValidator(_keep, json_schema_input_type=Literal["all"] | Keep | None)] = Field(
        default=None,
        description="Pairs that are written: all, {top: 100} of every column, or {above: 0.3}. Null means all up to "
        f"{ALL_PAIRS_UP_TO:,} columns and {{top: {TOP_OF_COLUMN}}} beyond. q-values are of all pairs in any case.",
    )
    error_bars: int = Field(
        default=1000, ge=1, description="Strongest pairs of each method whose error bars come from the jackknife."
    )
    dense: bool = Field(
        default=False, description="Also write the values of every method as matrices, blocks of Arrow tensors."
    )


class RankingOptions(Options):
    """The ranking table."""

    strata: Names = Field(
        default=[],
        description="Columns within whose joint levels the null permutes: scores become information beyond them.",
    )
    clusters: str | None = Field(
        default=None,
        description="Column whose equal values mark rows that depend on one another: nulls widen by the design effect.",
    )
    windows: int = Field(
        default=8,
        ge=0,
        le=16,
        description="With dataset.event_time: windows of about as many rows, in each of which features are ranked, and "
        "forecast from the windows before. Below 2 there are none.",
    )


class InteractionOptions(Options):
    """The interaction table."""

    keep: int = Field(default=1000, ge=1, description="Pairs kept for each target, by synergy.")
    search: Literal["all", "sample"] | None = Field(
        default=None,
        description="all: every pair on all rows; sample: every pair on some rows, the best ones on more, until those "
        f"that are kept have all. Null samples beyond {SAMPLED_FROM:.0e} pairs times rows.",
    )


class UncertaintyOptions(Options):
    """Error bars and significance, in every table."""

    groups: int = Field(default=32, ge=8, le=128, description="Groups of rows that the jackknife deletes in turn.")
    group_by: Literal["event_time", "entity", "shard"] | None = Field(
        default=None,
        description="What rows of one group have in common; by default the clusters, event time or entity configured, "
        "else the shard.",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Level of the confidence intervals.")
    false_discovery_rate: float = Field(
        default=0.05, gt=0, lt=1, description="Largest q-value that counts as significant."
    )
    procedure: Literal["benjamini_hochberg", "benjamini_yekutieli"] = Field(
        default="benjamini_hochberg", description="How q-values are made; the second holds under any dependence."
    )


class Analyses(Options):
    """Which results to compute: ``true``, ``false`` or the options of each."""

    profile: bool = Field(default=True, description="Write the profile table.")
    correlation: Annotated[CorrelationOptions | None, switch(CorrelationOptions)] = CorrelationOptions()
    ranking: Annotated[RankingOptions | None, switch(RankingOptions)] = RankingOptions()
    interaction: Annotated[InteractionOptions | None, switch(InteractionOptions)] = InteractionOptions()
    drift: Annotated[DriftOptions | None, switch(DriftOptions)] = DriftOptions()
    uncertainty: UncertaintyOptions = UncertaintyOptions()


class EngineOptions(Options):
    """Where the work runs."""

    kind: Literal["ray", "serial"] = "ray"
    address: str | None = Field(default=None, description="Null starts a local Ray; 'auto' or a URL joins a cluster.")
    in_flight: int = Field(default=2, ge=1, description="Tasks submitted ahead for each core of the cluster.")
    gpus: float = Field(
        default=0.0, ge=0, le=1, description="Share of a GPU that a task reserves that counts pairs; 0 counts on CPUs."
    )
    encoder_gpus: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of a GPU that an actor reserves that encodes images with a model; null takes a whole one "
        "where the cluster has any, 0 encodes on CPUs.",
    )


class Budget(Options):
    """What a run may cost."""

    memory: ByteSize = Field(default=ByteSize(4 * 2**30), ge=64 * 2**20, description="Memory of the whole run.")
    bad_rows: float = Field(default=0.001, ge=0, le=1, description="Share of rows that may be unreadable.")
