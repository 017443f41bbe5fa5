"""Options of the interaction table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from featflow.option_types import Options

__all__ = ["SAMPLED_FROM", "InteractionOptions"]


SAMPLED_FROM = 1e12
"""Pairs times rows from which interactions are searched for on samples by default: minutes of a few cores."""


class InteractionOptions(Options):
    """The interaction table."""

    keep: int = Field(default=1000, ge=1, description="Pairs kept for each target, by synergy.")
    search: Literal["all", "sample"] | None = Field(
        default=None,
        description="all: every pair on all rows; sample: every pair on some rows, the best ones on more, until those "
        f"that are kept have all. Null samples beyond {SAMPLED_FROM:.0e} pairs times rows.",
    )
