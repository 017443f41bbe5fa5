"""Options of the codebook."""

from __future__ import annotations

from pydantic import Field

from featflow.option_types import Options

__all__ = ["CodebookOptions"]


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
        examples=["3f2a9c"],
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
        examples=[4096],
        description="Histogram cells kept a number; chosen from the number of columns if null.",
    )
